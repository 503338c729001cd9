//! What a reverse has to bring back to the source's accounts: passwords and their ageing, and nothing
//! else. Pure.
//!
//! Numbers, homes, shells and names on the source are the source's own. What else differs is said, and
//! what only the target has.

use std::collections::BTreeSet;

use super::actual::{Actual, Database, Presence, User};
use super::conflict::Conflict;
use super::diff::{ageing, field, show};
use super::resolve::Resolved;
use super::scheme::{Crypt, Scheme};
use crate::names::{Side, UserName};
use crate::plan::change::{AccountsMerge, Ambiguous, IdMap, UserChange, Verb};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Receipt;

/// How the owners of files translate from the target to the source.
///
/// # Errors
///
/// The numbers of the target that stand for several of the source.
pub fn ids_back(actual: &Actual, resolved: &Resolved) -> Result<IdMap, Ambiguous> {
    let source = actual.source.as_ref();
    let users = source.into_iter().flat_map(|source| source.users.values());
    let groups = source.into_iter().flat_map(|source| source.groups.values());
    resolved.ids.inverted(
        users.map(|user| user.uid).collect(),
        groups.map(|group| group.gid).collect(),
    )
}

/// Compares the source's accounts with the target's, which count.
pub fn diff_back(actual: &Actual, resolved: &Resolved, receipt: &Receipt) -> Draft {
    let mut draft = Draft::default();
    if let Err(ambiguous) = ids_back(actual, resolved) {
        let conflict = Conflict::AmbiguousIds { ambiguous };
        draft.block(Resource::Accounts, Obstacle::Account { conflict });
    }
    let Some(source) = &actual.source else {
        return draft;
    };
    let mut merge = AccountsMerge::onto(Side::Source);
    let records = Receipt::directory(&receipt.name);
    merge.aside = Some(records.join("aside").join(receipt.aside_name()));
    for name in &receipt.accounts {
        match (source.users.get(name), actual.target.users.get(name)) {
            (Some(here), Some(there)) => {
                draft.settled.insert(Fact::AccountExists(name.clone()));
                others(name, source, here, &actual.target, there, &mut draft);
                let change = user_change(name, here, there, actual.source_crypt, &mut draft);
                merge.users.extend(change);
            }
            (Some(_), None) => {
                let text = format!(
                    "{name} was deleted on the target: account and mail stay on the source as they \
                     are; delete them there by hand if they are to go"
                );
                draft.note(Resource::Account(name.clone()), Level::Warning, text);
            }
            (None, Some(_)) => {
                let text = format!(
                    "{name} is no longer on the source, and its mail cannot go back: make the account \
                     there again, with its old uid"
                );
                draft.note(Resource::Account(name.clone()), Level::Warning, text);
            }
            (None, None) => {}
        }
    }
    only_on_target(source, actual, receipt, &mut draft);
    if merge.users.is_empty() {
        draft.settled.insert(Fact::AccountsMerged);
    } else if source.shadow == Presence::Absent {
        let text = "the source has no /etc/shadow: passwords that were changed on the target stay as \
                    they were on the source";
        draft.note(Resource::Accounts, Level::Warning, text);
        draft.settled.insert(Fact::AccountsMerged);
    } else {
        draft.actions.push(action(merge));
    }
    draft
}

fn action(merge: AccountsMerge) -> Action {
    let kept = merge.aside.as_ref().map(ToString::to_string);
    Action {
        id: ActionId("accounts/merge-back".to_owned()),
        because: Reason::PasswordsChanged {
            accounts: merge.users.len() as u64,
        },
        change: Change::MergeAccounts(merge),
        needs: BTreeSet::new(),
        gives: BTreeSet::from([Fact::AccountsMerged]),
        risk: Risk::Safe,
        undo: Undo::Manual(format!(
            "the files as they were are in {} on the source",
            kept.unwrap_or_default()
        )),
    }
}

/// What of an account goes back.
fn user_change(
    name: &UserName,
    here: &User,
    there: &User,
    crypt: Crypt,
    draft: &mut Draft,
) -> Option<UserChange> {
    let mut differs = Vec::new();
    for (what, from, to) in ageing(&here.ageing, &there.ageing) {
        if from != to {
            field(&mut differs, what, from, to);
        }
    }
    let changed = there
        .password
        .as_ref()
        .filter(|password| here.password.as_ref() != Some(password));
    if let Some(password) = changed {
        let why = if password.scheme == Scheme::EMPTY {
            Some("is empty now, which lets anybody in".to_owned())
        } else if !password.locked && !crypt.accepts(&password.scheme) {
            let (scheme, crypt) = (&password.scheme, crypt.name());
            Some(format!(
                "is hashed by {scheme}, which {crypt} on the source cannot check"
            ))
        } else {
            None
        };
        if let Some(why) = why {
            let text = format!(
                "{name}'s password was changed on the target and {why}: the old one stays on the \
                 source; set a new one there"
            );
            draft.note(Resource::Account(name.clone()), Level::Warning, text);
            return None;
        }
        let from = here.password.as_ref().map_or("missing".to_owned(), show);
        field(&mut differs, "password", from, show(password));
    }
    (!differs.is_empty()).then(|| UserChange {
        name: name.clone(),
        verb: Verb::Update,
        uid: here.uid,
        gid: here.gid,
        gecos: here.gecos.clone(),
        home: here.home.clone(),
        shell: here.shell.clone(),
        password: there.password.clone(),
        ageing: there.ageing.clone(),
        differs,
    })
}

/// Says what else was changed on the target.
fn others(
    name: &UserName,
    source: &Database,
    here: &User,
    target: &Database,
    there: &User,
    draft: &mut Draft,
) {
    let groups = |host: &Database| -> BTreeSet<Vec<u8>> {
        let member = host.groups.iter().filter(|(_, group)| group.has(name));
        member.map(|(group, _)| group.as_bytes().to_vec()).collect()
    };
    let known = |group: &Vec<u8>| source.groups.contains_key(&group.as_slice().into());
    let joined = groups(target).difference(&groups(source)).any(known);
    let parts = [
        (here.gecos != there.gecos, "comment"),
        (here.home != there.home, "home"),
        (here.shell != there.shell, "shell"),
        (joined, "groups"),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .filter(|part| part.0)
        .map(|part| part.1)
        .collect();
    if !parts.is_empty() {
        let text = format!(
            "{name} has another {} on the target: only passwords and their ageing go back",
            parts.join(", ")
        );
        draft.note(Resource::Account(name.clone()), Level::Info, text);
    }
}

/// People whom the source does not know.
fn only_on_target(source: &Database, actual: &Actual, receipt: &Receipt, draft: &mut Draft) {
    for (name, _) in actual.target.people() {
        if !source.users.contains_key(name) && !receipt.accounts.contains(name) {
            let text = format!(
                "{name} is on the target only, and does not go back: if people send mail to it, make the \
                 account on the source and copy its mail there by hand"
            );
            draft.note(Resource::Account(name.clone()), Level::Warning, text);
        }
    }
}
