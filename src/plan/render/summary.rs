//! The last line of a plan.

use crate::names::Side;
use crate::plan::change::Verb;
use crate::plan::{Change, Plan};
use crate::report::{counted, size};

/// What a plan does, in numbers.
#[derive(Default)]
struct Totals {
    create: u64,
    update: u64,
    aside: u64,
    copy: u64,
    bytes: u64,
    remove: u64,
    prove: u64,
    edits: u64,
    hold: u64,
    start: u64,
    messages: u64,
    hand_over: Option<Side>,
}

/// One sentence that tells how much there is to do.
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "Nothing to do: the hosts are as the manifest says.".to_owned();
    }
    let mut parts = parts(&totals(plan));
    if !plan.blocked.is_empty() {
        parts.push(format!("{} blocked", plan.blocked.len()));
    }
    let actions = counted(plan.actions.len() as u64, "action", "actions");
    let parts = if parts.is_empty() {
        "no file changes".to_owned()
    } else {
        parts.join(", ")
    };
    format!("Plan: {actions}; {parts}.")
}

fn totals(plan: &Plan) -> Totals {
    let mut totals = Totals::default();
    for action in &plan.actions {
        match &action.change {
            Change::MergeAccounts(merge) => {
                let users = merge.users.iter().map(|u| u.verb);
                for verb in users.chain(merge.groups.iter().map(|g| g.verb)) {
                    match verb {
                        Verb::Create => totals.create += 1,
                        Verb::Update => totals.update += 1,
                    }
                }
            }
            Change::SetAside { renames, .. } => totals.aside += renames.len() as u64,
            Change::CopyMail(copy) => {
                let delta = &copy.delta;
                totals.copy += delta.create.files + delta.update.files + delta.touch.files;
                totals.remove += delta.remove.files;
                totals.bytes += delta.bytes();
            }
            Change::ProveMail(_) => totals.prove += 1,
            Change::EditFile(_) | Change::EnforceUidl(_) => totals.edits += 1,
            Change::HoldService(_) => totals.hold += 1,
            Change::ReleaseService(_) => totals.start += 1,
            Change::MoveMessages(planned) => totals.messages += planned.messages,
            Change::HandOver { to, .. } => totals.hand_over = Some(*to),
            Change::LeaveAddresses(change) => totals.edits += change.edits.len() as u64,
            Change::Freeze(freeze) => totals.hold += freeze.holds.len() as u64,
            Change::StartServices(start) => totals.start += start.ports.len() as u64,
            Change::SetUpBackup(setup) => totals.edits += setup.files.len() as u64,
            Change::SetUpTimer(setup) => totals.edits += setup.units.len() as u64,
            Change::ClaimTrees { .. }
            | Change::AskBackup(_)
            | Change::DrainBackup(_)
            | Change::CarryQueue(_)
            | Change::Rounds(_)
            | Change::ProveIdentity(_)
            | Change::Survey(_)
            | Change::ProbeService(_)
            | Change::Arm(_)
            | Change::LastDelta(_)
            | Change::MendAddresses(_)
            | Change::TakeAddresses(_)
            | Change::EndLeftover(_) => {}
        }
    }
    totals
}

fn parts(totals: &Totals) -> Vec<String> {
    let accounts = |number| counted(number, "account or group", "accounts and groups");
    let services = |number| counted(number, "service", "services");
    let files = |number| counted(number, "file", "files");
    let copy = format!(
        "{} to copy or touch ({})",
        files(totals.copy),
        size(totals.bytes)
    );
    let prove = format!(
        "mail of {} to prove",
        counted(totals.prove, "user", "users")
    );
    let edits = counted(totals.edits, "configuration file", "configuration files");
    let parts = [
        (
            totals.create,
            format!("{} to create", accounts(totals.create)),
        ),
        (
            totals.update,
            format!("{} to change", accounts(totals.update)),
        ),
        (
            totals.aside,
            format!("{} to set aside", counted(totals.aside, "tree", "trees")),
        ),
        (totals.copy, copy),
        (totals.remove, format!("{} to remove", files(totals.remove))),
        (totals.prove, prove),
        (totals.edits, format!("{edits} to edit")),
        (totals.hold, format!("{} to stop", services(totals.hold))),
        (totals.start, format!("{} to start", services(totals.start))),
        (
            totals.messages,
            format!(
                "{} to move",
                counted(totals.messages, "message", "messages")
            ),
        ),
    ];
    let some = parts.into_iter().filter(|(number, _)| *number > 0);
    let hand_over = totals.hand_over.map(|to| format!("hand-over to the {to}"));
    some.map(|(_, text)| text).chain(hand_over).collect()
}
