//! What the accounts will be after a merge; for tests that plan again.

use std::collections::BTreeSet;

use super::actual::{Actual, Database, Group, Presence, User};
use crate::names::Side;
use crate::plan::change::{AccountsMerge, GroupChange, UserChange};

/// Applies a merge to an observation.
pub fn predict(actual: &mut Actual, merge: &AccountsMerge) {
    match (merge.onto, &mut actual.source) {
        (Side::Target, _) => predict_on(&mut actual.target, merge),
        (Side::Source, Some(source)) => predict_on(source, merge),
        (Side::Source, None) => {}
    }
}

fn predict_on(host: &mut Database, merge: &AccountsMerge) {
    let gshadow = host.gshadow;
    for change in &merge.groups {
        let group = host
            .groups
            .entry(change.name.clone())
            .or_insert_with(|| new_group(change, gshadow));
        group.members.extend(change.add_members.iter().cloned());
        if gshadow == Presence::Present {
            group.admins.extend(change.add_admins.iter().cloned());
            group
                .not_in_gshadow
                .retain(|user| !change.add_members.contains(user));
            if group.gshadow == Presence::Absent && group.password.is_none() {
                group.gshadow = Presence::Present;
                group.password.clone_from(&change.password);
            }
        }
    }
    for change in &merge.users {
        let user = user(change);
        host.users.insert(change.name.clone(), user);
    }
}

fn new_group(change: &GroupChange, gshadow: Presence) -> Group {
    Group {
        gid: change.gid,
        members: BTreeSet::new(),
        admins: BTreeSet::new(),
        password: change.password.clone(),
        gshadow,
        not_in_gshadow: BTreeSet::new(),
    }
}

fn user(change: &UserChange) -> User {
    User {
        uid: change.uid,
        gid: change.gid,
        gecos: change.gecos.clone(),
        home: change.home.clone(),
        shell: change.shell.clone(),
        password: change.password.clone(),
        ageing: change.ageing.clone(),
        shadow: Presence::Present,
    }
}
