//! What a manifest may ask for and an offline root cannot do: said, not ignored.

use super::Observation;
use crate::manifest::{HostAddress, Manifest, SourceAfter, Units};
use crate::names::Side;
use crate::plan::{Draft, Level, Resource};

/// The notes that follow from the manifest.
pub(super) fn draft(manifest: &Manifest, observation: &Observation, authority: Side) -> Draft {
    let mut draft = Draft::default();
    if is_this_machine(manifest) && authority == Side::Source {
        draft.note(
            Resource::Migration,
            Level::Warning,
            "target.host is the root of this machine: stop its Dovecot and its MTA before `apply` and \
             keep them stopped until the hand-over; whoever opens an incomplete mailbox destroys what \
             clients remember of it",
        );
    }
    for limit in &observation.limits {
        draft.note(Resource::Migration, Level::Warning, limit);
    }
    if are_offline(manifest) {
        offline_notes(manifest, authority, &mut draft);
    }
    draft
}

/// Whether nothing runs on either host.
fn are_offline(manifest: &Manifest) -> bool {
    !manifest.source.host.is_live() && !manifest.target.host.is_live()
}

/// Whether the target is the very system that reconcile runs on.
fn is_this_machine(manifest: &Manifest) -> bool {
    matches!(&manifest.target.host, HostAddress::Dir(root) if root.is_root())
}

/// Parts that mean something only between live hosts. On offline roots nothing runs, so there is
/// nothing to do about them, and the plan says so.
fn offline_notes(manifest: &Manifest, authority: Side, draft: &mut Draft) {
    let mut note = |text: &str| draft.note(Resource::Migration, Level::Info, text);
    if authority == Side::Target {
        return;
    }
    if manifest.services.mta != Units::Auto || manifest.services.imap != Units::Auto {
        note("services: nothing runs on an offline root, so nothing is stopped or started");
    }
    if manifest.freeze.is_some() {
        note(
            "freeze: an offline source stands still already; its window and budget mean nothing here",
        );
    }
    if let Some(cutover) = &manifest.cutover {
        if cutover.source_after == SourceAfter::PowerOff {
            note("cutover.source_after: an offline source is off already");
        }
        if cutover.confirm_within.is_some() {
            note(
                "cutover.confirm_within: nothing is switched live between offline roots, so there is nothing to confirm",
            );
        }
    }
}
