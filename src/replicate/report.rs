//! What was found: differences, oddities, failures. Plain data, bounded in size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};
use crate::names::{Gid, Side, Uid};
use crate::plan::change::{Count, Delta, TreeKind};
use crate::raw::Raw;

/// How many paths of each oddity, and how many failures, are named; the rest is counted.
pub(super) const NAMED: usize = 8;

/// The outcome of a comparison or a copy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What differs, or differed before the copy.
    pub delta: Delta,
    /// What was met that cannot or must not be copied as it is.
    pub oddities: Oddities,
    /// What should have been read and could not be: the first few.
    pub failures: Vec<Failure>,
    /// How many failures there were in all.
    pub failed: u64,
    /// Entries on the source that take part, and their bytes.
    pub source: Count,
    /// Whether the index of the last copy was of use.
    pub index: IndexUse,
}

impl Report {
    /// Whether everything that takes part was read and dealt with. If not, a comparison that found
    /// no difference proves nothing, and a copy must be run again.
    pub fn complete(&self) -> bool {
        self.failed == 0 && self.oddities.count(Oddity::ChangedWhileRead) == 0
    }
}

/// Something that was to be read and could not be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// On which host.
    pub side: Side,
    /// In which tree.
    pub tree: TreeKind,
    /// Path within the tree, `.` for its top.
    pub path: Raw,
    /// What was tried, and the system's answer.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = tree_name(self.tree);
        write!(f, "{} {tree} {}: {}", self.side, self.path, self.what)
    }
}

/// A tree's kind as a word.
pub(super) fn tree_name(kind: TreeKind) -> &'static str {
    match kind {
        TreeKind::Home => "home",
        TreeKind::Spool => "spool",
    }
}

/// An entry within a tree, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// On which host.
    pub(super) side: Side,
    pub(super) tree: TreeKind,
    /// Relative to the top; empty for the top.
    pub(super) path: &'a [u8],
}

impl At<'_> {
    /// The path as it is shown.
    pub(super) fn shown(self) -> Raw {
        if self.path.is_empty() {
            b"."[..].into()
        } else {
            self.path.into()
        }
    }

    /// The host would not let us: nothing more can be done there.
    pub(super) fn refused(self, what: &str, errno: Errno) -> Error {
        let (side, tree, path) = (self.side, tree_name(self.tree), self.shown());
        let error = Error::caused(
            Kind::Host,
            format!("{side} {tree} {path}: cannot {what}"),
            errno,
        );
        match errno {
            Errno::NOSPC | Errno::DQUOT => error.hint(format!(
                "make room on the {side} or raise the quota, then run this again"
            )),
            Errno::EXIST => error.hint(
                "something that is not ours has the name of the staging directory, \
                 .reconcile-staging: move it away",
            ),
            _ => error,
        }
    }
}

/// One of the two ends of a replication. Which hosts they are is in the job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Where the tree is told and read.
    Origin,
    /// Where it is compared and written.
    Copy,
}

/// Why an entry could not be dealt with.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It could not be read.
    Read(End, Errno),
    /// It was swapped, or never stood still.
    Changed,
    /// It is a mount point.
    OtherFileSystem,
    /// Nothing more can be done at all.
    Fatal(Error),
}

impl Trouble {
    /// What it means that an entry, of which we know what it was, could not be opened.
    pub(super) fn opening(end: End, errno: Errno) -> Self {
        match (end, errno) {
            (_, Errno::XDEV) => Self::OtherFileSystem,
            (End::Origin, Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Self::Changed,
            _ => Self::Read(end, errno),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// The index of the last copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IndexUse {
    /// There is none, or none was asked for.
    #[default]
    Absent,
    /// It was read.
    Read,
    /// It is damaged, or of another version, and was read no further. This costs time only.
    Damaged,
}

/// Something about an entry that a person should know.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// A named pipe; stays behind.
    Fifo,
    /// A socket; stays behind.
    Socket,
    /// A device node; stays behind.
    Device,
    /// A mount point below the top; neither side is entered.
    OtherFileSystem,
    /// A link to a file of another user, planted or not; nothing of it is read.
    ForeignHardLink,
    /// A file that has more names than this tree shows; copied as a file of its own.
    LinkedOutside,
    /// setuid or setgid on a file that is not the user's own, or whose owner is not known on the
    /// target; the bits are dropped.
    SetIdDropped,
    /// A file capability; dropped.
    CapabilityDropped,
    /// An owner or group with a number that has no name on one of the sides.
    UnknownOwner,
    /// Changed again and again while it was being read; the target keeps what it had, and the copy
    /// is incomplete.
    ChangedWhileRead,
    /// An entry on the source with a name that we use ourselves; stays behind.
    ReservedName,
    /// The source has no such home; the target's is left alone.
    SourceAbsent,
    /// Differs, and was changed on the written host while nothing but this program should have.
    ChangedByHand,
}

/// Oddities by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Oddities {
    /// Count and first paths of each kind that was met.
    pub seen: BTreeMap<Oddity, OddityCount>,
    /// Uids of [`Oddity::UnknownOwner`], as they are on the source.
    pub unknown_uids: BTreeSet<Uid>,
    /// Gids of [`Oddity::UnknownOwner`], as they are on the source.
    pub unknown_gids: BTreeSet<Gid>,
}

/// How often an oddity was met, and where first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OddityCount {
    /// How often.
    pub count: u64,
    /// The first few paths within their trees.
    pub first: Vec<Raw>,
}

impl Oddities {
    /// How often an oddity was met.
    pub fn count(&self, oddity: Oddity) -> u64 {
        self.seen.get(&oddity).map_or(0, |seen| seen.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Notes one more.
    pub(super) fn add(&mut self, oddity: Oddity, path: &[u8]) {
        let seen = self.seen.entry(oddity).or_default();
        seen.count += 1;
        if seen.first.len() < NAMED {
            seen.first.push(path.into());
        }
    }
}
