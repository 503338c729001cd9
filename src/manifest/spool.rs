//! `spool`: how large spool files may be, and which messages leave them.

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
