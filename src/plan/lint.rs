//! Invariants that every plan keeps, checked before it is shown. A violation is a defect of
//! reconcile, never of the manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::change::Extraneous;
use super::{Action, Change, Fact, Plan, Risk, Undo};
use crate::error::{Error, Kind, Result};
use crate::names::{Side, UserName};
use crate::raw::HostPath;

/// Checks a plan; the error names the broken invariant and the action.
pub fn lint(plan: &Plan) -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut given: BTreeSet<&Fact> = BTreeSet::new();
    let last_giver: BTreeMap<&Fact, usize> = plan
        .actions
        .iter()
        .enumerate()
        .flat_map(|(position, action)| action.gives.iter().map(move |fact| (fact, position)))
        .collect();
    for (position, action) in plan.actions.iter().enumerate() {
        let broken = |rule: &str| Err(violation(action, rule));
        if !seen.insert(&action.id) {
            return broken("ids are unique");
        }
        let comes_later = |need: &Fact| last_giver.get(need).is_some_and(|&at| at >= position);
        if action.needs.iter().any(comes_later) {
            return broken("an action comes after all that it needs");
        }
        if plan.authority == Side::Target && touches_mail(&action.change) {
            return broken("no mail is touched once the target has authority");
        }
        if matches!(action.risk, Risk::ServiceVisible) && action.undo == Undo::Repeat {
            return broken("what users can notice can be undone, or says why not");
        }
        let is_hand_over = matches!(action.change, Change::HandOver { .. });
        if is_hand_over != (action.risk == Risk::PointOfNoReturn) {
            return broken("the hand-over is the only point of no return");
        }
        match &action.change {
            Change::HandOver { keep, .. } => {
                let proven =
                    |user: &UserName| action.needs.contains(&Fact::MailProven(user.clone()));
                if !keep.users.iter().all(proven) {
                    return broken("authority is handed over only when every mailbox is proven");
                }
                if !action.needs.contains(&Fact::AccountsMerged) {
                    return broken("authority is handed over only when the accounts are merged");
                }
            }
            Change::ClaimTrees { users } => {
                if !users
                    .keys()
                    .all(|u| action.needs.contains(&Fact::TreesClear(u.clone())))
                {
                    return broken("trees are claimed only when nothing is in their way");
                }
            }
            Change::CopyMail(copy) => {
                if !action
                    .needs
                    .contains(&Fact::TreesClaimed(copy.user.clone()))
                {
                    return broken("only claimed trees are written");
                }
                let first = given.contains(&Fact::TreesClaimed(copy.user.clone()));
                if first != (copy.extraneous == Extraneous::Refuse) {
                    return broken("nothing is removed from a tree that was not managed before");
                }
                if copy.trees.iter().any(|tree| tree.target.is_root()) {
                    return broken("the root directory is nobody's tree");
                }
            }
            Change::EditFile(edit) if !beneath_etc(&edit.path) => {
                return broken("configuration is edited beneath /etc only");
            }
            Change::MergeAccounts(_)
            | Change::SetAside { .. }
            | Change::ProveMail(_)
            | Change::EditFile(_) => {}
        }
        given.extend(&action.gives);
    }
    Ok(())
}

fn touches_mail(change: &Change) -> bool {
    match change {
        Change::CopyMail(_)
        | Change::SetAside { .. }
        | Change::ClaimTrees { .. }
        | Change::ProveMail(_)
        | Change::HandOver { .. } => true,
        Change::MergeAccounts(_) | Change::EditFile(_) => false,
    }
}

fn beneath_etc(path: &HostPath) -> bool {
    let climbs = path
        .as_bytes()
        .split(|&b| b == b'/')
        .any(|part| part == b"..");
    path.as_bytes().starts_with(b"/etc/") && !climbs
}

fn violation(action: &Action, rule: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("the plan breaks a rule at {}: {rule}", action.id),
    )
    .hint("this is a defect of reconcile; nothing was changed; please report it")
}
