//! Whether the MTA of the host that takes over would accept and deliver what the other's does: its
//! domains, its users, its limits, where it puts mail, where it listens.
//!
//! Only looked at: the MTAs are configured by their admins. What waits in their queues is
//! [`super::queue`]; differing files are named by [`super::beside`].

mod compare;
mod listener;
mod observe;
mod offers;
mod postfix;
mod problem;
mod sendmail;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::Side;
use crate::raw::HostPath;

pub use compare::{Findings, compare};
pub use listener::{Auth, Listener, Tls};
pub use observe::{listed_domains, observe};
pub use offers::Open;
pub use problem::{Problem, Warning};

/// The MTAs of both hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Of the source; `None` if it is gone, or has neither Postfix nor sendmail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Mta>,
    /// Of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Mta>,
}

impl Actual {
    /// Of one side.
    pub const fn of(&self, side: Side) -> Option<&Mta> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Target => self.target.as_ref(),
        }
    }
}

/// Which MTA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Postfix.
    Postfix,
    /// sendmail.
    Sendmail,
}

/// How an MTA is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mta {
    /// Which it is.
    pub kind: Kind,
    /// Its own name, in lower case; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domains that it takes mail for, in lower case.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub domains: BTreeSet<String>,
    /// Where domains come from that cannot be listed: `ldap:/etc/postfix/domains.cf`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unlisted: BTreeSet<String>,
    /// Maps of local recipients that do not know the accounts: `local_recipient_maps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_recipients: Option<String>,
    /// Where it listens, words of `inet_interfaces`; `all` is everywhere.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub interfaces: BTreeSet<String>,
    /// What it offers on the ports that mail is handed in by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<u16, Listener>,
    /// `inet_protocols`, likewise.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub protocols: BTreeSet<String>,
    /// Where it puts a user's mail.
    pub delivery: Delivery,
    /// Bytes of the largest message; `None` without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_limit: Option<u64>,
    /// Bytes of the largest mailbox, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox_limit: Option<u64>,
    /// Where mailboxes are, by the manifest, links resolved.
    pub spool: HostPath,
}

/// Where a user's mail goes that no `.forward` sends elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// A file of the user's name in a directory, links resolved.
    Spool(HostPath),
    /// A path within the home, as `home_mailbox` has it.
    Home(String),
    /// procmail(1) decides.
    Procmail(Presence),
    /// Another program, its command line.
    Command(String),
    /// Another transport of Postfix: `lmtp:unix:private/dovecot-lmtp`.
    Transport(String),
}

/// Whether a program is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is.
    There,
    /// It is not.
    Missing,
}
