//! What the target's configuration lacks of the service addresses and their name.

use std::collections::BTreeSet;

use super::configure::{self, address, configured, undo};
use super::files::Files;
use super::{Actual, HOSTS, Problem, backend, hosts};
use crate::manifest::{Cutover, HostAddress, Manifest};
use crate::names::Side;
use crate::plan::{Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk};
use crate::receipt::Receipt;
use crate::resource::edit;

/// Compares. While the source serves and shall serve, nothing is to be done: the address moves at the
/// cutover. What would be in the way then is said already, as warnings.
pub fn diff(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    let mut draft = Draft::default();
    let Some(cutover) = &manifest.cutover else {
        return draft;
    };
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let outcome = configure::configure(cutover, &actual.target_files, &manifest.name);
    if manifest.serve_from == Side::Source && authority == Side::Source {
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
    for (resource, text) in outcome.notes {
        draft.note(resource, Level::Warning, text);
    }
    draft
        .settled
        .extend(outcome.settled.into_iter().map(configured));
    draft.actions.extend(outcome.actions);
    hostname(cutover, actual.hosts.as_deref(), &mut draft);
    still_on_source(manifest, cutover, &actual.source_files, &mut draft);
    draft
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
