//! The service addresses and the service's name: who has them now, and who has them after a reboot.
//!
//! Five backends configure interfaces; each is a file with the same doors ([`backend`]). Which
//! interface is to have an address at boot is [`choose`], on the running host [`live`]; `/etc/hosts` is
//! [`hosts`]. A hand-over between running hosts is [`leave`] and [`settle`] on the one, [`arrive`] and
//! [`commit`] on the other: plain data, for either direction. How a host speaks ARP and changes its network is
//! [`crate::host`]'s business.

pub mod backend;
pub mod choose;
mod configure;
mod deconfigure;
mod diff;
mod doubled;
mod drift;
pub mod files;
mod hand_over;
pub mod hosts;
mod ifcfg;
mod ifupdown;
mod ini;
pub mod interface;
mod live;
mod netplan;
mod networkd;
mod networkmanager;
mod observe;
mod problem;
mod rows;

use serde::{Deserialize, Serialize};

use crate::host::network::Network;
use crate::names::Side;
pub use diff::diff;
pub use doubled::doubled;
pub use drift::drift;
use files::Files;
pub use hand_over::{arrive, commit, leave, settle};
pub use observe::{held, observe};
pub use problem::Problem;
pub use rows::{predict, predict_move, rows};

/// What is on the hosts; empty for a migration without `cutover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Interface configuration of the target, secrets hidden.
    pub target_files: Files,
    /// What of the target's running network has to do with the service addresses; `None` if it does
    /// not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_network: Option<Network>,
    /// The target's `/etc/hosts`; `None` if it is absent.
    pub hosts: Option<String>,
    /// Interface configuration of the source, secrets hidden.
    pub source_files: Files,
    /// The same of the source's running network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_network: Option<Network>,
}

impl Actual {
    fn files(&self, side: Side) -> &Files {
        match side {
            Side::Source => &self.source_files,
            Side::Target => &self.target_files,
        }
    }

    fn network(&self, side: Side) -> Option<&Network> {
        match side {
            Side::Source => self.source_network.as_ref(),
            Side::Target => self.target_network.as_ref(),
        }
    }
}

/// hosts(5).
pub(crate) const HOSTS: &str = "/etc/hosts";

#[cfg(test)]
mod tests;
