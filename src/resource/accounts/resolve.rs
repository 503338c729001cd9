//! Which accounts this is about, and which numbers and groups they have on the target. Pure.
//!
//! While the source has authority the choice is made on the source ([`Staging`]). When the source
//! is gone, or its accounts no longer count, it is what the receipt says.

use std::collections::{BTreeMap, BTreeSet};

use super::actual::{Actual, Database, Elsewhere, Group, User};
use super::conflict::Conflict;
use super::numbers::FreeIds;
use super::scheme::Crypt;
use super::select;
use crate::manifest::{Manifest, OnUidConflict, Users};
use crate::names::{Gid, GroupName, Side, Uid, UserName};
use crate::plan::change::{IdMap, Renumbered};
use crate::plan::{Blocked, Level, Note, Obstacle, Resource};
use crate::raw::HostPath;
use crate::receipt::Receipt;

mod groups;
mod ids;
mod passwords;
mod users;

/// Whether an account can be merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clearance {
    /// Nothing is in the way.
    Clear,
    /// A conflict is; its numbers on the target are not decided.
    InConflict,
}

/// A chosen account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// Uid on the source.
    pub source_uid: Uid,
    /// Primary gid on the source.
    pub source_gid: Gid,
    /// Uid on the target.
    pub uid: Uid,
    /// Primary gid on the target.
    pub gid: Gid,
    /// Home on the source.
    pub source_home: HostPath,
    /// Home on the target.
    pub home: HostPath,
    /// Whether it can be merged.
    pub blocked: Clearance,
}

/// A group that chosen accounts are in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChosenGroup {
    /// Gid on the target.
    pub gid: Gid,
    /// The chosen accounts that are members besides those whose primary group it is.
    pub members: BTreeSet<UserName>,
    /// The chosen accounts that administer it.
    pub admins: BTreeSet<UserName>,
}

/// What the manifest's choice means on these hosts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resolved {
    /// The chosen accounts, those in conflict included.
    pub users: BTreeMap<UserName, Chosen>,
    /// The groups that are carried over, without those in conflict.
    pub groups: BTreeMap<GroupName, ChosenGroup>,
    /// How numbers translate.
    pub ids: IdMap,
    /// The same for people: names whose number is another one on the target.
    pub renumbered: Vec<Renumbered>,
    /// Conflicts.
    pub blocked: Vec<Blocked>,
    /// What a person should know.
    pub notes: Vec<Note>,
}

impl Resolved {
    fn block(&mut self, resource: Resource, conflict: Conflict) {
        let by = Obstacle::Account { conflict };
        self.blocked.push(Blocked { resource, by });
    }

    fn block_user(&mut self, name: &UserName, conflict: Conflict) {
        self.block(Resource::Account(name.clone()), conflict);
        self.hold(name);
    }

    fn hold(&mut self, name: &UserName) {
        if let Some(chosen) = self.users.get_mut(name) {
            chosen.blocked = Clearance::InConflict;
        }
    }

    fn note(&mut self, resource: Resource, level: Level, text: String) {
        self.notes.push(Note {
            resource,
            level,
            text,
        });
    }
}

/// Whether the source's accounts still count, and are there.
pub(super) fn carries<'a>(actual: &'a Actual, receipt: Option<&Receipt>) -> Option<&'a Database> {
    match receipt.map(|receipt| receipt.authority) {
        Some(Side::Target) => None,
        Some(Side::Source) | None => actual.source.as_ref(),
    }
}

/// Chooses the accounts and decides their numbers. Equal arguments give equal results.
pub fn resolve(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Resolved {
    let mut resolved = match carries(actual, receipt) {
        Some(source) => Staging::new(&manifest.users, actual, source, receipt).resolve(),
        None => recorded(actual, receipt),
    };
    resolved.ids = ids::map(actual, &resolved);
    resolved.renumbered = ids::renumbered(actual, &resolved);
    resolved
}

/// The accounts that the receipt names, as they are on the target.
fn recorded(actual: &Actual, receipt: Option<&Receipt>) -> Resolved {
    let mut resolved = Resolved::default();
    let names = receipt.map(|receipt| &receipt.accounts);
    for name in names.into_iter().flatten() {
        let Some(here) = actual.target.users.get(name) else {
            // `diff` says that it is missing.
            continue;
        };
        let there = actual
            .source
            .as_ref()
            .and_then(|source| source.users.get(name));
        let origin = there.unwrap_or(here);
        resolved.users.insert(
            name.clone(),
            Chosen {
                source_uid: origin.uid,
                source_gid: origin.gid,
                uid: here.uid,
                gid: here.gid,
                source_home: origin.home.clone(),
                home: here.home.clone(),
                blocked: Clearance::Clear,
            },
        );
    }
    resolved
}

/// The source has authority: its accounts are carried over.
struct Staging<'a> {
    manifest: &'a Users,
    source: &'a Database,
    target: &'a Database,
    crypt: Crypt,
    receipt: Option<&'a Receipt>,
    target_by_uid: BTreeMap<Uid, &'a UserName>,
    target_by_gid: BTreeMap<Gid, &'a GroupName>,
    /// Groups of the source by gid; the one with the name of an account first.
    source_by_gid: BTreeMap<Gid, &'a GroupName>,
    /// Uids given by hand.
    promised: BTreeSet<Uid>,
    free: FreeIds,
    resolved: Resolved,
}

