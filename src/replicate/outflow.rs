//! What leaves a host whose trees are read: how fast, and at whose expense.
//!
//! All streams of a host share one [`Outflow`], whichever way each of them goes. It holds three things
//! against the host's own work:
//!
//! - **The limit**, bytes a second of content as it leaves, compressed or not. A stream that has sent
//!   pays for it by waiting; what scanning and comparing tell is not content and waits for nothing.
//! - **The priority**: streams run at a low one ([`mod@priority`]).
//! - **The load**: while others on the host wait for its disks, streams take a smaller share of the time,
//!   never less than a quarter ([`load`] has the rule).
//!
//! In a freeze users wait for us, and none of the three holds: [`Pace::URGENT`]. On a directory root
//! nobody works but us, so there is only the limit.

mod bucket;
mod compression;
mod held;
pub(crate) mod load;
mod packing;
mod priority;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use bucket::Bucket;
use compression::Decision;
pub use held::{Held, HeldBy};
pub(super) use packing::{Packer, Spare, Unpacker};

/// How a host is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Bytes a second of content that may leave it; `None` for as many as there are.
    pub limit: Option<u64>,
    /// Whose work comes first.
    pub manner: Manner,
}

impl Pace {
    /// Users wait: no limit, and no way given to anybody.
    pub const URGENT: Self = Self {
        limit: None,
        manner: Manner::Urgent,
    };
}

/// Whose work comes first on a host that is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Manner {
    /// The host's own.
    #[default]
    Yielding,
    /// Ours.
    Urgent,
}

/// The share of the time that streams take is halved this often at most.
const MOST_HALVINGS: u32 = 2;

/// A wish to stop is noticed within this time.
const GLANCE: Duration = Duration::from_millis(100);

/// Shorter rests are saved up: no clock wakes anybody that exactly.
const SHORTEST_REST: Duration = Duration::from_millis(2);

/// The longest rest in one go.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What all streams of one host share.
#[derive(Debug)]
pub struct Outflow {
    host: Host,
    gate: Mutex<Gate>,
    changed: Condvar,
    held: Mutex<Held>,
    decision: Mutex<Decision>,
    spare: Arc<Spare>,
}

/// Whether a host has work of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    AtWork,
    Idle,
}

#[derive(Debug, Default)]
struct Gate {
    pace: Pace,
    bucket: Option<Bucket>,
    /// How often the pace was set: who waits under an old one waits no longer.
    set: u64,
    streams: usize,
    halvings: u32,
    /// Nobody works, so that the host can be heard.
    listening: bool,
}

impl Default for Outflow {
    fn default() -> Self {
        Self::of(Host::Idle)
    }
}

impl Outflow {
    /// That of a host which has work of its own, to be told the load by [`load::watch`].
    pub fn of_live_host() -> Self {
        Self::of(Host::AtWork)
    }

    fn of(host: Host) -> Self {
        Self {
            host,
            gate: Mutex::default(),
            changed: Condvar::new(),
            held: Mutex::default(),
            decision: Mutex::default(),
            spare: Arc::default(),
        }
    }

    /// Goes on at another pace, at once.
    pub fn set_pace(&self, pace: Pace) {
        let mut gate = self.gate();
        if gate.pace == pace {
            return;
        }
        gate.pace = pace;
        gate.bucket = pace.limit.map(|rate| Bucket::new(rate, Instant::now()));
        gate.set += 1;
        if pace.manner == Manner::Urgent {
            gate.halvings = 0;
        }
        self.prioritize(&gate);
        drop(gate);
        self.changed.notify_all();
    }

    /// What held the streams so far.
    pub fn held(&self) -> Held {
        *lock(&self.held)
    }

    pub(super) fn is_limited(&self) -> bool {
        self.gate().bucket.is_some()
    }

