//! A tree on this machine as the source.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

use super::Part;
use super::scanner::{Scanner, descend};
use crate::error::{Doing, Kind, Result};
use crate::names::Uid;
use crate::plan::change::TreeKind;
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::index::now;
use crate::replicate::report::{End, Trouble};
use crate::replicate::scan::{Look, Moment, Type, open_beneath};
use crate::replicate::{Filter, Outflow, Place, track};

/// A tree that this process can open.
#[derive(Debug)]
pub struct Here {
    kind: TreeKind,
    owner: Uid,
    /// The open directory that holds the tree's top, and a look at it.
    holder: Option<(OwnedFd, Look)>,
    /// The name of the top in it.
    name: Vec<u8>,
    /// The open top of a home.
    top: Option<OwnedFd>,
    scanner: Scanner,
    outflow: Arc<Outflow>,
}

impl Here {
    /// `holder` is the directory that holds the top, `None` if it is not there; `name` is one
    /// component; `outflow` is the host's.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if the directory cannot be looked at.
    pub fn new(
        kind: TreeKind,
        holder: Option<OwnedFd>,
        name: &[u8],
        filter: Filter,
        owner: Uid,
        outflow: Arc<Outflow>,
    ) -> Result<Self> {
        let look = holder.as_ref().map(Look::of).transpose();
        let look = look.doing(Kind::Host, || {
            "the directory that holds a tree cannot be looked at".to_owned()
        })?;
        Ok(Self {
            kind,
            owner,
            holder: holder.zip(look),
            name: name.to_vec(),
            top: None,
            scanner: Scanner::new(kind, filter),
            outflow,
        })
    }

    /// The same in a look that takes part in the tracking of this machine.
    #[must_use]
    pub fn tracked(self, look: track::Look) -> Self {
        Self {
            scanner: self.scanner.tracked(look),
            ..self
        }
    }

    /// Opens a file and looks at it.
    pub(super) fn file(&self, path: &[u8]) -> Result<OpenHere, Trouble> {
        let looked = now();
        let opened = match (self.kind, &self.top, &self.holder) {
            (TreeKind::Home, Some(top), _) => open_beneath(top.as_fd(), path, Type::File),
            (TreeKind::Spool, _, Some((holder, _))) => {
                let mut whole = self.name.clone();
                descend(&mut whole, path);
                open_beneath(holder.as_fd(), &whole, Type::File)
            }
            _ => Err(Errno::NOENT),
        };
        let fd = opened.map_err(|e| Trouble::opening(End::Origin, e))?;
        let look = Look::of(&fd).map_err(unreadable)?;
        if look.nlink > 1 && look.uid != self.owner {
            return Err(Trouble::Changed);
        }
        Ok(OpenHere {
            fd,
            looked,
            look,
            outflow: self.outflow(),
        })
    }

    pub(super) fn outflow(&self) -> Arc<Outflow> {
        Arc::clone(&self.outflow)
    }
}

fn unreadable(errno: Errno) -> Trouble {
    Trouble::Read(End::Origin, errno)
}

impl Here {
    pub(super) fn holder(&self) -> Option<&Look> {
        self.holder.as_ref().map(|(_, look)| look)
    }

    pub(super) fn part(&mut self) -> Result<Part> {
        let top = self.holder.as_ref().map(|(dir, _)| Place {
            dir: dir.as_fd(),
            name: &self.name,
        });
        let part = self.scanner.part(top);
        if self.top.is_none()
            && self.kind == TreeKind::Home
            && let Some(top) = self.scanner.top()
        {
            let held = top.try_clone();
            self.top = Some(held.doing(Kind::Host, || "cannot hold a home open".to_owned())?);
        }
        Ok(part)
    }
}

/// An open file on this machine.
#[derive(Debug)]
pub(in crate::replicate) struct OpenHere {
    pub(super) fd: OwnedFd,
    pub(super) looked: Moment,
    pub(super) look: Look,
    /// Of the host that it is on.
    pub(super) outflow: Arc<Outflow>,
}

impl OpenHere {
    pub(super) fn xattrs(&self) -> Result<OwnXattrs, Trouble> {
        OwnXattrs::of(self.fd.as_fd()).map_err(unreadable)
    }

    pub(super) fn look_again(&self) -> Result<Look, Trouble> {
        Look::of(&self.fd).map_err(unreadable)
    }
}
