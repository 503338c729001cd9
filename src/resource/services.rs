//! `service/SIDE/NAME`: Dovecot, the mail transfer agents and cron, on hosts that run.
//!
//! While the source's mail counts, nothing may open or deliver to the target's incomplete mailboxes:
//! its mail services are stopped, masked, and proven quiet ([`hold`]). Once the target's mail counts
//! they are let go and started ([`release`]). In a hand-over between hosts that run, everything that
//! writes mail on one is frozen ([`freeze`](fn@freeze)), and the other one's services are started
//! ([`start`](fn@start)). What is known of each service is [`known`]; its
//! settings belong to [`super::dovecot`].

pub mod describe;
pub mod diff;
mod freeze;
pub mod group;
mod hold;
pub mod known;
pub mod observe;
mod order;
pub mod others;
pub mod ports;
mod predict;
pub mod problem;
pub mod process;
mod release;
mod rows;
mod start;
pub mod systemd;
pub mod sysv;
pub mod unit;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use diff::diff;
pub use freeze::{freeze, unquiet};
pub use group::{Service, services};
pub use known::Role;
pub use observe::{look, observe, open_ports};
pub use others::OtherMail;
pub use ports::Reach;
pub use predict::{predict_freeze, predict_hold, predict_release, predict_start};
pub use problem::Problem;
pub use process::Program;
pub use release::{unfinished, unheld};
pub use rows::{hold_row, release_row};
pub use start::{start, unstarted};
pub use unit::{Active, Init, Load, Unit};

/// What is on the hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// The source; `None` where nothing runs: an offline root, or out of reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HostServices>,
    /// The target; `None` where nothing runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<HostServices>,
}

/// The services of one running host. Process ids are no part of it: they say nothing by themselves
/// and differ at every look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostServices {
    /// What starts and stops services there.
    pub init: Init,
    /// Units, or init scripts, of services that [`known`] or the manifest names, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
    /// Units of the manifest that are not there, each with the unit that may be meant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, Option<String>>,
    /// What runs, whoever started it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub programs: BTreeSet<Program>,
    /// The TCP ports of mail that are open, and from where.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<u16, Reach>,
    /// Signs that mail is served there which is not this migration's. Looked for on a target that
    /// this migration does not hold yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherMail>,
}

impl HostServices {
    /// The ports of mail that other hosts reach.
    pub fn reached_from_elsewhere(&self) -> BTreeSet<u16> {
        let reached = |(_, reach): &(&u16, &Reach)| **reach == Reach::Network;
        let ports = self.ports.iter().filter(reached);
        ports.map(|(port, _)| *port).collect()
    }

    /// Which of these ports are open.
    pub fn open(&self, ports: &[u16]) -> BTreeSet<u16> {
        let open = |port: &&u16| self.ports.contains_key(port);
        ports.iter().filter(open).copied().collect()
    }
}

#[cfg(test)]
mod tests;
