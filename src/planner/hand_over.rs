//! The plan of a hand-over between two live hosts: gates first, then one chain of actions.
//!
//! What is done to services, addresses, queue and mail is drafted by those resources; here it is put
//! into the order that [`crate::host::switch`] rests on: the [`mod@gates`], then the [`links`].

mod gates;
mod links;

use std::collections::{BTreeMap, BTreeSet};

use super::Observation;
use crate::manifest::Manifest;
use crate::names::{Side, UserName};
use crate::plan::change::{HandOverRecord, MailCopy, TreeKind};
use crate::plan::hand_over::{Ending, Leftover, LiveHandOver, Mailboxes};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::resource::{accounts, backup, dovecot, mail, mx, services};
use gates::{blocked_service, gates};
use links::Links;

/// The budget of a freeze for which the manifest names none, in seconds.
const BUDGET: u64 = 60;

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
        started: parts.let_go.clone(),
    };
    let boxes = mailboxes(&copies);
    let alone = mx::alone(manifest, &observation.mx);
    let mut needs = ready.clone();
    needs.extend(boxes.keys().cloned().map(Fact::MailProven));
    let mut links = Links {
        draft,
        from,
        last: ready,
    };
    links.until_frozen((budget(manifest), alone), &copies, &boxes, &parts);
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
    if let Some(drain) = backup::draining(manifest, &observation.backup) {
        draft.actions.push(Action {
            id: ActionId("mx/backup/drain".to_owned()),
            change: Change::DrainBackup(drain),
            because: Reason::Queued,
            needs: BTreeSet::from([Fact::Authority(to)]),
            gives: BTreeSet::new(),
            risk: Risk::Safe,
            undo: Undo::Repeat,
        });
    }
}

/// How long a freeze may take, in seconds.
pub(crate) fn budget(manifest: &Manifest) -> u64 {
    let budget = manifest.freeze.as_ref().and_then(|freeze| freeze.budget);
    budget.map_or(BUDGET, |span| span.seconds)
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
