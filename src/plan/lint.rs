//! Invariants that every plan keeps, checked before it is shown. A violation is a defect of
//! reconcile, never of the manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::backup::{BackupSetup, BackupState};
use super::change::{CopiedTree, Extraneous, MailCopy};
use super::timer::{TimerSetup, TimerState};
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
        if plan.authority == Side::Target && stages_mail(&action.change) {
            return broken("no mail on the target is touched once it has authority");
        }
        if plan.authority == Side::Target && matches!(action.change, Change::HoldService(_)) {
            return broken("nothing is stopped on the target once it has authority");
        }
        if from(&action.change).is_some_and(|from| from != plan.authority) {
            return broken("mail is handed over by the side whose mail counts");
        }
        if matches!(action.risk, Risk::ServiceVisible) && action.undo == Undo::Repeat {
            return broken("what users can notice can be undone, or says why not");
        }
        let is_hand_over = matches!(action.change, Change::HandOver { .. });
        if is_hand_over != (action.risk == Risk::PointOfNoReturn) {
            return broken("the hand-over is the only point of no return");
        }
        if let Some(rule) = broken_by(action, &given) {
            return broken(rule);
        }
        given.extend(&action.gives);
    }
    Ok(())
}

/// The rule of its own kind that an action breaks.
fn broken_by(action: &Action, given: &BTreeSet<&Fact>) -> Option<&'static str> {
    let needs = |fact: Fact| action.needs.contains(&fact);
    match &action.change {
        Change::HandOver { keep, .. } => {
            let proven = |user: &UserName| needs(Fact::MailProven(user.clone()));
            if !keep.users.iter().all(proven) {
                return Some("authority is handed over only when every mailbox is proven");
            }
            if keep.live.is_some() && !needs(Fact::ServiceProbed) {
                return Some("authority is handed over only when the service was looked at");
            }
            if keep.live.is_some() && !given.contains(&Fact::IdentityProven) {
                return Some("authority is handed over only when clients see the same mailboxes");
            }
            if !needs(Fact::AccountsMerged) {
                return Some("authority is handed over only when the accounts are merged");
            }
            (!needs(Fact::UidlEnforced))
                .then_some("authority is handed over only when clients will see their UIDLs")
        }
        Change::ClaimTrees { users } => {
            let clear = |user: &UserName| needs(Fact::TreesClear(user.clone()));
            (!users.keys().all(clear))
                .then_some("trees are claimed only when nothing is in their way")
        }
        Change::CopyMail(copy) if copy.from == Side::Target => broken_by_copy_back(copy, action),
        Change::ProveMail(copy) if copy.from == Side::Target => {
            (!needs(Fact::MailCopied(copy.user.clone())))
                .then_some("mail is proven only once it is copied")
        }
        Change::SetAside { .. } | Change::CopyMail(_) | Change::ProveMail(_)
            if !needs(Fact::TargetQuiet) =>
        {
            Some("mail on the target is touched only while nothing there opens it")
        }
        Change::SetAside { renames, .. } => renames
            .iter()
            .any(|rename| rename.from.parent() != rename.to.parent() || rename.from == rename.to)
            .then_some("what is set aside gets another name in its own directory"),
        Change::CopyMail(copy) => {
            let claimed = Fact::TreesClaimed(copy.user.clone());
            if !needs(claimed.clone()) {
                return Some("only claimed trees are written");
            }
            let mut refused = copy
                .trees
                .iter()
                .map(|t| t.extraneous == Extraneous::Refuse);
            if given.contains(&claimed) != refused.any(|refused| refused) {
                return Some("nothing is removed from a tree that was not managed before");
            }
            let bad = |tree: &CopiedTree| {
                let top = &tree.paths.target;
                top.is_root() || climbs(top)
            };
            copy.trees
                .iter()
                .any(bad)
                .then_some("the root directory, or what climbs up to it, is nobody's tree")
        }
        Change::ProveMail(copy) => (!needs(Fact::MailCopied(copy.user.clone())))
            .then_some("mail is proven only once it is copied"),
        Change::EnforceUidl(drop_in) => {
            (!drop_in.edit.path.as_bytes().starts_with(b"/etc/dovecot/")
                || climbs(&drop_in.edit.path))
            .then_some("Dovecot is configured beneath /etc/dovecot only")
        }
        Change::EditFile(edit) => {
            if !edit.path.as_bytes().starts_with(b"/etc/") || climbs(&edit.path) {
                return Some("configuration is edited beneath /etc only");
            }
            let moves_service =
                |fact: &Fact| matches!(fact, Fact::AddressConfigured(_) | Fact::HostnameSet(_));
            (action.gives.iter().any(moves_service) && !needs(Fact::Authority(edit.side)))
                .then_some(match edit.side {
                    Side::Source => "the source gets the service address only once its mail counts",
                    Side::Target => "the target gets the service address only once its mail counts",
                })
        }
        Change::SetUpBackup(setup) => broken_by_setup(setup),
        Change::SetUpTimer(setup) => broken_by_timer(setup, action),
        Change::MoveMessages(_) => (!needs(Fact::Authority(Side::Target)))
            .then_some("messages are moved only where they count, and never on the source"),
        Change::ReleaseService(_) => (!needs(Fact::Authority(Side::Target)))
            .then_some("the target serves only once its mail counts"),
        Change::MergeAccounts(_) | Change::HoldService(_) => None,
        _ => broken_by_hand_over(action),
    }
}

