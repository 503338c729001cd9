//! A hand-over between two live hosts: rounds, freeze, last delta, proof, addresses, probes, and the one
//! moment at which authority changes hands.
//!
//! From the first armed switch on, whatever fails is taken back, on the host that takes over first and
//! then on the other ([`mod@take_back`]); each host would do that by itself, too. The rules are those of
//! [`crate::host::switch`].

mod advance;
mod authority;
mod identity;
mod rounds;
mod take_back;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

pub(super) use advance::{arm, carry_queue, freeze, leave, look_again, start, survey, take};
pub use authority::confirm;
pub(super) use authority::hand_over;
pub(super) use authority::mend;
pub(super) use identity::prove;
pub(super) use rounds::{last_delta, rounds};
pub(super) use take_back::{end, take_back, taken_back};

use super::tracking::Looks;
use crate::exposure::Survey;
use crate::names::{Side, UserName};
use crate::plan::hand_over::ProofOf;
use crate::plan::{Action, Change, Plan, Undo};

/// What one action of a hand-over tells a later one.
#[derive(Debug, Default)]
pub(super) struct Memory {
    inner: Mutex<Remembered>,
    /// Looks at trees whose changes are noted.
    pub(super) looks: Looks,
}

#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Users whose clients see the same on both hosts, and whose mail has not changed since.
    pub(super) proven: BTreeSet<UserName>,
    /// What the service looked like before it moved.
    pub(super) survey: Option<Survey>,
    /// Since when nothing moves on the host that hands over, by its clock.
    pub(super) still_since: Option<Timestamp>,
    /// How long the last round took.
    pub(super) round: Duration,
}

impl Memory {
    pub(super) fn open(&self) -> MutexGuard<'_, Remembered> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what an action did is taken back when a later one fails.
pub(super) fn is_guarded(action: &Action) -> bool {
    action.undo == Undo::Switch
}

/// Whether an action only finds out if a hand-over can be made, with nothing stopped.
pub(super) fn is_gate(action: &Action) -> bool {
    match &action.change {
        Change::Rounds(_) | Change::Survey(_) | Change::AskBackup(_) => true,
        Change::ProveIdentity(proof) => proof.of == ProofOf::Seed,
        _ => false,
    }
}

/// To which side a guarded action hands over.
pub(super) fn towards(action: &Action) -> Option<Side> {
    match &action.change {
        // The first arms the host that hands over.
        Change::Arm(armings) => armings.last().map(|arming| arming.side.other()),
        Change::Freeze(freeze) => Some(freeze.change.side.other()),
        Change::LastDelta(last) => Some(last.from.other()),
        Change::CarryQueue(carry) => Some(carry.from.other()),
        Change::ProveIdentity(proof) => Some(proof.from.other()),
        Change::LeaveAddresses(change) => Some(change.side.other()),
        Change::TakeAddresses(change) => Some(change.side),
        Change::StartServices(start) => Some(start.change.side),
        Change::ProbeService(probe) => Some(probe.to),
        Change::HandOver { to, .. } => Some(*to),
        _ => None,
    }
}

/// The epoch that the plan's hand-over makes; `None` if it makes none between live hosts.
pub(super) fn epoch(plan: &Plan) -> Option<u32> {
    plan.actions.iter().find_map(|action| match &action.change {
        Change::HandOver { keep, .. } => keep.live.as_ref().map(|live| live.epoch),
        _ => None,
    })
}
