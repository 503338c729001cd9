//! Observing both hosts, and planning: `Manifest` + `Observation` -> `Plan`.
//!
//! [`observe`] does all the reading and decides nothing; [`plan`] decides everything and does no IO:
//! it knows no clock, no randomness and no environment, so a saved observation is a test case.

pub mod between;
mod hand_over;
mod limits;
mod observation;
mod predict;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::manifest::Manifest;
use crate::names::{Side, UserName};
use crate::plan::change::{HandOverRecord, IdMap, Renumbered};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, PLAN_VERSION, Plan, Reason, Resource,
    Risk, Undo, graph, lint,
};
use crate::receipt::Receipt;
use crate::resource::{accounts, address, backup, beside, dovecot, mail, mx, services, spool};

pub(crate) use hand_over::budget;
pub use observation::{Hosts, OBSERVATION_VERSION, Observation, observe, receipt};
pub use predict::predict;

/// Makes the plan. Fails only on a defect of reconcile (a cycle, a broken invariant).
pub fn plan(manifest: &Manifest, observation: &Observation) -> Result<Plan> {
    let receipt = observation.receipt.as_ref();
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let mut draft = limits::draft(manifest, observation, authority);
    let mut ids = IdMap::default();
    let mut renumbered = Vec::new();
    if source_is_missed(observation, authority) {
        draft.block(
            Resource::Migration,
            Obstacle::Migration {
                problem: format!(
                    "{} is out of reach, and the source's mail counts: mount it, or mend source.host",
                    manifest.source.host
                ),
            },
        );
    } else {
        let leftovers = hand_over::leftovers(manifest, observation, authority);
        if !leftovers.actions.is_empty() || !leftovers.blocked.is_empty() {
            draft.absorb(leftovers);
            return finish(manifest, observation, authority, draft, ids, renumbered);
        }
        if source_is_wanted_back(manifest, observation, authority) {
            draft.absorb(hand_over::reverse(manifest, observation));
            return finish(manifest, observation, authority, draft, ids, renumbered);
        }
        let resolved = accounts::resolve(manifest, &observation.accounts, receipt);
        let [accounts, mail, dovecot, address, spool] = [
            accounts::diff(manifest, &observation.accounts, &resolved, receipt),
            mail::diff(manifest, &observation.mail, &resolved, receipt),
            dovecot::diff(manifest, &observation.dovecot, &resolved, receipt),
            address::diff(manifest, &observation.address, receipt),
            spool::diff(manifest, &observation.spool, authority),
        ];
        for part in [accounts, mail, dovecot, address, spool] {
            draft.absorb(part);
        }
        draft.absorb(services::diff(manifest, &observation.services, receipt));
        let hosts = [&manifest.source.host, &manifest.target.host];
        draft.absorb(beside::diff(hosts, &observation.beside));
        draft.absorb(mx::diff(
            manifest,
            &observation.mx,
            &observation.mta,
            authority,
        ));
        draft.absorb(backup::diff(
            manifest,
            &observation.backup,
            &observation.mx,
            &people(&resolved, receipt),
            receipt,
        ));
        draft.absorb(hand_over(manifest, observation, &resolved, authority));
        ids = if mail::reverses(manifest, receipt) {
            // Where it cannot be turned round `accounts::diff` blocks.
            accounts::ids_back(&observation.accounts, &resolved).unwrap_or_default()
        } else {
            resolved.ids
        };
        renumbered = resolved.renumbered;
    }
    finish(manifest, observation, authority, draft, ids, renumbered)
}

/// Who gets mail: those who were chosen, or once the source is gone those who were.
fn people(resolved: &accounts::Resolved, receipt: Option<&Receipt>) -> BTreeSet<UserName> {
    if resolved.users.is_empty() {
        receipt.map_or_else(BTreeSet::new, |receipt| receipt.accounts.clone())
    } else {
        resolved.users.keys().cloned().collect()
    }
}

/// Orders a draft, and holds it against the rules that every plan keeps.
fn finish(
    manifest: &Manifest,
    observation: &Observation,
    authority: Side,
    mut draft: Draft,
    ids: IdMap,
    renumbered: Vec<Renumbered>,
) -> Result<Plan> {
    let ordered = graph::order(draft.actions, &draft.settled)?;
    let mut blocked = draft.blocked;
    blocked.extend(ordered.waiting);
    blocked.sort_by(|one, other| one.resource.cmp(&other.resource));
    draft.notes.sort();
    draft.notes.dedup();
    let plan = Plan {
        version: PLAN_VERSION,
        manifest: manifest.clone(),
        basis: observation.basis(),
        authority,
        actions: ordered.actions,
        blocked,
        notes: draft.notes,
        ids,
        renumbered,
    };
    lint::lint(&plan)?;
    Ok(plan)
}

/// Without the source nothing can be compared while its accounts and its mail count.
fn source_is_missed(observation: &Observation, authority: Side) -> bool {
    authority == Side::Source && observation.accounts.source.is_none()
}

/// Nothing can be told of a reverse to a source that is out of reach but that it is.
fn source_is_wanted_back(manifest: &Manifest, observation: &Observation, authority: Side) -> bool {
    manifest.source.host.is_live()
        && manifest.serve_from == Side::Source
        && authority == Side::Target
        && observation.accounts.source.is_none()
}

/// Authority changes hands when everything is in place; until then nothing has to be given back.
fn hand_over(
    manifest: &Manifest,
    observation: &Observation,
    resolved: &accounts::Resolved,
    authority: Side,
) -> Draft {
    let mut draft = Draft::default();
    match (manifest.serve_from, authority) {
        (Side::Source, Side::Source) => {
            draft.settled.insert(Fact::Authority(Side::Source));
        }
        (Side::Target, Side::Target) => {
            draft.settled.insert(Fact::Authority(Side::Target));
        }
        (Side::Source, Side::Target) if manifest.source.host.is_live() => {
            draft.absorb(hand_over::reverse(manifest, observation));
        }
        (Side::Source, Side::Target) => draft.block(
            Resource::Migration,
            Obstacle::Migration {
                problem: "the target's mail counts, and an offline source is never written, so it \
                          cannot take the mail back; set serve_from: target, or give the source as \
                          a live host"
                    .to_owned(),
            },
        ),
        (Side::Target, Side::Source) if manifest.source.host.is_live() => {
            draft.absorb(hand_over::cutover(manifest, observation, resolved));
        }
        (Side::Target, Side::Source) => {
            let users: BTreeSet<_> = resolved.users.keys().cloned().collect();
            let mut needs: BTreeSet<Fact> = users.iter().cloned().map(Fact::MailProven).collect();
            needs.extend([Fact::AccountsMerged, Fact::UidlEnforced]);
            let uidl_format =
                dovecot::wanted(manifest, &observation.dovecot, observation.receipt.as_ref());
            draft.actions.push(Action {
                id: ActionId("migration/hand-over".to_owned()),
                change: Change::HandOver {
                    to: Side::Target,
                    keep: HandOverRecord {
                        uidl_format,
                        users,
                        live: None,
                    },
                },
                because: Reason::ServeFromTarget,
                needs,
                gives: BTreeSet::from([Fact::Authority(Side::Target)]),
                risk: Risk::PointOfNoReturn,
                undo: Undo::Never(
                    "an offline source cannot take mail back; it keeps its own copy as it is"
                        .to_owned(),
                ),
            });
            draft.note(
                Resource::Migration,
                Level::Info,
                "the source is offline and serves nothing: nothing is frozen, no address is taken \
                 from it, nothing is probed",
            );
        }
    }
    draft
}
