//! Numbers on the target that nobody has.

use std::collections::BTreeSet;

use super::actual::Ranges;
use crate::names::{Gid, Uid};

/// Gives out the smallest free uids and gids of people, each once.
#[derive(Debug)]
pub(super) struct FreeIds {
    ranges: Ranges,
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
    /// No uid below is free, and none below has a free gid of the same number beside it.
    next_uid: u32,
    next_pair: u32,
    next_gid: u32,
}

impl FreeIds {
    pub(super) fn new(ranges: Ranges) -> Self {
        Self {
            ranges,
            uids: BTreeSet::new(),
            gids: BTreeSet::new(),
            next_uid: ranges.uid_min,
            next_pair: ranges.uid_min,
            next_gid: ranges.gid_min,
        }
    }

    pub(super) fn take_uids(&mut self, uids: impl IntoIterator<Item = Uid>) {
        self.uids.extend(uids.into_iter().map(|uid| uid.0));
    }

    pub(super) fn take_gids(&mut self, gids: impl IntoIterator<Item = Gid>) {
        self.gids.extend(gids.into_iter().map(|gid| gid.0));
    }

    /// A uid for a person.
    pub(super) fn uid(&mut self) -> Option<Uid> {
        let free = (self.next_uid..=self.ranges.uid_max).find(|id| !self.uids.contains(id))?;
        self.next_uid = free + 1;
        self.uids.insert(free);
        Some(Uid(free))
    }

    /// A uid for a person with a private group: the gid of the same number is free too, and taken.
    pub(super) fn pair(&mut self) -> Option<Uid> {
        let free = (self.next_pair..=self.ranges.uid_max)
            .find(|id| !self.uids.contains(id) && !self.gids.contains(id))?;
        self.next_pair = free + 1;
        self.uids.insert(free);
        self.gids.insert(free);
        Some(Uid(free))
    }

    /// A gid for a group of people.
    pub(super) fn gid(&mut self) -> Option<Gid> {
        let free = (self.next_gid..=self.ranges.gid_max).find(|id| !self.gids.contains(id))?;
        self.next_gid = free + 1;
        self.gids.insert(free);
        Some(Gid(free))
    }

    /// The uids that were searched, for people.
    pub(super) fn uid_range(&self) -> String {
        format!("{}..{}", self.ranges.uid_min, self.ranges.uid_max)
    }

    /// The gids that were searched, for people.
    pub(super) fn gid_range(&self) -> String {
        format!("{}..{}", self.ranges.gid_min, self.ranges.gid_max)
    }
}
