//! group(5): name, password, gid, members.

use std::collections::BTreeSet;

use super::table::{Record, Table, list, number};
use crate::names::{Gid, UserName};
use crate::secret::Secret;

/// The file.
pub(super) type Groups = Table<Entry>;

/// Number of the member list, from 0.
pub(super) const MEMBERS: usize = 3;

/// One group.
pub(super) struct Entry {
    pub(super) password: Secret,
    pub(super) gid: Gid,
    /// The list as it stands in the file.
    pub(super) list: Vec<u8>,
    pub(super) members: BTreeSet<UserName>,
}

impl Record for Entry {
    const FIELDS: usize = 4;

    fn parse(fields: &[&[u8]]) -> Result<Self, String> {
        Ok(Self {
            password: Secret::new(fields[1].to_vec()),
            gid: Gid(number("gid", fields[2])?),
            list: fields[MEMBERS].to_vec(),
            members: list(fields[MEMBERS]).map(UserName::from).collect(),
        })
    }
}
