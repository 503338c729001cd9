//! What was found on two hosts, as plain data that a test can be written in by hand. No secret is
//! in it: passwords are keyed digests, network files are not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::{Cidr, HostAddress, MigrationName};
use crate::names::{Side, UserName};
use crate::raw::HostPath;
use crate::resource::{accounts, beside, dovecot, spool};

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// The name of the migration: given, or made from the hosts' names.
    pub name: MigrationName,
    /// The old host.
    pub source: HostFindings,
    /// The new host.
    pub target: HostFindings,
    /// Accounts and groups of both.
    pub accounts: accounts::Actual,
    /// The UIDL format that each side serves.
    #[serde(default)]
    pub dovecot: dovecot::Actual,
    /// Sizes of the mboxes in the source's spool, of the accounts in the range of people's uids.
    #[serde(default)]
    pub spool: spool::Actual,
    /// Where each of these accounts keeps mail on the source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mailboxes: BTreeMap<UserName, BTreeSet<Mailbox>>,
    /// Other accounts for which mail lies in the source's spool; root not counted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beyond_range: BTreeSet<UserName>,
    /// Places on the target that hold something and that no migration made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occupied: Vec<Occupied>,
    /// Migrations that the target has records of, and whose mail counts by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrations: BTreeMap<MigrationName, Side>,
    /// What the source has besides and does not move.
    #[serde(default)]
    pub beside: beside::Actual,
    /// Places that could not be looked at, each with the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// What was found on one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFindings {
    /// Where it is.
    pub host: HostAddress,
    /// Distribution and version, as the host says; os-release(5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The name that it has for itself; hostname(5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Mail transfer agents that are installed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub mta: BTreeSet<Mta>,
    /// The directory of the mboxes, links resolved; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool_dir: Option<HostPath>,
    /// Its addresses, by its configuration.
    #[serde(default)]
    pub network: Network,
}

/// Addresses that a host has from its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Those that are written there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<StaticAddress>,
    /// Interfaces that get addresses from DHCP or router advertisements.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub dynamic: BTreeSet<String>,
    /// Why the configuration cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// An address that is written in a host's network configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticAddress {
    /// Address and prefix, as it is written.
    pub net: Cidr,
    /// The interface's name, or what else selects it.
    pub interface: String,
    /// Its names in the host's `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// Where a user keeps mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mailbox {
    /// An mbox in the spool that is not empty.
    SpoolMbox,
    /// A Maildir in the spool.
    SpoolMaildir,
    /// Folders in `~/mail` or `~/Mail`.
    MailFolders,
    /// A Maildir in the home.
    Maildir,
    /// Dovecot's own format in the home: dbox.
    Dbox,
}

/// A mail transfer agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say what they are")]
pub enum Mta {
    Exim,
    Postfix,
    Sendmail,
}

impl fmt::Display for Mta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exim => "Exim",
            Self::Postfix => "Postfix",
            Self::Sendmail => "sendmail",
        })
    }
}

/// A place of a user on the target that holds something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Occupied {
    /// Whose home or spool entry it will be.
    pub user: UserName,
    /// Where.
    pub path: HostPath,
}

impl HostFindings {
    /// A host of which nothing is known but where it is.
    pub fn at(host: HostAddress) -> Self {
        Self {
            host,
            system: None,
            hostname: None,
            mta: BTreeSet::new(),
            spool_dir: None,
            network: Network::default(),
        }
    }
}
