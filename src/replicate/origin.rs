//! The source's end of a replication: what a tree holds, told as a stream, and the content of its
//! files.
//!
//! [`Origin`] is what the walk works with: the tree itself where that is on this machine ([`Here`]),
//! or the client of a [`Session`] at the far end of a wire ([`There`]); both tell the same things in
//! the same order. [`Origins`] are several, one after the other. A tree of a host on which this program cannot run is told by that host's own
//! programs ([`ByPrograms`]), and there is a session on this machine ([`Beside`]). Nothing here changes
//! the source.
//!
//! The order is the same on every run: of each directory first what is no directory, by the bytes of
//! the names, then the directories likewise, each with all that is in it. So memory is bounded by
//! the names of the largest single directory.

mod ahead;
mod beside;
mod delta;
mod here;
mod pieces;
mod programs;
mod room;
mod scanner;
mod session;
mod there;

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use beside::Beside;
pub(super) use delta::LEAST;
pub use here::Here;
pub use programs::ByPrograms;
pub(super) use scanner::{DEEPEST, descend};
pub use session::{Session, Told};
pub use there::Pipe;
pub(super) use there::There;

use here::OpenHere;
use there::OpenThere;

use super::Job;
use super::attributes::{OwnXattrs, ReadXattrs};
use super::compare::same_content;
use super::report::{At, End, Trouble};
use super::scan::{Look, Moment};
use super::track::Tracking;
use super::transfer::copy_data;
use crate::error::Result;
use crate::names::Uid;
use crate::plan::change::{IdMap, Selection, TreeKind};
use crate::raw::HostPath;

/// Which tree, and what of it: all that a source has to be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OriginTree {
    /// Home or spool.
    pub kind: TreeKind,
    /// The top.
    pub path: HostPath,
    /// What of a home takes part.
    pub select: Selection,
    /// The user's uid on the source: of a file of somebody else that is linked here nothing is read.
    pub owner: Uid,
    /// How the look takes part in the tracking of its host; `None` for a look at everything.
    pub tracking: Option<Tracking>,
}

/// One piece of the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    /// The directory that was told of last was opened. Its files follow, its directories, `Leave`.
    Enter(Head),
    /// Or it could not be: nothing of it follows.
    Refused(Refused),
    /// Some of the entries of the directory at hand that are no directories.
    Files {
        /// The moment before the first of them was looked at, by the source's clock.
        looked: Moment,
        /// In order.
        items: Vec<Item>,
    },
    /// A directory in the directory at hand; if it takes part, `Enter`, `Refused` or `Same` follows.
    Directory(Item),
    /// The directory at hand has nothing more.
    Leave,
    /// The tree has nothing more.
    End,
    /// Nothing has changed in the directory that was told of last since both sides were equal: nothing of
    /// it follows.
    Same,
}

/// A directory that was opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) look: Look,
    pub(super) xattrs: OwnXattrs,
}

/// Why a directory could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Refused {
    /// The system would not open it.
    Opening(Code),
    /// It could not be read.
    Reading(Code),
    /// It is nested too deeply.
    TooDeep,
}

/// One entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// One component; empty for the tree's top.
    pub(super) name: Vec<u8>,
    pub(super) seen: Seen,
}

/// What was seen of an entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Seen {
    /// It, and where it points if it is a symbolic link.
    Entry { look: Look, text: Vec<u8> },
    /// It was another kind of thing a moment ago.
    Changed,
    /// The system would not let us look.
    Unreadable(Code),
    /// It has the name of our staging directory.
    Reserved,
}

/// An errno, for the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Code(i32);

impl From<Errno> for Code {
    fn from(errno: Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<Code> for Errno {
    fn from(code: Code) -> Self {
        // Errnos are 1 to 4095; the far end may be anything.
        match code.0 {
            1..=4095 => Self::from_raw_os_error(code.0),
            _ => Self::IO,
        }
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Want {
    /// To be compared.
    Compare,
    /// To be copied.
    Copy,
    /// To be copied where the target has an older version of it.
    Update,
    /// For its attributes only.
    Attributes,
}

/// The source's end of several trees, gone through in their order.
pub enum Origins<'a> {
    /// On this machine: each is opened when its turn comes.
    Here {
        /// Opens the tree of a number.
        open: Box<dyn FnMut(usize) -> Result<Here> + 'a>,
        /// The one at hand.
        at_hand: Option<Origin>,
    },
    /// At the far end of a wire.
    There(Origin),
}

impl fmt::Debug for Origins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").finish_non_exhaustive()
    }
}

impl<'a> Origins<'a> {
    /// Trees of this machine, opened one by one.
    pub fn here(open: impl FnMut(usize) -> Result<Here> + 'a) -> Self {
        Self::Here {
            open: Box::new(open),
            at_hand: None,
        }
    }

