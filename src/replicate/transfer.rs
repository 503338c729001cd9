//! Putting entries on the target: made whole in the staging directory, then renamed into place.
//!
//! Whatever happens between two system calls here, the target shows the old entry or the new one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, SeekFrom, chownat, copy_file_range, ftruncate, linkat,
    mkdirat, openat, openat2, renameat, seek, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::attributes::{Expected, Vouch, Xattrs, expect, modified, settle};
use super::compare::{BLOCK, fill, go_on};
use super::links::Group;
use super::origin::{Content, LEAST, Origin, Want};
use super::outflow::Outflow;
use super::report::{At, End, Trouble};
use super::scan::{Look, Moment, Stamp, Type};
use super::staging::Staging;
use super::{Job, Place};
use crate::error::Result;
use crate::failpoint;

/// How often a file that changes while it is read is tried.
const TRIES: usize = 3;
/// How much is copied between two looks at the stop flag.
const SPAN: u64 = 4 * 1024 * 1024;

/// A file that is in place.
#[derive(Debug)]
pub(super) struct Placed {
    /// The source as it was, unchanged, before and after it was read.
    pub(super) source: Look,
    /// The moment before that look.
    pub(super) looked: Moment,
    /// The target's file.
    pub(super) target: Look,
    /// Whether the index may vouch for it.
    pub(super) vouch: Vouch,
}

/// Writes one tree.
#[derive(Debug)]
pub(super) struct Writer<'j> {
    pub(super) job: &'j Job<'j>,
    pub(super) staging: Staging,
}