impl<'a> Staging<'a> {
    fn new(
        manifest: &'a Users,
        actual: &'a Actual,
        source: &'a Database,
        receipt: Option<&'a Receipt>,
    ) -> Self {
        let target = &actual.target;
        let mut staging = Self {
            manifest,
            source,
            target,
            crypt: actual.crypt,
            receipt,
            target_by_uid: BTreeMap::new(),
            target_by_gid: BTreeMap::new(),
            source_by_gid: BTreeMap::new(),
            promised: manifest.remap.values().copied().map(Uid).collect(),
            free: FreeIds::new(target.ranges),
            resolved: Resolved::default(),
        };
        for (name, user) in &target.users {
            staging.target_by_uid.entry(user.uid).or_insert(name);
        }
        for (name, group) in &target.groups {
            staging.target_by_gid.entry(group.gid).or_insert(name);
        }
        let (private, other): (Vec<_>, Vec<_>) = source
            .groups
            .iter()
            .partition(|(name, _)| source.users.contains_key(&UserName::from(name.as_bytes())));
        for (name, group) in private.into_iter().chain(other) {
            staging.source_by_gid.entry(group.gid).or_insert(name);
        }
        staging
    }

    fn resolve(mut self) -> Resolved {
        let choice = select::choose(self.manifest, self.source);
        self.resolved.notes = choice.notes;
        for conflict in choice.conflicts {
            self.resolved.block(Resource::Accounts, conflict);
        }
        self.reserve(&choice.users);
        self.users(&choice.users);
        self.groups(&choice.users);
        self.passwords(&choice.users);
        self.left_behind();
        self.nis_accounts();
        self.without_conflicts();
        self.resolved
    }

    fn nis_accounts(&mut self) {
        if self.source.elsewhere == Elsewhere::Nis {
            let text = "the source takes accounts from NIS too (`+` in /etc/passwd): those are not \
                        carried over";
            self.resolved
                .note(Resource::Accounts, Level::Warning, text.to_owned());
        }
    }

    /// An account in conflict is not made: it cannot be a member, and needs no group.
    fn without_conflicts(&mut self) {
        let users = &self.resolved.users;
        let clear = |name: &UserName| {
            users
                .get(name)
                .is_some_and(|chosen| chosen.blocked == Clearance::Clear)
        };
        let primary: BTreeSet<Gid> = users
            .values()
            .filter(|chosen| chosen.blocked == Clearance::Clear)
            .map(|chosen| chosen.gid)
            .collect();
        self.resolved.groups.retain(|_, group| {
            group.members.retain(clear);
            group.admins.retain(clear);
            primary.contains(&group.gid) || !group.members.is_empty() || !group.admins.is_empty()
        });
    }

    /// Takes every number that is spoken for out of the free ones.
    fn reserve(&mut self, users: &[(&UserName, &User)]) {
        self.free.take_uids(self.target_by_uid.keys().copied());
        self.free.take_gids(self.target_by_gid.keys().copied());
        self.free.take_uids(users.iter().map(|(_, user)| user.uid));
        self.free.take_uids(self.promised.iter().copied());
        self.free.take_uids(select::RESERVED);
        self.free.take_gids(self.source_by_gid.keys().copied());
        self.free
            .take_gids(self.promised.iter().map(|uid| Gid(uid.0)));
        self.free.take_gids(select::RESERVED.map(|uid| Gid(uid.0)));
    }

    fn is_ours(&self, name: &UserName) -> bool {
        self.receipt
            .is_some_and(|receipt| receipt.accounts.contains(name))
    }

    /// Whether the group of this name is the account's private one: same name, its primary group.
    fn has_private_group(&self, name: &UserName, user: &User) -> bool {
        self.private_group(name)
            .is_some_and(|group| group.gid == user.gid)
    }

    fn private_group(&self, name: &UserName) -> Option<&'a Group> {
        self.source.groups.get(&GroupName::from(name.as_bytes()))
    }

    /// Accounts of this migration that are no longer chosen stay: none is ever deleted.
    fn left_behind(&mut self) {
        let names = self.receipt.map(|receipt| &receipt.accounts);
        for name in names.into_iter().flatten() {
            if !self.resolved.users.contains_key(name) && self.target.users.contains_key(name) {
                let now = if self.source.users.contains_key(name) {
                    "is no longer chosen"
                } else {
                    "is no longer on the source"
                };
                let text = format!(
                    "{name} was carried over before and {now}: account and mail stay on the \
                     target as they are"
                );
                self.resolved
                    .note(Resource::Account(name.clone()), Level::Warning, text);
            }
        }
    }

    fn policy(&self) -> OnUidConflict {
        self.manifest.on_uid_conflict
    }
}
