//! How the owners of files translate: by name on both sides, chosen accounts by their mapping.

use super::super::actual::Actual;
use super::{Clearance, Resolved};
use crate::names::{Gid, Uid};
use crate::plan::Resource;
use crate::plan::change::{IdMap, Renumbered};

/// The translation. Where several names share a number, a chosen account's counts, then the first.
pub(super) fn map(actual: &Actual, resolved: &Resolved) -> IdMap {
    let mut ids = IdMap::default();
    // Root is root, whatever else has the number 0 (toor, operator).
    ids.uids.insert(Uid(0), Uid(0));
    ids.gids.insert(Gid(0), Gid(0));
    let clear = || {
        resolved
            .users
            .values()
            .filter(|chosen| chosen.blocked == Clearance::Clear)
    };
    for chosen in clear() {
        ids.uids.entry(chosen.source_uid).or_insert(chosen.uid);
        ids.gids.entry(chosen.source_gid).or_insert(chosen.gid);
    }
    if let Some(source) = &actual.source {
        for (name, group) in &resolved.groups {
            if let Some(there) = source.groups.get(name) {
                ids.gids.entry(there.gid).or_insert(group.gid);
            }
        }
        for (name, there) in &source.users {
            if let Some(here) = actual.target.users.get(name) {
                ids.uids.entry(there.uid).or_insert(here.uid);
            }
        }
        for (name, there) in &source.groups {
            if let Some(here) = actual.target.groups.get(name) {
                ids.gids.entry(there.gid).or_insert(here.gid);
            }
        }
    }
    ids.taken_uids = actual.target.users.values().map(|user| user.uid).collect();
    ids.taken_gids = actual
        .target
        .groups
        .values()
        .map(|group| group.gid)
        .collect();
    ids.taken_uids.extend(clear().map(|chosen| chosen.uid));
    ids.taken_gids.extend(clear().map(|chosen| chosen.gid));
    ids.taken_gids
        .extend(resolved.groups.values().map(|group| group.gid));
    ids
}

/// Accounts and groups whose number is another one on the target, accounts first, by name.
pub(super) fn renumbered(actual: &Actual, resolved: &Resolved) -> Vec<Renumbered> {
    let Some(source) = &actual.source else {
        return Vec::new();
    };
    let uids = source.users.iter().filter_map(|(name, there)| {
        let decided = resolved.users.get(name).map(|chosen| chosen.uid);
        let here = || actual.target.users.get(name).map(|user| user.uid);
        let to = decided.or_else(here)?;
        let counts = to != there.uid && resolved.ids.uids.get(&there.uid) == Some(&to);
        counts.then(|| Renumbered {
            of: Resource::Account(name.clone()),
            from: there.uid.0,
            to: to.0,
        })
    });
    let gids = source.groups.iter().filter_map(|(name, there)| {
        let decided = resolved.groups.get(name).map(|group| group.gid);
        let here = || actual.target.groups.get(name).map(|group| group.gid);
        let to = decided.or_else(here)?;
        let counts = to != there.gid && resolved.ids.gids.get(&there.gid) == Some(&to);
        counts.then(|| Renumbered {
            of: Resource::Group(name.clone()),
            from: there.gid.0,
            to: to.0,
        })
    });
    uids.chain(gids).collect()
}