impl Writer<'_> {
    /// Copies a file and puts it in place of what is there. `path` is relative to the tree's top.
    pub(super) fn file(
        &mut self,
        at: At<'_>,
        source: &mut Origin,
        target: Place<'_>,
        present: Option<&Look>,
    ) -> Result<Placed, Trouble> {
        let mut old = match present {
            Some(look) if is_large(look) => target.open(Type::File).ok(),
            _ => None,
        };
        for _ in 0..TRIES {
            let want = if old.is_some() {
                Want::Update
            } else {
                Want::Copy
            };
            let mut content = source.open(at.path, want)?;
            let name = self.staging.fresh();
            let to = self.create(at, &name)?;
            let whole = self.fill(at, &mut content, old.as_ref(), &to);
            // It may not have stood still either.
            old = None;
            if !matches!(whole, Ok(Some(_))) {
                self.forget(at, &name)?;
            }
            if let Some(vouch) = whole? {
                failpoint::hit("copy:staged");
                self.place(at, &name, target, present)?;
                let target = Look::of(&to).map_err(|e| at.refused("look at the new file", e))?;
                return Ok(Placed {
                    source: *content.look(),
                    looked: content.looked(),
                    target,
                    vouch,
                });
            }
        }
        Err(Trouble::Changed)
    }

    fn create(&mut self, at: At<'_>, name: &[u8]) -> Result<OwnedFd, Trouble> {
        // Read again, when it was made from an older version.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.staging
            .dir()
            .and_then(|dir| openat(dir, name, flags | OFlags::NOFOLLOW, Mode::empty()))
            .map_err(|e| at.refused("make a file in the staging directory", e).into())
    }

    fn forget(&mut self, at: At<'_>, name: &[u8]) -> Result<(), Trouble> {
        self.staging
            .dir()
            .and_then(|dir| unlinkat(dir, name, AtFlags::empty()))
            .map_err(|e| at.refused("remove from the staging directory", e).into())
    }

    /// Makes a new file equal to an open one. `None` if the source did not stand still.
    fn fill(
        &self,
        at: At<'_>,
        content: &mut Content,
        old: Option<&OwnedFd>,
        to: &OwnedFd,
    ) -> Result<Option<Vouch>, Trouble> {
        if !content.write_to(to, old, at, self.job)? {
            return Ok(None);
        }
        let xattrs = content.xattrs(self.job.ids)?;
        if content.look_again()?.stamp != content.look().stamp {
            return Ok(None);
        }
        let (expected, _) = expect(content.look(), self.job.owner, self.job.ids);
        settle(to.as_fd(), &expected, &xattrs.kept)
            .map_err(|e| at.refused("set owner, mode, attributes and times", e))?;
        Ok(Some(xattrs.vouch))
    }

    /// Gives what was staged its place. Something that is not of the same sort is moved aside first
    /// and removed last.
    fn place(
        &mut self,
        at: At<'_>,
        staged: &[u8],
        target: Place<'_>,
        present: Option<&Look>,
    ) -> Result<()> {
        let aside = match present {
            Some(look) if look.kind == Type::Directory => Some(self.staging.fresh()),
            _ => None,
        };
        let dir = self
            .staging
            .dir()
            .map_err(|e| at.refused("open the staging directory", e))?;
        if let Some(aside) = &aside {
            renameat(target.dir, target.name, dir, aside.as_slice())
                .map_err(|e| at.refused("move the old entry aside", e))?;
            failpoint::hit("copy:vacated");
        }
        renameat(dir, staged, target.dir, target.name)
            .map_err(|e| at.refused("rename into place", e))?;
        failpoint::hit("copy:placed");
        if aside.is_some() {
            self.staging
                .empty()
                .map_err(|e| at.refused("remove the old entry", e))?;
            failpoint::hit("copy:removed");
        }
        Ok(())
    }

    /// Makes a symbolic link anew. It is never changed by name: what the name stands for may have
    /// been swapped.
    pub(super) fn symlink(
        &mut self,
        at: At<'_>,
        text: &[u8],
        expected: &Expected,
        target: Place<'_>,
        present: Option<&Look>,
    ) -> Result<()> {
        let name = self.staging.fresh();
        let made = self.staging.dir().and_then(|dir| {
            symlinkat(text, dir, name.as_slice())?;
            chownat(
                dir,
                name.as_slice(),
                Some(rustix::fs::Uid::from_raw(expected.uid.0)),
                Some(rustix::fs::Gid::from_raw(expected.gid.0)),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
            let times = modified(expected.mtime);
            utimensat(dir, name.as_slice(), &times, AtFlags::SYMLINK_NOFOLLOW)
        });
        made.map_err(|e| at.refused("make the symbolic link", e))?;
        failpoint::hit("copy:staged");
        self.place(at, &name, target, present)
    }

    /// Makes one more name of a file that is in place already. `None` if that is no longer what it
    /// was.
    pub(super) fn link(
        &mut self,
        at: At<'_>,
        top: BorrowedFd<'_>,
        group: &Group,
        target: Place<'_>,
        present: Option<&Look>,
    ) -> Result<Option<Look>> {
        let name = self.staging.fresh();
        let refused = |e| at.refused("make a hard link", e);
        let path = self.job.below_top(&group.first);
        let (holder, first) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b"."[..], path.as_slice()),
        };
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let holder = match openat2(top, holder, flags, Mode::empty(), resolve) {
            Ok(holder) => holder,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(refused(e)),
        };
        let staging = self.staging.dir().map_err(refused)?;
        match linkat(&holder, first, staging, name.as_slice(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::MLINK) => return Ok(None),
            Err(e) => return Err(refused(e)),
        }
        let staged = Place {
            dir: staging,
            name: &name,
        };
        let look = staged.look().map_err(refused)?;
        if look.is_none_or(|look| Some(look.stamp.ino) != group.target) {
            unlinkat(staging, name.as_slice(), AtFlags::empty()).map_err(refused)?;
            return Ok(None);
        }
        failpoint::hit("copy:staged");
        self.place(at, &name, target, present)?;
        // Linking moved the ctime of the file.
        target.look().map_err(refused)
    }

    /// Makes an empty directory, closed to all others, in place of what is there.
    pub(super) fn directory(
        &mut self,
        at: At<'_>,
        target: Place<'_>,
        present: Option<&Look>,
    ) -> Result<OwnedFd> {
        let refused = |e| at.refused("make the directory", e);
        let name = self.staging.fresh();
        let dir = self.staging.dir().map_err(refused)?;
        mkdirat(dir, name.as_slice(), Mode::RWXU).map_err(refused)?;
        let made = Place { dir, name: &name }
            .open(Type::Directory)
            .map_err(refused)?;
        if present.is_some() {
            // A directory cannot be renamed over anything else.
            let aside = self.staging.fresh();
            let dir = self.staging.dir().map_err(refused)?;
            renameat(target.dir, target.name, dir, aside.as_slice())
                .map_err(|e| at.refused("move the old entry aside", e))?;
            failpoint::hit("copy:vacated");
        }
        self.place(at, &name, target, None)?;
        if present.is_some() {
            self.staging
                .empty()
                .map_err(|e| at.refused("remove the old entry", e))?;
        }
        Ok(made)
    }

    /// Changes owner, mode, attributes and times of a file that has no other name. `None` if it is
    /// no longer what was looked at.
    pub(super) fn touch(
        at: At<'_>,
        target: Place<'_>,
        present: &Look,
        expected: &Expected,
        xattrs: &Xattrs,
    ) -> Result<Option<Stamp>> {
        let refused = |e| at.refused("set owner, mode, attributes and times", e);
        let fd = match target.open(Type::File) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(refused(e)),
        };
        let look = Look::of(&fd).map_err(refused)?;
        if look.stamp != present.stamp || look.nlink != 1 {
            return Ok(None);
        }
        settle(fd.as_fd(), expected, xattrs).map_err(refused)?;
        Ok(Some(Look::of(&fd).map_err(refused)?.stamp))
    }
}

