//! `dovecot/uidl_format`: POP3 clients must see the UIDLs that they know.
//!
//! [`observe`] reads what each side serves, [`diff`] compares by meaning ([`uidl`]) and enforces by a
//! drop-in of our own ([`drop_in`]) in the target's syntax. `dovecot.conf` itself is never edited and
//! never copied.

pub mod config;
pub mod diff;
pub mod drop_in;
pub mod observe;
pub mod problem;
mod version;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use diff::{diff, predict, rows, wanted};
pub use observe::observe;
pub use problem::Problem;

use crate::raw::HostPath;
use crate::uidl::Syntax;
use config::Assignment;

/// The setting.
pub const SETTING: &str = "pop3_uidl_format";

/// What is on the hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actual {
    /// The source; `None` once it is out of reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<HostDovecot>,
    /// The target.
    pub target: HostDovecot,
    /// Our drop-in on the target.
    #[serde(default)]
    pub drop_in: DropIn,
}

/// The Dovecot of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostDovecot {
    /// Which one.
    pub version: Version,
    /// How the version is known, for people; empty if there is no Dovecot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Who read the configuration.
    #[serde(default)]
    pub read_by: ReadBy,
    /// The format that POP3 sessions get, in the host's own syntax; the version's default if it is
    /// not set. `None` if there is no Dovecot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uidl_format: Option<String>,
    /// What else a person should know about the reading, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
}

/// The generations of Dovecot's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// No Dovecot, or one without a configuration.
    #[default]
    #[serde(rename = "absent")]
    Absent,
    /// 2.3 or before.
    #[serde(rename = "2.3")]
    V2_3,
    /// 2.4 or later.
    #[serde(rename = "2.4")]
    V2_4,
}

impl Version {
    /// The syntax of its formats; `None` without a Dovecot.
    pub fn syntax(self) -> Option<Syntax> {
        match self {
            Self::Absent => None,
            Self::V2_3 => Some(Syntax::V2_3),
            Self::V2_4 => Some(Syntax::V2_4),
        }
    }
}

/// Who read a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadBy {
    /// The host's own doveconf.
    Doveconf,
    /// [`config`], because doveconf cannot run there.
    #[default]
    OwnReader,
}

/// Our drop-in on the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropIn {
    /// What it says now; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What a value in it would do.
    #[serde(default)]
    pub effect: Effect,
}

/// What a value in our drop-in does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// POP3 sessions get it.
    #[default]
    Effective,
    /// Nothing: no configuration file includes it.
    NotIncluded {
        /// The main configuration file, where the line is missing.
        main: HostPath,
    },
    /// Nothing: this assignment comes later or is read first.
    Beaten {
        /// The assignment that wins.
        by: Assignment,
    },
}
