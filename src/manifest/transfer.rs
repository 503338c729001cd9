//! `transfer`: how mail gets from one host to the other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How mail gets from one host to the other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Transfer {
    /// Which way it takes between two live hosts.
    pub path: TransferPath,
}

/// Which way mail takes between two live hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransferPath {
    /// Straight from one to the other if that is possible, else through this machine.
    #[default]
    Auto,
    /// Straight from one to the other, or not at all.
    Direct,
    /// Through this machine.
    Relay,
}
