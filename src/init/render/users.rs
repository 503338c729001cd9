//! `users`: who moves, and what keeps accounts from moving as they are.

use std::collections::{BTreeMap, BTreeSet};

use super::{NAMED, names, short};
use crate::init::findings::Findings;
use crate::init::page::{Section, State};
use crate::init::proposal::{Proposal, pattern};
use crate::init::yaml;
use crate::manifest::UidRange;
use crate::names::UserName;
use crate::plan::Level;
use crate::raw::Raw;
use crate::report::counted;
use crate::resource::accounts::{Conflict, User};

/// Schemes of crypt(5) that a stolen shadow file gives away today.
const WEAK: [&str; 6] = [
    "descrypt",
    "bsdicrypt",
    "md5crypt",
    "nt",
    "sunmd5",
    "sha1crypt",
];

/// So many uids are proposed one by one; who has more conflicts wants the policy.
const MOST_REMAPS: usize = 50;
/// So many conflicts are told one by one.
const MOST_CONFLICTS: usize = 20;

pub(super) fn section(page: &mut Section, findings: &Findings, proposal: &Proposal) {
    let mut section = Section::new("users");
    let chosen = &proposal.resolved.users;
    section.info(format!(
        "{}{}",
        counted(chosen.len() as u64, "account moves", "accounts move"),
        if chosen.is_empty() {
            String::new()
        } else {
            format!(": {}", names(chosen.keys()))
        }
    ));
    passwords(&mut section, findings, proposal);
    shells(&mut section, findings, proposal);
    for note in proposal.notes().filter(|note| note.level == Level::Warning) {
        section.warning(note.text.clone());
    }
    conflicts(&mut section, &proposal.conflicts);
    uid(&mut section, findings);
    section.off(
        "include",
        patterns(findings.beyond_range.iter().filter_map(pattern)),
        if findings.beyond_range.is_empty() {
            "names or globs beyond that range, as in [webmaster]"
        } else {
            "beyond that range, and mail lies in the spool for them"
        },
    );
    section.off(
        "exclude",
        patterns(proposal.exclude.iter().cloned()),
        if proposal.exclude.is_empty() {
            "names or globs that stay behind, as in [\"test*\"]"
        } else {
            "leaves out those above who cannot move as they are"
        },
    );
    section.off(
        "on_uid_conflict",
        "fail",
        "`remap`: who cannot keep a uid or gid gets a free one",
    );
    remap(&mut section, proposal);
    section.off(
        "allow_empty_password",
        patterns(proposal.empty.iter().cloned()),
        "whose empty passwords may be carried over",
    );
    page.section(section);
}

fn patterns(all: impl Iterator<Item = String>) -> String {
    // A list that is longer belongs into globs, which a person must write.
    yaml::list(all.take(MOST_REMAPS).map(|pattern| yaml::item(&pattern)))
}

fn uid(section: &mut Section, findings: &Findings) {
    let ranges = findings
        .accounts
        .source
        .as_ref()
        .map(|source| source.ranges);
    let ranges = ranges.unwrap_or_default();
    let range = UidRange {
        first: ranges.uid_min,
        last: ranges.uid_max,
    };
    // What the manifest refuses: a range that is empty, or takes in root.
    let state = match range.to_string().parse::<UidRange>() {
        Ok(UidRange { first: 1.., .. }) => State::Set,
        Ok(_) | Err(_) => State::Off,
    };
    section.key(
        "uid",
        range.to_string(),
        state,
        "UID_MIN..UID_MAX of the source's login.defs",
    );
}

/// Who can log in, and by what.
fn passwords(section: &mut Section, findings: &Findings, proposal: &Proposal) {
    let Some(source) = &findings.accounts.source else {
        return;
    };
    let mut weak: BTreeMap<&str, BTreeSet<&UserName>> = BTreeMap::new();
    let mut locked: BTreeSet<&UserName> = BTreeSet::new();
    let chosen = proposal.resolved.users.keys();
    for (name, user) in chosen.filter_map(|name| source.users.get_key_value(name)) {
        match &user.password {
            Some(password) if !is_locked(user) => {
                if let Some(scheme) = WEAK.iter().find(|scheme| **scheme == password.scheme) {
                    weak.entry(scheme).or_default().insert(name);
                }
            }
            Some(_) | None => drop(locked.insert(name)),
        }
    }
    if !locked.is_empty() {
        section.info(format!(
            "No password fits, here and on the target: {}",
            names(locked)
        ));
    }
    if !weak.is_empty() {
        let by_scheme = weak
            .iter()
            .map(|(scheme, users)| format!("{scheme}: {}", names(users)));
        section.warning(format!(
            "old password hashes, which are easily broken, stay as they are until the passwords are \
             changed. {}.",
            by_scheme.collect::<Vec<_>>().join("; ")
        ));
    }
}

/// Login shells that the target does not have.
fn shells(section: &mut Section, findings: &Findings, proposal: &Proposal) {
    let Some(source) = &findings.accounts.source else {
        return;
    };
    let lacks = |name: &&UserName| {
        let user = source.users.get(*name);
        user.is_some_and(|user| findings.accounts.missing_shells.contains(&user.shell))
    };
    let users: Vec<&UserName> = proposal.resolved.users.keys().filter(lacks).collect();
    if users.is_empty() {
        return;
    }
    let shells: BTreeSet<&Raw> = users
        .iter()
        .map(|name| &source.users[*name].shell)
        .collect();
    section.warning(format!(
        "login shells that the target does not have: {}. Mail works without, logins of {} do not.",
        names(shells),
        names(users)
    ));
}

/// Whether no password fits.
fn is_locked(user: &User) -> bool {
    let password = user.password.as_ref();
    password.is_none_or(|password| password.locked || password.scheme == "none")
}

fn conflicts(section: &mut Section, conflicts: &[Conflict]) {
    for conflict in conflicts.iter().take(MOST_CONFLICTS) {
        section.blocked(conflict.to_string());
    }
    if let Some(more) = conflicts
        .len()
        .checked_sub(MOST_CONFLICTS)
        .filter(|more| *more > 0)
    {
        section.blocked(format!(
            "{more} more conflicts; `reconcile plan` shows all of them"
        ));
    }
}

fn remap(section: &mut Section, proposal: &Proposal) {
    let remap = &proposal.remap;
    let why = "uids on the target for single users; their files follow";
    if remap.is_empty() {
        section.off("remap", "{}", why.to_owned() + ", as in { bob: 2001 }");
        return;
    }
    section.blocked(format!(
        "not with the uids that they have: {}. Set others below, or let on_uid_conflict take free \
         ones.",
        names(remap.keys())
    ));
    let mut table = Section::new("remap").why(why);
    for (name, (uid, why)) in remap.iter().take(MOST_REMAPS) {
        table.off(&yaml::scalar(name), uid.to_string(), why.clone());
    }
    if remap.len() > MOST_REMAPS {
        let rest = remap
            .keys()
            .skip(MOST_REMAPS)
            .take(NAMED)
            .map(|name| short(name));
        table.warning(format!(
            "{} more, too many to list: {} ...",
            remap.len() - MOST_REMAPS,
            rest.collect::<Vec<_>>().join(", ")
        ));
    }
    section.section(table);
}
