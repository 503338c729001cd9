//! What is done to the timer that measures the spool on the target: a change of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::FileEdit;
use crate::host::Command;
use crate::raw::HostPath;

/// The target gets a timer, or loses it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimerSetup {
    /// What becomes of it.
    pub to: TimerState,
    /// What is run first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Command>,
    /// Where a copy of this program is put, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<HostPath>,
    /// Units that are written then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<FileEdit>,
    /// Files that are removed then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HostPath>,
    /// What is run in the end.
    pub then: Vec<Command>,
}

/// What becomes of a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimerState {
    /// It is there, and runs.
    SetUp,
    /// Nothing of it is there.
    Removed,
}
