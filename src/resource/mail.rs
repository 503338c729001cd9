//! `mail/*`: the home and the spool entry of each user, one resource per user.
//!
//! What is here decides which trees belong to whom, whether anything is in their way, and what a
//! plan says about them. Walking and copying the trees is [`crate::replicate`].

mod back;
mod diff;
mod homes;
mod index_file;
mod look;
mod observe;
mod oddity;
mod problem;
mod rows;
mod selection;
mod spool_dir;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;
use crate::names::{Side, Uid, UserName};
use crate::plan::change::{Count, Delta, MailCopy, Rename, TreePaths};
use crate::raw::{HostPath, Raw};
use crate::receipt::Receipt;
use crate::replicate::Oddities;

pub use back::{Back, copies_back, diff_back, observe_back};
pub use diff::{copies, diff};
pub use index_file::index_file;
pub use look::{Listener, Look};
pub use observe::{observe, occupied};
pub use problem::Problem;
pub use rows::rows;
pub(crate) use rows::{difference, tree_name};
pub use selection::selection;
pub use spool_dir::spool_dir;

/// What is on the hosts. Empty once the target has authority, but for [`Actual::back`]: then nobody
/// looks at the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Each chosen user whose ids on the target are known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<UserName, UserMail>,
    /// The target's file systems that will be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Entries of the source's spool directory that belong to no chosen user.
    #[serde(skip_serializing_if = "Strays::is_empty")]
    pub strays: Strays,
    /// What a reverse would bring back, where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
}

/// One user's trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserMail {
    /// Uid on the side whose mail counts.
    pub uid: Uid,
    /// The trees, home first. A tree may be absent on the source.
    pub trees: Vec<TreeState>,
    /// What makes the trees impossible to copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// One tree of a user on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeState {
    /// Where it is.
    pub paths: TreePaths,
    /// Entries and bytes on the source; zero if it is absent there.
    #[serde(default)]
    pub size: Count,
    /// What differs on the target. When something is in the way, the target counts as empty.
    #[serde(default)]
    pub delta: Delta,
    /// Files on the target that did not come from this migration, and the free name they would get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_the_way: Option<Rename>,
    /// What was met on the source that cannot be carried, or not as it is.
    #[serde(default, skip_serializing_if = "Oddities::is_empty")]
    pub oddities: Oddities,
    /// Index into [`Actual::volumes`].
    #[serde(default)]
    pub volume: usize,
}

/// A file system of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// A directory on it.
    pub path: HostPath,
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Inodes that can still be made; `None` if not limited.
    #[serde(default)]
    pub free_inodes: Option<u64>,
}

/// Foreign entries of the spool directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Strays {
    /// How many.
    pub count: u64,
    /// The first few names.
    pub first: Vec<Raw>,
}

impl Strays {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl UserMail {
    /// Paths of the trees.
    pub fn paths(&self) -> Vec<TreePaths> {
        self.trees.iter().map(|tree| tree.paths.clone()).collect()
    }

    /// What differs in all trees together.
    pub fn delta(&self) -> Delta {
        let mut trees = self.trees.iter().map(|tree| &tree.delta);
        let first = trees.next().cloned().unwrap_or(Delta::default());
        trees.fold(first, |sum, delta| sum.plus(delta))
    }
}

/// What the trees will be after a copy: equal.
pub fn predict(actual: &mut Actual, copy: &MailCopy) {
    let users = match (copy.from, &mut actual.back) {
        (Side::Target, Some(back)) => &mut back.users,
        _ => &mut actual.users,
    };
    if let Some(user) = users.get_mut(&copy.user) {
        for tree in &mut user.trees {
            tree.delta = Delta::default();
        }
    }
}

/// Whether the manifest asks a live source to serve again.
pub fn reverses(manifest: &Manifest, receipt: Option<&Receipt>) -> bool {
    manifest.serve_from == Side::Source
        && manifest.source.host.is_live()
        && receipt.is_some_and(|receipt| receipt.authority == Side::Target)
}

/// What there is to see once the source's mail counts again: everybody's trees, equal on both hosts.
pub fn predict_handed_back(actual: &mut Actual) {
    let Some(back) = actual.back.take() else {
        return;
    };
    actual.users = back.users;
    for tree in actual.users.values_mut().flat_map(|user| &mut user.trees) {
        tree.delta = Delta::default();
    }
}

/// What the trees will be after a rename: nothing in the way.
pub fn predict_set_aside(actual: &mut Actual, user: &UserName) {
    if let Some(user) = actual.users.get_mut(user) {
        for tree in &mut user.trees {
            tree.in_the_way = None;
        }
    }
}
