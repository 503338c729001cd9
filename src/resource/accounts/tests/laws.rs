//! What holds for any two hosts, whatever the conflicts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::names::{Gid, Uid};
use crate::resource::accounts::{Clearance, User};

const NAMES: [&str; 6] = ["al", "bo", "cy", "di", "ed", "fi"];

/// Some of the names with uids close to each other, each with a group of its name or another's.
fn side() -> impl Strategy<Value = [String; 2]> {
    let account = (any::<bool>(), 996_u32..1006, 996_u32..1006, any::<bool>());
    proptest::collection::vec(account, NAMES.len()).prop_map(|accounts| {
        let (mut users, mut groups) = (String::new(), String::new());
        for (name, (there, uid, gid, member)) in NAMES.iter().zip(accounts) {
            if there {
                users += &[name, "=", &uid.to_string(), "/", &gid.to_string(), " "].concat();
                let members = if member { "/al+bo" } else { "" };
                groups += &[name, "=", &gid.to_string(), members, " "].concat();
            }
        }
        [users, groups]
    })
}

const POLICIES: [&str; 3] = [
    "",
    "on_uid_conflict: remap",
    "on_uid_conflict: remap, remap: {al: 1003, cy: 1100}",
];

fn uid_of(users: &BTreeMap<UserName, User>, uid: Uid) -> impl Iterator<Item = &UserName> {
    users
        .iter()
        .filter(move |(_, user)| user.uid == uid)
        .map(|(name, _)| name)
}

proptest! {
    #[test]
    fn nobody_gets_anothers_number_and_planning_again_is_quiet(
        source in side(), target in side(), users in 0..POLICIES.len()
    ) {
        let users = POLICIES[users];
        let as_text = |[u, g]: &[String; 2]| [u.clone(), g.clone()];
        let ([su, sg], [tu, tg]) = (as_text(&source), as_text(&target));
        let mut actual = hosts([&su, &sg], [&tu, &tg]);
        // An older system than the target: some of its people are below the target's UID_MIN.
        actual.source.as_mut().unwrap().ranges.uid_min = 998;
        let manifest = manifest(users);
        let resolved = resolve(&manifest, &actual, None);
        prop_assert_eq!(&resolve(&manifest, &actual, None), &resolved, "deterministic");

        let clear = resolved.users.iter().filter(|(_, c)| c.blocked == Clearance::Clear);
        let mut uids = BTreeSet::new();
        for (name, chosen) in clear.clone() {
            prop_assert!(uids.insert(chosen.uid), "{} shares {}", name, chosen.uid);
            let namesake = actual.target.users.get(name);
            if namesake.is_none() {
                let holder = uid_of(&actual.target.users, chosen.uid).next();
                prop_assert_eq!(holder, None, "{} takes it", name);
            } else {
                prop_assert_eq!(namesake.map(|user| user.uid), Some(chosen.uid));
            }
        }
        let mut gids: BTreeSet<Gid> = actual.target.groups.values().map(|group| group.gid).collect();
        for (name, group) in &resolved.groups {
            match actual.target.groups.get(name) {
                Some(here) => prop_assert_eq!(here.gid, group.gid),
                None => prop_assert!(gids.insert(group.gid), "{} takes {}", name, group.gid),
            }
        }

        let draft = diff(&manifest, &actual, &resolved, None);
        if let (true, [action]) = (draft.blocked.is_empty(), &draft.actions[..]) {
            let Change::MergeAccounts(merge) = &action.change else { unreachable!() };
            let mut after = actual.clone();
            predict(&mut after, merge);
            let names: Vec<String> = resolved.users.keys().map(ToString::to_string).collect();
            let ours = receipt("source", &names.join(", "));
            for receipt in [None, Some(&ours)] {
                let again = plan(users, &after, receipt);
                prop_assert_eq!(&again.actions, &vec![]);
                prop_assert_eq!(&again.blocked, &vec![]);
                let second = resolve(&manifest, &after, receipt);
                prop_assert_eq!(&second.users, &resolved.users, "numbers are stable");
                prop_assert_eq!(&second.ids.uids, &resolved.ids.uids);
            }
        }
    }
}
