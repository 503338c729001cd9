//! What is to be done about the accounts: at most one action, for the four files are one
//! transaction. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::actual::{Actual, Database, Group, Presence, User};
use super::back::diff_back;
use super::resolve::{Chosen, ChosenGroup, Clearance, Resolved, carries};
use crate::manifest::Manifest;
use crate::names::{GroupName, Side, UserName};
use crate::plan::change::{AccountsMerge, Ageing, FieldChange, GroupChange, Password};
use crate::plan::change::{UserChange, Verb};
use crate::plan::{Action, ActionId, Change, Draft, Fact, Level, Reason, Resource, Risk, Undo};
use crate::raw::Raw;
use crate::receipt::Receipt;
use crate::report::counted;
use crate::resource::mail::reverses;

/// Groups whose members can become root, or read everybody's files.
const PRIVILEGED: [&str; 11] = [
    "root", "wheel", "sudo", "adm", "shadow", "disk", "docker", "lxd", "libvirt", "mail", "staff",
];

/// Compares the target with what was resolved, or, for a reverse, the source with the target.
pub fn diff(
    manifest: &Manifest,
    actual: &Actual,
    resolved: &Resolved,
    receipt: Option<&Receipt>,
) -> Draft {
    let mut draft = Draft {
        blocked: resolved.blocked.clone(),
        notes: resolved.notes.clone(),
        ..Draft::default()
    };
    match carries(actual, receipt) {
        Some(source) => staging(source, actual, resolved, &mut draft),
        None => match receipt.filter(|_| reverses(manifest, receipt)) {
            Some(receipt) if actual.source.is_some() => {
                draft.absorb(diff_back(actual, resolved, receipt));
            }
            _ => recorded(actual, receipt, &mut draft),
        },
    }
    draft
}

/// The target's accounts are right as they are.
fn recorded(actual: &Actual, receipt: Option<&Receipt>, draft: &mut Draft) {
    let names = receipt.map(|receipt| &receipt.accounts);
    for name in names.into_iter().flatten() {
        if actual.target.users.contains_key(name) {
            draft.settled.insert(Fact::AccountExists(name.clone()));
        } else {
            let text = format!(
                "{name} was carried over and is no longer on the target, whose accounts count now"
            );
            draft.note(Resource::Account(name.clone()), Level::Warning, text);
        }
    }
    if draft.blocked.is_empty() {
        draft.settled.insert(Fact::AccountsMerged);
    }
}

fn staging(source: &Database, actual: &Actual, resolved: &Resolved, draft: &mut Draft) {
    let mut merge = AccountsMerge::onto(Side::Target);
    for (name, group) in &resolved.groups {
        let there = source.groups.get(name);
        merge
            .groups
            .extend(group_change(name, group, there, &actual.target));
    }
    for (name, chosen) in &resolved.users {
        let Some(user) = source.users.get(name) else {
            continue;
        };
        if chosen.blocked == Clearance::InConflict {
            continue;
        }
        match user_change(name, chosen, user, &actual.target) {
            Some(change) => merge.users.push(change),
            None => {
                draft.settled.insert(Fact::AccountExists(name.clone()));
            }
        }
    }
    missing_shells(actual, resolved, source, draft);
    privileges(&merge, draft);
    if !merge.groups.is_empty() || !merge.users.is_empty() {
        let mut action = action(merge);
        if draft.blocked.is_empty() {
            action.gives.insert(Fact::AccountsMerged);
        }
        draft.actions.push(action);
    } else if draft.blocked.is_empty() {
        draft.settled.insert(Fact::AccountsMerged);
    }
}

fn action(merge: AccountsMerge) -> Action {
    let verbs = || {
        let groups = merge.groups.iter().map(|group| group.verb);
        groups.chain(merge.users.iter().map(|user| user.verb))
    };
    let count = |verb: Verb| verbs().filter(|&v| v == verb).map(|_| 1).sum();
    let gives = merge
        .users
        .iter()
        .map(|user| Fact::AccountExists(user.name.clone()))
        .collect();
    Action {
        id: ActionId("accounts/merge".to_owned()),
        because: Reason::AccountsDiffer {
            create: count(Verb::Create),
            update: count(Verb::Update),
        },
        change: Change::MergeAccounts(merge),
        needs: BTreeSet::new(),
        gives,
        risk: Risk::Safe,
        undo: Undo::Manual(
            "the files as they were are beside them on the target, as /etc/passwd-, shadow-, \
             group- and gshadow-"
                .to_owned(),
        ),
    }
}

