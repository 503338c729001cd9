//! Uids of the chosen accounts on the target.

use std::collections::BTreeMap;

use super::super::actual::User;
use super::super::conflict::Conflict;
use super::super::select;
use super::{Chosen, Clearance, Staging};
use crate::manifest::OnUidConflict;
use crate::names::{Side, Uid, UserName};
use crate::plan::{Level, Resource};
use crate::report::counted;

/// Dovecot's default of that setting, in 2.3 and 2.4 (FACTS 5).
const FIRST_VALID_UID: u32 = 500;

impl Staging<'_> {
    /// Decides the uid of every chosen account; gids follow with the groups.
    pub(super) fn users(&mut self, users: &[(&UserName, &User)]) {
        for &(name, user) in users {
            let verdict = select::usable(name).and_then(|()| self.uid(name, user));
            self.resolved.users.insert(
                name.clone(),
                Chosen {
                    source_uid: user.uid,
                    source_gid: user.gid,
                    uid: *verdict.as_ref().unwrap_or(&user.uid),
                    gid: user.gid,
                    source_home: user.home.clone(),
                    home: user.home.clone(),
                    blocked: Clearance::Clear,
                },
            );
            if let Err(conflict) = verdict {
                self.resolved.block_user(name, conflict);
            }
            self.duplicate_lines(name);
        }
        self.shared_uids(users);
        self.target_clashes();
        self.remap_of_nobody();
        self.low_uids();
    }

    fn uid(&mut self, name: &UserName, user: &User) -> Result<Uid, Conflict> {
        let remap = self.remap(name);
        let wanted = remap.unwrap_or(user.uid);
        if remap.is_some() && select::RESERVED.contains(&wanted) {
            return Err(Conflict::RemapReserved {
                user: name.clone(),
                uid: wanted,
            });
        }
        match self.target.users.get(name) {
            Some(here) => self.uid_of_namesake(name, user, here, remap),
            None => self.new_uid(name, user, remap),
        }
    }

    fn remap(&self, name: &UserName) -> Option<Uid> {
        let name = std::str::from_utf8(name.as_bytes()).ok()?;
        self.manifest.remap.get(name).copied().map(Uid)
    }

    /// The target has an account of this name; its uid is never changed.
    fn uid_of_namesake(
        &self,
        name: &UserName,
        user: &User,
        here: &User,
        remap: Option<Uid>,
    ) -> Result<Uid, Conflict> {
        let wanted = remap.unwrap_or(user.uid);
        let ours = self.is_ours(name);
        // An account that we made below the target's UID_MIN, seen before the receipt says so. The
        // uids below SYS_UID_MIN are the distribution's own and never ours.
        let as_we_would_make_it = here.uid == wanted
            && here.uid.0 >= self.target.ranges.sys_uid_min
            && here.home == user.home
            && self.source.ranges.is_person(user.uid);
        if !ours && !self.target.ranges.is_person(here.uid) && !as_we_would_make_it {
            return Err(Conflict::SystemName {
                user: name.clone(),
                source: user.uid,
                target: here.uid,
            });
        }
        let settled = ours && remap.is_none();
        if here.uid == wanted || settled {
            return Ok(here.uid);
        }
        match (remap, self.policy()) {
            (None, OnUidConflict::Remap) => Ok(here.uid),
            (Some(uid), _) => Err(Conflict::RemapTooLate {
                user: name.clone(),
                uid,
                target: here.uid,
            }),
            (None, OnUidConflict::Fail) => Err(Conflict::SameNameOtherUid {
                user: name.clone(),
                wanted,
                target: here.uid,
            }),
        }
    }

    /// The target has no account of this name.
    fn new_uid(
        &mut self,
        name: &UserName,
        user: &User,
        remap: Option<Uid>,
    ) -> Result<Uid, Conflict> {
        let holder = self
            .target_by_uid
            .get(&remap.unwrap_or(user.uid))
            .map(|&other| other.clone());
        if let Some(uid) = remap {
            return match holder {
                None => Ok(uid),
                Some(by) => Err(Conflict::RemapTaken {
                    user: name.clone(),
                    uid,
                    by,
                    free: self.free_uid(name, user),
                }),
            };
        }
        let promised = self.promised.contains(&user.uid);
        match (holder, self.policy()) {
            (None, OnUidConflict::Fail) => Ok(user.uid),
            (None, OnUidConflict::Remap) if !promised => Ok(user.uid),
            (_, OnUidConflict::Remap) => {
                self.free_uid(name, user).ok_or_else(|| Conflict::NoFreeId {
                    name: name.to_string(),
                    range: self.free.uid_range(),
                })
            }
            (Some(other), OnUidConflict::Fail) => {
                let free = self.free_uid(name, user);
                let (user, uid, name) = (name.clone(), user.uid, other.clone());
                Err(if self.is_person_here(&other, uid) {
                    Conflict::OtherNameSameUid {
                        user,
                        uid,
                        other,
                        free,
                    }
                } else {
                    Conflict::SystemUid {
                        user,
                        uid,
                        other: name,
                        free,
                    }
                })
            }
        }
    }

    fn free_uid(&mut self, name: &UserName, user: &User) -> Option<Uid> {
        if self.has_private_group(name, user) {
            self.free.pair()
        } else {
            self.free.uid()
        }
    }

    fn is_person_here(&self, name: &UserName, uid: Uid) -> bool {
        self.target.ranges.is_person(uid) || self.is_ours(name)
    }

    fn duplicate_lines(&mut self, name: &UserName) {
        for (side, database) in [(Side::Source, self.source), (Side::Target, self.target)] {
            if database.duplicate_users.contains(name) {
                let user = name.clone();
                self.resolved
                    .block_user(name, Conflict::DuplicateUser { user, side });
            }
        }
    }

    fn shared_uids(&mut self, users: &[(&UserName, &User)]) {
        let mut by_uid: BTreeMap<Uid, Vec<UserName>> = BTreeMap::new();
        for &(name, user) in users {
            by_uid.entry(user.uid).or_default().push(name.clone());
        }
        for (uid, users) in by_uid {
            if users.len() > 1 {
                for user in &users {
                    self.resolved.hold(user);
                }
                let side = Side::Source;
                self.resolved
                    .block(Resource::Accounts, Conflict::SharedUid { side, uid, users });
            }
        }
    }

    /// A uid given by hand may be one that another chosen account keeps, or is given too; and
    /// accounts that are on the target already may share theirs.
    fn target_clashes(&mut self) {
        let mut holders: BTreeMap<Uid, Vec<UserName>> = BTreeMap::new();
        for (name, chosen) in &self.resolved.users {
            if chosen.blocked == Clearance::Clear {
                holders.entry(chosen.uid).or_default().push(name.clone());
            }
        }
        for (uid, users) in holders {
            let [first, second, ..] = &users[..] else {
                continue;
            };
            let (by_hand, kept): (Vec<&UserName>, Vec<&UserName>) =
                users.iter().partition(|name| self.remap(name).is_some());
            for user in by_hand {
                let conflict = Conflict::RemapTaken {
                    user: user.clone(),
                    uid,
                    by: if user == first { second } else { first }.clone(),
                    free: self.free.uid(),
                };
                self.resolved.block_user(user, conflict);
            }
            if kept.len() > 1 {
                for user in &kept {
                    self.resolved.hold(user);
                }
                let users = kept.into_iter().cloned().collect();
                let side = Side::Target;
                self.resolved
                    .block(Resource::Accounts, Conflict::SharedUid { side, uid, users });
            }
        }
    }

    fn remap_of_nobody(&mut self) {
        for name in self.manifest.remap.keys() {
            if !self
                .resolved
                .users
                .contains_key(&UserName::from(name.as_str()))
            {
                let conflict = Conflict::RemapOfNobody {
                    user: name.clone(),
                    guess: select::guess(name, self.resolved.users.keys()),
                };
                self.resolved.block(Resource::Accounts, conflict);
            }
        }
    }

    /// One note for all: Dovecot lets nobody below it read mail.
    fn low_uids(&mut self) {
        let floor = self.target.ranges.uid_min;
        let low = self
            .resolved
            .users
            .iter()
            .filter(|(_, chosen)| chosen.blocked == Clearance::Clear && chosen.uid.0 < floor);
        if let Some((name, lowest)) = low.clone().min_by_key(|(_, chosen)| chosen.uid) {
            let text = format!(
                "{} below the target's UID_MIN of {floor}, the lowest is {name}'s {}: Dovecot's \
                 first_valid_uid there ({FIRST_VALID_UID} by default) must not be higher",
                counted(low.count() as u64, "uid is", "uids are"),
                lowest.uid
            );
            let level = if lowest.uid.0 < FIRST_VALID_UID {
                Level::Warning
            } else {
                Level::Info
            };
            self.resolved.note(Resource::Accounts, level, text);
        }
    }
}
