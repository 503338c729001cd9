//! Looking at entries: metadata, names of a directory, and opening exactly what was looked at.
//!
//! Every name here is a single component. A process of the user may swap it for something else at
//! any moment, so what is opened is looked at again by its descriptor.

use std::cmp::Ordering;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags, openat, openat2, statx,
};
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};

use super::Place;
use crate::names::{Gid, Uid};

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
}

/// A moment as file systems keep it: seconds since the epoch and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// What must be unchanged for a file to be taken as unchanged without reading it.
///
/// ctime cannot be set by a user and moves with content, metadata, xattrs and link count alike. One
/// hole is known: a page that is dirty through a shared writable mapping can change again without
/// moving it until it is written back. Mail servers write with `pwrite`, and the final proof reads
/// everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime: Moment,
    pub(super) ctime: Moment,
}

/// The metadata of an entry at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) kind: Type,
    pub(super) device: (u32, u32),
    pub(super) stamp: Stamp,
    /// Space in use, in bytes; less than the size for a sparse file.
    pub(super) allocated: u64,
    /// Permission, setid and sticky bits.
    pub(super) mode: u32,
    pub(super) nlink: u32,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Look {
    /// Looks at what is open.
    pub(super) fn of(fd: impl AsFd) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
        statx(fd, c"", flags, StatxFlags::BASIC_STATS).map(|raw| Self::from_raw(&raw))
    }

    fn from_raw(raw: &Statx) -> Self {
        let moment = |t: rustix::fs::StatxTimestamp| Moment {
            seconds: t.tv_sec,
            nanos: t.tv_nsec,
        };
        let mode = u32::from(raw.stx_mode);
        Self {
            kind: match rustix::fs::FileType::from_raw_mode(mode) {
                rustix::fs::FileType::RegularFile => Type::File,
                rustix::fs::FileType::Directory => Type::Directory,
                rustix::fs::FileType::Symlink => Type::Symlink,
                rustix::fs::FileType::Fifo => Type::Fifo,
                rustix::fs::FileType::Socket => Type::Socket,
                _ => Type::Device,
            },
            device: (raw.stx_dev_major, raw.stx_dev_minor),
            stamp: Stamp {
                ino: raw.stx_ino,
                size: raw.stx_size,
                mtime: moment(raw.stx_mtime),
                ctime: moment(raw.stx_ctime),
            },
            allocated: raw.stx_blocks.saturating_mul(512),
            mode: mode & 0o7777,
            nlink: raw.stx_nlink,
            uid: Uid(raw.stx_uid),
            gid: Gid(raw.stx_gid),
        }
    }

    /// Size of a regular file, 0 for anything else.
    pub(super) fn bytes(&self) -> u64 {
        if self.kind == Type::File {
            self.stamp.size
        } else {
            0
        }
    }
}

impl Place<'_> {
    /// Looks at the entry itself, never at what a link points to. `None` if it is not there.
    pub(super) fn look(&self) -> io::Result<Option<Look>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match statx(self.dir, self.name, flags, StatxFlags::BASIC_STATS) {
            Ok(raw) => Ok(Some(Look::from_raw(&raw))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens the entry for reading if it is a regular file or a directory, as `kind` says, on the
    /// same mount as the directory that holds it. Never blocks, never follows.
    ///
    /// `EXDEV` for a mount point; `ELOOP`, `ENOTDIR` or `ENOENT` if it was swapped meanwhile.
    pub(super) fn open(&self, kind: Type) -> io::Result<OwnedFd> {
        if self.name == b".." || self.name.contains(&b'/') {
            return Err(Errno::INVAL);
        }
        // Not BENEATH: it answers a swap with EXDEV too, and one component leads nowhere else.
        let resolve =
            ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let fd = quietly(reading(kind), |flags| {
            openat2(self.dir, self.name, flags, Mode::empty(), resolve)
        })?;
        // A device node that took a file's place must not be mistaken for one.
        if Look::of(&fd)?.kind == kind {
            Ok(fd)
        } else {
            Err(Errno::LOOP)
        }
    }

    /// Opens a directory that may be a mount point: the top of a tree.
    pub(super) fn open_top(&self) -> io::Result<OwnedFd> {
        quietly(reading(Type::Directory), |flags| {
            openat(self.dir, self.name, flags, Mode::empty())
        })
    }
}

fn reading(kind: Type) -> OFlags {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if kind == Type::Directory {
        flags | OFlags::DIRECTORY
    } else {
        flags
    }
}

/// Opens without moving the access time where the system allows that.
fn quietly(flags: OFlags, open: impl Fn(OFlags) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}

/// The names in a directory, sorted by bytes, in one allocation.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    at: Vec<(usize, u16)>,
}

impl Names {
    /// Reads all names but `.` and `..`. An error in the middle is an error: a name that is merely
    /// not seen must never look like one that was removed.
    pub(super) fn read(directory: BorrowedFd<'_>) -> io::Result<Self> {
        // A descriptor of its own, so that the position in the directory is ours.
        let fd = openat(directory, c".", reading(Type::Directory), Mode::empty())?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
        let mut names = Self::default();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let length = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
            names.at.push((names.bytes.len(), length));
            names.bytes.extend_from_slice(name);
        }
        let Self { bytes, at } = &mut names;
        at.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
        Ok(names)
    }

    /// The names in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.at.iter().map(|&at| slice(&self.bytes, at))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

fn slice(bytes: &[u8], (start, length): (usize, u16)) -> &[u8] {
    &bytes[start..start + usize::from(length)]
}

/// Calls `each` with every name of two directories, in order, once.
pub(super) fn merge<E>(
    left: &Names,
    right: &Names,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => l.cmp(r),
        };
        let name = match order {
            Ordering::Less => left.next(),
            Ordering::Greater => right.next(),
            Ordering::Equal => {
                right.next();
                left.next()
            }
        };
        if let Some(name) = name {
            each(name)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Names {
        let mut names = Names::default();
        for name in list {
            names
                .at
                .push((names.bytes.len(), u16::try_from(name.len()).unwrap()));
            names.bytes.extend_from_slice(name.as_bytes());
        }
        names
    }

    #[test]
    fn two_sorted_directories_merge_into_each_name_once() {
        let mut seen = Vec::new();
        let left = names(&["a", "c", "d"]);
        let right = names(&["a", "b", "d", "e"]);
        merge(&left, &right, |name| {
            seen.push(String::from_utf8(name.to_vec()).unwrap());
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn names_are_sorted_by_bytes() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "B", "a.b", "a", "é"] {
            std::fs::File::create(dir.path().join(name)).unwrap();
        }
        let fd = std::fs::File::open(dir.path()).unwrap();
        let names = Names::read(fd.as_fd()).unwrap();
        let sorted: Vec<_> = names.iter().collect();
        assert_eq!(sorted, [&b"B"[..], b"a", b"a.b", b"b", "é".as_bytes()]);
    }

    #[test]
    fn a_link_or_a_fifo_is_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("dirlink")).unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        rustix::fs::mkfifoat(&fd, "fifo", Mode::RUSR).unwrap();
        let place = |name: &'static [u8]| Place {
            dir: fd.as_fd(),
            name,
        };
        assert_eq!(place(b"link").open(Type::File).unwrap_err(), Errno::LOOP);
        assert!(place(b"dirlink").open(Type::Directory).is_err());
        assert_eq!(place(b"fifo").open(Type::File).unwrap_err(), Errno::LOOP);
        assert!(place(b"..").open(Type::Directory).is_err());
    }
}
