//! What the rules say about hand-written observations, and what a merge does to real files.

mod back;
mod conflicts;
mod files;
mod groups;
mod laws;
mod staging;
mod tables;

use super::{Actual, Conflict, Crypt, Resolved, diff, predict, resolve};
use crate::manifest::Manifest;
use crate::names::UserName;
use crate::plan::change::AccountsMerge;
use crate::plan::{Change, Draft, Obstacle};
use crate::receipt::Receipt;

/// A manifest with this `users` part, as YAML.
fn manifest(users: &str) -> Manifest {
    let text = format!(
        "{{version: 1, name: t, source: {{host: 'dir:/s'}}, target: {{host: 'dir:/t'}}, \
         serve_from: source, users: {{{users}}}}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

fn actual(yaml: &str) -> Actual {
    serde_yaml::from_str(yaml).unwrap()
}

/// A receipt of a migration that made these accounts.
fn receipt(authority: &str, accounts: &str) -> Receipt {
    serde_yaml::from_str(&format!(
        "{{version: 1, name: t, authority: {authority}, since: '2026-11-23T00:00:00Z', \
         accounts: [{accounts}]}}"
    ))
    .unwrap()
}

/// An observation with these lines of users and groups on each side: `alice: [1000, 1000]`.
fn hosts(source: [&str; 2], target: [&str; 2]) -> Actual {
    let users = |list: &str| -> String {
        entries(list)
            .map(|(name, ids)| {
                let (uid, gid) = ids.split_once('/').unwrap_or((ids, ids));
                format!(
                    "{name}: {{uid: {uid}, gid: {gid}, home: /home/{name}, shell: /bin/bash}}, "
                )
            })
            .collect::<Vec<_>>()
            .concat()
    };
    let groups = |list: &str| -> String {
        entries(list)
            .map(|(name, rest)| {
                let (gid, members) = rest.split_once('/').unwrap_or((rest, ""));
                format!(
                    "{name}: {{gid: {gid}, members: [{}]}}, ",
                    members.replace('+', ", ")
                )
            })
            .collect::<Vec<_>>()
            .concat()
    };
    let side =
        |[u, g]: [&str; 2]| format!("{{users: {{{}}}, groups: {{{}}}}}", users(u), groups(g));
    let mut actual = actual(&format!(
        "{{source: {}, target: {}}}",
        side(source),
        side(target)
    ));
    for user in actual
        .source
        .iter_mut()
        .flat_map(|source| source.users.values_mut())
    {
        user.password = Some(serde_yaml::from_str("{scheme: sha512crypt, digest: a1b2}").unwrap());
    }
    for user in actual.target.users.values_mut() {
        user.password = Some(serde_yaml::from_str("{scheme: sha512crypt, digest: a1b2}").unwrap());
    }
    actual
}

/// `alice=1000 bob=1001/100` as pairs.
fn entries(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split_whitespace()
        .map(|entry| entry.split_once('=').unwrap())
}

fn conflicts(resolved: &Resolved) -> Vec<Conflict> {
    let conflict = |by: &Obstacle| match by {
        Obstacle::Account { conflict } => conflict.clone(),
        other => panic!("not about accounts: {other}"),
    };
    resolved
        .blocked
        .iter()
        .map(|blocked| conflict(&blocked.by))
        .collect()
}

/// The conflicts of a choice, as text.
fn refusals(users: &str, actual: &Actual) -> Vec<String> {
    let resolved = resolve(&manifest(users), actual, None);
    conflicts(&resolved)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn plan(users: &str, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    let manifest = manifest(users);
    let resolved = resolve(&manifest, actual, receipt);
    diff(&manifest, actual, &resolved, receipt)
}

/// The one merge of a plan that is not blocked; and that planning again after it gives nothing.
fn merge_of(users: &str, actual: &Actual, receipt: Option<&Receipt>) -> AccountsMerge {
    let draft = plan(users, actual, receipt);
    assert_eq!(draft.blocked, [], "nothing is in the way");
    let [action] = &draft.actions[..] else {
        panic!("one action, not {:?}", draft.actions)
    };
    let Change::MergeAccounts(merge) = &action.change else {
        panic!("a merge")
    };
    let mut after = actual.clone();
    predict(&mut after, merge);
    let again = plan(users, &after, receipt);
    assert_eq!(
        (again.actions, again.blocked),
        (vec![], vec![]),
        "planned again"
    );
    merge.clone()
}

fn name(name: &str) -> UserName {
    UserName::from(name)
}

/// The texts of notes.
fn notes(draft: &Draft) -> Vec<&str> {
    draft.notes.iter().map(|note| note.text.as_str()).collect()
}
