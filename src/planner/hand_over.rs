//! The plan of a hand-over between two live hosts: gates first, then one chain of actions.
//!
//! What is done to services, addresses, queue and mail is drafted by those resources; here it is put
//! into the order that [`crate::host::switch`] rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Observation;
use super::between::Window;
use crate::host::Step;
use crate::manifest::{Cutover, Manifest, SourceAfter};
use crate::names::{Side, UserName};
use crate::plan::change::{HandOverRecord, MailCopy, TreeKind};
use crate::plan::hand_over::{
    self, Ending, IdentityProof, LastDelta, Leftover, LiveHandOver, Mailboxes, ProofOf, QueueCarry,
    Rounds, ServiceProbe, SwitchArming,
};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::raw::HostPath;
use crate::receipt::Held;
use crate::resource::{accounts, address, dovecot, mail, mta, queue, services};

/// The budget of a freeze for which the manifest names none, in seconds.
const BUDGET: u64 = 60;

/// The host that hands over waits so many seconds longer than the one that takes over, so that it finds
/// the addresses free.
const LONGER: u64 = 15;

/// What a run that died left armed: it is ended before anything else is planned.
pub(super) fn leftovers(manifest: &Manifest, observation: &Observation, authority: Side) -> Draft {
    let mut draft = Draft::default();
    let between = &observation.between;
    let epoch = observation
        .receipt
        .as_ref()
        .map_or(0, |receipt| receipt.epoch);
    let Some(to) = between.switches.values().next().map(|&armed| {
        if armed <= epoch {
            authority
        } else {
            authority.other()
        }
    }) else {
        return draft;
    };
    if observation.accounts.source.is_none() {
        block(
            &mut draft,
            format!(
                "a hand-over is half-done, and {} is out of reach, which knows its part of it: bring it \
                 back first; `reconcile status` tells what is armed",
                manifest.source.host
            ),
        );
        return draft;
    }
    let mut needs = BTreeSet::new();
    for side in [to, to.other()] {
        let Some(&armed) = between.switches.get(&side) else {
            continue;
        };
        let how = if armed <= epoch {
            Ending::Finish
        } else {
            Ending::TakeBack
        };
        let gives = BTreeSet::from([Fact::Settled(side)]);
        draft.actions.push(Action {
            id: ActionId(format!("hand-over/{side}/end")),
            change: Change::EndLeftover(Leftover { side, how }),
            because: Reason::HalfDone,
            needs: needs.clone(),
            gives: gives.clone(),
            risk: Risk::ServiceVisible,
            undo: Undo::Manual("plan again: what is wanted is planned anew".to_owned()),
        });
        needs.extend(gives);
    }
    draft.note(
        Resource::Migration,
        Level::Warning,
        "a hand-over was not finished; this is ended first, and what is wanted is planned anew then",
    );
    draft
}

/// What a hand-over needs, from all resources.
struct Parts {
    freeze: hand_over::Freeze,
    leave: hand_over::HostChange,
    take: hand_over::HostChange,
    start: hand_over::Start,
    probe: ServiceProbe,
    queue: Option<QueueCarry>,
    commit_to: Vec<Step>,
    commit_from: Vec<Step>,
}

impl Parts {
    fn arming(&self, side: Side, from: Side, within: u64) -> SwitchArming {
        let commit = if side == from {
            &self.commit_from
        } else {
            &self.commit_to
        };
        SwitchArming {
            side,
            within,
            commit: commit.clone(),
        }
    }
}

/// From the source to the target.
pub(super) fn cutover(
    manifest: &Manifest,
    observation: &Observation,
    resolved: &accounts::Resolved,
) -> Draft {
    let mut draft = Draft::default();
    let receipt = observation.receipt.as_ref();
    let copies = mail::copies(manifest, &observation.mail, receipt);
    let uidl_format = dovecot::wanted(manifest, &observation.dovecot, receipt);
    let users: BTreeSet<UserName> = resolved.users.keys().cloned().collect();
    let ready: BTreeSet<Fact> = users
        .iter()
        .cloned()
        .map(Fact::MailCopied)
        .chain([Fact::AccountsMerged, Fact::UidlEnforced, Fact::TargetQuiet])
        .collect();
    let record = HandOverRecord {
        uidl_format,
        users,
        live: None,
    };
    let from = Side::Source;
    let start = Start {
        from,
        copies,
        ready,
        record,
    };
    chain(manifest, observation, start, &mut draft);
    draft
}

