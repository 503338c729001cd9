//! Mail queues of a host as directories, and what a hand-over does with them.
//!
//! What waits at the host that hands over is brought to the other as it is ([`QueueMove::staged`]),
//! made ready there for that host's MTA in a directory inside its queue ([`QueueMove::ready`]), and
//! given to it once authority has changed hands: by renames alone, each of which takes one message from
//! one directory to the other. So a message is delivered exactly once wherever a run or a host dies.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FileKind, ReadHost};
use crate::error::Result;
use crate::plan::change::Count;
use crate::raw::HostPath;

/// Whose files a queue directory has.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum QueueKind {
    /// Postfix: `queue_directory`, with a directory for each queue.
    Postfix,
    /// sendmail's daemon: `/var/spool/mqueue`.
    Sendmail,
    /// What was given to sendmail's command while no daemon took it: `/var/spool/mqueue-client`.
    SendmailClient,
}

impl QueueKind {
    /// What of the directory is brought over; `None` is all.
    pub const fn parts(self) -> Option<&'static [&'static str]> {
        match self {
            // The messages, and what will be told to their senders: `src/global/mail_queue.h`.
            Self::Postfix => Some(&[
                "active", "bounce", "defer", "deferred", "hold", "incoming", "maildrop", "trace",
            ]),
            Self::Sendmail | Self::SendmailClient => None,
        }
    }
}

/// A queue directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueDirectory {
    /// Whose files.
    pub kind: QueueKind,
    /// Where.
    pub path: HostPath,
}

/// A queue of the host that hands over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StagedQueue {
    /// There.
    pub from: QueueDirectory,
    /// The copy's name in [`QueueMove::staged`].
    pub name: String,
}

/// Where an MTA takes messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accepting {
    /// Postfix.
    Postfix {
        /// `queue_directory`.
        path: HostPath,
        /// `hash_queue_names`: queues whose files are spread over directories.
        hashed: BTreeSet<String>,
        /// `hash_queue_depth`: so many levels of them.
        depth: u8,
    },
    /// sendmail.
    Sendmail {
        /// `QueueDirectory`.
        path: HostPath,
    },
}

impl Accepting {
    /// The directory.
    pub const fn path(&self) -> &HostPath {
        match self {
            Self::Postfix { path, .. } | Self::Sendmail { path } => path,
        }
    }
}

/// Messages on their way from one host's queues into another's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueMove {
    /// Where the copies are, on the host that takes over; only root enters.
    pub staged: HostPath,
    /// What is there.
    pub queues: Vec<StagedQueue>,
    /// Where they are made ready: inside the MTA's own directory, so that a rename is enough.
    pub ready: HostPath,
    /// The MTA that gets them.
    pub into: Accepting,
}

/// Carried messages are put aside on the host that handed over, so that it never delivers them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueAside {
    /// The list of the files, [`Carried`], on that host.
    pub list: HostPath,
    /// Nothing outside of these is touched.
    pub queues: Vec<QueueDirectory>,
    /// Where they go.
    pub kept: HostPath,
}

/// What is done with queues in a hand-over, on one host; done twice, it leaves what doing it once leaves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueStep {
    /// Makes what was brought from another host's queues ready for this host's MTA, and writes down
    /// what cannot be given to it ([`Carried`]).
    Prepare(QueueMove),
    /// Gives the MTA what was made ready, each message once, and removes the copies.
    Deliver(QueueMove),
    /// Removes what was brought and not given to the MTA.
    Drop(QueueMove),
    /// Puts messages aside that another host has by now.
    SetAside(QueueAside),
}

impl fmt::Display for QueueStep {
    /// As a line of a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare(queue) => {
                write!(
                    f,
                    "make the queue that was brought ready in {}",
                    queue.ready
                )
            }
            Self::Deliver(queue) => {
                write!(
                    f,
                    "put the queue that was brought into {}",
                    queue.into.path()
                )
            }
            Self::Drop(queue) => {
                write!(
                    f,
                    "remove {} and {}, if they are there",
                    queue.staged, queue.ready
                )
            }
            Self::SetAside(aside) => write!(f, "move the carried queue to {}", aside.kept),
        }
    }
}

