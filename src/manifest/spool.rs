//! `spool`: how large spool files may be, what measures them, and which messages leave them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Span, scalar};

/// Thresholds and housekeeping of the spool.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// Mention spool files above this size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn: Option<Size>,
    /// No spool file should be above this size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Size>,
    /// Move old messages out of the spool; off unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub housekeeping: Option<Housekeeping>,
    /// Measure the mail on the target time and again, by a timer of systemd there; off unless given.
    /// It is there while the target's mail counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<Timer>,
}

/// When the mail on the target is measured, and for whom.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timer {
    /// How often.
    pub every: Every,
    /// File on the target that is written for the textfile collector of Prometheus' node exporter;
    /// without it the table goes to the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<scalar::MetricsFile>")]
    pub prometheus: Option<String>,
}

/// How often the mail is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// At each full hour.
    Hourly,
    /// At midnight.
    #[default]
    Daily,
    /// At midnight before Monday.
    Weekly,
}

impl Every {
    /// As systemd.time(7) has it.
    pub const fn calendar(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }
}

/// Which messages leave the spool, and where they go.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Housekeeping {
    /// Age from which a message is moved.
    pub move_older_than: Span,
    /// Folder that takes them.
    #[schemars(with = "scalar::FolderName")]
    pub to: String,
    /// What becomes of old messages that nobody has read: a POP3 client marks what it fetches as
    /// read, so these may not have been fetched by any.
    #[serde(default, skip_serializing_if = "Unread::is_default")]
    pub unread: Unread,
    /// Names or globs of users whose messages all stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<scalar::UserPattern>")]
    pub exclude: Vec<String>,
}

/// What housekeeping does with messages that nobody has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unread {
    /// They stay where they are.
    #[default]
    Stay,
    /// They are moved like the others.
    Move,
}

impl Unread {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
