//! How numeric owners of files translate from one side to the other, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::{Gid, Uid};
use crate::plan::Resource;

/// How numeric owners of files on the side whose mail counts translate to the other side, here called
/// source and target: by name, then by remapping.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdMap {
    /// Source uid to target uid, for every uid that has a name on both sides.
    pub uids: BTreeMap<Uid, Uid>,
    /// Source gid to target gid, likewise.
    pub gids: BTreeMap<Gid, Gid>,
    /// Uids that belong to somebody on the target.
    pub taken_uids: BTreeSet<Uid>,
    /// Gids that belong to somebody on the target.
    pub taken_gids: BTreeSet<Gid>,
}

/// An account or group with one number on the source and another on the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renumbered {
    /// Whose number: an account's uid, a group's gid.
    pub of: Resource,
    /// On the source.
    pub from: u32,
    /// On the target.
    pub to: u32,
}

/// A translated id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapped<T> {
    /// By name or by remapping.
    Known(T),
    /// Nobody has this number on the source or its name is unknown on the target, and the number is
    /// free there: it is kept, and reported.
    Kept(T),
    /// The same, but on the target the number is somebody else's: root gets the file, and it is
    /// reported.
    ToRoot(T),
}

impl<T: Copy> Mapped<T> {
    /// The id on the target.
    pub fn id(self) -> T {
        match self {
            Self::Known(id) | Self::Kept(id) | Self::ToRoot(id) => id,
        }
    }
}

impl IdMap {
    /// Translates an owner.
    pub fn uid(&self, uid: Uid) -> Mapped<Uid> {
        match self.uids.get(&uid) {
            Some(&mapped) => Mapped::Known(mapped),
            None if self.taken_uids.contains(&uid) => Mapped::ToRoot(Uid(0)),
            None => Mapped::Kept(uid),
        }
    }

    /// Translates a group.
    pub fn gid(&self, gid: Gid) -> Mapped<Gid> {
        match self.gids.get(&gid) {
            Some(&mapped) => Mapped::Known(mapped),
            None if self.taken_gids.contains(&gid) => Mapped::ToRoot(Gid(0)),
            None => Mapped::Kept(gid),
        }
    }
}

/// Numbers that stand for several on the other side, so that owners cannot be translated back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ambiguous {
    /// Each such uid, with those that it stands for.
    pub uids: BTreeMap<Uid, BTreeSet<Uid>>,
    /// The gids likewise.
    pub gids: BTreeMap<Gid, BTreeSet<Gid>>,
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |numbers: Vec<String>| numbers.join(" and ");
        let uids = self.uids.iter().map(|(uid, of)| {
            let of = list(of.iter().map(ToString::to_string).collect());
            format!("uid {uid} on the target stands for the uids {of} of the source")
        });
        let gids = self.gids.iter().map(|(gid, of)| {
            let of = list(of.iter().map(ToString::to_string).collect());
            format!("gid {gid} on the target stands for the gids {of} of the source")
        });
        let all: Vec<String> = uids.chain(gids).collect();
        f.write_str(&all.join("; "))
    }
}

impl IdMap {
    /// The translation from the target to the source. `taken_uids` and `taken_gids` are those that
    /// belong to somebody on the source.
    ///
    /// # Errors
    ///
    /// The numbers of the target that stand for more than one of the source.
    pub fn inverted(
        &self,
        taken_uids: BTreeSet<Uid>,
        taken_gids: BTreeSet<Gid>,
    ) -> Result<Self, Ambiguous> {
        let (uids, several_uids) = invert(&self.uids);
        let (gids, several_gids) = invert(&self.gids);
        if several_uids.is_empty() && several_gids.is_empty() {
            return Ok(Self {
                uids,
                gids,
                taken_uids,
                taken_gids,
            });
        }
        Err(Ambiguous {
            uids: several_uids,
            gids: several_gids,
        })
    }
}

/// A mapping turned round, and what it maps several numbers to.
fn invert<T: Ord + Copy>(map: &BTreeMap<T, T>) -> (BTreeMap<T, T>, BTreeMap<T, BTreeSet<T>>) {
    let mut back: BTreeMap<T, BTreeSet<T>> = BTreeMap::new();
    for (&from, &to) in map {
        back.entry(to).or_default().insert(from);
    }
    let single = |of: &BTreeSet<T>| of.first().copied().filter(|_| of.len() == 1);
    let one = back
        .iter()
        .filter_map(|(&to, of)| Some((to, single(of)?)))
        .collect();
    back.retain(|_, of| of.len() > 1);
    (one, back)
}
