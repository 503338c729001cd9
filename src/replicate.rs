//! The data plane: makes one user's trees on the target equal to the source's, and proves it.
//!
//! Both sides are walked at once, directory by directory in byte order of the names, so that memory
//! is bounded by the largest single directory and never by the number of files. Each file is copied
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

mod attributes;
mod compare;
mod entry;
mod extraneous;
mod index;
mod links;
mod report;
mod scan;
mod select;
mod staging;
mod tally;
mod transfer;
mod walk;

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};

use rustix::fs::syncfs;

pub use index::PendingIndex;
pub use report::{Failure, IndexUse, Oddities, Oddity, OddityCount, Report};
pub use select::Filter;
pub use staging::is_staging;

use crate::error::{Doing, Kind, Result};
use crate::failpoint;
use crate::names::Uid;
use crate::plan::change::{Difference, Extraneous, IdMap, TreeKind};

/// A directory entry, which may be absent: an open directory and one name in it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory that holds the entry.
    pub dir: BorrowedFd<'a>,
    /// The entry's name: one component.
    pub name: &'a [u8],
}

/// A tree on both sides: a home, or what a user has in the spool directory.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Home or spool. A job has at most one tree of each kind, the home first.
    pub kind: TreeKind,
    /// The top on the source; `None` if even the directory that would hold it is not there.
    pub source: Option<Place<'a>>,
    /// The top on the target. The directory that holds it must be there, the entry need not.
    pub target: Place<'a>,
}

/// What to compare or copy, and how.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The trees of one user, home first.
    pub trees: &'a [Tree<'a>],
    /// The user's uid on the source: files of others are treated with care.
    pub owner: Uid,
    /// How owners and groups translate.
    pub ids: &'a IdMap,
    /// What of the home takes part, on both sides.
    pub filter: &'a Filter,
    /// What a copy does with entries that the source does not have.
    pub extraneous: Extraneous,
    /// The user's index file, in a directory that only root can enter; `None` for no index.
    pub index: Option<Place<'a>>,
    /// How many differences [`Report::delta`] shows by name.
    pub sample: usize,
    /// Counts what is done, for those who watch.
    pub progress: &'a Progress,
    /// Set to end the work soon, with an error of kind [`Kind::Interrupted`].
    pub stop: &'a AtomicBool,
}

/// What a comparison trusts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// Compares a user's trees and changes nothing. `on_difference` sees every single difference, with
/// the path within the tree (`.` for its top); one path may differ in more than one way.
///
/// # Errors
///
/// [`Kind::Host`] if a tree's top cannot be read or is no directory, [`Kind::Interrupted`]. What
/// cannot be read further down is in [`Report::failures`].
pub fn compare(
    job: &Job<'_>,
    depth: Depth,
    on_difference: &mut dyn FnMut(TreeKind, &[u8], Difference),
) -> Result<Report> {
    walk::compare(job, depth, on_difference)
}

/// Makes the target's trees equal to the source's. Durable only after [`sync`].
///
/// # Errors
///
/// [`Kind::Blocked`] for an entry that the source does not have, under [`Extraneous::Refuse`];
/// [`Kind::Host`] if the target cannot be written; [`Kind::Interrupted`]. Whatever was done by then
/// is whole: the next run completes it. What cannot be read is in [`Report::failures`].
pub fn copy(job: &Job<'_>) -> Result<Copied> {
    walk::copy(job)
}

/// Makes everything on the file system that holds `target` durable: once per batch of users.
///
/// # Errors
///
/// [`Kind::Host`] if the system could not write back.
pub fn sync(target: BorrowedFd<'_>) -> Result<()> {
    failpoint::hit("copy:before-sync");
    syncfs(target).doing(Kind::Host, || {
        "cannot make the target's file system durable".to_owned()
    })
}
