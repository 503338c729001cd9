//! The record of a move of messages that has begun: written before the first message is copied, gone
//! when the last one has left the INBOX. `housekeeping/USER.json` beside the receipt.
//!
//! With it a run that died is ended instead of begun again: what lies in the folder from
//! [`Begun::uidnext`] on came there since.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::{Host, NewFile, ReadHost};
use crate::manifest::MigrationName;
use crate::names::UserName;
use crate::raw::{HostPath, escape};
use crate::receipt::Receipt;

/// Version of the record's form.
pub const BEGUN_VERSION: u32 = 1;

/// A move that has begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// [`BEGUN_VERSION`].
    pub version: u32,
    /// Whose messages.
    pub user: UserName,
    /// UIDVALIDITY of the INBOX that the UIDs belong to.
    pub uidvalidity: u32,
    /// The messages, `1:5,9`.
    pub uids: String,
    /// Where they go.
    pub folder: String,
    /// UIDVALIDITY of the folder.
    pub folder_uidvalidity: u32,
    /// What its next UID was before the first message was copied; once all were, before those were that
    /// count.
    pub uidnext: u32,
    /// How often copying began. Each time leaves one copy of a message at most.
    pub attempts: u32,
    /// The INBOX and the directory of the folders, whose file systems are synced before anything leaves
    /// the INBOX.
    pub paths: Vec<HostPath>,
    /// Whether all of them were found there as they are in the INBOX, and are durable.
    pub copied: Copied,
}

/// How far a move has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copied {
    /// Nothing has left the INBOX.
    NotYet,
    /// Some may have left it.
    All,
}

impl Begun {
    fn directory(name: &MigrationName) -> HostPath {
        Receipt::directory(name).join("housekeeping")
    }

    fn path(name: &MigrationName, user: &UserName) -> HostPath {
        Self::directory(name).join(format!("{}.json", escape(user.as_bytes())))
    }

    fn at(host: &dyn ReadHost, path: &HostPath) -> Result<Option<Self>> {
        let Some(bytes) = host.read(path)? else {
            return Ok(None);
        };
        let what = || format!("{path} on {} is no record of a move", host.label());
        let begun: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::caused(Kind::Malformed, what(), error).hint(
                "look for messages that are in the INBOX and in the folder, then remove the file",
            )
        })?;
        if begun.version == BEGUN_VERSION {
            return Ok(Some(begun));
        }
        Err(Error::new(Kind::Malformed, what()).hint("use the version of reconcile that wrote it"))
    }

    /// A user's; `None` if no move is under way.
    pub fn read(
        host: &dyn ReadHost,
        name: &MigrationName,
        user: &UserName,
    ) -> Result<Option<Self>> {
        Self::at(host, &Self::path(name, user))
    }

    /// Who has one.
    pub fn users(host: &dyn ReadHost, name: &MigrationName) -> Result<BTreeSet<UserName>> {
        let directory = Self::directory(name);
        let mut users = BTreeSet::new();
        for file in host.list(&directory)?.unwrap_or_default() {
            if file.as_bytes().ends_with(b".json") {
                let begun = Self::at(host, &directory.join(file.as_bytes()))?;
                users.extend(begun.map(|begun| begun.user));
            }
        }
        Ok(users)
    }

    /// Writes it, durably.
    pub fn write(&self, host: &dyn Host, name: &MigrationName) -> Result<()> {
        host.make_dirs(&Self::directory(name), 0o700)?;
        let json = serde_json::to_vec_pretty(self).expect("a record is plain data with text keys");
        host.replace(&Self::path(name, &self.user), &json, NewFile::root(0o600))
    }

    /// The move is done.
    pub fn remove(&self, host: &dyn Host, name: &MigrationName) -> Result<()> {
        host.remove_file(&Self::path(name, &self.user))
    }
}
