//! `mx/*`: whether senders find the domain's mail servers in DNS, also while the mail stands still, and
//! whether what the target sends will be believed.
//!
//! Asking is [`crate::dns`], from the machine that this program runs on; nothing in a zone is ever
//! changed. What is wrong is in the way of a cutover; at all other times it is a warning.

mod diff;
mod dkim;
mod observe;
mod problem;
mod spf;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::dns::Answered;
use crate::names::Side;
pub(crate) use diff::is_cutover;
pub use diff::{alone, diff, exchangers_at, missing_record, window};
pub use observe::observe;
pub use problem::Problem;

/// What was seen; nothing for a migration without `mx`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// What DNS says of the domain; `None` if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
    /// From which addresses the hosts reach others, as far as they run and can tell.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub senders: BTreeMap<Side, BTreeSet<IpAddr>>,
    /// The DKIM selectors that the hosts' opendkim signs with for the domain.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signing: BTreeMap<Side, BTreeSet<String>>,
}

impl Actual {
    /// Takes out what differs each time that a cache is asked.
    pub fn forget_times(&mut self) {
        let Some(zone) = &mut self.zone else {
            return;
        };
        forget(&mut zone.exchangers);
        for seen in zone.hosts.values_mut() {
            forget(&mut seen.alias);
            seen.addresses.iter_mut().for_each(forget);
        }
        zone.own.iter_mut().for_each(forget);
        zone.pointers.values_mut().for_each(forget);
        forget(&mut zone.texts);
        zone.selectors.values_mut().for_each(forget);
    }
}

fn forget<T>(answered: &mut Answered<T>) {
    if let Answered::Found(found) = answered {
        found.ttl = 0;
    }
}

/// What DNS says of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Its mail exchangers, preferred ones first.
    pub exchangers: Answered<Vec<Exchanger>>,
    /// What is known of each exchanger's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Name>,
    /// The domain's own addresses, IPv4 and IPv6: where mail goes without any exchanger, RFC 5321, 5.1.
    pub own: [Answered<Vec<IpAddr>>; 2],
    /// The names of the addresses that mail goes to and comes from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pointers: BTreeMap<IpAddr, Answered<Vec<String>>>,
    /// The domain's texts that begin as an SPF record.
    pub texts: Answered<Vec<String>>,
    /// What stands at each DKIM selector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selectors: BTreeMap<String, Answered<Vec<String>>>,
}

/// An exchanger of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchanger {
    /// The lower one is tried first.
    pub preference: u16,
    /// Its name; empty for the null MX of RFC 7505.
    pub name: String,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// Another name that it stands for.
    pub alias: Answered<Vec<String>>,
    /// Its addresses, IPv4 and IPv6.
    pub addresses: [Answered<Vec<IpAddr>>; 2],
}

impl Name {
    /// All its addresses.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .filter_map(Answered::found)
            .flatten()
            .copied()
    }
}
