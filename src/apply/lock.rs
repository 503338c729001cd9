//! One run at a time on a target. The kernel holds the lock, so that a dead run holds none; a record
//! beside the receipt says who has it, for the message that a second run gets.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::{Guard, Host, NewFile, ReadHost};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The operator's machine.
    pub machine: String,
    /// Process id there.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
}

impl Owner {
    /// Us, from now on.
    pub fn this_process() -> Self {
        Self {
            machine: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            pid: std::process::id(),
            since: Timestamp::now(),
        }
    }
}

/// The target is ours until this is dropped.
pub struct RunLock {
    _held: Guard,
}

impl std::fmt::Debug for RunLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunLock").finish_non_exhaustive()
    }
}

impl RunLock {
    /// Takes the lock or says who has it.
    pub fn take(target: &dyn Host, name: &MigrationName) -> Result<Self> {
        if let Some(held) = target.try_lock()? {
            return Ok(Self { _held: held });
        }
        let owner = Self::owner(target, name)?.map_or(String::new(), |owner| {
            format!(
                " (process {} on {}, since {})",
                owner.pid, owner.machine, owner.since
            )
        });
        let what = format!("another run is at work on {}{owner}", target.label());
        Err(Error::new(Kind::Locked, what).hint("wait until it has ended, or stop it with Ctrl-C"))
    }

    /// Writes down who we are; only once the migration has its directory.
    pub fn sign(target: &dyn Host, name: &MigrationName, owner: &Owner) -> Result<()> {
        let json = serde_json::to_vec(owner).expect("an owner is plain data with text keys");
        target.replace(&record(name), &json, NewFile::root(0o600))
    }

    /// The record of who had the lock last.
    pub fn owner(target: &dyn ReadHost, name: &MigrationName) -> Result<Option<Owner>> {
        let Some(bytes) = target.read(&record(name))? else {
            return Ok(None);
        };
        // The record is for people only: a torn one says nothing and stops nothing.
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

fn record(name: &MigrationName) -> HostPath {
    Receipt::directory(name).join("owner.json")
}
