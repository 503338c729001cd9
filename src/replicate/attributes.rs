//! What an entry's owner, mode, times and extended attributes should be on the target, and setting
//! them.
//!
//! Kept: owner and group (mapped), permission bits, mtime, `user.*` and POSIX ACLs (ids mapped).
//! Never copied nor compared: `security.*` (labels and signatures belong to a host), `trusted.*`.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    fremovexattr, fsetxattr, futimens,
};
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};

use super::scan::{Look, Moment, Type};
use crate::failpoint;
use crate::names::{Gid, Uid};
use crate::plan::change::{IdMap, Mapped};

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// What an entry's metadata should be on the target, by what it is on the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) mode: u32,
    pub(super) mtime: Moment,
}

/// What [`expect`] had to do that people should know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Adjusted {
    /// The source's uid has no name on one of the sides.
    pub(super) unknown_uid: Option<Uid>,
    /// The source's gid likewise.
    pub(super) unknown_gid: Option<Gid>,
    /// setuid or setgid was dropped.
    pub(super) set_id_dropped: bool,
}

/// What the target should have for an entry of the source. `owner` is the user's uid there.
pub(super) fn expect(source: &Look, owner: Uid, ids: &IdMap) -> (Expected, Adjusted) {
    let (uid, gid) = (ids.uid(source.uid), ids.gid(source.gid));
    let named_user = matches!(uid, Mapped::Known(_));
    let named_group = matches!(gid, Mapped::Known(_));
    let mut mode = source.mode;
    if source.kind == Type::File {
        // A program that runs as somebody must not come to run as somebody else.
        if source.uid != owner {
            mode &= !(SETUID | SETGID);
        }
        if matches!(uid, Mapped::ToRoot(_)) {
            mode &= !SETUID;
        }
        if matches!(gid, Mapped::ToRoot(_)) {
            mode &= !SETGID;
        }
    }
    let expected = Expected {
        uid: uid.id(),
        gid: gid.id(),
        mode,
        mtime: source.stamp.mtime,
    };
    let adjusted = Adjusted {
        unknown_uid: (!named_user).then_some(source.uid),
        unknown_gid: (!named_group).then_some(source.gid),
        set_id_dropped: mode != source.mode,
    };
    (expected, adjusted)
}

/// Extended attributes that are kept, by name, in the target's terms.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const CAPABILITY: &[u8] = b"security.capability";

/// Whether the index may vouch for a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Vouch {
    #[default]
    May,
    /// Its ACL names users or groups, which another mapping of ids would translate otherwise; or it
    /// has a capability, which is dropped, and that is said every time.
    MayNot,
}

/// Extended attributes as they stand on a host: those that are kept, in that host's own terms.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct OwnXattrs {
    kept: Xattrs,
    capability: bool,
}

/// Extended attributes in the target's terms.
#[derive(Debug, Default)]
pub(super) struct ReadXattrs {
    pub(super) kept: Xattrs,
    pub(super) capability: bool,
    pub(super) vouch: Vouch,
}

impl OwnXattrs {
    /// Reads what is kept.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut own = Self::default();
        let Some(list) = grown(|buffer| flistxattr(fd, buffer))? else {
            return Ok(own);
        };
        for name in list.split(|&byte| byte == 0) {
            own.capability |= name == CAPABILITY;
            if !is_kept(name) {
                continue;
            }
            // One that went away meanwhile is not there.
            if let Some(value) = grown(|buffer| fgetxattr(fd, name, buffer))? {
                own.kept.insert(name.to_vec(), value);
            }
        }
        Ok(own)
    }

    /// From attributes as they were told.
    pub(super) fn told(attributes: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let mut own = Self::default();
        for (name, value) in attributes {
            own.capability |= name == CAPABILITY;
            if is_kept(&name) {
                own.kept.insert(name, value);
            }
        }
        own
    }

    /// With `ids`, ACLs are translated to the target; without, only put in order.
    pub(super) fn translated(self, ids: Option<&IdMap>) -> io::Result<ReadXattrs> {
        let mut read = ReadXattrs {
            capability: self.capability,
            ..ReadXattrs::default()
        };
        if self.capability {
            read.vouch = Vouch::MayNot;
        }
        for (name, value) in self.kept {
            let value = if is_acl(&name) {
                if names_ids(&value) {
                    read.vouch = Vouch::MayNot;
                }
                translate_acl(&value, ids)?
            } else {
                value
            };
            read.kept.insert(name, value);
        }
        Ok(read)
    }
}

