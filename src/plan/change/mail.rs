//! Changes of users' trees, and what differs between two of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Side, Uid, UserName};
use crate::raw::{HostPath, Raw};

/// What kind of tree a path is the top of.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A home directory.
    Home,
    /// The user's one file (or Maildir) in the spool directory.
    Spool,
}

/// A tree on both sides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreePaths {
    /// Home or spool.
    pub kind: TreeKind,
    /// Its top on the source, links in the middle resolved by the host.
    pub source: HostPath,
    /// Its top on the target.
    pub target: HostPath,
}

impl TreePaths {
    /// Its top on one side.
    pub fn on(&self, side: Side) -> &HostPath {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// One rename on the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// What is there.
    pub from: HostPath,
    /// A name that is free.
    pub to: HostPath,
}

/// What happens to files of the written tree that the other host does not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extraneous {
    /// They are an error: the tree was empty or absent when the plan was made.
    Refuse,
    /// They are removed: the tree is managed, and the other host has authority.
    Remove,
    /// A reverse: they are kept, and so is all that is replaced, in the aside of this name, which is
    /// one component; see [`crate::replicate`].
    SetAside(String),
}

/// Which parts of a home are copied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Only these names at the top of a home (`homes: mail-only`); `None` for all.
    pub only: Option<Vec<Raw>>,
    /// Globs, relative to the home, that stay behind on both sides.
    pub exclude: Vec<String>,
}

/// One tree of a copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedTree {
    /// Where it is.
    pub paths: TreePaths,
    /// What happens to files on the target that the source does not have.
    pub extraneous: Extraneous,
}

/// Copying or proving one user's trees.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailCopy {
    /// Whose.
    pub user: UserName,
    /// The side whose files count; the other one is written.
    #[serde(default = "source", skip_serializing_if = "is_source")]
    pub from: Side,
    /// The user's uid on that side: files of others are treated with care.
    pub uid: Uid,
    /// The trees, home first.
    pub trees: Vec<CopiedTree>,
    /// What of the home.
    pub select: Selection,
    /// What the plan saw; counts, bytes and a sample.
    pub delta: Delta,
}

fn source() -> Side {
    Side::Source
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_source(side: &Side) -> bool {
    *side == Side::Source
}

/// What differs between a user's trees on both sides, without a list of all files.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    /// Files, directories and links that the target lacks, and their bytes.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub create: Count,
    /// Files whose content differs, and their bytes on the source.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub update: Count,
    /// Files whose metadata alone differs.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub touch: Count,
    /// Files that the source does not have, and their bytes.
    #[serde(skip_serializing_if = "Count::is_zero")]
    pub remove: Count,
    /// The largest file to be written, in bytes: a temporary copy needs that much room.
    pub largest: u64,
    /// The first few paths, in the order of the trees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Sample>,
    /// Digest over every difference and the source's metadata there: two plans with the same
    /// counts that would copy different things differ here.
    pub fingerprint: String,
}

impl Delta {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        [self.create, self.update, self.touch, self.remove]
            .iter()
            .all(|c| c.files == 0)
    }

    /// This and another tree's differences together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let add = |a: Count, b: Count| Count {
            files: a.files + b.files,
            bytes: a.bytes + b.bytes,
        };
        let mut sample = self.sample.clone();
        sample.extend(other.sample.iter().cloned());
        Self {
            create: add(self.create, other.create),
            update: add(self.update, other.update),
            touch: add(self.touch, other.touch),
            remove: add(self.remove, other.remove),
            largest: self.largest.max(other.largest),
            sample,
            fingerprint: format!("{}{}", self.fingerprint, other.fingerprint),
        }
    }

    /// Bytes that a copy transfers.
    pub fn bytes(&self) -> u64 {
        self.create.bytes + self.update.bytes
    }
}

/// A number of directory entries and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Entries.
    pub files: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

impl Count {
    /// Whether it counts nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// One difference, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The tree.
    pub tree: TreeKind,
    /// Path within the tree.
    pub path: Raw,
    /// What differs.
    pub differs: Difference,
}

/// What differs about one path.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Not on the target.
    Missing,
    /// Not on the source.
    Extraneous,
    /// A file on one side, something else on the other.
    Kind,
    /// Content, by size or byte for byte; or where a link points.
    Content,
    /// Owner or group.
    Owner,
    /// Permission bits.
    Mode,
    /// Modification time.
    Mtime,
    /// Extended attributes or ACL.
    Xattrs,
    /// Which names are links to the same file.
    HardLinks,
}
