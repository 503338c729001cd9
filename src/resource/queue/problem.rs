//! What can keep a queue from being carried.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::Side;
use crate::plan::change::Count;
use crate::raw::HostPath;
use crate::report::{counted, size};

/// What is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The host that takes over has no MTA that could take what waits.
    NoMta {
        /// Which host.
        side: Side,
    },
    /// A host was not looked at.
    NotSeen {
        /// Which.
        side: Side,
    },
    /// sendmail holds messages until somebody releases them, and Postfix would deliver them.
    Quarantined {
        /// Which host holds them.
        side: Side,
        /// The directory.
        path: HostPath,
        /// How many messages.
        messages: u64,
    },
    /// The host that takes over has no room for what waits.
    NoRoom {
        /// Which host.
        side: Side,
        /// A directory on the file system.
        path: HostPath,
        /// What would be copied there.
        needed: Count,
        /// Bytes that are free.
        free_bytes: u64,
        /// Inodes that are free; `None` where they are not counted.
        free_inodes: Option<u64>,
    },
    /// sendmail's directory has directories of its own for control files and bodies.
    SplitQueue {
        /// Which host.
        side: Side,
        /// The directory.
        path: HostPath,
    },
}

impl Problem {
    /// On which host it is.
    pub const fn side(&self) -> Side {
        match self {
            Self::NoMta { side }
            | Self::NotSeen { side }
            | Self::Quarantined { side, .. }
            | Self::NoRoom { side, .. }
            | Self::SplitQueue { side, .. } => *side,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMta { side } => write!(
                f,
                "the {side} has neither Postfix nor sendmail, which could take what waits in the \
                 other's queue; install one: `apt-get install postfix`"
            ),
            Self::NotSeen { side } => write!(f, "the {side}'s mail queue was not looked at"),
            Self::Quarantined {
                side,
                path,
                messages,
            } => write!(
                f,
                "sendmail on the {side} holds {} in {path} (quarantine), which Postfix on the other \
                 host would deliver; see them with `mailq -qQ`, release them with `sendmail -qQ -Q`, or \
                 move their files (hf*, df*) away",
                counted(*messages, "message", "messages")
            ),
            Self::NoRoom {
                side,
                path,
                needed,
                free_bytes,
                free_inodes,
            } => {
                let (files, needs) = (counted(needed.files, "file", "files"), size(needed.bytes));
                let inodes = free_inodes.map_or(String::new(), |free| format!(" for {free} files"));
                write!(
                    f,
                    "what waits in the other host's mail queue needs {needs} in {files} on the \
                     file system of {path} on the {side}, where {} are free{inodes}; make room \
                     there, or empty the queue: `mailq` shows it",
                    size(*free_bytes)
                )
            }
            Self::SplitQueue { side, path } => write!(
                f,
                "{path} on the {side} has its own directories for control files and bodies, which is \
                 not handled; empty it with `sendmail -q`, and give QueueDirectory in sendmail.cf \
                 one plain directory"
            ),
        }
    }
}
