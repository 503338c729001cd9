//! passwd(5): name, password, uid, gid, comment, home, shell.

use super::table::{Record, Table, number};
use crate::names::{Gid, Uid};
use crate::raw::{HostPath, Raw};
use crate::secret::Secret;

/// The file.
pub(super) type Passwd = Table<Entry>;

/// Field 2 when the hash is in shadow.
pub(super) const SHADOWED: &[u8] = b"x";

/// Numbers of the fields, from 0.
pub(super) mod field {
    pub(in super::super) const PASSWORD: usize = 1;
    pub(in super::super) const GID: usize = 3;
    pub(in super::super) const GECOS: usize = 4;
    pub(in super::super) const HOME: usize = 5;
    pub(in super::super) const SHELL: usize = 6;
}

/// One account.
pub(super) struct Entry {
    /// `None` when it is in shadow.
    pub(super) password: Option<Secret>,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) gecos: Raw,
    pub(super) home: HostPath,
    pub(super) shell: Raw,
}

impl Record for Entry {
    const FIELDS: usize = 7;

    fn parse(fields: &[&[u8]]) -> Result<Self, String> {
        Ok(Self {
            password: (fields[field::PASSWORD] != SHADOWED)
                .then(|| Secret::new(fields[field::PASSWORD].to_vec())),
            uid: Uid(number("uid", fields[2])?),
            gid: Gid(number("gid", fields[field::GID])?),
            gecos: fields[field::GECOS].into(),
            home: fields[field::HOME].into(),
            shell: fields[field::SHELL].into(),
        })
    }
}
