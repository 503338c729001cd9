//! What a run tells while it goes on, and who listens. The engine emits [`Event`]s and never prints.

pub mod json;
pub mod terminal;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::ActionId;
use crate::replicate::HeldBy;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The hosts are being looked at.
    Observing {
        /// What for.
        what: String,
    },
    /// The plan is about to be carried out.
    RunStarted {
        /// Number of actions.
        actions: usize,
        /// Bytes to be copied, as planned.
        bytes: u64,
        /// Files to be copied or touched, as planned.
        files: u64,
    },
    /// Mail goes straight from one host to the other.
    Direct {
        /// Where the connection ends on the target.
        address: String,
    },
    /// Mail goes through this machine, although it should not have to.
    Relayed {
        /// Why.
        why: String,
    },
    /// An action begins.
    ActionStarted {
        /// Which.
        action: ActionId,
    },
    /// An action was carried out and its result looked at.
    ActionDone {
        /// Which.
        action: ActionId,
    },
    /// A user's mail changed on the live source each time that it was copied.
    Moving {
        /// The copy, which is done as far as it can be.
        action: ActionId,
        /// What was seen to change last.
        what: String,
    },
    /// What changes in the mail of the host that hands over is noted from here on: later looks pass over
    /// what does not.
    Tracked {
        /// Which host.
        host: String,
    },
    /// It is not, or not for all trees, or was not until now: those are looked at as a whole.
    Untracked {
        /// Why.
        why: String,
    },
    /// A round of copying mail while it moves has ended.
    Round {
        /// Its number, from 1.
        number: u32,
        /// Users whose mail had changed.
        users: u64,
        /// Bytes that were copied.
        bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// What the freeze is expected to take.
    Forecast {
        /// Seconds.
        seconds: u64,
        /// What the manifest allows.
        budget: u64,
    },
    /// The mail stands still from here on.
    Frozen {
        /// On which host.
        host: String,
    },
    /// What waited in the mail queues is kept ready on the host that takes over.
    Queue {
        /// Messages that waited.
        waiting: u64,
        /// Those that are carried.
        carried: u64,
    },
    /// What the backup mail exchanger queued was delivered, or not all of it.
    Drained {
        /// Messages that waited there.
        waiting: u64,
        /// Those that still do.
        left: u64,
    },
    /// Everything is ready, and a person has to confirm.
    Waiting {
        /// Until when.
        until: Timestamp,
        /// What to do.
        how: String,
    },
    /// What a hand-over did is being taken back.
    TakingBack {
        /// Where.
        host: String,
        /// Why.
        why: String,
    },
    /// It was taken back there.
    TakenBack {
        /// Where.
        host: String,
        /// What is left, and what happens about it; empty if nothing.
        left: String,
    },
    /// Something that a person should look at.
    Warning {
        /// What.
        text: String,
    },
    /// An action failed.
    ActionFailed {
        /// Which.
        action: ActionId,
        /// Message and causes.
        error: String,
    },
    /// An action was left out because one that it needs failed or was left out.
    ActionSkipped {
        /// Which.
        action: ActionId,
        /// What it needed.
        waits_on: String,
    },
    /// How far the copying is.
    Progress {
        /// Files done.
        files: u64,
        /// Bytes done.
        bytes: u64,
        /// Bytes to do, as planned.
        total_bytes: u64,
        /// Bytes a second since the last such event.
        rate: u64,
        /// Seconds left at the rate so far; absent while unknown.
        eta_seconds: Option<u64>,
        /// What holds it back most; absent while nothing is read.
        #[serde(skip_serializing_if = "Option::is_none")]
        held_by: Option<HeldBy>,
    },
    /// The run ended.
    RunEnded {
        /// Actions carried out.
        done: usize,
        /// Actions that failed.
        failed: usize,
        /// Actions left out.
        skipped: usize,
        /// Files, directories and links that were dealt with, changed or not.
        files: u64,
        /// Bytes copied.
        bytes: u64,
    },
}

/// Somebody who listens.
pub trait Reporter: Sync {
    /// Takes one event; must not block for long.
    fn event(&self, event: &Event);
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Event) {}
}

/// A number of things for people: `1 file`, `3 files`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes for people, in decimal units.
pub fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().si().to_string()
}