fn is_kept(name: &[u8]) -> bool {
    is_acl(name) || name.starts_with(b"user.")
}

fn is_acl(name: &[u8]) -> bool {
    name == ACCESS_ACL || name == DEFAULT_ACL
}

/// What the target has.
pub(super) fn present_xattrs(fd: BorrowedFd<'_>) -> io::Result<Xattrs> {
    Ok(OwnXattrs::of(fd)?.translated(None)?.kept)
}

/// Calls with a buffer that grows until the answer fits. `None` where there is no such attribute, or
/// none are supported.
fn grown(get: impl Fn(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    // XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h.
    const LARGEST: usize = 64 * 1024;
    let mut buffer = vec![0; 512];
    loop {
        match get(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::RANGE) if buffer.len() < LARGEST => buffer.resize(LARGEST, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

/// Tags of entries for named users and groups.
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;

/// Whether an ACL has entries for named users or groups.
fn names_ids(blob: &[u8]) -> bool {
    let entries = blob.get(4..).unwrap_or_default().as_chunks::<8>().0;
    let tags = entries
        .iter()
        .map(|entry| u16::from_le_bytes([entry[0], entry[1]]));
    tags.into_iter().any(|tag| tag == USER || tag == GROUP)
}

/// An ACL as the kernel gives it (`linux/posix_acl_xattr.h`): a version, then tag, permissions and id
/// of each entry, little-endian. Entries are put in order, so that equal ACLs have equal bytes.
fn translate_acl(blob: &[u8], ids: Option<&IdMap>) -> io::Result<Vec<u8>> {
    const VERSION: [u8; 4] = 2_u32.to_le_bytes();
    let (version, rest) = blob.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
    let (entries, tail) = rest.as_chunks::<8>();
    if *version != VERSION || !tail.is_empty() {
        return Err(Errno::INVAL);
    }
    let mut translated = Vec::with_capacity(entries.len());
    for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let tag = u16::from_le_bytes([t0, t1]);
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let id = match (tag, ids) {
            (USER, Some(ids)) => ids.uid(Uid(id)).id().0,
            (GROUP, Some(ids)) => ids.gid(Gid(id)).id().0,
            _ => id,
        };
        translated.push((tag, id, [p0, p1]));
    }
    translated.sort_unstable();
    let mut out = VERSION.to_vec();
    for (tag, id, permissions) in translated {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions);
        out.extend_from_slice(&id.to_le_bytes());
    }
    Ok(out)
}

/// Gives an open file or directory of ours its metadata.
///
/// The order matters: while the owner changes nobody has access, chown clears setid bits and setting
/// an ACL changes the group bits, so the mode comes after both, and mtime last.
pub(super) fn settle(fd: BorrowedFd<'_>, expected: &Expected, xattrs: &Xattrs) -> io::Result<()> {
    let now = Look::of(fd)?;
    if (now.uid, now.gid) != (expected.uid, expected.gid) {
        if now.mode != 0 {
            fchmod(fd, Mode::empty())?;
        }
        fchown(
            fd,
            Some(rustix::fs::Uid::from_raw(expected.uid.0)),
            Some(rustix::fs::Gid::from_raw(expected.gid.0)),
        )?;
    }
    let present = present_xattrs(fd)?;
    if present != *xattrs {
        for name in present.keys().filter(|name| !xattrs.contains_key(*name)) {
            fremovexattr(fd, name.as_slice())?;
        }
        for (name, value) in xattrs {
            if present.get(name) != Some(value) {
                fsetxattr(fd, name.as_slice(), value, XattrFlags::empty())?;
            }
        }
    }
    failpoint::hit("copy:settling");
    fchmod(fd, Mode::from_raw_mode(expected.mode))?;
    futimens(fd, &modified(expected.mtime))
}

/// Shuts others out of a directory of the target until it is settled.
pub(super) fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    fchmod(fd, Mode::RWXU)?;
    fchown(fd, Some(rustix::fs::Uid::ROOT), Some(rustix::fs::Gid::ROOT))?;
    // chown may leave, and some file systems set, bits that we did not ask for.
    fchmod(fd, Mode::RWXU)
}

/// Takes away what a new directory inherited from the one that holds it, and seals it.
pub(super) fn disinherit(fd: BorrowedFd<'_>) -> io::Result<()> {
    for name in [DEFAULT_ACL, ACCESS_ACL] {
        match fremovexattr(fd, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(e) => return Err(e),
        }
    }
    seal(fd)
}

/// Times for `utimensat`: this mtime, and the access time as it is.
pub(super) fn modified(mtime: Moment) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanos.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What `setfacl -m u:1000:rw,g:12:r` leaves on a file of mode 0640, by getfattr.
    fn acl(user: u32, group: u32) -> Vec<u8> {
        let mut blob = vec![2, 0, 0, 0];
        for (tag, perm, id) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 6, user),
            (4, 4, u32::MAX),
            (8, 4, group),
            (0x10, 6, u32::MAX),
            (0x20, 0, u32::MAX),
        ] {
            blob.extend(tag.to_le_bytes());
            blob.extend(perm.to_le_bytes());
            blob.extend(id.to_le_bytes());
        }
        blob
    }

    fn ids() -> IdMap {
        IdMap {
            uids: [(Uid(500), Uid(1000))].into(),
            gids: [(Gid(12), Gid(8))].into(),
            taken_uids: BTreeSet::from([Uid(33)]),
            taken_gids: BTreeSet::from([Gid(12)]),
        }
    }

    #[test]
    fn acl_ids_are_mapped() {
        assert_eq!(
            translate_acl(&acl(500, 12), Some(&ids())).unwrap(),
            acl(1000, 8)
        );
        assert_eq!(translate_acl(&acl(500, 12), None).unwrap(), acl(500, 12));
    }

    #[test]
    fn setid_bits_never_come_to_run_as_somebody_else() {
        let look = |uid, gid, mode| Look {
            kind: Type::File,
            device: (0, 0),
            stamp: super::super::scan::Stamp {
                ino: 1,
                size: 0,
                mtime: Moment {
                    seconds: 0,
                    nanos: 0,
                },
                ctime: Moment {
                    seconds: 0,
                    nanos: 0,
                },
            },
            allocated: 0,
            mode,
            nlink: 1,
            uid: Uid(uid),
            gid: Gid(gid),
        };
        let mode = |look: &Look| expect(look, Uid(500), &ids()).0.mode;
        assert_eq!(mode(&look(500, 12, 0o6755)), 0o6755, "the user's own");
        assert_eq!(mode(&look(0, 12, 0o6755)), 0o755, "root's");
        assert_eq!(mode(&look(500, 33, 0o2755)), 0o2755, "a free gid is kept");
        let taken = IdMap {
            taken_gids: [Gid(33)].into(),
            ..ids()
        };
        assert_eq!(
            expect(&look(500, 33, 0o2755), Uid(500), &taken).0.mode,
            0o755
        );
        let directory = Look {
            kind: Type::Directory,
            ..look(0, 12, 0o2775)
        };
        assert_eq!(
            mode(&directory),
            0o2775,
            "on a directory setgid means inheritance"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_acl_blob_is_read_or_refused(blob: Vec<u8>) {
            if let Ok(out) = translate_acl(&blob, Some(&ids())) {
                proptest::prop_assert_eq!(out.len(), blob.len());
            }
        }
    }
}
