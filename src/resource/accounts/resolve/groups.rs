//! Gids of the groups that chosen accounts are in, and who of them is a member.

use std::collections::{BTreeMap, BTreeSet};

use super::super::actual::{Group, User};
use super::super::conflict::Conflict;
use super::super::select;
use super::{Chosen, ChosenGroup, Clearance, Staging};
use crate::manifest::OnUidConflict;
use crate::names::{Gid, GroupName, Side, UserName};
use crate::plan::{Level, Resource};

/// What becomes of a group.
enum Place {
    /// It has, or gets, this gid.
    Gid(Gid),
    /// It is a system group that the target does not have.
    Nowhere,
}

impl Staging<'_> {
    /// Decides every group that a chosen account is in, and with them the primary gids.
    pub(super) fn groups(&mut self, users: &[(&UserName, &User)]) {
        let mut primary: BTreeMap<GroupName, Vec<&UserName>> = BTreeMap::new();
        for &(name, user) in users {
            if let Some(group) = self.primary_group(name, user) {
                primary.entry(group).or_default().push(name);
            } else {
                let (user, gid) = (name.clone(), user.gid);
                self.resolved
                    .block_user(name, Conflict::NoPrimaryGroup { user, gid });
            }
        }
        let mut assigned = BTreeMap::new();
        for (name, group) in &self.source.groups {
            let owners = primary.get(name).map_or(&[][..], Vec::as_slice);
            let members = self.chosen_of(&group.members);
            let admins = self.chosen_of(&group.admins);
            if owners.is_empty() && members.is_empty() && admins.is_empty() {
                continue;
            }
            match self.place(name, group, owners, &mut assigned) {
                Ok(Place::Gid(gid)) => self.carry(name, gid, owners, members, admins),
                Ok(Place::Nowhere) => self.no_place(name, owners, &members),
                // The way out of its account's conflict is the group's, too: it follows.
                Err(_) if self.follows_held(name, group.gid, owners) => {}
                Err(conflict) => {
                    self.resolved.block(Resource::Group(name.clone()), conflict);
                    for owner in owners {
                        self.resolved.hold(owner);
                    }
                }
            }
            self.duplicate_group_lines(name, owners);
        }
    }

    /// Whether it is the private group of an account in conflict and has that account's number.
    fn follows_held(&self, name: &GroupName, gid: Gid, owners: &[&UserName]) -> bool {
        let held = |owner: &&UserName| {
            self.resolved.users.get(*owner).is_some_and(|chosen| {
                chosen.blocked == Clearance::InConflict && chosen.source_uid.0 == gid.0
            })
        };
        owners
            .iter()
            .any(|owner| owner.as_bytes() == name.as_bytes() && held(owner))
    }

    /// Two groups may share a gid; an account's own is then the one of its name.
    fn primary_group(&self, name: &UserName, user: &User) -> Option<GroupName> {
        if self.has_private_group(name, user) {
            return Some(GroupName::from(name.as_bytes()));
        }
        self.source_by_gid
            .get(&user.gid)
            .map(|&group| group.clone())
    }

    fn chosen_of(&self, names: &BTreeSet<UserName>) -> BTreeSet<UserName> {
        names
            .iter()
            .filter(|name| self.resolved.users.contains_key(*name))
            .cloned()
            .collect()
    }

    fn place(
        &mut self,
        name: &GroupName,
        group: &Group,
        owners: &[&UserName],
        assigned: &mut BTreeMap<Gid, GroupName>,
    ) -> Result<Place, Conflict> {
        let private = owners
            .iter()
            .find(|owner| owner.as_bytes() == name.as_bytes())
            .copied();
        let carried = private.is_some() || self.is_peoples(group.gid);
        let wanted = private.map_or(group.gid, |owner| self.gid_beside(owner, group.gid));
        if let Some(here) = self.target.groups.get(name) {
            let settled = here.gid == wanted || !carried || self.made_by_us(here, private);
            return if settled {
                Ok(Place::Gid(here.gid))
            } else if !self.target.ranges.is_peoples(here.gid) {
                Err(Conflict::SystemGroupName {
                    group: name.clone(),
                    source: group.gid,
                    target: here.gid,
                })
            } else if self.policy() == OnUidConflict::Remap {
                Ok(Place::Gid(here.gid))
            } else {
                Err(Conflict::GroupSameNameOtherGid {
                    group: name.clone(),
                    wanted,
                    target: here.gid,
                })
            };
        }
        if !carried {
            return Ok(Place::Nowhere);
        }
        let holder = self
            .target_by_gid
            .get(&wanted)
            .map(|&other| other.clone())
            .or_else(|| assigned.get(&wanted).cloned());
        let gid = match (holder, self.policy()) {
            (None, _) => wanted,
            (Some(_), OnUidConflict::Remap) => {
                self.free.gid().ok_or_else(|| Conflict::NoFreeId {
                    name: format!("the group {name}"),
                    range: self.free.gid_range(),
                })?
            }
            (Some(other), OnUidConflict::Fail) => {
                return Err(Conflict::GroupOtherNameSameGid {
                    group: name.clone(),
                    gid: wanted,
                    other,
                });
            }
        };
        assigned.insert(gid, name.clone());
        Ok(Place::Gid(gid))
    }

    fn is_peoples(&self, gid: Gid) -> bool {
        let range = select::range(self.manifest, self.source);
        self.source.ranges.is_peoples(gid) || (range.first..=range.last).contains(&gid.0)
    }

    /// A private group has the number of its account, by convention; where it has, it follows.
    fn gid_beside(&self, owner: &UserName, gid: Gid) -> Gid {
        match self.resolved.users.get(owner) {
            Some(Chosen {
                source_uid, uid, ..
            }) if source_uid.0 == gid.0 => Gid(uid.0),
            _ => gid,
        }
    }

    /// Whether an earlier run put the group there: an account of the receipt is in it.
    fn made_by_us(&self, here: &Group, private: Option<&UserName>) -> bool {
        let in_it = |name: &UserName| {
            let user = self.target.users.get(name);
            here.members.contains(name) || user.is_some_and(|user| user.gid == here.gid)
        };
        match private {
            Some(owner) => self.is_ours(owner),
            None => self
                .receipt
                .is_some_and(|receipt| receipt.accounts.iter().any(in_it)),
        }
    }

    fn carry(
        &mut self,
        name: &GroupName,
        gid: Gid,
        owners: &[&UserName],
        members: BTreeSet<UserName>,
        admins: BTreeSet<UserName>,
    ) {
        for owner in owners {
            if let Some(chosen) = self.resolved.users.get_mut(*owner) {
                chosen.gid = gid;
            }
        }
        self.resolved.groups.insert(
            name.clone(),
            ChosenGroup {
                gid,
                members,
                admins,
            },
        );
    }

    fn no_place(&mut self, name: &GroupName, owners: &[&UserName], members: &BTreeSet<UserName>) {
        for owner in owners {
            let conflict = Conflict::NoSystemGroup {
                user: (*owner).clone(),
                group: name.clone(),
            };
            self.resolved.block_user(owner, conflict);
        }
        if !members.is_empty() {
            let text = format!(
                "{name} is a system group that the target does not have: {} not made a member; \
                 `groupadd -r {name}` there brings it along",
                super::super::diff::join(members)
            );
            self.resolved
                .note(Resource::Group(name.clone()), Level::Warning, text);
        }
    }

    fn duplicate_group_lines(&mut self, name: &GroupName, owners: &[&UserName]) {
        for (side, database) in [(Side::Source, self.source), (Side::Target, self.target)] {
            if database.duplicate_groups.contains(name) {
                let group = name.clone();
                self.resolved.block(
                    Resource::Group(name.clone()),
                    Conflict::DuplicateGroup { group, side },
                );
                for owner in owners {
                    self.resolved.hold(owner);
                }
            }
        }
    }
}