/// Whether an old version of a file is worth comparing with.
pub(super) fn is_large(look: &Look) -> bool {
    look.kind == Type::File && look.stamp.size >= LEAST
}

/// Copies the content of a file of this machine, leaving holes where it has them, as fast as it may
/// leave.
pub(super) fn copy_data(
    job: &Job<'_>,
    at: At<'_>,
    from: &OwnedFd,
    to: &OwnedFd,
    look: &Look,
    outflow: &Outflow,
) -> Result<(), Trouble> {
    // A limit is felt in small pieces.
    let span = if outflow.is_limited() {
        BLOCK as u64
    } else {
        u64::MAX
    };
    let size = look.stamp.size;
    let mut offset = 0;
    while offset < size {
        let (data, end) = if look.allocated >= size {
            (offset, size)
        } else {
            match data_at(from, offset).map_err(|e| Trouble::Read(End::Origin, e))? {
                Some((data, end)) => (data, end.min(size)),
                None => break,
            }
        };
        let end = end.min(data.saturating_add(span));
        copy_span(job, at, from, to, data, end)?;
        outflow.let_out(end.saturating_sub(data), Some(job.stop));
        offset = end;
    }
    ftruncate(to, size).map_err(|e| at.refused("set the size", e))?;
    Ok(())
}

pub(super) fn copy_span(
    job: &Job<'_>,
    at: At<'_>,
    from: &OwnedFd,
    to: &OwnedFd,
    mut offset: u64,
    end: u64,
) -> Result<(), Trouble> {
    let mut buffer = Vec::new();
    while offset < end {
        go_on(job)?;
        let (mut input, mut output) = (offset, offset);
        let span = usize::try_from((end - offset).min(SPAN)).unwrap_or(BLOCK);
        let copied = if buffer.is_empty() {
            copy_file_range(from, Some(&mut input), to, Some(&mut output), span)
        } else {
            Err(Errno::XDEV)
        };
        let copied = if let Ok(copied) = copied {
            copied
        } else {
            // Read and write, which also tells which of the two sides failed.
            buffer.resize(BLOCK, 0);
            let block = &mut buffer[..span.min(BLOCK)];
            let read = fill(from, block, offset).map_err(|e| Trouble::Read(End::Origin, e))?;
            write_all(to, &block[..read], offset).map_err(|e| at.refused("write", e))?;
            read
        };
        if copied == 0 {
            // It became shorter; the look after the copy finds that out.
            return Ok(());
        }
        offset += copied as u64;
        job.progress
            .copied
            .fetch_add(copied as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Where data starts at or after an offset, and where the next hole starts. `None` if there is no
/// more data.
pub(super) fn data_at(fd: &OwnedFd, offset: u64) -> Result<Option<(u64, u64)>, Errno> {
    match seek(fd, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some((data, seek(fd, SeekFrom::Hole(data))?))),
        Err(Errno::NXIO) => Ok(None),
        // A file system that does not know holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((offset, u64::MAX))),
        Err(e) => Err(e),
    }
}

pub(super) fn write_all(fd: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(fd, bytes, offset) {
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
