//! A receipt in waiting: what a host's record will be once a hand-over is confirmed.

use serde::{Deserialize, Serialize};

use super::Receipt;
use crate::error::{Error, Kind, Result};
use crate::host::{Host, NewFile, ReadHost};
use crate::manifest::MigrationName;
use crate::names::Side;
use crate::raw::HostPath;

/// A receipt that waits to be confirmed, `pending.json` beside the receipt: whoever confirms needs
/// nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Whose mail counts then.
    pub to: Side,
    /// The receipt of this host then.
    pub receipt: Receipt,
}

impl Pending {
    fn path(name: &MigrationName) -> HostPath {
        Receipt::directory(name).join("pending.json")
    }

    /// Reads it; `None` if nothing waits.
    pub fn read(host: &dyn ReadHost, name: &MigrationName) -> Result<Option<Self>> {
        let path = Self::path(name);
        let Some(bytes) = host.read(&path)? else {
            return Ok(None);
        };
        let what = || format!("{path} on {} is no pending receipt", host.label());
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::caused(Kind::Malformed, what(), error))
    }

    /// Writes it, durably.
    pub fn write(&self, host: &dyn Host) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("a receipt is plain data with text keys");
        host.replace(&Self::path(&self.receipt.name), &json, NewFile::root(0o600))
    }

    /// It waits no longer.
    pub fn remove(host: &dyn Host, name: &MigrationName) -> Result<()> {
        host.remove_file(&Self::path(name))
    }
}
