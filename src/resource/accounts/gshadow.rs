//! gshadow(5): name, password, administrators, members. Nothing of the password may be shown.

use std::collections::BTreeSet;

use super::table::{Record, Table, list};
use crate::names::UserName;
use crate::secret::Secret;

/// The file.
pub(super) type Gshadow = Table<Entry>;

/// Number of the list of administrators, from 0.
pub(super) const ADMINS: usize = 2;
/// Number of the member list, from 0.
pub(super) const MEMBERS: usize = 3;

/// A list of names, as a set and as it stands in the file.
pub(super) struct Names {
    pub(super) text: Vec<u8>,
    pub(super) names: BTreeSet<UserName>,
}

impl From<&[u8]> for Names {
    fn from(field: &[u8]) -> Self {
        Self {
            text: field.to_vec(),
            names: list(field).map(UserName::from).collect(),
        }
    }
}

/// One group's password, administrators and members.
pub(super) struct Entry {
    pub(super) password: Secret,
    pub(super) admins: Names,
    pub(super) members: Names,
}

impl Record for Entry {
    const FIELDS: usize = 4;

    fn parse(fields: &[&[u8]]) -> Result<Self, String> {
        Ok(Self {
            password: Secret::new(fields[1].to_vec()),
            admins: fields[ADMINS].into(),
            members: fields[MEMBERS].into(),
        })
    }
}
