//! A merge for people: groups, then accounts, with a line for each field.

use std::collections::BTreeMap;

use jiff::Span;
use jiff::civil::date;

use super::diff::{join, show};
use crate::names::UserName;
use crate::plan::Resource;
use crate::plan::change::{AccountsMerge, Ageing, FieldChange, GroupChange, UserChange, Verb};
use crate::plan::render::{Row, Sign};

/// The rows of the plan.
pub fn rows(merge: &AccountsMerge) -> Vec<Row> {
    let mut memberships: BTreeMap<&UserName, Vec<String>> = BTreeMap::new();
    for group in &merge.groups {
        for user in &group.add_members {
            memberships
                .entry(user)
                .or_default()
                .push(group.name.to_string());
        }
    }
    let groups = merge.groups.iter().map(group);
    let users = merge.users.iter().map(|change| {
        let groups = memberships.get(&change.name).map_or(&[][..], Vec::as_slice);
        user(change, groups)
    });
    groups.chain(users).collect()
}

fn group(group: &GroupChange) -> Row {
    let mut details: Vec<String> = group.differs.iter().map(line).collect();
    if group.verb == Verb::Create {
        if !group.add_members.is_empty() {
            details.push(format!("members: {}", join(&group.add_members)));
        }
        if !group.add_admins.is_empty() {
            details.push(format!("administrators: {}", join(&group.add_admins)));
        }
        if let Some(password) = &group.password {
            details.push(format!("password: {}", show(password)));
        }
    }
    Row {
        sign: sign(group.verb),
        resource: Resource::Group(group.name.clone()),
        title: format!("gid {}", group.gid),
        details,
    }
}

/// `groups` are the supplementary groups that the same merge puts the account in.
fn user(user: &UserChange, groups: &[String]) -> Row {
    let mut details: Vec<String> = user.differs.iter().map(line).collect();
    if user.verb == Verb::Create {
        if !user.gecos.is_empty() {
            details.push(format!("gecos: {}", user.gecos));
        }
        details.push(format!(
            "shell: {}",
            if user.shell.is_empty() {
                "/bin/sh, by default".to_owned()
            } else {
                user.shell.to_string()
            }
        ));
        details.push(match &user.password {
            Some(password) => format!("password: {}", show(password)),
            None => "password: none, locked".to_owned(),
        });
        details.extend(ageing(&user.ageing));
        if !groups.is_empty() {
            details.push(format!("groups: {}", groups.join(", ")));
        }
    }
    Row {
        sign: sign(user.verb),
        resource: Resource::Account(user.name.clone()),
        title: format!("uid {}, gid {}, home {}", user.uid, user.gid, user.home),
        details,
    }
}

/// What in the ageing keeps the account from logging in, now or one day; PAM asks it for POP3 and
/// IMAP, too (FACTS 5).
fn ageing(ageing: &Ageing) -> Option<String> {
    let mut parts = Vec::new();
    if ageing.last_change == Some(0) {
        parts.push("the password must be changed before the next login".to_owned());
    }
    // 99999 days are shadow-utils' way to say never.
    if let Some(max) = ageing.max.filter(|&max| max < 99_999) {
        parts.push(format!("the password expires after {max} days"));
    }
    if let Some(inactive) = ageing.inactive {
        parts.push(format!("the account is closed {inactive} days after that"));
    }
    if let Some(expire) = ageing.expire {
        parts.push(format!("the account expires on {}", day(expire)));
    }
    (!parts.is_empty()).then(|| format!("ageing: {}", parts.join(", ")))
}

/// A day counted from the epoch, as a date.
fn day(number: i64) -> String {
    let date = Span::new()
        .try_days(number)
        .and_then(|days| date(1970, 1, 1).checked_add(days));
    date.map_or_else(|_| format!("day {number}"), |date| date.to_string())
}

fn sign(verb: Verb) -> Sign {
    match verb {
        Verb::Create => Sign::Create,
        Verb::Update => Sign::Update,
    }
}

fn line(change: &FieldChange) -> String {
    format!("{}: {} -> {}", change.field, change.from, change.to)
}
