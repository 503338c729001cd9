//! What to do next.

use super::Status;
use super::runs::LastRun;
use crate::names::Side;

/// One line for a person, where the manifest wants this side to serve.
pub(super) fn next(status: &Status, wanted: Side) -> String {
    let missing = |side| status.missing.iter().any(|missing| missing.side == side);
    let armed = !status.armed.is_empty();
    let untold = status.armed.iter().any(|armed| armed.made);
    let text = match (status.authority, &status.last_run) {
        _ if status.waits => {
            "look at the service from a machine in cutover.try_from and run `reconcile confirm`; without \
             it everything goes back"
        }
        _ if status.busy => "wait for the run that is at work",
        (None, _) => {
            "bring back the host that is out of reach: only there is written whose mail counts; the hosts \
             end the hand-over by themselves"
        }
        (Some(side), _) if missing(side) => {
            "bring back the host whose mail counts: nobody else may serve it"
        }
        _ if untold => {
            "run `reconcile apply`: a host does not know yet that the hand-over was made"
        }
        (Some(_), _) if armed && missing(Side::Source) => {
            "wait until the hosts have taken back by themselves, and bring the source back"
        }
        _ if armed => {
            "wait until the hosts have taken back by themselves, or run `reconcile apply`, which ends it \
             at once"
        }
        _ if !status.misplaced.is_empty() => "take the addresses from the wrong host, as above",
        (Some(_), _) if missing(Side::Target) => "bring the target back",
        (_, None | Some(LastRun::Never)) => "run `reconcile plan`, then `reconcile apply`",
        (_, Some(LastRun::Interrupted { .. } | LastRun::Failed { .. })) => {
            "mend what stopped the last run and run `reconcile apply` again"
        }
        (Some(authority), Some(LastRun::Well { .. })) => {
            settled(wanted, authority, missing(Side::Source))
        }
    };
    text.to_owned()
}

fn settled(wanted: Side, authority: Side, source_is_missing: bool) -> &'static str {
    match (wanted, authority) {
        (Side::Source, Side::Source) => {
            "run `reconcile apply` to bring the copy up to date, or set serve_from: target"
        }
        (Side::Target, Side::Source) => "run `reconcile apply` to hand over to the target",
        (Side::Target, Side::Target) => "nothing; `reconcile plan` shows drift, if any",
        (Side::Source, Side::Target) if source_is_missing => {
            "bring the source back and run `reconcile apply` to hand back to it, or set serve_from: target"
        }
        (Side::Source, Side::Target) => {
            "run `reconcile apply` to take the mail back to a live source, or set serve_from: target"
        }
    }
}