/// From the target back to the source.
pub(super) fn reverse(manifest: &Manifest, observation: &Observation) -> Draft {
    let mut draft = Draft::default();
    let (Some(receipt), Some(_)) = (&observation.receipt, &observation.accounts.source) else {
        block(
            &mut draft,
            format!(
                "{} is out of reach, and is to serve again: bring it back, or set serve_from: target",
                manifest.source.host
            ),
        );
        return draft;
    };
    let Some(back) = &observation.mail.back else {
        // Whose files are whose cannot be told; the accounts say so.
        return draft;
    };
    still_frozen(manifest, observation, &mut draft);
    let copies = mail::copies_back(manifest, back, receipt);
    let users: BTreeSet<UserName> = copies.iter().map(|copy| copy.user.clone()).collect();
    let ready: BTreeSet<Fact> = users
        .iter()
        .cloned()
        .map(Fact::MailCopied)
        .chain([Fact::AccountsMerged, Fact::UidlEnforced])
        .collect();
    let record = HandOverRecord {
        uidl_format: receipt.uidl_format.clone(),
        users,
        live: None,
    };
    let from = Side::Target;
    let start = Start {
        from,
        copies,
        ready,
        record,
    };
    chain(manifest, observation, start, &mut draft);
    draft
}

/// What the source had when it handed over may only be written while nothing there opens it.
fn still_frozen(manifest: &Manifest, observation: &Observation, draft: &mut Draft) {
    let Some(source) = &observation.services.source else {
        return;
    };
    match services::freeze(manifest, Side::Source, source, Vec::new()) {
        Ok(freeze) if freeze.holds.is_empty() => {
            draft.settled.insert(Fact::MailFrozen(Side::Source));
        }
        Ok(freeze) => {
            let names: Vec<&str> = freeze.holds.keys().map(String::as_str).collect();
            block(
                draft,
                format!(
                    "{} on the source runs or could be started, which was stopped at the cutover: somebody \
                     did that by hand; stop and mask it again with `systemctl mask --now` there",
                    names.join(" and ")
                ),
            );
        }
        Err(problems) => {
            for problem in problems {
                let (resource, by) = blocked_service(Side::Source, problem);
                draft.block(resource, by);
            }
        }
    }
}

/// What a hand-over starts from.
struct Start {
    from: Side,
    /// Everybody's copy.
    copies: Vec<MailCopy>,
    /// What must hold before anything of it is done.
    ready: BTreeSet<Fact>,
    /// What is recorded in the end.
    record: HandOverRecord,
}

/// The gates, and if all say yes, the chain.
fn chain(manifest: &Manifest, observation: &Observation, start: Start, draft: &mut Draft) {
    let Start {
        from,
        copies,
        ready,
        record,
    } = start;
    let Some((cutover, parts)) = gates(manifest, observation, from, &copies, draft) else {
        return;
    };
    let to = from.other();
    let epoch = observation
        .receipt
        .as_ref()
        .map_or(0, |receipt| receipt.epoch)
        + 1;
    let live = LiveHandOver {
        epoch,
        confirm: cutover.confirm,
        within: cutover.confirmed_within(),
        machines: observation.between.machines.clone(),
        holds: parts.freeze.holds.clone(),
        started: parts.start.ports.keys().cloned().collect(),
    };
    let boxes = mailboxes(&copies);
    let mut needs = ready.clone();
    needs.extend(boxes.keys().cloned().map(Fact::MailProven));
    let mut links = Links {
        draft,
        from,
        last: ready,
    };
    links.until_frozen(budget(manifest), &copies, &boxes, &parts);
    links.frozen(copies, &boxes, parts.queue.clone());
    links.moving(cutover.confirmed_within(), parts);
    needs.extend(links.last.iter().cloned());
    draft.actions.push(Action {
        id: ActionId("migration/hand-over".to_owned()),
        change: Change::HandOver {
            to,
            keep: HandOverRecord {
                live: Some(live),
                ..record
            },
        },
        because: match to {
            Side::Target => Reason::ServeFromTarget,
            Side::Source => Reason::ServeFromSource,
        },
        needs,
        gives: BTreeSet::from([Fact::Authority(to)]),
        risk: Risk::PointOfNoReturn,
        undo: Undo::Reverse,
    });
}

/// Actions of which each needs what the one before gives.
struct Links<'a> {
    draft: &'a mut Draft,
    from: Side,
    last: BTreeSet<Fact>,
}

