//! Entries that the target has and the source does not.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::Place;
use super::aside::Kept;
use super::compare::go_on;
use super::origin::DEEPEST;
use super::report::{End, Oddity, Trouble, tree_name};
use super::scan::{Look, Names, Type};
use super::walk::{Mandate, Remains, Walk};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::plan::change::{Difference, Extraneous};

impl Walk<'_, '_> {
    /// An entry that the source does not have. What is excluded within it stays, and so does what
    /// holds it.
    pub(super) fn extraneous(&mut self, target: Place<'_>, look: &Look) -> Result<Remains> {
        go_on(self.job)?;
        // An empty file in the place of a mailbox, as useradd makes it, holds no mail.
        let nothing = self.path.is_empty() && look.kind == Type::File && look.bytes() == 0;
        let refuse = *self.job.extraneous == Extraneous::Refuse && !nothing;
        if self.mandate == Mandate::Copy && refuse {
            let (tree, path) = (tree_name(self.job.kind), self.at().shown());
            let (onto, from) = (self.job.onto, self.job.onto.other());
            let what = format!("{onto} {tree} {path} is not on the {from}, and was not expected");
            return Err(Error::new(Kind::Blocked, what)
                .hint("plan again; the tree was empty or absent when the plan was made"));
        }
        let flags = if look.kind == Type::Directory {
            if self.mandate == Mandate::Copy {
                self.keep_directory()?;
            }
            match self.extraneous_inside(target)? {
                Remains::Something => return Ok(Remains::Something),
                Remains::Nothing => AtFlags::REMOVEDIR,
            }
        } else {
            AtFlags::empty()
        };
        self.differ(&[Difference::Extraneous], look, look.bytes());
        self.remove(target, look, flags)
    }

    fn remove(&mut self, target: Place<'_>, look: &Look, flags: AtFlags) -> Result<Remains> {
        if self.mandate == Mandate::Compare {
            self.by_hand(look)?;
            return Ok(Remains::Nothing);
        }
        let at = self.job.at(&self.path);
        let gone = match &mut self.aside {
            Some(aside) if look.kind != Type::Directory => match aside.removed(at, target)? {
                Kept::Moved => Ok(()),
                Kept::Ours => unlinkat(target.dir, target.name, flags),
                Kept::Mounted => Err(Errno::BUSY),
            },
            _ => unlinkat(target.dir, target.name, flags),
        };
        match gone {
            Ok(()) | Err(Errno::NOENT) => {
                failpoint::hit("copy:removed");
                Ok(Remains::Nothing)
            }
            Err(Errno::BUSY) => {
                self.oddity(Oddity::OtherFileSystem);
                Ok(Remains::Something)
            }
            Err(e) => Err(self
                .at()
                .refused("remove what the other host does not have", e)),
        }
    }

    fn extraneous_inside(&mut self, target: Place<'_>) -> Result<Remains> {
        if self.level >= DEEPEST {
            self.fail(End::Copy, "is nested too deeply", Errno::NAMETOOLONG);
            return Ok(Remains::Something);
        }
        let opened = target
            .open(Type::Directory)
            .and_then(|fd| Names::read(fd.as_fd()).map(|names| (fd, names)));
        let (directory, names) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                self.trouble(Trouble::opening(End::Copy, e))?;
                return Ok(Remains::Something);
            }
        };
        let mut remains = Remains::Nothing;
        for name in names.iter() {
            let here = self.path.len();
            self.descend(name);
            let place = Place {
                dir: directory.as_fd(),
                name,
            };
            let child = if self.job.filter.takes(self.job.kind, &self.path) {
                self.only_there(place)?
            } else {
                Remains::Something
            };
            self.ascend(here);
            if child == Remains::Something {
                remains = child;
            }
        }
        Ok(remains)
    }
}
