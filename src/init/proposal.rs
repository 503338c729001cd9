//! What would clear the way for accounts, put to the planner's own resolution and kept only where
//! that agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use crate::manifest::{
    Dovecot, FIRST_USER_UID, LAST_USER_UID, Mail, Manifest, Services, Source, Transfer,
    UserPattern, Users,
};
use crate::names::{Side, UserName};
use crate::plan::{Note, Obstacle};
use crate::resource::accounts::{Conflict, Resolved, resolve};

/// What the planner says of the accounts, and what would help.
#[derive(Debug)]
pub(super) struct Proposal {
    /// With the manifest as it will be written.
    pub(super) resolved: Resolved,
    /// Uids for accounts that cannot keep theirs, each with the reason.
    pub(super) remap: BTreeMap<String, (u32, String)>,
    /// Accounts that can only be left out, as patterns.
    pub(super) exclude: BTreeSet<String>,
    /// Accounts with an empty password, as patterns.
    pub(super) empty: BTreeSet<String>,
    /// All conflicts but those that `remap` would solve.
    pub(super) conflicts: Vec<Conflict>,
}

/// The manifest with nothing in it but the two hosts.
pub(super) fn bare(findings: &Findings) -> Manifest {
    let host = |host: &super::HostFindings| Source {
        host: host.host.clone(),
        host_key: None,
        become_root: None,
    };
    Manifest {
        version: 1,
        name: findings.name.clone(),
        source: host(&findings.source),
        target: host(&findings.target),
        serve_from: Side::Source,
        users: Users::default(),
        mail: Mail::default(),
        transfer: Transfer::default(),
        dovecot: Dovecot::default(),
        services: Services::default(),
        freeze: None,
        cutover: None,
        mx: None,
        spool: None,
    }
}

/// Asks the planner.
pub(super) fn propose(findings: &Findings) -> Proposal {
    let manifest = bare(findings);
    let resolved = resolve(&manifest, &findings.accounts, None);
    let mut remap = BTreeMap::new();
    let mut exclude = BTreeSet::new();
    let mut empty = BTreeSet::new();
    for conflict in conflicts(&resolved) {
        if let Some((user, uid, why)) = other_uid(conflict) {
            remap.insert(user, (uid, why));
        }
        match conflict {
            Conflict::EmptyPassword { user } => empty.extend(pattern(user)),
            Conflict::UnusableName { user }
            | Conflict::SystemName { user, .. }
            | Conflict::DuplicateUser { user, .. }
            | Conflict::UncheckablePassword { user, .. } => {
                exclude.insert(loose_pattern(user));
            }
            _ => {}
        }
    }
    let helped = |change: &dyn Fn(&mut Users)| {
        let mut tried = manifest.clone();
        change(&mut tried.users);
        resolve(&tried, &findings.accounts, None)
    };
    let with = helped(&|users| {
        users.remap = remap
            .iter()
            .map(|(user, (uid, _))| (user.clone(), *uid))
            .collect();
    });
    remap.retain(|user, _| !in_uid_conflict(&with, user));
    let without = helped(&|users| users.exclude = exclude.iter().cloned().collect());
    if conflicts(&without).any(|conflict| matches!(conflict, Conflict::BadPattern { .. })) {
        exclude.clear();
    }
    let solved = |conflict: &&Conflict| {
        other_uid(conflict).is_some_and(|(user, ..)| remap.contains_key(&user))
    };
    let conflicts = conflicts(&resolved)
        .filter(|c| !solved(c))
        .cloned()
        .collect();
    Proposal {
        resolved,
        remap,
        exclude,
        empty,
        conflicts,
    }
}

impl Proposal {
    /// What the planner says besides conflicts, but for what it says of single accounts.
    pub(super) fn notes(&self) -> impl Iterator<Item = &Note> {
        let single = |note: &&Note| !matches!(note.resource, crate::plan::Resource::Account(_));
        self.resolved.notes.iter().filter(single)
    }
}

fn conflicts(resolved: &Resolved) -> impl Iterator<Item = &Conflict> {
    resolved
        .blocked
        .iter()
        .filter_map(|blocked| match &blocked.by {
            Obstacle::Account { conflict } => Some(conflict),
            _ => None,
        })
}

