//! Looking at entries: metadata, names of a directory, and opening exactly what was looked at.
//!
//! Every name here is a single component. A process of the user may swap it for something else at
//! any moment, so what is opened is looked at again by its descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, Statx, StatxFlags, fstat, major,
    minor, openat, openat2, statat, statx,
};
use rustix::io::{self, Errno};
use serde::{Deserialize, Serialize};

use super::Place;
use crate::names::{Gid, Uid};

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Type {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
}

impl Type {
    fn of_mode(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            _ => Self::Device,
        }
    }
}

/// A moment as file systems keep it: seconds since the epoch and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        let nanos = timestamp.as_nanosecond();
        let second = 1_000_000_000;
        Self {
            seconds: i64::try_from(nanos.div_euclid(second)).unwrap_or(i64::MAX),
            nanos: u32::try_from(nanos.rem_euclid(second)).unwrap_or(0),
        }
    }
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
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
        match statx(&fd, c"", flags, StatxFlags::BASIC_STATS) {
            Ok(raw) => Ok(Self::from_raw(&raw)),
            Err(Errno::NOSYS) => fstat(fd).map(|raw| Self::from_stat(&raw)),
            Err(e) => Err(e),
        }
    }

    /// From what kernels before 4.11 tell, which is the same.
    fn from_stat(raw: &Stat) -> Self {
        let moment = |seconds, nanos| Moment {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        Self {
            kind: Type::of_mode(raw.st_mode),
            device: (major(raw.st_dev), minor(raw.st_dev)),
            stamp: Stamp {
                ino: raw.st_ino,
                size: u64::try_from(raw.st_size).unwrap_or(0),
                mtime: moment(raw.st_mtime, raw.st_mtime_nsec),
                ctime: moment(raw.st_ctime, raw.st_ctime_nsec),
            },
            allocated: u64::try_from(raw.st_blocks)
                .unwrap_or(0)
                .saturating_mul(512),
            mode: raw.st_mode & 0o7777,
            nlink: u32::try_from(raw.st_nlink).unwrap_or(u32::MAX),
            uid: Uid(raw.st_uid),
            gid: Gid(raw.st_gid),
        }
    }

    fn from_raw(raw: &Statx) -> Self {
        let moment = |t: rustix::fs::StatxTimestamp| Moment {
            seconds: t.tv_sec,
            nanos: t.tv_nsec,
        };
        let mode = u32::from(raw.stx_mode);
        Self {
            kind: Type::of_mode(mode),
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
        let look = match statx(self.dir, self.name, flags, StatxFlags::BASIC_STATS) {
            Ok(raw) => Ok(Look::from_raw(&raw)),
            Err(Errno::NOSYS) => {
                statat(self.dir, self.name, flags).map(|raw| Look::from_stat(&raw))
            }
            Err(e) => Err(e),
        };
        match look {
            Ok(look) => Ok(Some(look)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens the entry for reading if it is a regular file or a directory, as `kind` says, on the
    /// same mount as the directory that holds it. Never blocks, never follows.
    ///
    /// `EXDEV` for a mount point; `ELOOP`, `ENOTDIR` or `ENOENT` if it was swapped meanwhile.
    pub(super) fn open(&self, kind: Type) -> io::Result<OwnedFd> {
        if self.name.contains(&b'/') {
            return Err(Errno::INVAL);
        }
        open_beneath(self.dir, self.name, kind)
    }

    /// Opens a directory that may be a mount point: the top of a tree.
    pub(super) fn open_top(&self) -> io::Result<OwnedFd> {
        quietly(reading(Type::Directory), |flags| {
            openat(self.dir, self.name, flags, Mode::empty())
        })
    }
}

/// Opens what a path leads to beneath a directory, a regular file or a directory as `kind` says.
///
/// No link is followed, at any component, and no mount point is entered. A path of names leads
/// nowhere but down; it may be longer than the kernel takes at once.
pub(super) fn open_beneath(dir: BorrowedFd<'_>, path: &[u8], kind: Type) -> io::Result<OwnedFd> {
    let plain = |name: &[u8]| !name.is_empty() && name != b".." && name != b".";
    if !path.split(|&byte| byte == b'/').all(plain) {
        return Err(Errno::INVAL);
    }
    let mut rest = path;
    let mut held: Option<OwnedFd> = None;
    while rest.len() > LONGEST_PATH {
        let cut = rest[..LONGEST_PATH].iter().rposition(|&byte| byte == b'/');
        let cut = cut.ok_or(Errno::NAMETOOLONG)?;
        let at = held.as_ref().map_or(dir, AsFd::as_fd);
        held = Some(open_exactly(at, &rest[..cut], Type::Directory)?);
        rest = &rest[cut + 1..];
    }
    open_exactly(held.as_ref().map_or(dir, AsFd::as_fd), rest, kind)
}

/// Below `PATH_MAX`, and above any single name.
const LONGEST_PATH: usize = 2048;

fn open_exactly(dir: BorrowedFd<'_>, path: &[u8], kind: Type) -> io::Result<OwnedFd> {
    // Not BENEATH: it answers a swap with EXDEV too, and names lead nowhere but down.
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let opened = quietly(reading(kind), |flags| {
        openat2(dir, path, flags, Mode::empty(), resolve)
    });
    let fd = match opened {
        Err(Errno::NOSYS) => name_by_name(dir, path, kind)?,
        opened => opened?,
    };
    // A device node that took a file's place must not be mistaken for one.
    if Look::of(&fd)?.kind == kind {
        Ok(fd)
    } else {
        Err(Errno::LOOP)
    }
}

/// The same on kernels before 5.6, which lack `openat2`.
fn name_by_name(dir: BorrowedFd<'_>, path: &[u8], kind: Type) -> io::Result<OwnedFd> {
    let device = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| stat.st_dev);
    let mount = device(dir)?;
    let mut held: Option<OwnedFd> = None;
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let kind = if names.peek().is_some() {
            Type::Directory
        } else {
            kind
        };
        let at = held.as_ref().map_or(dir, AsFd::as_fd);
        let fd = quietly(reading(kind), |flags| {
            openat(at, name, flags, Mode::empty())
        })?;
        if device(fd.as_fd())? != mount {
            return Err(Errno::XDEV);
        }
        held = Some(fd);
    }
    held.ok_or(Errno::INVAL)
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
        let mut names = Self::default();
        each_name(directory, |name, _| names.push(name))?;
        names.sort();
        Ok(names)
    }

    /// The same, directories apart: what is no directory, and the directories.
    pub(super) fn read_apart(directory: BorrowedFd<'_>) -> io::Result<(Self, Self)> {
        let (mut files, mut directories) = (Self::default(), Self::default());
        each_name(directory, |name, kind| {
            let is_directory = match kind {
                FileType::Directory => true,
                // A file system that does not say: old XFS, for one.
                FileType::Unknown => {
                    let place = Place {
                        dir: directory,
                        name,
                    };
                    place
                        .look()?
                        .is_some_and(|look| look.kind == Type::Directory)
                }
                _ => false,
            };
            if is_directory {
                directories.push(name)
            } else {
                files.push(name)
            }
        })?;
        files.sort();
        directories.sort();
        Ok((files, directories))
    }

    fn push(&mut self, name: &[u8]) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        self.at.push((self.bytes.len(), length));
        self.bytes.extend_from_slice(name);
        Ok(())
    }

    fn sort(&mut self) {
        let Self { bytes, at } = self;
        at.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
    }

    /// The names in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.at.iter().map(|&at| slice(&self.bytes, at))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// The n-th in order.
    pub(super) fn get(&self, n: usize) -> Option<&[u8]> {
        self.at.get(n).map(|&at| slice(&self.bytes, at))
    }

    /// Where a name stands in the order.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let found = self
            .at
            .binary_search_by(|&at| slice(&self.bytes, at).cmp(name));
        found.ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

fn slice(bytes: &[u8], (start, length): (usize, u16)) -> &[u8] {
    &bytes[start..start + usize::from(length)]
}

/// Calls `each` with every name in a directory but `.` and `..`, and what it is said to be.
fn each_name(
    directory: BorrowedFd<'_>,
    mut each: impl FnMut(&[u8], FileType) -> io::Result<()>,
) -> io::Result<()> {
    // A descriptor of its own, so that the position in the directory is ours.
    let fd = openat(directory, c".", reading(Type::Directory), Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(&fd, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
