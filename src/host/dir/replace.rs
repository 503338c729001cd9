//! Putting a file in the place of another, and adding to one, within an open directory.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, fsync, openat2, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::host::NewFile;

/// A fixed name, so that what a killed run left is overwritten by the next and never piles up.
pub(super) fn temporary_name(name: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(".reconcile-new");
    temp
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
    let fd = openat2(
        dir,
        temp,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
        ResolveFlags::BENEATH,
    )?;
    let mut file = std::fs::File::from(fd);
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

/// Copies every extended attribute, ACLs and the `SELinux` label among them.
fn copy_xattrs(dir: BorrowedFd<'_>, name: &OsStr, to: &std::fs::File) -> io::Result<()> {
    let from = openat2(
        dir,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH,
    )?;
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
    let open = |flags, mode| openat2(dir, name, flags, mode, ResolveFlags::BENEATH);
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
