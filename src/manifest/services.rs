//! `services`: the units of the mail services, and what the ones that take over may lack.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalar;

/// Units of the mail services; `auto` detects them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Services {
    /// The mail transfer agent.
    pub mta: Units,
    /// The IMAP and POP3 server.
    pub imap: Units,
    /// What to do when the target's Dovecot or MTA serve mail that is not this migration's.
    pub on_other_mail: OnOtherMail,
    /// What the MTA of the host that takes over may lack although the other's offers it: what would
    /// block is a warning, and nothing goes back for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<MtaOffer>,
}

/// Something that a mail transfer agent offers besides taking mail on port 25.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MtaOffer {
    /// Submission on port 587.
    Submission,
    /// Submission within TLS on port 465.
    Submissions,
    /// TLS on its ports.
    Starttls,
    /// Logins of senders, SMTP AUTH.
    Auth,
}

impl MtaOffer {
    /// Its name in a manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
        }
    }
}

impl Services {
    /// All names of units.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.imap, &self.mta].into_iter().flat_map(Units::names)
    }
}

/// What to do when the target's Dovecot or MTA serve mail that is not this migration's. They cannot
/// keep running: an incomplete mailbox that is opened loses what clients remember of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnOtherMail {
    /// Block, with what was found.
    #[default]
    Fail,
    /// Stop them all the same until the target's mail counts.
    Stop,
}

/// `auto`, or the names of units.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "scalar::UnitNames")]
pub enum Units {
    /// Detect them.
    #[default]
    Auto,
    /// Unit names, separated by spaces.
    Named(Vec<String>),
}

impl Units {
    /// Whether they are detected.
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }

    /// The names; none for `auto`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names: &[String] = match self {
            Self::Auto => &[],
            Self::Named(names) => names,
        };
        names.iter().map(String::as_str)
    }
}

impl From<String> for Units {
    fn from(text: String) -> Self {
        if text == "auto" {
            Self::Auto
        } else {
            Self::Named(text.split_whitespace().map(str::to_owned).collect())
        }
    }
}

impl From<Units> for String {
    fn from(units: Units) -> Self {
        match units {
            Units::Auto => "auto".to_owned(),
            Units::Named(names) => names.join(" "),
        }
    }
}
