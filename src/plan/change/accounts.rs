//! Changes of accounts: passwd, shadow, group and gshadow.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_target, target};
use crate::names::{Gid, GroupName, Side, Uid, UserName};
use crate::raw::{HostPath, Raw};
use crate::secret::Digest;

/// Changes to passwd, shadow, group and gshadow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountsMerge {
    /// The side whose files change; password hashes come from the other one.
    #[serde(default = "target", skip_serializing_if = "is_target")]
    pub onto: Side,
    /// A directory there, which only root can enter, where the four files are kept as they were before
    /// the first merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<HostPath>,
    /// Groups, by name.
    pub groups: Vec<GroupChange>,
    /// Users, by name.
    pub users: Vec<UserChange>,
}

impl AccountsMerge {
    /// Nothing to merge yet.
    pub fn onto(onto: Side) -> Self {
        Self {
            onto,
            aside: None,
            groups: Vec::new(),
            users: Vec::new(),
        }
    }
}

/// Make or change.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It is not there.
    Create,
    /// It is there and different.
    Update,
}

/// One account as it will be. The hash itself is read from the other side when the action runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Login name.
    pub name: UserName,
    /// Make or change.
    pub verb: Verb,
    /// Uid on the side that changes.
    pub uid: Uid,
    /// Primary gid there.
    pub gid: Gid,
    /// Comment field, verbatim.
    pub gecos: Raw,
    /// Home directory.
    pub home: HostPath,
    /// Login shell, verbatim.
    pub shell: Raw,
    /// Password after the change; `None` where the source has no entry: the account is locked.
    pub password: Option<Password>,
    /// Shadow ageing after the change.
    pub ageing: Ageing,
    /// What differs from the target now, for people; empty for a new account.
    pub differs: Vec<FieldChange>,
}

/// One group as it will be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// Group name.
    pub name: GroupName,
    /// Make or change.
    pub verb: Verb,
    /// Gid on the target.
    pub gid: Gid,
    /// Members to add; members that the target has besides are left alone.
    pub add_members: BTreeSet<UserName>,
    /// Group administrators (gshadow field 3) to add.
    pub add_admins: BTreeSet<UserName>,
    /// Group password of a new group; an existing group keeps its own.
    pub password: Option<Password>,
    /// What differs from the target now, for people; empty for a new group.
    pub differs: Vec<FieldChange>,
}

/// One field that changes, as text for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Name of the field: `gecos`, `shell`, `password`, ...
    pub field: String,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}

/// All that may be known of a password field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// How it was hashed, by its prefix.
    pub scheme: String,
    /// Whether a leading `!` locks it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// Keyed digest of the whole field.
    pub digest: Digest,
}

/// Shadow fields 3 to 9, shadow(5): days since the epoch or numbers of days; empty is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ageing {
    /// Last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<i64>,
    /// Minimum age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Maximum age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Warning period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<i64>,
    /// Inactivity period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive: Option<i64>,
    /// Account expiration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<i64>,
    /// Reserved field 9, verbatim.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reserved: String,
}
