//! The staging directory: where entries are made whole before they get their name, and where what
//! goes is taken apart.
//!
//! It lies at the top of the home, or in the spool directory, so that a rename reaches it; only root
//! can enter it and it is held by descriptor. What a killed run left in it is removed by the next.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::{self, Errno};
use rustix::process::geteuid;

use super::attributes::disinherit;
use super::scan::{Names, Type};
use super::{Place, aside};
use crate::plan::change::Count;

/// The name at the top of a home.
pub(super) const NAME: &[u8] = b".reconcile-staging";

/// Whether a name at the top of a home or in a spool directory is that of a staging directory, which
/// is nobody's mail.
pub fn is_staging(name: &[u8]) -> bool {
    name.strip_prefix(NAME)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

/// Whether a name at the top of a home is one that we use there.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name == NAME || name == aside::NAME
}

/// The name in a spool directory, which users share, for one of its entries.
pub(super) fn name_for(spool: &[u8]) -> Vec<u8> {
    [NAME, b".", spool].concat()
}

/// A staging directory, made when it is first needed.
#[derive(Debug)]
pub(super) struct Staging {
    holder: OwnedFd,
    name: Vec<u8>,
    open: Option<OwnedFd>,
    /// Entries that were made; each gets the next number as its name.
    made: u64,
}

impl Staging {
    /// Prepares to stage in `holder`, and removes what a killed run left there. `EEXIST` if
    /// something that is not ours has the name.
    pub(super) fn recover(holder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        let mut staging = Self {
            holder: holder.try_clone_to_owned().map_err(|_| Errno::MFILE)?,
            name: name.to_vec(),
            open: None,
            made: 0,
        };
        if staging.place().look()?.is_some() {
            staging.open()?;
            staging.close()?;
        }
        Ok(staging)
    }

    fn place(&self) -> Place<'_> {
        Place {
            dir: self.holder.as_fd(),
            name: &self.name,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let place = self.place();
        let ours = |e: Errno| match e {
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Errno::EXIST,
            e => e,
        };
        let fd = place.open(Type::Directory).map_err(ours)?;
        let look = super::scan::Look::of(&fd)?;
        if look.uid.0 != geteuid().as_raw() {
            return Err(Errno::EXIST);
        }
        // The directory that holds it may pass on a group or an ACL.
        disinherit(fd.as_fd())?;
        self.open = Some(fd);
        Ok(())
    }

    /// The open directory.
    pub(super) fn dir(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.open.is_none() {
            match mkdirat(&self.holder, self.name.as_slice(), Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
            self.open()?;
        }
        self.open.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// A name that is free in it.
    pub(super) fn fresh(&mut self) -> Vec<u8> {
        self.made += 1;
        self.made.to_string().into_bytes()
    }

    /// Removes everything in it, whatever it is, and counts entries and bytes.
    ///
    /// A directory that is not empty has its entries moved up and taken apart in turn, so that no
    /// depth is too deep. A mount point cannot be moved: that is `EBUSY`, and it stays.
    pub(super) fn empty(&mut self) -> io::Result<Count> {
        let mut removed = Count::default();
        if self.open.is_none() {
            return Ok(removed);
        }
        loop {
            let names = Names::read(self.dir()?)?;
            if names.is_empty() {
                return Ok(removed);
            }
            for name in names.iter() {
                self.remove(name, &mut removed)?;
            }
        }
    }

    fn remove(&mut self, name: &[u8], removed: &mut Count) -> io::Result<()> {
        let top = self.dir()?.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let place = Place {
            dir: top.as_fd(),
            name,
        };
        let Some(look) = place.look()? else {
            return Ok(());
        };
        if look.kind != Type::Directory {
            unlinkat(&top, name, AtFlags::empty())?;
            removed.files += 1;
            removed.bytes += look.bytes();
            return Ok(());
        }
        let directory = place.open(Type::Directory)?;
        for child in Names::read(directory.as_fd())?.iter() {
            match renameat(&directory, child, &top, self.fresh_in(&top)?) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        match unlinkat(&top, name, AtFlags::REMOVEDIR) {
            Ok(()) => removed.files += 1,
            // A process of the user still works in it: the next turn sees what it added.
            Err(Errno::NOTEMPTY) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// A free name, although a killed run may have left any number.
    fn fresh_in(&mut self, top: &OwnedFd) -> io::Result<Vec<u8>> {
        loop {
            let name = self.fresh();
            let place = Place {
                dir: top.as_fd(),
                name: &name,
            };
            if place.look()?.is_none() {
                return Ok(name);
            }
        }
    }

    /// Removes the directory and what is in it.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        self.empty()?;
        self.open = None;
        match unlinkat(&self.holder, self.name.as_slice(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