/// The uid that a conflict's own text proposes, and why; for names and uids that a manifest can hold.
fn other_uid(conflict: &Conflict) -> Option<(String, u32, String)> {
    let (user, proposed, why) = match conflict {
        Conflict::SameNameOtherUid {
            user,
            wanted,
            target,
        } => {
            let why = format!("uid {wanted} here, {target} there: if it is one person");
            (user, *target, why)
        }
        Conflict::OtherNameSameUid {
            user,
            uid,
            other,
            free: Some(free),
        } => (user, *free, format!("uid {uid} is {other}'s on the target")),
        Conflict::SystemUid {
            user,
            uid,
            other,
            free: Some(free),
        } => {
            let why = format!("uid {uid} is the system account {other}'s on the target");
            (user, *free, why)
        }
        _ => return None,
    };
    let name = std::str::from_utf8(user.as_bytes()).ok()?;
    let usable = (FIRST_USER_UID..=LAST_USER_UID).contains(&proposed.0);
    (usable && name.len() <= LONGEST_NAME).then(|| (name.to_owned(), proposed.0, why))
}

/// Longer names are no key of a YAML mapping (1.2, 7.4: 1024 characters), and no login's (useradd: 256).
const LONGEST_NAME: usize = 256;

/// Whether an account is in conflict over a uid, the one in `remap` included.
fn in_uid_conflict(resolved: &Resolved, name: &str) -> bool {
    conflicts(resolved).any(|conflict| match conflict {
        Conflict::RemapTaken { user, .. }
        | Conflict::RemapTooLate { user, .. }
        | Conflict::RemapReserved { user, .. }
        | Conflict::SameNameOtherUid { user, .. }
        | Conflict::OtherNameSameUid { user, .. }
        | Conflict::SystemUid { user, .. } => user.as_bytes() == name.as_bytes(),
        Conflict::RemapOfNobody { user, .. } => user == name,
        _ => false,
    })
}

/// A name as a pattern of the manifest that fits it and nothing else; `None` for a name that a
/// manifest cannot hold.
pub(super) fn pattern(name: &UserName) -> Option<String> {
    let text = std::str::from_utf8(name.as_bytes()).ok()?;
    let escape = |c: char| match c {
        '*' | '?' | '[' | ']' | '{' | '}' | '\\' => vec!['\\', c],
        c => vec![c],
    };
    let pattern: String = text.chars().flat_map(escape).collect();
    let usable = text.len() <= LONGEST_NAME && UserPattern::check(&pattern).is_ok();
    usable.then_some(pattern)
}

/// The same for any name: what a manifest cannot hold is `?`, which fits any byte. Only for leaving
/// accounts out: it can fit others, too.
fn loose_pattern(name: &UserName) -> String {
    pattern(name).unwrap_or_else(|| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+$".contains(&byte);
        let bytes = name.as_bytes().iter().take(LONGEST_NAME);
        bytes
            .map(|&byte| if plain(byte) { char::from(byte) } else { '?' })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{as_path, patterns};

    fn fits(pattern: String, name: &str) -> bool {
        patterns(&[pattern]).is_match(as_path(&UserName::from(name)))
    }

    #[test]
    fn a_pattern_fits_one_name_only() {
        for name in [
            "[x]*",
            "{a,b}",
            "a?",
            "j\\d",
            "no",
            "j\u{fc}rgen",
            "x!",
            "!x",
            "a^b",
            "a-b",
        ] {
            let pattern = pattern(&UserName::from(name)).unwrap();
            assert!(fits(pattern.clone(), name), "{pattern}");
            for other in ["x", "a", "b", "ab", "jd", "x*", "[x]**", "yx", "axb"] {
                assert!(!fits(pattern.clone(), other), "{pattern} fits {other}");
            }
        }
        assert_eq!(pattern(&UserName::from(&b"\xe9t\xe9"[..])), None);
        assert_eq!(pattern(&UserName::from("a b")), None);
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_fits_its_name(name in "[^:\n]{1,12}") {
            let user = UserName::from(name.as_str());
            proptest::prop_assert!(fits(loose_pattern(&user), &name));
            if let Some(pattern) = pattern(&user) {
                proptest::prop_assert!(fits(pattern, &name));
            }
        }
    }
}
