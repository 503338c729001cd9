//! The closed list of commands that change a live host, for what cannot be done by writing files.
//!
//! Questions are [`super::probe::Probe`]; which command is right when is decided by the planner.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// `systemctl daemon-reload`.
    ReloadUnits,
    /// `doveadm reload`: Dovecot reads its configuration again; sessions go on.
    ReloadDovecot,
}

impl Command {
    /// Program (an absolute path) and arguments.
    pub fn argv(&self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::ReloadUnits => &["/usr/bin/systemctl", "daemon-reload"],
            Self::ReloadDovecot => &["/usr/bin/doveadm", "reload"],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// How long the program may be silent before it counts as hanging.
    pub fn patience(&self) -> Duration {
        match self {
            Self::ReloadUnits | Self::ReloadDovecot => Duration::from_secs(90),
        }
    }
}