    /// Trees behind a pipe.
    pub fn there(pipe: Box<dyn Pipe>) -> Self {
        Self::There(Origin::There(There::new(pipe)))
    }

    /// Goes on to the tree of this number, 0 for the first; never back to an earlier one.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`](crate::error::Kind::Host) if there is nothing to be told of it.
    pub fn tree(&mut self, number: usize) -> Result<&mut Origin> {
        match self {
            Self::Here { open, at_hand } => Ok(at_hand.insert(Origin::Here(open(number)?))),
            Self::There(origin) => {
                if let Origin::There(there) = origin {
                    there.begin(number)?;
                }
                Ok(origin)
            }
        }
    }
}

/// The source's end of one tree.
#[derive(Debug)]
pub enum Origin {
    /// On this machine.
    Here(Here),
    /// At the far end of a wire.
    There(There),
}

impl Origin {
    /// The directory that the tree's place is in, for the index; `None` if even that is absent.
    pub(super) fn holder(&self) -> Option<&Look> {
        match self {
            Self::Here(here) => here.holder(),
            Self::There(there) => there.holder(),
        }
    }

    /// The next piece.
    pub(super) fn part(&mut self) -> Result<Part> {
        match self {
            Self::Here(here) => here.part(),
            Self::There(there) => there.part(),
        }
    }

    /// Says which file of about `size` bytes will be opened before long, so that it can be under way.
    /// Wishes come true in their order; one that is passed over is forgotten.
    pub(super) fn wish(&mut self, path: &[u8], want: Want, size: u64) {
        match self {
            // What is here is at hand.
            Self::Here(_) => {}
            Self::There(there) => there.wish(path, want, size),
        }
    }

    /// Says that everything in the directory that was just entered will be opened to be copied, all that can
    /// be wished for; nothing in there needs to be wished for any more.
    pub(super) fn wish_all(&mut self, directory: &[u8]) {
        match self {
            Self::Here(_) => {}
            Self::There(there) => there.wish_all(directory),
        }
    }

    /// Opens a file; `path` is relative to the top, empty for the top itself.
    pub(super) fn open(&mut self, path: &[u8], want: Want) -> Result<Content, Trouble> {
        match self {
            Self::Here(here) => here.file(path).map(Content::Here),
            Self::There(there) => there.file(path, want).map(Content::There),
        }
    }
}

/// An open file of the source.
pub(super) enum Content {
    Here(OpenHere),
    There(OpenThere),
}

impl Content {
    /// The moment before it was opened, by the source's clock.
    pub(super) fn looked(&self) -> Moment {
        match self {
            Self::Here(file) => file.looked,
            Self::There(file) => file.looked(),
        }
    }

    /// The look at it when it was opened.
    pub(super) fn look(&self) -> &Look {
        match self {
            Self::Here(file) => &file.look,
            Self::There(file) => file.look(),
        }
    }

    /// Its extended attributes, in the target's terms.
    pub(super) fn xattrs(&self, ids: &IdMap) -> Result<ReadXattrs, Trouble> {
        let own = match self {
            Self::Here(file) => file.xattrs()?,
            Self::There(file) => file.xattrs(),
        };
        own.translated(Some(ids))
            .map_err(|errno| Trouble::Read(End::Origin, errno))
    }

    /// Whether a file of the target has the same bytes.
    pub(super) fn same_as(&self, target: &OwnedFd, job: &Job<'_>) -> Result<bool, Trouble> {
        match self {
            Self::Here(file) => same_content(job, &file.fd, target),
            Self::There(file) => file.same_as(target, job),
        }
    }

    /// Writes its bytes to a new file of the target, holes left out; `old` is the version that the
    /// target has. Whether the new file holds what the source does: an old version that did not stand
    /// still is of no use.
    pub(super) fn write_to(
        &mut self,
        target: &OwnedFd,
        old: Option<&OwnedFd>,
        at: At<'_>,
        job: &Job<'_>,
    ) -> Result<bool, Trouble> {
        match self {
            Self::Here(file) => {
                copy_data(job, at, &file.fd, target, &file.look, &file.outflow).map(|()| true)
            }
            Self::There(file) => file.write_to(target, old, at, job),
        }
    }

    /// The look at it after it was read.
    pub(super) fn look_again(&self) -> Result<Look, Trouble> {
        match self {
            Self::Here(file) => file.look_again(),
            Self::There(file) => Ok(file.look_again()),
        }
    }
}
