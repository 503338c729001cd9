//! Actions of one kind and one reason, shown under one heading: a thousand users need no thousand
//! times the same reason.

use super::{Row, Sign, hand_over};
use crate::names::Side;
use crate::plan::backup::BackupState;
use crate::plan::timer::TimerState;
use crate::plan::{Action, Change, Plan, Resource, Risk, Undo};
use crate::report::counted;
use crate::resource::{accounts, address, backup, dovecot, mail, services, spool};

/// So many proofs are listed; more are counted.
const LISTED_PROOFS: usize = 3;

/// A heading and what stands under it.
pub(super) struct Group {
    /// What is done.
    pub(super) heading: &'static str,
    /// Why.
    pub(super) because: String,
    /// The rows.
    pub(super) rows: Vec<Row>,
}

/// The plan's actions, in order, grouped.
pub(super) fn groups(plan: &Plan) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for action in &plan.actions {
        let heading = heading(action);
        let because = action.because.to_string();
        match groups
            .iter_mut()
            .find(|g| g.heading == heading && g.because == because)
        {
            Some(group) => group.rows.extend(rows(action)),
            None => groups.push(Group {
                heading,
                because,
                rows: rows(action),
            }),
        }
    }
    for group in &mut groups {
        if group.heading == PROVE && group.rows.len() > LISTED_PROOFS {
            let users = counted(group.rows.len() as u64, "user", "users");
            let title = format!("compare every file of {users} by content");
            let resource = Resource::Migration;
            group.rows = vec![Row {
                sign: Sign::Run,
                resource,
                title,
                details: Vec::new(),
            }];
        }
    }
    groups
}

const PROVE: &str = "Prove the copies";

fn heading(action: &Action) -> &'static str {
    match &action.change {
        Change::MergeAccounts(merge) if merge.onto == Side::Source => "Merge accounts back",
        Change::MergeAccounts(_) => "Merge accounts",
        Change::ClaimTrees { .. } => "Claim the trees",
        Change::SetAside { .. } => "Set aside",
        Change::CopyMail(copy) if copy.from == Side::Target => "Carry mail back",
        Change::CopyMail(_) => "Copy mail",
        Change::ProveMail(_) => PROVE,
        Change::EditFile(_) | Change::EnforceUidl(_) => "Edit configuration",
        Change::HoldService(_) => "Hold services",
        Change::ReleaseService(_) | Change::StartServices(_) => "Start services",
        Change::Rounds(_) => "Bring over what moves",
        Change::ProveIdentity(_) => "Prove what clients see",
        Change::Survey(_) | Change::ProbeService(_) => "Look at the service from outside",
        Change::Arm(_) => "Arm the dead man's switches",
        Change::Freeze(_) => "Freeze",
        Change::CarryQueue(_) => "Carry the queue",
        Change::LastDelta(_) => "Bring over what changed last",
        Change::MendAddresses(_) => "Mend the addresses",
        Change::LeaveAddresses(_) | Change::TakeAddresses(_) => "Move the addresses",
        Change::EndLeftover(_) => "End what a run left half-done",
        Change::SetUpBackup(setup) if setup.to == BackupState::Removed => {
            "Remove the backup mail exchanger"
        }
        Change::SetUpBackup(_) => "Set up the backup mail exchanger",
        Change::AskBackup(_) => "Ask the backup mail exchanger",
        Change::DrainBackup(_) => "Empty the backup's queue",
        Change::MoveMessages(_) => "Move old messages",
        Change::SetUpTimer(setup) if setup.to == TimerState::Removed => "Remove the timer",
        Change::SetUpTimer(_) => "Set up a timer",
        Change::HandOver { .. } => "Hand over",
    }
}

/// The rows of an action; what users can notice says below the last one how it is undone.
fn rows(action: &Action) -> Vec<Row> {
    let mut rows = bare_rows(action);
    let undo = match (&action.undo, action.risk) {
        (_, Risk::Safe) | (Undo::Repeat, _) => None,
        (Undo::Manual(how), _) => Some(format!("to undo: {how}")),
        (Undo::Switch, _) => Some("taken back by itself unless the hand-over is made".to_owned()),
        (Undo::Reverse, _) => match &action.change {
            Change::HandOver { to, .. } => Some(format!("to undo: serve_from: {}", to.other())),
            _ => Some("to undo: serve_from: source".to_owned()),
        },
        (Undo::Never(why), _) => Some(format!("cannot be undone: {why}")),
    };
    if let Some(last) = rows.last_mut() {
        last.details.extend(undo);
    }
    rows
}

fn bare_rows(action: &Action) -> Vec<Row> {
    match &action.change {
        Change::MergeAccounts(merge) => accounts::rows(merge),
        Change::ClaimTrees { .. }
        | Change::SetAside { .. }
        | Change::CopyMail(_)
        | Change::ProveMail(_) => mail::rows(&action.change),
        Change::EnforceUidl(drop_in) => dovecot::live_rows(drop_in),
        Change::EditFile(edit) => match Resource::of(action) {
            Resource::Dovecot(_) => dovecot::rows(edit),
            _ => address::rows(action, edit),
        },
        Change::MoveMessages(planned) => vec![spool::housekeeping::row(planned)],
        Change::SetUpTimer(setup) => vec![spool::timer::row(setup)],
        Change::HoldService(hold) => vec![services::hold_row(hold)],
        Change::ReleaseService(release) => vec![services::release_row(release)],
        Change::SetUpBackup(setup) => vec![backup::row(setup)],
        Change::AskBackup(asking) => vec![backup::asking_row(asking)],
        Change::DrainBackup(drain) => vec![backup::drain_row(drain)],
        Change::Rounds(_)
        | Change::ProveIdentity(_)
        | Change::Survey(_)
        | Change::ProbeService(_)
        | Change::Arm(_)
        | Change::CarryQueue(_)
        | Change::Freeze(_)
        | Change::LastDelta(_)
        | Change::MendAddresses(_)
        | Change::LeaveAddresses(_)
        | Change::TakeAddresses(_)
        | Change::StartServices(_)
        | Change::EndLeftover(_) => vec![hand_over::row(&action.change)],
        Change::HandOver { to, keep } => vec![Row {
            sign: Sign::Run,
            resource: Resource::Migration,
            title: format!(
                "from here on the {to}'s mail counts ({})",
                counted(keep.users.len() as u64, "user", "users")
            ),
            details: vec![format!(
                "no later run copies mail of the {} over it",
                to.other()
            )],
        }],
    }
}
