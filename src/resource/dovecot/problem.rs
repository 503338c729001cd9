//! What is in the way of enforcing the format.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::Assignment;
use super::drop_in;
use crate::manifest::Sibling;
use crate::names::Side;
use crate::raw::HostPath;

/// What is in the way. The text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The target has no Dovecot.
    TargetWithoutDovecot,
    /// The format is to be the source's, and the source has no Dovecot.
    SourceWithoutDovecot,
    /// The format is to be the source's, and the source is out of reach before it was recorded.
    SourceOutOfReach,
    /// The format cannot be had with the target's Dovecot.
    NoTranslation {
        /// The format as it is written.
        format: String,
        /// Where it is served; `None` for a literal of the manifest.
        served_by: Option<Side>,
        /// Why not.
        reason: String,
    },
    /// No configuration file of the target includes our drop-in.
    NotIncluded {
        /// The main configuration file.
        main: HostPath,
    },
    /// An assignment on the target beats our drop-in.
    Beaten {
        /// The assignment.
        by: Assignment,
    },
    /// Clients would notice a setting of the host that takes over.
    Differs {
        /// Which that is.
        side: Side,
        /// What the manifest calls it.
        setting: Sibling,
        /// What differs and what comes of it.
        what: String,
        /// The file there at whose end the lines belong.
        file: HostPath,
        /// The lines that mend it, in that host's syntax; empty if no line does.
        lines: Vec<String>,
    },
}

impl Problem {
    /// Lines to be copied as they are.
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Differs { lines, .. } => lines,
            _ => &[],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetWithoutDovecot => f.write_str(
                "the target has no Dovecot: install it there (apt-get install dovecot-pop3d \
                 dovecot-imapd)",
            ),
            Self::SourceWithoutDovecot => f.write_str(
                "the source has no Dovecot whose UIDL format could be taken over: write the format \
                 that its clients know as dovecot.uidl_format",
            ),
            Self::SourceOutOfReach => f.write_str(
                "the source cannot be asked for its UIDL format: write the format that its clients \
                 know as dovecot.uidl_format",
            ),
            Self::NoTranslation {
                format,
                served_by,
                reason,
            } => {
                match served_by {
                    Some(side) => write!(f, "the {side} serves the UIDL format `{format}`, ")?,
                    None => write!(f, "dovecot.uidl_format is `{format}`, ")?,
                }
                write!(
                    f,
                    "which cannot be had on the target ({reason}): find a format of the target's \
                     Dovecot that gives the same UIDLs and write it as dovecot.uidl_format"
                )
            }
            Self::NotIncluded { main } => write!(
                f,
                "no configuration file on the target includes {}: add the line `!include_try \
                 /etc/dovecot/conf.d/*.conf` at the end of {main} there",
                drop_in::PATH
            ),
            Self::Beaten { by } => write!(
                f,
                "`{} = {}` at {by} on the target beats our drop-in {}: remove that line there",
                super::SETTING,
                by.value,
                drop_in::PATH
            ),
            Self::Differs {
                side,
                setting,
                what,
                file,
                lines,
            } => {
                write!(f, "{what}. ")?;
                if lines.is_empty() {
                    f.write_str("If that is as it should be, write ")?;
                } else {
                    let place = format_args!("at the end of {file} on the {side}");
                    write!(f, "Put these lines {place}, or write ")?;
                }
                write!(f, "`dovecot: {{ accept: [{setting}] }}`")
            }
        }
    }
}
