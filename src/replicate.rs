//! The data plane: makes one user's trees on one host equal to the other's, and proves it.
//!
//! In here *target* is the tree that is compared and written and *source* the one that is told and
//! read, whichever hosts of the migration these are: a reverse writes the old host. Messages name the
//! hosts as the migration does.
//!
//! Both sides are walked at once, directory by directory, so that memory is bounded by the names of
//! the largest single directory and never by the number of files. The source's side is a stream
//! ([`origin`]), which may come over a wire; the target's is always on this machine. Each file is copied
//! into a staging directory that only root can enter, completed there, and renamed into place: no
//! file is ever seen half-written under its final name, and a run that dies anywhere can be run
//! again.
//!
//! Users own the directories that are walked here and may change them at any moment. So no path of
//! more than one component is ever resolved through them with links followed, nothing is opened but
//! what was asked for (`O_NOFOLLOW`, `O_NONBLOCK`, then `fstat`), and no metadata is ever changed by
//! name. The source is only ever opened for reading.
//!
//! What does not belong here: which trees, whose, and when (that is the plan), and paths on a host
//! (trees come as open directories).

mod aside;
mod attributes;
mod changed;
mod children;
pub mod commands;
mod compare;
mod entry;
mod extraneous;
mod index;
mod links;
mod moved;
mod origin;
pub(crate) mod outflow;
mod report;
mod scan;
mod select;
mod staging;
mod tally;
mod track;
mod transfer;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};

use jiff::Timestamp;
use rustix::fs::syncfs;
use serde::{Deserialize, Serialize};

pub use aside::NAME as ASIDE;
pub use changed::{changed_since, path_of};
pub use index::PendingIndex;
pub use origin::{Beside, ByPrograms, Here, Origin, OriginTree, Origins, Pipe, Session, Told};
pub use outflow::{Held, HeldBy, Manner, Outflow, Pace};
pub use report::{Failure, IndexUse, Oddities, Oddity, OddityCount, Report};
pub use select::Filter;
pub use staging::is_staging;
pub use track::{Tracker, Tracking};

use crate::error::{Doing, Kind, Result};
use crate::failpoint;
use crate::names::{Side, Uid};
use crate::plan::change::{Difference, Extraneous, IdMap, TreeKind};

/// A directory entry, which may be absent: an open directory and one name in it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory that holds the entry.
    pub dir: BorrowedFd<'a>,
    /// The entry's name: one component.
    pub name: &'a [u8],
}

/// What to compare or copy, and how: one tree of one user.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Which host the target is, for messages.
    pub onto: Side,
    /// Home or spool.
    pub kind: TreeKind,
    /// The top on the target. The directory that holds it must be there, the entry need not.
    pub target: Place<'a>,
    /// The user's uid on the source: files of others are treated with care.
    pub owner: Uid,
    /// How owners and groups translate.
    pub ids: &'a IdMap,
    /// What of a home takes part, on both sides.
    pub filter: &'a Filter,
    /// What a copy does with entries that the source does not have.
    pub extraneous: &'a Extraneous,
    /// Since when nothing but this program writes the target, by its own clock. What differs and
    /// changed later was changed by hand: [`Oddity::ChangedByHand`].
    pub sealed: Option<Timestamp>,
    /// The tree's index file, in a directory that only root can enter; `None` for no index.
    pub index: Option<Place<'a>>,
    /// How many differences [`Report::delta`] shows by name.
    pub sample: usize,
    /// Counts what is done, for those who watch.
    pub progress: &'a Progress,
    /// Set to end the work soon, with an error of kind [`Kind::Interrupted`].
    pub stop: &'a AtomicBool,
}

impl Job<'_> {
    /// An entry of the target, for messages.
    fn at<'p>(&self, path: &'p [u8]) -> report::At<'p> {
        report::At {
            side: self.onto,
            tree: self.kind,
            path,
        }
    }

    /// A path of the tree as it is found beneath the directory that stands for its top: a home's is the
    /// home, a mailbox's the spool.
    fn below_top(&self, path: &[u8]) -> Vec<u8> {
        let mut below = match self.kind {
            TreeKind::Home => Vec::new(),
            TreeKind::Spool => self.target.name.to_vec(),
        };
        origin::descend(&mut below, path);
        below
    }

    /// Which host one of the ends is.
    fn side(&self, end: report::End) -> Side {
        match end {
            report::End::Origin => self.onto.other(),
            report::End::Copy => self.onto,
        }
    }
}

/// What a comparison trusts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Depth {
    /// The index, where it vouches for a file; the rest is compared by content.
    Index,
    /// Nothing: every file is read on both sides.
    Content,
}

/// How far the work is. Only ever grows.
#[derive(Debug, Default)]
pub struct Progress {
    /// Source entries that were dealt with.
    pub files: AtomicU64,
    /// Bytes of content that were written to the target.
    pub copied: AtomicU64,
    /// Bytes of content that were compared.
    pub compared: AtomicU64,
}

/// The outcome of a copy.
#[derive(Debug)]
pub struct Copied {
    /// What was different and is now the same, and what could not be done.
    pub report: Report,
    /// To be committed once the trees are durable; `None` if the job has no index.
    pub index: Option<PendingIndex>,
}

/// Compares a tree and changes nothing. `on_difference` sees every single difference, with the path
/// within the tree (`.` for its top); one path may differ in more than one way.
///
/// # Errors
///
/// [`Kind::Host`] if a tree's top cannot be read or is no directory, [`Kind::Interrupted`]. What
/// cannot be read further down is in [`Report::failures`].
pub fn compare(
    job: &Job<'_>,
    source: &mut Origin,
    depth: Depth,
    on_difference: &mut dyn FnMut(&[u8], Difference),
) -> Result<Report> {
    walk::compare(job, source, depth, on_difference)
}

/// Makes the target's tree equal to the source's. Durable only after [`sync`].
///
/// # Errors
///
/// [`Kind::Blocked`] for an entry that the source does not have, under [`Extraneous::Refuse`];
/// [`Kind::Host`] if the target cannot be written; [`Kind::Interrupted`]. Whatever was done by then
/// is whole: the next run completes it. What cannot be read is in [`Report::failures`].
pub fn copy(job: &Job<'_>, source: &mut Origin) -> Result<Copied> {
    walk::copy(job, source)
}

/// Makes everything on the file system that holds `target` durable: once per batch of users.
///
/// # Errors
///
/// [`Kind::Host`] if the system could not write back.
pub fn sync(target: BorrowedFd<'_>) -> Result<()> {
    failpoint::hit("copy:before-sync");
    syncfs(target).doing(Kind::Host, || {
        "cannot make a file system durable".to_owned()
    })
}
