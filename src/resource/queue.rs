//! What waits in the MTAs' queues, and how it moves in a hand-over.
//!
//! A queue is carried as files, see [`crate::host::queue`]; which files are whose is found here. How
//! mail is accepted and where it is delivered does not belong here: that is [`super::mta`].

mod draft;
mod observe;
mod problem;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::host::queue::{Accepting, QueueDirectory};
use crate::names::Side;
use crate::plan::change::Count;
use crate::raw::HostPath;
use crate::resource::mail::Volume;

pub use draft::draft;
pub use observe::{observe, on};
pub use problem::Problem;

/// The queues of both hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Of the source; `None` if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<HostQueues>,
    /// Of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<HostQueues>,
}

/// The queues of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostQueues {
    /// Where the MTA whose `sendmail` command the host has takes messages; `None` if that is neither
    /// Postfix nor sendmail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepting: Option<Accepting>,
    /// Queue directories, also of an MTA that is not used any more.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub directories: BTreeSet<QueueDirectory>,
    /// Messages that wait, by directory and queue: `/var/spool/postfix/deferred`. Changes all the
    /// time.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, u64>,
    /// What carrying all of that copies. Changes all the time.
    #[serde(skip_serializing_if = "is_nothing")]
    pub size: Count,
    /// Room for another host's queue: where it is kept until the hand-over is made, and in the queue of
    /// the MTA, if that is on another file system. Changes all the time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub room: Vec<Volume>,
    /// Messages that sendmail holds until somebody releases them (quarantine), by directory: a part of
    /// what waits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quarantined: BTreeMap<HostPath, u64>,
    /// Queue directories that are laid out in a way that is not handled.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub odd: BTreeSet<QueueDirectory>,
}

fn is_nothing(count: &Count) -> bool {
    *count == Count::default()
}

impl HostQueues {
    /// All messages that wait.
    pub fn count(&self) -> u64 {
        self.waiting.values().sum()
    }
}

impl Actual {
    /// Of one side.
    pub const fn of(&self, side: Side) -> Option<&HostQueues> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Target => self.target.as_ref(),
        }
    }

    /// Leaves out what changes all the time: a plan does not rest on it.
    pub fn forget_counts(&mut self) {
        for queues in [&mut self.source, &mut self.target].into_iter().flatten() {
            queues.waiting.clear();
            queues.quarantined.clear();
            queues.size = Count::default();
            queues.room.clear();
        }
    }
}
