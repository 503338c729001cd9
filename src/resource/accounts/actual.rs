//! What is on the hosts, as plain data that a planner case can be written in by hand: everything
//! that is as usual can be left out. No secret is in it: passwords are keyed digests.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::scheme::Crypt;
use crate::names::{Gid, GroupName, Uid, UserName};
use crate::plan::change::{Ageing, Password};
use crate::raw::{HostPath, Raw};

/// The accounts of both hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actual {
    /// The old host; `None` when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Database>,
    /// The new host.
    pub target: Database,
    /// What checks passwords on the target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crypt: Crypt,
    /// What checks passwords on the source.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source_crypt: Crypt,
    /// Login shells of the source's users that the target does not have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub missing_shells: BTreeSet<Raw>,
}

/// Whether something that usually is there is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It is.
    #[default]
    Present,
    /// It is not.
    Absent,
}

/// Accounts that a host knows besides those in its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Elsewhere {
    /// None, as far as passwd tells.
    #[default]
    Nowhere,
    /// passwd has `+` entries, which stand for accounts of NIS.
    Nis,
}

/// One host's accounts and groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// From login.defs.
    #[serde(skip_serializing_if = "is_default")]
    pub ranges: Ranges,
    /// The file `/etc/shadow`.
    #[serde(skip_serializing_if = "is_default")]
    pub shadow: Presence,
    /// The file `/etc/gshadow`.
    #[serde(skip_serializing_if = "is_default")]
    pub gshadow: Presence,
    /// Where else accounts come from.
    #[serde(skip_serializing_if = "is_default")]
    pub elsewhere: Elsewhere,
    /// Accounts, system's and people's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<UserName, User>,
    /// Groups, system's and people's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupName, Group>,
    /// Accounts with more than one line in passwd or shadow; the first is the one above.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub duplicate_users: BTreeSet<UserName>,
    /// Groups with more than one line in group or gshadow; the first is the one above.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub duplicate_groups: BTreeSet<GroupName>,
}

impl Database {
    /// The accounts whose uid is one that people get.
    pub fn people(&self) -> impl Iterator<Item = (&UserName, &User)> {
        let people = |(_, user): &(&UserName, &User)| self.ranges.is_person(user.uid);
        self.users.iter().filter(people)
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Uid.
    pub uid: Uid,
    /// Primary gid.
    pub gid: Gid,
    /// Comment field, verbatim.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub gecos: Raw,
    /// Home directory.
    pub home: HostPath,
    /// Login shell; empty means `/bin/sh`.
    #[serde(default, skip_serializing_if = "Raw::is_empty")]
    pub shell: Raw,
    /// The password that counts: shadow's, or passwd's when it holds one. `None` for neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Ageing from shadow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ageing: Ageing,
    /// The line in shadow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shadow: Presence,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Gid.
    pub gid: Gid,
    /// Supplementary members, from group.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<UserName>,
    /// Administrators, from gshadow.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admins: BTreeSet<UserName>,
    /// The group password, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// The line in gshadow. Counts only where the file is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gshadow: Presence,
    /// Members that are missing in gshadow, as after a crash between the two files.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_in_gshadow: BTreeSet<UserName>,
}

impl Group {
    /// Whether a user is a member as far as every file is concerned.
    pub(super) fn has(&self, user: &UserName) -> bool {
        self.members.contains(user) && !self.not_in_gshadow.contains(user)
    }
}

/// The ranges of ids, login.defs(5). All bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "named as in login.defs(5)")]
pub struct Ranges {
    pub uid_min: u32,
    pub uid_max: u32,
    pub sys_uid_min: u32,
    pub sys_uid_max: u32,
    pub gid_min: u32,
    pub gid_max: u32,
    pub sys_gid_min: u32,
    pub sys_gid_max: u32,
}

impl Default for Ranges {
    /// What shadow-utils takes when login.defs is silent.
    fn default() -> Self {
        Self {
            uid_min: 1000,
            uid_max: 60000,
            sys_uid_min: 101,
            sys_uid_max: 999,
            gid_min: 1000,
            gid_max: 60000,
            sys_gid_min: 101,
            sys_gid_max: 999,
        }
    }
}

impl Ranges {
    /// Whether the uid is one that people get.
    pub(super) fn is_person(&self, uid: Uid) -> bool {
        (self.uid_min..=self.uid_max).contains(&uid.0)
    }

    /// Whether the gid is one that people's groups get.
    pub(super) fn is_peoples(&self, gid: Gid) -> bool {
        (self.gid_min..=self.gid_max).contains(&gid.0)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
