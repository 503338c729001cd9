//! The receipt: the durable record of a migration, kept on the hosts themselves.
//!
//! It lives in `/var/lib/reconcile/NAME/receipt.json` on the target (mode 0600); an offline source is
//! never written. Who writes it when is [`crate::apply`].

mod pending;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::ReadHost;
use crate::manifest::{MigrationName, Source};
use crate::names::{Side, UserName};
use crate::plan::change::{HandOverRecord, TreePaths};
use crate::raw::HostPath;
pub use pending::Pending;

/// Version of the receipt's JSON form.
pub const RECEIPT_VERSION: u32 = 1;

/// Where migrations keep their records on a host.
pub(crate) const RECORDS: &str = "/var/lib/reconcile";

/// Who has authority since when, and what this migration manages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub version: u32,
    /// The migration.
    pub name: MigrationName,
    /// Whose mail counts.
    pub authority: Side,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// How often authority has changed hands. Of the receipts on both hosts the higher one is right.
    #[serde(default)]
    pub epoch: u32,
    /// Which machines the two sides are, whatever their names and addresses lead to: digests of their
    /// machine-id(5). Known from a hand-over between live hosts on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machines: BTreeMap<Side, String>,
    /// On a host that has handed over: the moment, by its own clock, from which on nothing was to
    /// change there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sealed: Option<Timestamp>,
    /// Accounts that this migration made or took over on the target.
    #[serde(default)]
    pub accounts: BTreeSet<UserName>,
    /// Trees that this migration manages on the target.
    #[serde(default)]
    pub trees: BTreeMap<UserName, Vec<TreePaths>>,
    /// Services of this host that this migration stopped and holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, Held>,
    /// The UIDL format that clients know, in the target's syntax; set when authority changed hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uidl_format: Option<String>,
    /// The backup mail exchanger that this migration set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Source>,
    /// What waited there after the last hand-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained: Option<Drained>,
}

/// Messages that a backup mail exchanger queued and delivered after a hand-over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// Those that waited.
    pub waiting: u64,
    /// Those that still did when it was given up.
    pub left: u64,
}

/// What this migration did to a service of the target to keep it quiet: only this is ever undone,
/// never what an admin masked or stopped.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Held {
    /// Units that it masked, or init scripts that it disabled.
    pub masks: BTreeSet<String>,
    /// Units or scripts that ran until it stopped them.
    pub running: BTreeSet<String>,
}

impl Held {
    /// Adds what a further hold masked and stopped.
    pub fn add(&mut self, masks: &BTreeSet<String>, running: &BTreeSet<String>) {
        self.masks.extend(masks.iter().cloned());
        self.running.extend(running.iter().cloned());
    }

    /// Whether the service ran before.
    pub fn was_running(&self) -> bool {
        !self.running.is_empty()
    }
}

impl Receipt {
    /// The receipt of a migration that has done nothing yet.
    pub fn new(name: MigrationName, now: Timestamp) -> Self {
        Self {
            version: RECEIPT_VERSION,
            name,
            authority: Side::Source,
            since: now,
            epoch: 0,
            machines: BTreeMap::new(),
            sealed: None,
            accounts: BTreeSet::new(),
            trees: BTreeMap::new(),
            services: BTreeMap::new(),
            uidl_format: None,
            backup: None,
            drained: None,
        }
    }

    /// Authority changes hands; what must outlive the source is kept.
    pub fn hand_over(&mut self, to: Side, keep: &HandOverRecord, now: Timestamp) {
        self.authority = to;
        self.since = now;
        self.epoch += 1;
        self.accounts.extend(keep.users.iter().cloned());
        self.uidl_format.clone_from(&keep.uidl_format);
    }

    /// As it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("a receipt is plain data with text keys");
        json.push(b'\n');
        json
    }

    /// Which machine a live host is: a digest of its machine-id(5), which should not be shown around.
    /// `None` for a host without one.
    pub fn machine(host: &dyn ReadHost, name: &MigrationName) -> Result<Option<String>> {
        let Some(id) = host.read(&HostPath::from("/etc/machine-id"))? else {
            return Ok(None);
        };
        let id = id.trim_ascii();
        let digest = blake3::Hasher::new()
            .update(name.as_str().as_bytes())
            .update(b"\0")
            .update(id)
            .finalize();
        Ok((!id.is_empty()).then(|| digest.to_hex()[..16].to_owned()))
    }

    /// The name of what a reverse sets aside: another one each time that authority changed hands, the
    /// same for each try of one reverse.
    pub fn aside_name(&self) -> String {
        format!("{}.{}", self.name, self.since.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// The directory of a migration's records on a host.
    pub fn directory(name: &MigrationName) -> HostPath {
        HostPath::from(RECORDS).join(name.as_str())
    }

    /// The copy of this program that a host keeps with `transfer.program: keep`.
    pub fn program(name: &MigrationName) -> HostPath {
        Self::directory(name).join("program")
    }

    /// Reads the receipt of a migration from the target; `None` before its first apply.
    pub fn read(target: &dyn ReadHost, name: &MigrationName) -> Result<Option<Self>> {
        let path = Self::directory(name).join("receipt.json");
        let Some(bytes) = target.read(&path)? else {
            return Ok(None);
        };
        let what = || format!("{path} on {} is no receipt", target.label());
        let receipt: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::caused(Kind::Malformed, what(), error).hint(
                "restore it from a backup of the target; without it nobody knows whose mail counts",
            )
        })?;
        if receipt.version == RECEIPT_VERSION && receipt.name == *name {
            return Ok(Some(receipt));
        }
        let Self { version, name, .. } = receipt;
        let why = format!(
            "{}: it is of version {version} and migration {name}",
            what()
        );
        Err(Error::new(Kind::Malformed, why).hint("use the version of reconcile that wrote it"))
    }

    /// Reads the receipts of all other migrations to the target: nobody's trees are managed by two.
    pub fn read_others(target: &dyn ReadHost, name: &MigrationName) -> Result<Vec<Self>> {
        let mut others = Vec::new();
        for entry in target.list(&HostPath::from(RECORDS))?.unwrap_or_default() {
            let other = entry.as_str().and_then(|text| text.parse().ok());
            if let Some(other) = other.filter(|other| other != name) {
                others.extend(Self::read(target, &other)?);
            }
        }
        Ok(others)
    }

    /// Whether this tree of this user was claimed by this migration.
    pub fn manages(&self, user: &UserName, tree: &TreePaths) -> bool {
        self.trees
            .get(user)
            .is_some_and(|trees| trees.iter().any(|managed| managed.target == tree.target))
    }
}
