//! A tree of a host on which this program cannot run, as the source: told by the host's own programs.
//!
//! One find tells what the tree holds ([`listing`]); its whole list is kept here while the tree is
//! worked on, some 200 bytes for each entry. Small files come many to an archive, as they are wished
//! for; a large one has an archive of its own ([`fetch`]). After a file was read it is looked at again:
//! a member's header has the times and size that its file had when it was opened, so that a file which
//! did not stand still is seen.
//!
//! find goes down without following links, but tar gets paths, and a user may plant a link in the
//! middle of one. So what is read must have the inode that find met, or belong to the user.
//!
//! Not kept: mount points of the same file system (bind mounts) are entered as if they were part of
//! it, and holes of large files are filled on the wire, though not on the target.

mod fetch;
mod limited;
mod listing;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::session::{Body, Extents, Opened};
use super::{OriginTree, Part, Want};
use crate::error::{Error, Kind, Result};
use crate::plan::change::TreeKind;
use crate::replicate::commands::find::{self, Follow};
use crate::replicate::commands::{Programs, Tools};
use crate::replicate::report::{End, Trouble};
use crate::replicate::scan::Look;
use crate::replicate::{Filter, Outflow};
use fetch::{Ready, Wish};
use limited::Limits;
use listing::Listing;

pub(super) use fetch::Stream;

/// A tree that programs of its host tell of.
pub struct ByPrograms {
    programs: Arc<dyn Programs>,
    tools: Tools,
    tree: OriginTree,
    filter: Filter,
    holder: Option<Look>,
    listing: Option<Listing>,
    /// Files that will be asked for, in order.
    wishes: VecDeque<Wish>,
    /// Files that were read ahead, in order.
    ready: VecDeque<Ready>,
    limits: Limits,
}

impl fmt::Debug for ByPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByPrograms")
            .field("tree", &self.tree)
            .finish_non_exhaustive()
    }
}

impl ByPrograms {
    /// A tree of the host that these programs run on. `outflow` is the host's.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if the directory that holds the tree cannot be looked at.
    pub fn new(
        programs: Arc<dyn Programs>,
        tools: Tools,
        tree: &OriginTree,
        outflow: Arc<Outflow>,
    ) -> Result<Self> {
        let filter = Filter::new(&tree.select)?;
        let dir = tree.path.parent();
        let found = find::at(programs.as_ref(), dir.as_bytes(), Follow::Last)?;
        let found = found.map_err(|error| {
            let what = format!("cannot look at {dir} on {}", programs.label());
            Error::caused(Kind::Host, what, error)
        })?;
        Ok(Self {
            programs,
            tools,
            tree: tree.clone(),
            filter,
            holder: found.map(|found| found.look()),
            listing: None,
            wishes: VecDeque::new(),
            ready: VecDeque::new(),
            limits: Limits::of(outflow),
        })
    }

    /// How long archives were kept waiting for the limit.
    pub(super) fn limited(&self) -> Duration {
        self.limits.waited()
    }

    pub(super) fn holder(&self) -> Option<&Look> {
        self.holder.as_ref()
    }

    pub(super) fn part(&mut self) -> Result<Part> {
        if self.listing.is_none() {
            self.listing = Some(self.look_through()?);
        }
        Ok(self.listing.as_mut().map_or(Part::End, Listing::part))
    }

    fn look_through(&self) -> Result<Listing> {
        let Some(holder) = &self.holder else {
            return Ok(Listing::default());
        };
        let programs = self.programs.as_ref();
        let scan = find::scan(programs, self.tree.path.as_bytes())?;
        let mount = match self.tree.kind {
            // A home may be a file system of its own.
            TreeKind::Home => None,
            TreeKind::Spool => Some(holder.device),
        };
        let mut listing = Listing::new(scan, &self.tree, &self.filter, mount)?;
        if self.tools.tells_xattrs() {
            self.directories(&mut listing)?;
        }
        Ok(listing)
    }

    /// Says which file will be asked for before long.
    pub(super) fn wish(&mut self, path: Vec<u8>, want: Want) {
        self.wishes.push_back(Wish { path, want });
    }

    /// A file, and what there is to read of it still.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        want: Want,
    ) -> Result<(Opened, Option<Stream>), Trouble> {
        if let Some(at) = self.ready.iter().position(|ready| ready.is(path, want)) {
            let ready = self.ready.drain(..=at).next_back();
            return match ready {
                Some(ready) => Ok((ready.opened?, None)),
                None => Err(Trouble::Changed),
            };
        }
        let batch = self.gather(path, want)?;
        let first = if batch.is_empty() {
            None
        } else {
            let mut read = self.read_small(batch)?;
            // What turned out to be large is not among them.
            let is_it = read.front().is_some_and(|ready| ready.is(path, want));
            let first = if is_it { read.pop_front() } else { None };
            self.ready = read;
            first
        };
        match first {
            Some(ready) => Ok((ready.opened?, None)),
            None => self.large(path, want),
        }
    }

    /// A file that is not read in one go.
    fn large(&mut self, path: &[u8], want: Want) -> Result<(Opened, Option<Stream>), Trouble> {
        let (looked, look) = self.fresh(path)?;
        let mut stream = Stream::of(path, look);
        let (xattrs, body, rest) = match want {
            // Attributes come with the content.
            // Programs know nothing of windows.
            Want::Copy | Want::Update => (None, Body::Start(Extents::default()), Some(stream)),
            Want::Compare | Want::Attributes => {
                let (xattrs, digest, length) = self.digest(&mut stream)?;
                (Some(xattrs), Body::Digest { digest, length }, None)
            }
        };
        let opened = Opened {
            looked,
            look,
            xattrs: xattrs.unwrap_or_default(),
            body,
        };
        Ok((opened, rest))
    }

    /// The path of a file on the host, and its name in an archive.
    fn whole(&self, path: &[u8]) -> Vec<u8> {
        below(self.tree.path.as_bytes(), path)
    }

    fn member(&self, path: &[u8]) -> Vec<u8> {
        let top = [b"./", self.tree.path.file_name()].concat();
        below(&top, path)
    }

    /// Whether what is at a path now may be read.
    fn admit(&self, path: &[u8], now: &Look) -> Result<(), Trouble> {
        let listing = self.listing.as_ref().ok_or(Trouble::Changed)?;
        listing.admit(path, now, self.tree.owner)
    }
}

fn below(top: &[u8], path: &[u8]) -> Vec<u8> {
    let mut whole = top.to_vec();
    super::descend(&mut whole, path);
    whole
}

/// What it means that a file that we could look at could not be read.
fn unreadable(errno: rustix::io::Errno) -> Trouble {
    Trouble::opening(End::Origin, errno)
}
