//! What can be known before anything is stopped: what all resources say of the hand-over, or what is in
//! the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::Observation;
use super::super::between::Window;
use super::block;
use crate::host::Step;
use crate::manifest::{Cutover, Manifest, SourceAfter};
use crate::names::{Side, UserName};
use crate::plan::backup::BackupAsking;
use crate::plan::change::MailCopy;
use crate::plan::hand_over::{self, QueueCarry, ServiceProbe, SwitchArming};
use crate::plan::{Draft, Level, Obstacle, Resource};
use crate::raw::HostPath;
use crate::receipt::Held;
use crate::resource::{address, backup, dovecot, mta, queue, services};

/// What a hand-over needs, from all resources.
pub(super) struct Parts {
    pub(super) freeze: hand_over::Freeze,
    pub(super) leave: hand_over::HostChange,
    pub(super) take: hand_over::HostChange,
    pub(super) start: hand_over::Start,
    /// What the host that takes over holds no longer once it is started: a start lets go everything.
    pub(super) let_go: BTreeSet<String>,
    pub(super) probe: ServiceProbe,
    pub(super) queue: Option<QueueCarry>,
    pub(super) backup: Option<BackupAsking>,
    pub(super) commit_to: Vec<Step>,
    pub(super) commit_from: Vec<Step>,
}

impl Parts {
    pub(super) fn arming(&self, side: Side, from: Side, within: u64) -> SwitchArming {
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

/// All that can be known before anything is stopped. `None`, with what is in the way in the draft, if a
/// gate says no.
pub(super) fn gates<'a>(
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

/// Who reaches the addresses before authority changes hands.
fn friends(cutover: &Cutover, observation: &Observation) -> Vec<IpAddr> {
    let tried = cutover.try_from.iter().map(|address| address.0);
    let probers = observation.between.probers.iter().copied();
    probers.chain(tried).collect()
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
    let friends = friends(cutover, observation);
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
    if from == Side::Target {
        dovecot::compare_back(draft, manifest, &observation.dovecot);
    }
    let open = mta::Open {
        now: old.reached_from_elsewhere(),
        otherwise: dovecot::submission_ports(&observation.dovecot, to),
    };
    let findings = mta::compare(manifest, from, to, &observation.mta, &open);
    let mut accepted = dovecot::losses(manifest, from, &observation.dovecot);
    accepted.extend(findings.losses);
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
    let users: BTreeSet<UserName> = copies.iter().map(|copy| copy.user.clone()).collect();
    let (leave, take, start) = (leave?, take?, start?);
    let let_go = start.ports.keys().chain(records.keys()).cloned().collect();
    let mut commit_to = address::commit(&take);
    let mut commit_from = Vec::new();
    if let Some(queue) = &queue {
        commit_to.extend(queue.commit_to.iter().cloned());
        commit_from.extend(queue.commit_from.iter().cloned());
    }
    commit_from.extend(address::settle(&leave));
    if from == Side::Source && cutover.source_after == SourceAfter::PowerOff {
        commit_from.push(Step::PowerOff);
    }
    Some(Parts {
        // A way back does without it.
        backup: backup::asking(manifest, &observation.backup, &observation.mx, &users, from)
            .filter(|_| from == Side::Source),
        freeze: freeze?,
        leave,
        take,
        start,
        let_go,
        probe: ServiceProbe {
            to,
            addresses: cutover.address.iter().map(|net| net.0.addr()).collect(),
            ports: crate::exposure::PORTS
                .iter()
                .map(|(port, ..)| *port)
                .collect(),
            accepted,
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

pub(super) fn blocked_service(side: Side, problem: services::Problem) -> (Resource, Obstacle) {
    let resource = Resource::Service(side, "mail".to_owned());
    (resource, Obstacle::Service { problem })
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
    trees.map(|tree| tree.paths.on(side).clone()).collect()
}
