//! `dovecot/*`: clients must find on the target what they know from the source.
//!
//! [`observe`] reads what each side serves. [`diff`] compares the UIDL format by meaning ([`uidl`]) and
//! enforces it by a drop-in of our own ([`drop_in`]) in the target's syntax, on a live host only after
//! a [`trial`]; it compares the other [`settings`] and the certificates ([`tls`]) and says which would
//! break clients, with the lines that mend it. `dovecot.conf` itself is never edited and never copied.

mod compare;
pub mod config;
pub mod diff;
pub mod drop_in;
pub mod layout;
pub mod observe;
pub mod problem;
pub mod settings;
mod spool;
pub mod tls;
pub mod trial;
mod version;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use compare::{compare_back, losses, submission_ports};
pub use diff::{diff, live_rows, predict, rows, wanted};
pub use observe::{Around, observe};
pub use problem::Problem;
pub use settings::Settings;

use crate::host::HostState;
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
    /// Whether the host runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: HostState,
    /// Whether Dovecot runs on it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub running: Running,
    /// What else it is set to; `None` if there is no Dovecot, or where only the UIDL format was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The directory of the spool files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolDir>,
    /// Where each user's mail is, if that is left to Dovecot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<layout::Layout>,
    /// The certificates that clients are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<tls::Shown>,
    /// The file at whose end a line beats all others: the last that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines_go_to: Option<HostPath>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether Dovecot runs on a live host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// It does, and goes on with the old configuration until it is told to read it again.
    Yes,
    /// It does not.
    #[default]
    No,
}

/// A directory of spool files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolDir {
    /// Where it is, links resolved.
    pub path: HostPath,
    /// Permission bits.
    pub mode: u32,
    /// Its group; `None` if its gid has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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
