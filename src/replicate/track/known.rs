//! What is known of directories, files and looks: which directory need not be looked at again.
//!
//! Looks are numbered. Of each directory the last look that entered it is kept, and the last that met it at
//! all. One stands where it stood if the look that last entered the directory above met it there, under the
//! same name; only then may it be passed over. What is met on the way into one that does not stand, or that
//! no look has entered yet, is looked at down to its leaves.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Tracking;
use super::file_systems::Spot;
use crate::raw::HostPath;
use crate::replicate::origin::DEEPEST;
use crate::replicate::scan::Moment;

/// More directories are not remembered, some 80 bytes each.
const MOST_DIRECTORIES: usize = 200_000;

/// Nor more groups of files, some 35 bytes each, of at most 64 files whose inodes are neighbours.
const MOST_GROUPS: usize = 200_000;

/// Files of one tree whose links changed; with more of them the tree is looked at as a whole for good.
const MOST_LINKED: usize = 1024;

const TOO_MUCH: &str = "there are too many directories or files to remember";

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    directories: HashMap<Spot, Directory>,
    trees: Vec<Tree>,
    by_path: BTreeMap<HostPath, u32>,
    looks: u32,
    groups: usize,
    lost: Option<&'static str>,
}

#[derive(Debug)]
struct Directory {
    /// `None` if more than one tree has it.
    tree: Option<u32>,
    /// The inode of the directory above; 0 for the top of a tree.
    above: u64,
    /// A hash of its name.
    name: u64,
    ctime: Moment,
    /// The last look that entered it.
    entered: u32,
    /// The last look that entered it or passed over it.
    met: u32,
    /// Something in it, or itself, has changed since it was entered.
    changed: bool,
    /// Or in a directory below.
    below: bool,
}

#[derive(Debug, Default)]
struct Tree {
    /// The numbers of looks by those that the other end gave them.
    looks: BTreeMap<u32, u32>,
    /// Files that were seen: a bit for each of 64 neighbours.
    files: HashMap<Spot, u64>,
    /// Those whose number of names changed, or that were changed by no name, and that are still there.
    linked: HashSet<Spot>,
    /// It is to be looked at as a whole, for good.
    whole: bool,
}

/// A look at a tree.
#[derive(Debug)]
pub(super) struct Phase {
    tree: u32,
    number: u32,
    /// Looks that found both sides equal; none if nothing may be passed over.
    settled: BTreeSet<u32>,
}

/// Where a look is.
#[derive(Clone, Copy, Debug)]
pub(in crate::replicate) struct Standing {
    ino: u64,
    /// The look that entered this directory before; 0 if what is in it is not where it was.
    before: u32,
}

impl Standing {
    /// In a directory of which nothing is known.
    pub(super) const UNKNOWN: Self = Self { ino: 0, before: 0 };
}

/// What to do about a directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::replicate) enum Met {
    /// Nothing in it has changed.
    Same,
    /// To be entered.
    Enter(Standing),
}

