//! `mx/backup`: a third host's Postfix that queues for the domain while nobody else takes mail.
//!
//! It relays for exactly this domain, to the service address, and takes mail only for recipients that
//! the serving host knows. All that it is given is in a directory of its own,
//! `/etc/postfix/reconcile-NAME`, whose tables three parameters name; what else these name stays, so a
//! Postfix that relays for others goes on doing so. Taken out of the manifest, all of it is removed: the
//! receipt knows where it is. What DNS says of the host is [`super::mx`].

mod diff;
mod observe;
mod parameters;
mod problem;
mod recipients;
mod rows;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::manifest::MigrationName;
use crate::raw::HostPath;
pub use diff::{asking, diff, draining, refuses};
pub(crate) use observe::unread;
pub use observe::{Ask, ask, askers, observe};
pub use problem::Problem;
pub use rows::{asking_row, drain_row, predict, row};

/// What was seen; nothing without a backup in the manifest or in the receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// The backup's Postfix; `None` if there is no such host, or it was out of reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Seen>,
    /// Why it was out of reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_reach: Option<String>,
    /// For whom the serving host takes mail besides its users.
    pub known: Known,
}

/// A backup's Postfix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seen {
    /// Its addresses that others reach, also those that a router translates to one of its own.
    pub addresses: BTreeSet<IpAddr>,
    /// Parameters as main.cf has them; those that it does not have are not here.
    pub written: BTreeMap<String, String>,
    /// Parameters as they count, written or by default, with parameters in their values expanded. Empty
    /// if there is no Postfix.
    pub values: BTreeMap<String, String>,
    /// Defaults of the parameters that are changed.
    pub defaults: BTreeMap<String, String>,
    /// Other domains that it relays for, as far as they can be listed.
    pub others: BTreeSet<String>,
    /// Tables of such domains that cannot be listed.
    pub unlisted: BTreeSet<String>,
    /// Parameters by whose tables it delivers mail for the domain itself.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub local: BTreeSet<String>,
    /// Files in the directory, and what is in them.
    pub files: BTreeMap<String, String>,
    /// What it says to recipients, from where it can be told; `None` if that is nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<Says>,
    /// Why it says nothing, or cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

impl Seen {
    /// What to say of one that was not asked.
    pub fn untold(&self) -> Option<&'static str> {
        (self.says.is_none() && self.silent.is_none()).then_some(
            "whether it takes mail for everybody could not be told: it trusts every machine that can ask \
             it (mynetworks), or none has a way to it",
        )
    }
}

/// What a backup says to recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// To a user of the domain: 250, or the code by which it refuses.
    pub known: u16,
    /// To somebody of the domain whom nobody knows.
    pub unknown: u16,
    /// To somebody of a domain that is not its.
    pub foreign: u16,
}

/// Recipients of the serving host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Known {
    /// Local parts, in lower case.
    pub names: BTreeSet<String>,
    /// Whether it takes mail for everybody in the domain.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub everybody: bool,
    /// Tables that cannot be listed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unlisted: BTreeSet<String>,
    /// What separates a name from its extension; empty for nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delimiter: String,
}

/// The directory of a migration's tables.
pub(crate) fn directory(name: &MigrationName) -> HostPath {
    HostPath::from(format!("/etc/postfix/reconcile-{name}").as_str())
}

/// The service: where the domain's mail goes. IPv4 rather, which every sender has.
fn primary(manifest: &crate::manifest::Manifest) -> Option<IpAddr> {
    let cutover = manifest.cutover.as_ref()?;
    let mut addresses = cutover.address.iter().map(|net| net.0.addr());
    let first = addresses.clone().next();
    addresses.find(IpAddr::is_ipv4).or(first)
}
