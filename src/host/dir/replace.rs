//! Putting a file in the place of another, and adding to one, within an open directory.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Timestamps, fsync, futimens, openat, openat2, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;

use crate::host::NewFile;

/// A file that is made new.
const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A file that is there, and may turn out to be a fifo.
const OLD: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A fixed name, so that what a killed run left is overwritten by the next and never piles up.
pub(super) fn temporary_name(name: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(".reconcile-new");
    temp
}

/// Opens what has this name in a directory.
pub(super) fn open_named(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    match openat2(dir, name, flags, mode, ResolveFlags::BENEATH) {
        // Kernels before 5.6. A mere name leads nowhere else.
        Err(Errno::NOSYS) if !name.as_bytes().contains(&b'/') => openat(dir, name, flags, mode),
        opened => opened,
    }
}

pub(super) fn replace_at(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    temp: &OsStr,
    content: &[u8],
    new: NewFile,
) -> io::Result<()> {
    let old = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(errno.into()),
    };
    match unlinkat(dir, temp, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    // Nobody but root can read it until it has its owner and mode.
    let mut file = std::fs::File::from(open_named(dir, temp, NEW, Mode::RUSR | Mode::WUSR)?);
    file.write_all(content)?;
    let (uid, gid, mode) = old
        .as_ref()
        .map_or((new.uid.0, new.gid.0, new.mode), |old| {
            (old.st_uid, old.st_gid, old.st_mode & 0o7777)
        });
    rustix::fs::fchown(
        &file,
        Some(rustix::fs::Uid::from_raw(uid)),
        Some(rustix::fs::Gid::from_raw(gid)),
    )?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    if old.is_some() {
        copy_xattrs(dir, name, &file)?;
    }
    file.sync_all()?;
    renameat(dir, temp, dir, name)?;
    fsync(dir)?;
    Ok(())
}

/// A file as it is, with owner, mode, times and extended attributes, in the place of another.
pub(super) fn copy_at(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> io::Result<()> {
    let ((from_dir, from), (dir, name)) = (from, to);
    let temp = temporary_name(name);
    match unlinkat(dir, &temp, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut source = std::fs::File::from(open_named(from_dir, from, OLD, Mode::empty())?);
    let stat = rustix::fs::fstat(&source)?;
    let mut file = std::fs::File::from(open_named(dir, &temp, NEW, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut source, &mut file)?;
    rustix::fs::fchown(
        &file,
        Some(rustix::fs::Uid::from_raw(stat.st_uid)),
        Some(rustix::fs::Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    copy_xattrs(from_dir, from, &file)?;
    let time = |tv_sec, tv_nsec: u64| rustix::fs::Timespec {
        tv_sec,
        tv_nsec: i64::try_from(tv_nsec).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    futimens(&file, &times)?;
    file.sync_all()?;
    renameat(dir, &temp, dir, name)?;
    fsync(dir)?;
    Ok(())
}

/// Copies every extended attribute, ACLs and the `SELinux` label among them.
fn copy_xattrs(dir: BorrowedFd<'_>, name: &OsStr, to: &std::fs::File) -> io::Result<()> {
    let from = open_named(dir, name, OLD, Mode::empty())?;
    let mut names = vec![0_u8; 64 << 10];
    let used = match rustix::fs::flistxattr(&from, &mut names[..]) {
        Ok(used) => used,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut value = vec![0_u8; 64 << 10];
    for attribute in names[..used].split(|&b| b == 0).filter(|a| !a.is_empty()) {
        let attribute = OsStr::from_bytes(attribute);
        let size = rustix::fs::fgetxattr(&from, attribute, &mut value[..])?;
        rustix::fs::fsetxattr(
            to,
            attribute,
            &value[..size],
            rustix::fs::XattrFlags::empty(),
        )?;
    }
    Ok(())
}

pub(super) fn append_at(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    content: &[u8],
    new: NewFile,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |flags, mode| open_named(dir, name, flags, mode);
    let (fd, made) = match open(flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let made = open(
                flags | OFlags::CREATE | OFlags::EXCL,
                Mode::RUSR | Mode::WUSR,
            )?;
            rustix::fs::fchown(
                &made,
                Some(rustix::fs::Uid::from_raw(new.uid.0)),
                Some(rustix::fs::Gid::from_raw(new.gid.0)),
            )?;
            rustix::fs::fchmod(&made, Mode::from_raw_mode(new.mode))?;
            (made, true)
        }
        found => (found?, false),
    };
    let mut file = std::fs::File::from(fd);
    file.write_all(content)?;
    file.sync_data()?;
    if made {
        fsync(dir)?;
    }
    Ok(())
}
