//! What the configuration of the host that serves lacks of the service addresses, and of their name.

use std::collections::BTreeSet;

use super::configure::{self, address, configured, undo};
use super::files::Files;
use super::{Actual, HOSTS, Problem, arrive, backend, doubled, drift, hosts, leave};
use crate::host::Step;
use crate::manifest::{Cutover, HostAddress, Manifest};
use crate::names::Side;
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Receipt;
use crate::resource::edit;

/// Compares. While the source serves as it always did, nothing is to be done: the address moves at the
/// cutover. What would be in the way then is said already, as warnings. Once the address has moved,
/// the host that serves is to have it after a reboot, too, whichever of the two that is.
pub fn diff(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    let mut draft = Draft::default();
    let Some(cutover) = &manifest.cutover else {
        return draft;
    };
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    // An offline source is never written; a live one only gets back what a cutover took from it.
    let side = if manifest.source.host.is_live() && has_moved(receipt) {
        manifest.serve_from
    } else {
        Side::Target
    };
    let outcome = configure::configure(cutover, side, actual.files(side), &manifest.name);
    if manifest.serve_from == Side::Source && authority == Side::Source && side == Side::Target {
        for (resource, problem) in ahead(manifest, cutover, actual) {
            let text = format!("at the cutover: {problem}");
            draft.note(resource, Level::Warning, text);
        }
        for (resource, problem) in outcome.problems {
            draft.note(
                resource,
                Level::Warning,
                format!("at the cutover: {problem}"),
            );
        }
        for (resource, text) in outcome.notes {
            draft.note(resource, Level::Warning, format!("at the cutover: {text}"));
        }
        for net in &cutover.address {
            draft.note(address(net.0.addr()), Level::Info, "moves at the cutover");
        }
        if let Some(name) = &cutover.hostname {
            let text = "set in /etc/hosts at the cutover";
            draft.note(Resource::Hostname(name.clone()), Level::Info, text);
        }
        return draft;
    }
    for (resource, problem) in outcome.problems {
        draft.block(resource, Obstacle::Address { problem });
    }
    let epoch = receipt.map_or(0, |receipt| receipt.epoch);
    let doubled = if has_moved(receipt) {
        doubled(cutover, authority, epoch, actual)
    } else {
        Vec::new()
    };
    let single = doubled.is_empty();
    for (resource, problem) in doubled {
        draft.block(resource, Obstacle::Address { problem });
    }
    for (resource, text) in outcome.notes {
        draft.note(resource, Level::Warning, text);
    }
    draft
        .settled
        .extend(outcome.settled.into_iter().map(configured));
    let running = actual.network(side).is_some();
    draft
        .actions
        .extend(outcome.actions.into_iter().map(|mut action| {
            if let (true, Change::EditFile(edit)) = (running, &mut action.change) {
                edit.then = backend::reload(&edit.path);
            }
            action
        }));
    // What another host has cannot be taken: it would never be free.
    if authority == side && has_moved(receipt) && single {
        mend(cutover, side, actual, &mut draft);
    }
    // The target's line goes on being right when the source serves again: it names the addresses.
    if side == Side::Target {
        hostname(cutover, actual.hosts.as_deref(), &mut draft);
    }
    still_on_source(manifest, cutover, &actual.source_files, &mut draft);
    draft
}

/// Whether authority has changed hands before.
fn has_moved(receipt: Option<&Receipt>) -> bool {
    receipt.is_some_and(|receipt| receipt.authority == Side::Target || receipt.epoch > 0)
}

/// The running network of the host that serves.
fn mend(cutover: &Cutover, side: Side, actual: &Actual, draft: &mut Draft) {
    match drift(cutover, side, actual) {
        Ok(None) => {}
        Ok(Some(change)) => {
            let undo = change.steps.iter().filter_map(|step| match step {
                Step::TakeAddress(one) => Some(format!(
                    "`ip addr del {} dev {}` on the {side}",
                    one.net, one.interface
                )),
                _ => None,
            });
            draft.actions.push(Action {
                id: ActionId(format!("address/{side}/mend")),
                undo: Undo::Manual(undo.collect::<Vec<_>>().join(", ")),
                change: Change::MendAddresses(change),
                because: Reason::AddressLost,
                needs: BTreeSet::from([Fact::Authority(side)]),
                gives: BTreeSet::from([Fact::AddressesTaken(side)]),
                risk: Risk::ServiceVisible,
            });
        }
        Err(problems) => {
            for (resource, problem) in problems {
                draft.block(resource, Obstacle::Address { problem });
            }
        }
    }
}

/// What would be in the way of a cutover between the hosts as they run now.
fn ahead(manifest: &Manifest, cutover: &Cutover, actual: &Actual) -> Vec<(Resource, Problem)> {
    if actual.source_network.is_none() || actual.target_network.is_none() {
        return Vec::new();
    }
    let leaving = leave(cutover, Side::Source, actual, &manifest.name);
    let arriving = arrive(cutover, Side::Target, actual, &[]);
    let problems = [leaving.err(), arriving.err()];
    problems.into_iter().flatten().flatten().collect()
}

fn hostname(cutover: &Cutover, text: Option<&str>, draft: &mut Draft) {
    let Some(name) = &cutover.hostname else {
        return;
    };
    let addresses = cutover.address.iter().map(|net| net.0.addr()).collect();
    let after = hosts::with_name(text.unwrap_or_default(), name, &addresses);
    let fact = Fact::HostnameSet(name.clone());
    if text == Some(after.as_str()) {
        draft.settled.insert(fact);
        return;
    }
    let edit = edit::between(&HOSTS.into(), text, &after, 0o644);
    draft.actions.push(Action {
        id: ActionId(format!("hostname/{name}/set")),
        undo: undo(&edit),
        change: Change::EditFile(edit),
        because: Reason::HostnameDiffers,
        needs: BTreeSet::from([Fact::Authority(Side::Target)]),
        gives: BTreeSet::from([fact]),
        risk: Risk::ServiceVisible,
    });
}

/// An offline source is never written, so its copy keeps the address: say so.
fn still_on_source(manifest: &Manifest, cutover: &Cutover, files: &Files, draft: &mut Draft) {
    if !matches!(manifest.source.host, HostAddress::Dir(_)) {
        return;
    }
    let interfaces = match backend::read(files) {
        Ok(interfaces) => interfaces,
        // `observe` refuses this; an observation written by hand can have it.
        Err(bad) => {
            let text = format!("on the source: {}", Problem::from(bad));
            draft.note(Resource::Migration, Level::Warning, text);
            return;
        }
    };
    for service in cutover.address.iter().map(|net| net.0.addr()) {
        for file in interfaces.iter().filter_map(|i| i.holds(service)) {
            let text = format!(
                "an offline source is never written: do not boot the old server on this network, \
                 it still configures {service} in {file}"
            );
            draft.note(address(service), Level::Warning, text);
        }
    }
}