fn group_change(
    name: &GroupName,
    group: &ChosenGroup,
    there: Option<&Group>,
    target: &Database,
) -> Option<GroupChange> {
    // The password of a group that exists is its own business, unless its making was cut short.
    let has_gshadow = target.gshadow == Presence::Present;
    let unfinished =
        |here: &Group| has_gshadow && here.gshadow == Presence::Absent && here.password.is_none();
    let here = target.groups.get(name);
    let is_to_have_password = here.is_none_or(unfinished);
    let change = |verb, add_members, add_admins, differs| GroupChange {
        name: name.clone(),
        verb,
        gid: group.gid,
        add_members,
        add_admins,
        password: there
            .filter(|_| is_to_have_password)
            .and_then(|there| there.password.clone()),
        differs,
    };
    let Some(here) = here else {
        let (members, admins) = (group.members.clone(), group.admins.clone());
        return Some(change(Verb::Create, members, admins, Vec::new()));
    };
    let add_members: BTreeSet<UserName> = group
        .members
        .iter()
        .filter(|user| {
            if has_gshadow {
                !here.has(user)
            } else {
                !here.members.contains(*user)
            }
        })
        .cloned()
        .collect();
    let add_admins: BTreeSet<UserName> = if has_gshadow {
        group.admins.difference(&here.admins).cloned().collect()
    } else {
        BTreeSet::new()
    };
    let mut differs = Vec::new();
    if unfinished(here) {
        field(&mut differs, "gshadow entry", "missing", "added");
    }
    if !add_members.is_empty() {
        let all: BTreeSet<UserName> = here.members.union(&add_members).cloned().collect();
        field(&mut differs, "members", join(&here.members), join(&all));
    }
    if !add_admins.is_empty() {
        let all: BTreeSet<UserName> = here.admins.union(&add_admins).cloned().collect();
        field(
            &mut differs,
            "administrators",
            join(&here.admins),
            join(&all),
        );
    }
    (!differs.is_empty()).then(|| change(Verb::Update, add_members, add_admins, differs))
}

fn user_change(
    name: &UserName,
    chosen: &Chosen,
    user: &User,
    target: &Database,
) -> Option<UserChange> {
    let change = |verb, differs| UserChange {
        name: name.clone(),
        verb,
        uid: chosen.uid,
        gid: chosen.gid,
        gecos: user.gecos.clone(),
        home: user.home.clone(),
        shell: user.shell.clone(),
        password: user.password.clone(),
        ageing: user.ageing.clone(),
        differs,
    };
    let Some(here) = target.users.get(name) else {
        return Some(change(Verb::Create, Vec::new()));
    };
    let mut differs = Vec::new();
    let mut compare = |name: &str, from: String, to: String| {
        if from != to {
            field(&mut differs, name, from, to);
        }
    };
    compare("gid", here.gid.to_string(), chosen.gid.to_string());
    compare("gecos", quoted(&here.gecos), quoted(&user.gecos));
    compare("home", here.home.to_string(), user.home.to_string());
    compare("shell", quoted(&here.shell), quoted(&user.shell));
    for (name, from, to) in ageing(&here.ageing, &user.ageing) {
        compare(name, from, to);
    }
    if let Some(wanted) = user
        .password
        .as_ref()
        .filter(|wanted| here.password.as_ref() != Some(wanted))
    {
        let (from, to) = match &here.password {
            None => ("missing".to_owned(), show(wanted)),
            Some(here) if here.scheme == wanted.scheme && here.locked == wanted.locked => {
                (show(here), wanted.digest.to_string())
            }
            Some(here) => (show(here), show(wanted)),
        };
        field(&mut differs, "password", from, to);
    } else if here.shadow == Presence::Absent && here.password.is_none() {
        field(&mut differs, "shadow entry", "missing", "added");
    }
    (!differs.is_empty()).then(|| change(Verb::Update, differs))
}

pub(super) fn field(
    differs: &mut Vec<FieldChange>,
    name: &str,
    from: impl Into<String>,
    to: impl Into<String>,
) {
    differs.push(FieldChange {
        field: name.to_owned(),
        from: from.into(),
        to: to.into(),
    });
}

fn quoted(text: &Raw) -> String {
    if text.is_empty() {
        "\"\"".to_owned()
    } else {
        text.to_string()
    }
}

/// `sha512crypt #a1b2`; the digest stands for the whole field, locks included.
pub(super) fn show(password: &Password) -> String {
    let locked = if password.locked { ", locked" } else { "" };
    format!("{} {}{locked}", password.scheme, password.digest)
}

/// The fields of ageing with their text on both sides.
pub(super) fn ageing(from: &Ageing, to: &Ageing) -> [(&'static str, String, String); 7] {
    let days = |days: Option<i64>| days.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let both = |name, from, to| (name, days(from), days(to));
    [
        both("last password change", from.last_change, to.last_change),
        both("minimum age", from.min, to.min),
        both("maximum age", from.max, to.max),
        both("warning period", from.warn, to.warn),
        both("inactivity period", from.inactive, to.inactive),
        both("expiration", from.expire, to.expire),
        ("reserved field", from.reserved.clone(), to.reserved.clone()),
    ]
}

/// `alice, bob`
pub(super) fn join(names: &BTreeSet<UserName>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// One note for each shell, however many have it.
fn missing_shells(actual: &Actual, resolved: &Resolved, source: &Database, draft: &mut Draft) {
    let mut users: BTreeMap<&Raw, u64> = BTreeMap::new();
    for name in resolved.users.keys() {
        if let Some(user) = source.users.get(name)
            && actual.missing_shells.contains(&user.shell)
        {
            *users.entry(&user.shell).or_default() += 1;
        }
    }
    for (shell, count) in users {
        let text = format!(
            "the login shell {shell} of {} is not on the target: mail works, logins do not; \
             install it there",
            counted(count, "account", "accounts")
        );
        draft.note(Resource::Accounts, Level::Warning, text);
    }
}

fn privileges(merge: &AccountsMerge, draft: &mut Draft) {
    for group in &merge.groups {
        let privileged = PRIVILEGED
            .iter()
            .any(|name| name.as_bytes() == group.name.as_bytes());
        if privileged && !group.add_members.is_empty() {
            let text = format!(
                "{} is made a member of {}, as on the source: that gives power over the target, or \
                 over the mail of others",
                join(&group.add_members),
                group.name
            );
            draft.note(Resource::Group(group.name.clone()), Level::Warning, text);
        }
    }
}