/// The rule that a change of a backup's tables breaks.
fn broken_by_setup(setup: &BackupSetup) -> Option<&'static str> {
    let inside = |path: &HostPath| path.parent() == setup.directory && !climbs(path);
    let files = setup
        .files
        .iter()
        .map(|file| &file.path)
        .chain(&setup.remove);
    let ours = setup
        .directory
        .as_bytes()
        .starts_with(b"/etc/postfix/reconcile-");
    if !ours || climbs(&setup.directory) || !files.into_iter().all(inside) {
        return Some("the backup is given files in a directory of its own only");
    }
    let sets_up = setup.to == BackupState::SetUp;
    (sets_up != setup.ask.is_some())
        .then_some("a backup that is set up is asked afterwards, and no other")
}

/// The rule that a change of a timer breaks.
fn broken_by_timer(setup: &TimerSetup, action: &Action) -> Option<&'static str> {
    let unit = |path: &HostPath| {
        path.as_bytes()
            .starts_with(b"/etc/systemd/system/reconcile-spool@")
            && !climbs(path)
    };
    if !setup.units.iter().all(|edit| unit(&edit.path)) {
        return Some("a timer has units of its own only");
    }
    let program =
        |path: &HostPath| path.as_bytes().starts_with(b"/var/lib/reconcile/") && !climbs(path);
    if !setup.program.iter().all(program) {
        return Some("a program is put beside the receipt only");
    }
    let ours = |path: &HostPath| {
        let name = path.as_bytes();
        let stamp = name.starts_with(b"/var/lib/systemd/timers/stamp-reconcile-spool@");
        !climbs(path) && (unit(path) || program(path) || stamp || name.ends_with(b".prom"))
    };
    if !setup.remove.iter().all(ours) {
        return Some("of a timer nothing is removed but what it consists of and writes");
    }
    (setup.to == TimerState::SetUp && !action.needs.contains(&Fact::Authority(Side::Target)))
        .then_some("the spool is measured by a timer only where the mail counts")
}

/// The same for the changes of a hand-over between live hosts.
fn broken_by_hand_over(action: &Action) -> Option<&'static str> {
    let needs = |fact: Fact| action.needs.contains(&fact);
    match &action.change {
        Change::Freeze(freeze) => (!needs(Fact::Armed(freeze.change.side)))
            .then_some("nothing is frozen that would not thaw by itself"),
        Change::CarryQueue(carry) => (!needs(Fact::MailFrozen(carry.from)))
            .then_some("the queue is taken of an MTA that stands still"),
        Change::LastDelta(last) => (!needs(Fact::MailFrozen(last.from)))
            .then_some("the last delta is taken of mail that stands still"),
        Change::LeaveAddresses(change) => (!(needs(Fact::IdentityProven)
            && needs(Fact::Armed(change.side.other()))))
        .then_some("the address moves only when every mailbox is proven, and back by itself"),
        Change::TakeAddresses(change) => (!needs(Fact::AddressesLeft(change.side.other())))
            .then_some("no two hosts have the address"),
        Change::MendAddresses(change) => (!needs(Fact::Authority(change.side)))
            .then_some("only the host whose mail counts takes a service address by itself"),
        Change::StartServices(start) => (!(needs(Fact::IdentityProven)
            && needs(Fact::Armed(start.change.side))))
        .then_some("the copy is opened only when it is complete"),
        _ => None,
    }
}

fn broken_by_copy_back(copy: &MailCopy, action: &Action) -> Option<&'static str> {
    if !action.needs.contains(&Fact::MailFrozen(Side::Source)) {
        return Some("mail on the source is touched only while nothing there opens it");
    }
    let lost = |tree: &CopiedTree| !matches!(tree.extraneous, Extraneous::SetAside(_));
    if copy.trees.iter().any(lost) {
        return Some("nothing on the source is replaced or removed that is not set aside");
    }
    let bad = |tree: &CopiedTree| tree.paths.source.is_root() || climbs(&tree.paths.source);
    copy.trees
        .iter()
        .any(bad)
        .then_some("the root directory, or what climbs up to it, is nobody's tree")
}

/// Whether a change brings mail of the source to the target while staging.
fn stages_mail(change: &Change) -> bool {
    match change {
        Change::CopyMail(copy) | Change::ProveMail(copy) => copy.from == Side::Source,
        change => matches!(
            change,
            Change::SetAside { .. }
                | Change::ClaimTrees { .. }
                | Change::HandOver {
                    to: Side::Target,
                    ..
                }
        ),
    }
}

/// The side that hands mail over in a change.
fn from(change: &Change) -> Option<Side> {
    match change {
        Change::Rounds(rounds) => Some(rounds.from),
        Change::ProveIdentity(proof) => Some(proof.from),
        Change::LastDelta(last) => Some(last.from),
        Change::CarryQueue(carry) => Some(carry.from),
        Change::Freeze(freeze) => Some(freeze.change.side),
        Change::LeaveAddresses(change) => Some(change.side),
        Change::TakeAddresses(change) => Some(change.side.other()),
        Change::StartServices(start) => Some(start.change.side.other()),
        Change::HandOver { to, .. } => Some(to.other()),
        _ => None,
    }
}

fn climbs(path: &HostPath) -> bool {
    path.as_bytes()
        .split(|&b| b == b'/')
        .any(|part| part == b"..")
}

fn violation(action: &Action, rule: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("the plan breaks a rule at {}: {rule}", action.id),
    )
    .hint("this is a defect of reconcile; nothing was changed; please report it")
}
