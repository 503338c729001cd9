//! Which names of a tree are links to the same file, on both sides.
//!
//! Only files with more than one name are remembered, by inode; one tree is one file system.

use std::collections::BTreeMap;

use super::scan::Look;

/// The names of one file of the source that were met so far.
#[derive(Debug)]
pub(super) struct Group {
    /// The first name met, within the tree.
    pub(super) first: Vec<u8>,
    /// The inode on the target that stands for this file, once there is one.
    pub(super) target: Option<u64>,
    /// How many of its names were met.
    seen: u32,
    /// How many names it has.
    nlink: u32,
}

/// Hard links of one tree.
#[derive(Debug, Default)]
pub(super) struct Links {
    groups: BTreeMap<u64, Group>,
    /// Inodes of the target by the inode of the source that they stand for.
    stands_for: BTreeMap<u64, u64>,
}

/// How the links of a name on both sides go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Linkage {
    /// As on the source, or not there on the target.
    Same,
    /// Linked on one side and not on the other, or to something else.
    Different,
}

impl Links {
    /// Meets the next name of the walk, with what stands under it on the target.
    pub(super) fn meet(&mut self, path: &[u8], source: &Look, target: Option<&Look>) -> Linkage {
        if source.nlink < 2 {
            return match target {
                Some(target) if target.nlink > 1 => Linkage::Different,
                _ => Linkage::Same,
            };
        }
        let group = self
            .groups
            .entry(source.stamp.ino)
            .or_insert_with(|| Group {
                first: path.to_vec(),
                target: None,
                seen: 0,
                nlink: source.nlink,
            });
        group.seen += 1;
        let Some(target) = target else {
            return Linkage::Same;
        };
        let ino = target.stamp.ino;
        match group.target {
            Some(known) if known == ino => Linkage::Same,
            Some(_) => Linkage::Different,
            None => {
                let other = self
                    .stands_for
                    .get(&ino)
                    .is_some_and(|&s| s != source.stamp.ino);
                if other || target.nlink > source.nlink {
                    return Linkage::Different;
                }
                group.target = Some(ino);
                // Later names are linked to the name that is there.
                group.first = path.to_vec();
                self.stands_for.insert(ino, source.stamp.ino);
                Linkage::Same
            }
        }
    }

    /// The earlier names of the same file, if there are any on the target.
    pub(super) fn earlier(&self, path: &[u8], source: &Look) -> Option<&Group> {
        self.groups
            .get(&source.stamp.ino)
            .filter(|group| source.nlink > 1 && group.first != path && group.target.is_some())
    }

    /// Whether this is not the first name of a file: its bytes were counted already.
    pub(super) fn counted(&self, source: &Look) -> bool {
        source.nlink > 1
            && self
                .groups
                .get(&source.stamp.ino)
                .is_some_and(|g| g.seen > 1)
    }

    /// Remembers the file that was put under a name on the target.
    pub(super) fn placed(&mut self, path: &[u8], source: u64, target: u64) {
        if let Some(group) = self.groups.get_mut(&source) {
            group.first = path.to_vec();
            group.target = Some(target);
            self.stands_for.insert(target, source);
        }
    }

    /// The files that have names which the walk did not meet, by the first that it met.
    pub(super) fn outside(&self) -> impl Iterator<Item = &[u8]> {
        self.groups
            .values()
            .filter(|group| group.seen < group.nlink)
            .map(|group| group.first.as_slice())
    }
}