impl Known {
    pub(super) fn lost(&self) -> Option<&'static str> {
        self.lost
    }

    /// Forgets everything.
    pub(super) fn lose(&mut self, why: &'static str) {
        *self = Self {
            lost: self.lost.or(Some(why)),
            ..Self::default()
        };
    }

    /// Begins a look at a tree.
    pub(super) fn begin(&mut self, path: &HostPath, tracking: &Tracking) -> Phase {
        self.looks += 1;
        let number = self.looks;
        if self.lost.is_some() {
            return Phase {
                tree: u32::MAX,
                number,
                settled: BTreeSet::new(),
            };
        }
        let next = u32::try_from(self.trees.len()).unwrap_or(u32::MAX);
        let tree = *self.by_path.entry(path.clone()).or_insert(next);
        if tree == next {
            self.trees.push(Tree::default());
        }
        let known = &mut self.trees[tree as usize];
        let settled = if known.whole || !known.linked.is_empty() {
            BTreeSet::new()
        } else {
            let number = |look| known.looks.get(look).copied();
            tracking.settled.iter().filter_map(number).collect()
        };
        known.looks.insert(tracking.look, number);
        Phase {
            tree,
            number,
            settled,
        }
    }

    /// A look meets a directory: it is passed over, or registered before it is read.
    pub(super) fn meet(
        &mut self,
        look: &Phase,
        above: Option<&Standing>,
        spot: Spot,
        name: &[u8],
        ctime: Moment,
    ) -> Met {
        if self.lost.is_some() {
            return Met::Enter(Standing::UNKNOWN);
        }
        let name = hash(name);
        let ino = above.map_or(0, |above| above.ino);
        let known = self.directories.get_mut(&spot);
        let stands = known.as_ref().is_some_and(|known| {
            let place = (known.tree, known.above, known.name);
            place == (Some(look.tree), ino, name)
                // A top is met by every look.
                && above.is_none_or(|above| known.met == above.before)
        });
        let mut tree = Some(look.tree);
        let mut before = 0;
        if let Some(known) = known {
            let quiet = !known.changed && !known.below && known.ctime == ctime;
            if stands && quiet && above.is_some() && look.settled.contains(&known.entered) {
                known.met = look.number;
                return Met::Same;
            }
            if known.tree != tree {
                // One tree is in the other, or it was moved: what changes there marks only one way up.
                let both = [known.tree, tree];
                for tree in both.into_iter().flatten() {
                    self.trees[tree as usize].whole = true;
                }
                tree = None;
            } else if stands {
                before = known.entered;
            }
        }
        let entry = Directory {
            tree,
            above: ino,
            name,
            ctime,
            entered: look.number,
            met: look.number,
            changed: false,
            below: false,
        };
        self.directories.insert(spot, entry);
        if self.directories.len() > MOST_DIRECTORIES {
            self.lose(TOO_MUCH);
        }
        Met::Enter(Standing {
            ino: spot.ino,
            before,
        })
    }

    /// A look has seen something that is no directory.
    pub(super) fn file(&mut self, look: &Phase, spot: Spot, names: u32) {
        let Some(tree) = self.tree(look) else {
            return;
        };
        tree.whole |= names > 1;
        let (group, bit) = group(spot);
        let before = tree.files.len();
        *tree.files.entry(group).or_default() |= bit;
        self.groups += tree.files.len() - before;
        if self.groups > MOST_GROUPS {
            self.lose(TOO_MUCH);
        }
    }

    /// The tree of a look is never passed over any more.
    pub(super) fn whole(&mut self, look: &Phase) {
        if let Some(tree) = self.tree(look) {
            tree.whole = true;
        }
    }

    /// The tree of a look; `None` if everything is forgotten.
    fn tree(&mut self, look: &Phase) -> Option<&mut Tree> {
        self.trees.get_mut(look.tree as usize)
    }

    /// Something in a directory has changed, or the directory itself.
    pub(super) fn changed(&mut self, spot: Spot) {
        let Some(directory) = self.directories.get_mut(&spot) else {
            // Nobody has looked at it: it is none of ours, or in one that has changed itself.
            return;
        };
        directory.changed = true;
        let mut at = Spot {
            ino: directory.above,
            ..spot
        };
        for _ in 0..=DEEPEST {
            let Some(above) = self.directories.get_mut(&at) else {
                return;
            };
            above.below = true;
            at.ino = above.above;
        }
        // What is above each other in a circle was moved about.
        self.lose("directories were moved about");
    }

    /// A file has changed, and which directories it is in was not told.
    pub(super) fn touched_elsewhere(&mut self, spot: Spot) {
        let (group, bit) = group(spot);
        for tree in &mut self.trees {
            if tree.files.get(&group).is_some_and(|bits| bits & bit != 0) {
                tree.linked.insert(spot);
                if tree.linked.len() > MOST_LINKED {
                    tree.whole = true;
                    tree.linked = HashSet::new();
                }
            }
        }
    }

    /// An inode is no more: its last name was removed.
    pub(super) fn gone(&mut self, spot: Spot) {
        for tree in &mut self.trees {
            tree.linked.remove(&spot);
        }
    }
}

/// The group of a file, and its bit there.
fn group(spot: Spot) -> (Spot, u64) {
    let group = Spot {
        ino: spot.ino / 64,
        ..spot
    };
    (group, 1 << (spot.ino % 64))
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
