//! Changes of configuration files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_target, target};
use crate::host::Command;
use crate::names::Side;
use crate::raw::HostPath;
use crate::resource::dovecot;

/// A change of some lines of a configuration file; lines that stay are not in the plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEdit {
    /// On which host.
    #[serde(default = "target", skip_serializing_if = "is_target")]
    pub side: Side,
    /// The file.
    pub path: HostPath,
    /// Digest of the file as the plan saw it, its secrets hidden; `None` if it is absent.
    pub before: Option<String>,
    /// Digest of the file as it will be, its secrets hidden.
    pub after: String,
    /// Which of its values are secrets.
    #[serde(default)]
    pub redaction: Redaction,
    /// Line edits, from the top down; line numbers are those of the file before the edit.
    pub edits: Vec<LineEdit>,
    /// Permission bits if the file is made new.
    pub mode: u32,
    /// Unified diff for people, with secrets hidden.
    pub diff: String,
    /// What is run then, so that whoever reads the file reads it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Command>,
}

/// Our Dovecot drop-in on a live host, and how it is tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UidlDropIn {
    /// The file.
    pub edit: FileEdit,
    /// The format that it sets.
    pub format: String,
    /// The target's Dovecot.
    pub version: dovecot::Version,
    /// The format of the mailbox that it is tried on: that of the users.
    pub mailbox: dovecot::trial::Mailbox,
    /// Certificate and key files that Dovecot cannot start without, which doveconf does not notice.
    pub files: Vec<HostPath>,
    /// Whether a Dovecot runs that has to read its configuration again.
    pub running: dovecot::Running,
}

/// Some lines replaced by others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineEdit {
    /// Number of lines that come before, 0 for the top.
    pub after: usize,
    /// Lines that go.
    pub delete: usize,
    /// Lines that come, each with its line feed.
    pub insert: Vec<String>,
}

/// How secrets stand in a file, so that they can be hidden from observations, plans and diffs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Redaction {
    /// The format has none.
    #[default]
    None,
    /// `key=value` in sections: `NetworkManager` keyfiles, systemd units.
    Keyfile,
    /// `KEY=value` with shell quotes: ifcfg files.
    Shell,
    /// `option value`: interfaces(5).
    Words,
    /// YAML mappings: netplan.
    Yaml,
}
