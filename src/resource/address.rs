//! The service addresses and the service's name: what of them outlives a reboot of the target.
//!
//! Five backends configure interfaces; each is a file with the same doors ([`backend`]). Which
//! interface takes an address is [`choose`]; `/etc/hosts` is [`hosts`]. The running network (who
//! answers for the address now, ARP, moving it while hosts are up) does not belong here.

pub mod backend;
pub mod choose;
mod configure;
mod diff;
pub mod files;
pub mod hosts;
mod ifcfg;
mod ifupdown;
mod ini;
pub mod interface;
mod netplan;
mod networkd;
mod networkmanager;
mod observe;
mod problem;
mod rows;

use serde::{Deserialize, Serialize};

pub use diff::diff;
use files::Files;
pub use observe::observe;
pub use problem::Problem;
pub use rows::{predict, rows};

/// What is on the hosts; empty for a migration without `cutover`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Interface configuration of the target, secrets hidden.
    pub target_files: Files,
    /// The target's `/etc/hosts`; `None` if it is absent.
    pub hosts: Option<String>,
    /// Interface configuration of the source, secrets hidden. Only looked at: see [`diff`].
    pub source_files: Files,
}

/// hosts(5).
pub(crate) const HOSTS: &str = "/etc/hosts";

#[cfg(test)]
mod tests;
