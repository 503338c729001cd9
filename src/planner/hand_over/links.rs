//! The chain of actions from the first round to the probes, each needing what the one before gives.

use std::collections::{BTreeMap, BTreeSet};

use super::gates::Parts;
use crate::names::{Side, UserName};
use crate::plan::change::MailCopy;
use crate::plan::hand_over::{
    Alone, IdentityProof, LastDelta, Mailboxes, ProofOf, QueueCarry, Rounds,
};
use crate::plan::{Action, ActionId, Change, Draft, Fact, Reason, Risk, Undo};

/// The host that hands over waits so many seconds longer than the one that takes over, so that it finds
/// the addresses free.
const LONGER: u64 = 15;

/// Actions of which each needs what the one before gives.
pub(super) struct Links<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) from: Side,
    pub(super) last: BTreeSet<Fact>,
}

impl Links<'_> {
    /// Everything that is done while mail is served, and the freeze.
    pub(super) fn until_frozen(
        &mut self,
        (budget, alone): (u64, Option<Alone>),
        copies: &[MailCopy],
        boxes: &BTreeMap<UserName, Mailboxes>,
        parts: &Parts,
    ) {
        let from = self.from;
        let flush = parts.queue.as_ref();
        let rounds = Rounds {
            from,
            copies: copies.to_vec(),
            budget,
            alone,
            flush: flush.map_or_else(Vec::new, |queue| queue.flush.clone()),
        };
        self.gate("rounds", Change::Rounds(rounds), Fact::RoundsAreShort);
        self.gate(
            "prove-seeds",
            self.proof(ProofOf::Seed, boxes),
            Fact::SeedsProven,
        );
        self.gate(
            "survey",
            Change::Survey(parts.probe.clone()),
            Fact::ServiceSurveyed,
        );
        if let Some(asking) = &parts.backup {
            self.needs([Fact::BackupReady]);
            let asking = Change::AskBackup(asking.clone());
            self.gate("ask-backup", asking, Fact::BackupAsked);
        }
        // Until the addresses move the host that takes over has nothing but what was laid ready there.
        let arm = [from.other(), from].map(|side| parts.arming(side, from, budget));
        self.guarded("arm", Change::Arm(arm.to_vec()), [Fact::Armed(from)]);
        let freeze = Change::Freeze(parts.freeze.clone());
        self.guarded("freeze", freeze, [Fact::MailFrozen(from)]);
    }

    /// What is done while mail stands still and the addresses are where they were.
    pub(super) fn frozen(
        &mut self,
        copies: Vec<MailCopy>,
        boxes: &BTreeMap<UserName, Mailboxes>,
        queue: Option<QueueCarry>,
    ) {
        let from = self.from;
        if let Some(queue) = queue {
            self.guarded(
                "queue",
                Change::CarryQueue(Box::new(queue)),
                [Fact::QueueStaged],
            );
            self.needs([Fact::MailFrozen(from)]);
        }
        let proven: Vec<Fact> = boxes.keys().cloned().map(Fact::MailProven).collect();
        self.guarded(
            "last-delta",
            Change::LastDelta(LastDelta { from, copies }),
            proven,
        );
        self.guarded(
            "prove",
            self.proof(ProofOf::Frozen, boxes),
            [Fact::IdentityProven],
        );
    }

    /// What is done from the moment at which the addresses move.
    pub(super) fn moving(&mut self, within: u64, parts: Parts) {
        let (from, to) = (self.from, self.from.other());
        let arm = [(to, within), (from, within + LONGER)];
        let arm = arm.map(|(side, within)| parts.arming(side, from, within));
        self.guarded("arm-both", Change::Arm(arm.to_vec()), [Fact::Armed(to)]);
        self.needs([Fact::IdentityProven]);
        let leave = Change::LeaveAddresses(parts.leave);
        self.guarded("leave", leave, [Fact::AddressesLeft(from)]);
        let take = Change::TakeAddresses(parts.take);
        self.guarded("take", take, [Fact::AddressesTaken(to)]);
        self.needs([Fact::IdentityProven, Fact::Armed(to)]);
        let start = Change::StartServices(parts.start);
        self.guarded("start", start, [Fact::ServicesStarted(to)]);
        let probe = Change::ProbeService(parts.probe);
        self.guarded("probe", probe, [Fact::ServiceProbed]);
    }

    fn proof(&self, of: ProofOf, boxes: &BTreeMap<UserName, Mailboxes>) -> Change {
        Change::ProveIdentity(IdentityProof {
            from: self.from,
            of,
            users: boxes.clone(),
        })
    }

    /// Nothing is stopped by it.
    fn gate(&mut self, verb: &str, change: Change, gives: Fact) {
        self.add(verb, change, [gives], (Risk::Safe, Undo::Repeat));
    }

    /// It is taken back if a later one fails.
    fn guarded(&mut self, verb: &str, change: Change, gives: impl IntoIterator<Item = Fact>) {
        self.add(verb, change, gives, (Risk::ServiceVisible, Undo::Switch));
    }

    fn needs(&mut self, facts: impl IntoIterator<Item = Fact>) {
        self.last.extend(facts);
    }

    fn add(
        &mut self,
        verb: &str,
        change: Change,
        gives: impl IntoIterator<Item = Fact>,
        (risk, undo): (Risk, Undo),
    ) {
        let gives: BTreeSet<Fact> = gives.into_iter().collect();
        self.draft.actions.push(Action {
            id: ActionId(format!("hand-over/{verb}")),
            change,
            because: Reason::HandOver,
            needs: std::mem::replace(&mut self.last, gives.clone()),
            gives,
            risk,
            undo,
        });
    }
}
