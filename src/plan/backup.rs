//! What is done to a backup mail exchanger: changes of a plan.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::FileEdit;
use crate::host::Command;
use crate::manifest::Source;
use crate::names::UserName;
use crate::raw::HostPath;

/// A backup's Postfix gets its tables, or loses them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupSetup {
    /// The host.
    pub host: Source,
    /// What becomes of it.
    pub to: BackupState,
    /// The directory of the tables.
    pub directory: HostPath,
    /// Tables that are written first: nothing names them yet, or they are read again later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEdit>,
    /// Changes of main.cf, then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Command>,
    /// What takes them back if Postfix does not accept them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Command>,
    /// Files that nothing names any more, removed in the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HostPath>,
    /// How it is asked afterwards; one that is removed is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<BackupAsking>,
}

/// What becomes of a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupState {
    /// It queues for the domain.
    SetUp,
    /// It is as it was before.
    Removed,
}

/// The backup is asked for recipients: once it is set up, and before anything stops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupAsking {
    /// The host, for people.
    pub host: String,
    /// The domain.
    pub domain: String,
    /// Its address that is asked.
    pub at: IpAddr,
    /// A user whom it has to take mail for.
    pub known: UserName,
    /// Whether it takes mail for everybody in the domain, because the host that serves does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everybody: bool,
}

/// What waits on the backup for the domain is delivered, and seen to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupDrain {
    /// The host, for people.
    pub host: String,
    /// The domain.
    pub domain: String,
    /// For so many seconds it is waited at most.
    pub within: u64,
}