    /// Waits until so many bytes of content may have left; how long that took. `stop` ends the wait.
    pub(super) fn let_out(&self, bytes: u64, stop: Option<&AtomicBool>) -> Duration {
        let began = Instant::now();
        let mut gate = self.gate();
        let Some(bucket) = &mut gate.bucket else {
            return Duration::ZERO;
        };
        let until = began + bucket.take(bytes, began);
        let set = gate.set;
        while gate.set == set && !stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            gate = self.wait(gate, left.min(GLANCE));
        }
        drop(gate);
        let took = began.elapsed();
        lock(&self.held).limit += took;
        took
    }

    /// Gives way to others after so much work, while there are others; how long that took. What is
    /// too short to be rested is kept in `owed`.
    fn rest(&self, worked: Duration, owed: &mut Duration) -> Duration {
        let mut gate = self.gate();
        if gate.halvings == 0 && !gate.listening {
            *owed = Duration::ZERO;
            return Duration::ZERO;
        }
        let began = Instant::now();
        while gate.listening {
            gate = self.wait(gate, GLANCE);
        }
        if gate.halvings > 0 {
            *owed += worked * ((1 << gate.halvings) - 1);
            if *owed >= SHORTEST_REST {
                let until = Instant::now() + (*owed).min(LONGEST_REST);
                *owed = Duration::ZERO;
                let set = gate.set;
                while gate.set == set {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    gate = self.wait(gate, left);
                }
            }
        }
        drop(gate);
        let took = began.elapsed();
        lock(&self.held).busy += took;
        took
    }

    /// Whether streams give way to the host's own work.
    fn gives_way(&self, gate: &Gate) -> bool {
        self.host == Host::AtWork && gate.pace.manner == Manner::Yielding
    }

    /// The priority of the whole agent follows the streams: what it does besides is not to wait.
    fn prioritize(&self, gate: &Gate) {
        if self.host == Host::AtWork {
            priority::of_session(if self.gives_way(gate) && gate.streams > 0 {
                priority::LOW
            } else {
                priority::USUAL
            });
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    fn wait<'g>(&self, gate: MutexGuard<'g, Gate>, time: Duration) -> MutexGuard<'g, Gate> {
        let woken = self.changed.wait_timeout(gate, time);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One stream of answers that leave a host, in one thread.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) outflow: Arc<Outflow>,
    began: Began,
    owed: Duration,
    /// When the last answer was through.
    last: Option<Instant>,
    /// How long the other end says that it has waited for us.
    waited: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Began {
    NotYet,
    Yes,
}

/// What one answer was, to the stream that it goes into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When its question came.
    pub(super) asked: Instant,
    /// Of the time since, what was not work: waiting for a limit on the way.
    pub(super) idle: Duration,
    /// How long the other end says that it has waited so far.
    pub(super) waited: Duration,
    /// Bytes of the answer, and of what leaves for it.
    pub(super) plain: u64,
    pub(super) wire: u64,
    /// How long it took to compress, if it was.
    pub(super) packing: Option<Duration>,
    /// Whether the limit counts it.
    pub(super) counts: Counts,
}

/// Whether the limit counts an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counts {
    Yes,
    No,
}

impl Stream {
    pub(super) fn of(outflow: Arc<Outflow>) -> Self {
        Self {
            outflow,
            began: Began::NotYet,
            owed: Duration::ZERO,
            last: None,
            waited: Duration::ZERO,
        }
    }

    /// A question came. From the first on, the thread that answers has the stream's priority.
    pub(super) fn begin(&mut self) {
        if self.began == Began::Yes {
            return;
        }
        self.began = Began::Yes;
        let mut gate = self.outflow.gate();
        gate.streams += 1;
        if self.outflow.gives_way(&gate) {
            priority::of_this_thread();
        }
        if gate.streams == 1 {
            self.outflow.prioritize(&gate);
        }
    }

    /// In the middle of long work.
    pub(super) fn breathe(&mut self, worked: Duration) {
        self.outflow.rest(worked, &mut self.owed);
    }

    /// What compresses its answers.
    pub(super) fn packer(&self) -> Packer {
        Packer::with(&self.outflow.spare)
    }

    /// Whether the next answer is to be compressed.
    pub(super) fn packs(&self) -> bool {
        lock(&self.outflow.decision).packs()
    }

    /// An answer is ready: waits until it may leave.
    pub(super) fn end(&mut self, sent: &Sent) {
        let worked = sent.asked.elapsed().saturating_sub(sent.idle);
        if sent.counts == Counts::Yes {
            self.outflow.let_out(sent.wire, None);
        }
        let rested = self.outflow.rest(worked, &mut self.owed);
        let now = Instant::now();
        let elapsed = now.duration_since(self.last.unwrap_or(sent.asked));
        self.last = Some(now);
        // The other end may be anything: it has waited no longer than there was time.
        let waited = sent.waited.saturating_sub(self.waited).min(elapsed);
        self.waited = self.waited.max(sent.waited);
        {
            let mut held = lock(&self.outflow.held);
            held.elapsed += elapsed;
            held.working += worked;
            held.waited += waited;
        }
        lock(&self.outflow.decision).note(&compression::Note {
            at: now,
            elapsed,
            // A host that is busy has no time to compress, either.
            working: worked + rested,
            waited,
            plain: sent.plain,
            wire: sent.wire,
            packing: sent.packing,
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.began == Began::Yes {
            let mut gate = self.outflow.gate();
            gate.streams -= 1;
            if gate.streams == 0 {
                self.outflow.prioritize(&gate);
            }
        }
    }
}

#[cfg(test)]
mod tests;