/// What became of the copies once they were made ready: JSON beside them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// Files of the host that hands over that belong to messages that are ready.
    pub files: Vec<HostPath>,
    /// How many messages these are.
    pub messages: u64,
    /// Messages that stay where they are, and why.
    pub left: Vec<Left>,
}

/// A message that cannot be given to the other host's MTA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Its file, on the host that hands over.
    pub path: HostPath,
    /// Why.
    pub why: String,
}

impl Carried {
    /// Where it is, once [`QueueMove::staged`] is made ready.
    pub fn path(staged: &HostPath) -> HostPath {
        staged.join("carried.json")
    }
}

/// Queues of Postfix that hold messages; `bounce`, `defer` and `trace` hold what is told of them.
pub const POSTFIX_QUEUES: [&str; 5] = ["active", "deferred", "hold", "incoming", "maildrop"];

/// The name of the queue of what sendmail holds until somebody releases it: it has no directory of its
/// own.
pub const QUARANTINE: &str = "quarantine";

/// Directories inside directories are looked into so far: `hash_queue_depth` is 1 by default and 16 at
/// most, but nobody has more than two levels.
const DEEPEST: u8 = 4;

/// Paths of the messages that wait in a queue directory, each with the name of its queue. What is
/// not finished, because its sender was never told that it was taken, does not count.
pub fn waiting(
    host: &dyn ReadHost,
    kind: QueueKind,
    dir: &HostPath,
) -> Result<Vec<(String, HostPath)>> {
    let mut found = Vec::new();
    match kind {
        QueueKind::Postfix => {
            for queue in POSTFIX_QUEUES {
                let mut files = Vec::new();
                finished(host, &dir.join(queue), DEEPEST, &mut files)?;
                found.extend(files.into_iter().map(|path| (queue.to_owned(), path)));
            }
        }
        QueueKind::Sendmail | QueueKind::SendmailClient => {
            for name in host.list(dir)?.unwrap_or_default() {
                let queue = match name.as_bytes().get(..2) {
                    Some(b"qf") => "mqueue",
                    // Held by an administrator or a filter: sendmail 8.13 and later.
                    Some(b"hf") => QUARANTINE,
                    _ => continue,
                };
                found.push((queue.to_owned(), dir.join(name.as_bytes())));
            }
        }
    }
    Ok(found)
}

/// What is copied of a queue directory: files, and their bytes. Of Postfix what is told of messages is
/// counted as a block each, for it is never large.
pub fn weight(host: &dyn ReadHost, kind: QueueKind, dir: &HostPath) -> Result<Count> {
    let messages = waiting(host, kind, dir)?.into_iter().map(|(_, path)| path);
    let files: Vec<HostPath> = match kind {
        QueueKind::Postfix => messages.collect(),
        // A body is beside each, and more than one is not.
        QueueKind::Sendmail | QueueKind::SendmailClient => messages
            .flat_map(|path| {
                let name = path.file_name().to_vec();
                let body = [b"df", name.get(2..).unwrap_or_default()].concat();
                [path.parent().join(body.as_slice()), path]
            })
            .collect(),
    };
    let mut count = Count::default();
    for path in files {
        let Some(stat) = host.lstat(&path)? else {
            continue;
        };
        count.files += 1;
        count.bytes += stat.size;
        if kind == QueueKind::Postfix {
            count.files += 1;
            count.bytes += BLOCK;
        }
    }
    Ok(count)
}

/// A block of most file systems.
const BLOCK: u64 = 4096;

/// Regular files beneath a directory that Postfix has finished: those have the owner's execute bit.
fn finished(
    host: &dyn ReadHost,
    dir: &HostPath,
    depth: u8,
    files: &mut Vec<HostPath>,
) -> Result<()> {
    for name in host.list(dir)?.unwrap_or_default() {
        let path = dir.join(name.as_bytes());
        let Some(stat) = host.lstat(&path)? else {
            continue;
        };
        match stat.kind {
            FileKind::File if stat.mode & 0o100 != 0 => files.push(path),
            FileKind::Dir if depth > 0 => finished(host, &path, depth - 1, files)?,
            _ => {}
        }
    }
    Ok(())
}