impl Links<'_> {
    /// Everything that is done while mail is served, and the freeze.
    fn until_frozen(
        &mut self,
        budget: u64,
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
        // Until the addresses move the host that takes over has nothing but what was laid ready there.
        let arm = [from.other(), from].map(|side| parts.arming(side, from, budget));
        self.guarded("arm", Change::Arm(arm.to_vec()), [Fact::Armed(from)]);
        let freeze = Change::Freeze(parts.freeze.clone());
        self.guarded("freeze", freeze, [Fact::MailFrozen(from)]);
    }

    /// What is done while mail stands still and the addresses are where they were.
    fn frozen(
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
    fn moving(&mut self, within: u64, parts: Parts) {
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

/// All that can be known before anything is stopped. `None`, with what is in the way in the draft, if a
/// gate says no.
fn gates<'a>(
    manifest: &'a Manifest,
    observation: &Observation,
    from: Side,
    copies: &[MailCopy],
    draft: &mut Draft,
) -> Option<(&'a Cutover, Parts)> {
    let before = draft.blocked.len();
    let between = &observation.between;
    if !manifest.target.host.is_live() {
        block(
            draft,
            "a live source can only hand over to a live target: give target.host as ssh://"
                .to_owned(),
        );
        return None;
    }
    if !between.changeable {
        block(
            draft,
            format!(
                "{} can only be read, because reconcile does not run there, so it cannot be frozen: the \
                 notes say what is in the way",
                manifest.source.host
            ),
        );
    }
    window(manifest, between.window, draft);
    let Some(cutover) = &manifest.cutover else {
        block(
            draft,
            "the manifest names no address that moves: write cutover.address, the address that clients \
             and senders connect to"
                .to_owned(),
        );
        return None;
    };
    let parts = parts(manifest, observation, from, cutover, copies, draft);
    parts
        .filter(|_| draft.blocked.len() == before)
        .map(|parts| (cutover, parts))
}

fn window(manifest: &Manifest, window: Window, draft: &mut Draft) {
    let freeze = manifest.freeze.clone().unwrap_or_default();
    let when = |time: Option<jiff::Timestamp>| time.map_or(String::new(), |time| time.to_string());
    match window {
        Window::Open => {}
        Window::NotYet => block(
            draft,
            format!(
                "mail may not stand still before {}: freeze.not_before",
                when(freeze.not_before)
            ),
        ),
        Window::Over => block(
            draft,
            format!(
                "mail may not stand still after {}: choose another freeze.not_after",
                when(freeze.not_after)
            ),
        ),
    }
}

fn parts(
    manifest: &Manifest,
    observation: &Observation,
    from: Side,
    cutover: &Cutover,
    copies: &[MailCopy],
    draft: &mut Draft,
) -> Option<Parts> {
    let to = from.other();
    let friends: Vec<IpAddr> = observation
        .between
        .probers
        .iter()
        .copied()
        .chain(cutover.try_from.iter().map(|address| address.0))
        .collect();
    let host = |side| match side {
        Side::Source => observation.services.source.as_ref(),
        Side::Target => observation.services.target.as_ref(),
    };
    let records: BTreeMap<String, Held> = match to {
        Side::Target => observation.receipt.as_ref(),
        Side::Source => observation.between.source_receipt.as_ref(),
    }
    .map_or_else(BTreeMap::new, |receipt| receipt.services.clone());
    let (Some(old), Some(new)) = (host(from), host(to)) else {
        block(
            draft,
            "the services of both hosts must be seen to hand over".to_owned(),
        );
        return None;
    };
    let trees = tops(copies, from);
    let freeze = services::freeze(manifest, from, old, trees);
    let freeze = sort_out(freeze, |problem| blocked_service(from, problem), draft);
    let start = services::start(manifest, to, new, &records);
    let start = sort_out(start, |problem| blocked_service(to, problem), draft);
    let by_address = |(resource, problem)| (resource, Obstacle::Address { problem });
    let name = &manifest.name;
    let leave = address::leave(cutover, from, &observation.address, name);
    let leave = sort_out(leave, by_address, draft);
    let take = address::arrive(cutover, to, &observation.address, &friends);
    let take = sort_out(take, by_address, draft);
    let findings = mta::compare(manifest, from, to, &observation.mta);
    for problem in findings.problems {
        let resource = Resource::Service(to, "mta".to_owned());
        draft.block(
            resource,
            Obstacle::Migration {
                problem: problem.to_string(),
            },
        );
    }
    for warning in findings.warnings {
        let resource = Resource::Service(to, "mta".to_owned());
        draft.note(resource, Level::Warning, warning.to_string());
    }
    let queue = queue::draft(manifest, from, to, &observation.queue);
    let by_queue = |problem: queue::Problem| {
        let resource = Resource::Service(problem.side(), "queue".to_owned());
        (
            resource,
            Obstacle::Migration {
                problem: problem.to_string(),
            },
        )
    };
    let queue = sort_out(queue, by_queue, draft).flatten();
    let mut commit_to = take.as_ref().map_or_else(Vec::new, address::commit);
    let mut commit_from = Vec::new();
    if let Some(queue) = &queue {
        commit_to.extend(queue.commit_to.iter().cloned());
        commit_from.extend(queue.commit_from.iter().cloned());
    }
    commit_from.extend(leave.as_ref().map_or_else(Vec::new, address::settle));
    if from == Side::Source && cutover.source_after == SourceAfter::PowerOff {
        commit_from.push(Step::PowerOff);
    }
    Some(Parts {
        freeze: freeze?,
        leave: leave?,
        take: take?,
        start: start?,
        probe: ServiceProbe {
            to,
            addresses: cutover.address.iter().map(|net| net.0.addr()).collect(),
            ports: crate::exposure::PORTS
                .iter()
                .map(|(port, ..)| *port)
                .collect(),
            domain: domain(manifest, observation, from),
            users: copies.iter().map(|copy| copy.user.clone()).collect(),
            recipient: cutover.probe.as_ref().and_then(|probe| probe.user.clone()),
        },
        queue,
        commit_to,
        commit_from,
    })
}

/// What there is, or what is in the way.
fn sort_out<T, P>(
    result: Result<T, Vec<P>>,
    blocked: impl Fn(P) -> (Resource, Obstacle),
    draft: &mut Draft,
) -> Option<T> {
    match result {
        Ok(part) => Some(part),
        Err(problems) => {
            for (resource, by) in problems.into_iter().map(blocked) {
                draft.block(resource, by);
            }
            None
        }
    }
}

fn blocked_service(side: Side, problem: services::Problem) -> (Resource, Obstacle) {
    let resource = Resource::Service(side, "mail".to_owned());
    (resource, Obstacle::Service { problem })
}

fn budget(manifest: &Manifest) -> u64 {
    let budget = manifest.freeze.as_ref().and_then(|freeze| freeze.budget);
    budget.map_or(BUDGET, |span| span.seconds)
}

/// The domain of the users' addresses: what the manifest says, else one that the MTA takes mail for,
/// rather a domain than the host's own name.
fn domain(manifest: &Manifest, observation: &Observation, from: Side) -> String {
    let named = manifest.mx.as_ref().map(|mx| mx.domain.clone());
    let mta = observation.mta.of(from);
    let taken = mta.and_then(|mta| {
        let mut all = mta.domains.iter().filter(|domain| domain.contains('.'));
        let domain =
            all.find(|domain| **domain != mta.hostname && !domain.starts_with("localhost"));
        domain.or_else(|| mta.domains.get(&mta.hostname)).cloned()
    });
    named.or(taken).unwrap_or_else(|| "localhost".to_owned())
}

/// The tops of all trees on a side.
fn tops(copies: &[MailCopy], side: Side) -> Vec<HostPath> {
    let trees = copies.iter().flat_map(|copy| &copy.trees);
    trees
        .map(|tree| match side {
            Side::Source => tree.paths.source.clone(),
            Side::Target => tree.paths.target.clone(),
        })
        .collect()
}

/// Where everybody's mailboxes are.
fn mailboxes(copies: &[MailCopy]) -> BTreeMap<UserName, Mailboxes> {
    let of = |copy: &MailCopy| {
        let paths = |kind| {
            let tree = copy.trees.iter().find(|tree| tree.paths.kind == kind)?;
            Some([tree.paths.source.clone(), tree.paths.target.clone()])
        };
        let (home, spool) = (paths(TreeKind::Home)?, paths(TreeKind::Spool)?);
        Some((copy.user.clone(), Mailboxes { home, spool }))
    };
    copies.iter().filter_map(of).collect()
}

fn block(draft: &mut Draft, problem: String) {
    draft.block(Resource::Migration, Obstacle::Migration { problem });
}
