//! Passwords on their way back to a source that is to serve again.
#![expect(clippy::disallowed_methods, reason = "the test reads the roots itself")]

use std::fs;

use super::files::{Pair, etc};
use super::*;
use crate::names::{Gid, Side, Uid};
use crate::plan::change::{AccountsMerge, IdMap, Verb};
use crate::resource::accounts::{ids_back, merge};

const RECEIPT: &str = "{version: 1, name: t, authority: target, since: '2026-11-23T00:00:00Z', \
                       accounts: [alice, bob]}";

/// A manifest by which a live source is to serve again.
fn reversing() -> Manifest {
    serde_yaml::from_str(
        "{version: 1, name: t, source: {host: 'ssh://root@old.example.org'}, \
         target: {host: 'ssh://root@new.example.org'}, serve_from: source}",
    )
    .unwrap()
}

fn draft(actual: &Actual) -> Draft {
    let (manifest, receipt) = (reversing(), serde_yaml::from_str(RECEIPT).unwrap());
    let resolved = resolve(&manifest, actual, Some(&receipt));
    diff(&manifest, actual, &resolved, Some(&receipt))
}

fn merge_back(actual: &Actual) -> AccountsMerge {
    let draft = draft(actual);
    assert_eq!(draft.blocked, []);
    let [action] = &draft.actions[..] else {
        panic!("one action, not {:?}", draft.actions)
    };
    let Change::MergeAccounts(merge) = &action.change else {
        panic!("a merge")
    };
    let mut after = actual.clone();
    predict(&mut after, merge);
    assert_eq!(super::back::draft(&after).actions, [], "planned again");
    merge.clone()
}

/// Hosts between which alice and bob moved, bob to another uid.
fn moved() -> Pair {
    let pair = Pair::new();
    let mut plan = merge_of("", &pair.observe(), None);
    for user in &mut plan.users {
        if user.name == name("bob") {
            (user.uid, user.gid) = (Uid(2001), Gid(2001));
        }
    }
    plan.groups.retain(|group| group.name.as_bytes() != b"bob");
    pair.merge(&plan).unwrap();
    pair
}

#[test]
fn nothing_goes_back_where_nothing_changed() {
    let draft = draft(&moved().observe());
    assert_eq!((draft.actions, draft.blocked), (vec![], vec![]));
}

#[test]
fn a_password_changed_on_the_target_is_that_of_the_source_again_and_nothing_else_changes() {
    let pair = moved();
    let source_before: Vec<_> = FOUR.iter().map(|file| etc(&pair.source, file)).collect();
    pair.edit(
        "shadow",
        "alice:$6$salt$hash:14700:",
        "alice:$6$other$secret:20500:",
    );
    pair.edit(
        "passwd",
        "Alice,,,:/home/alice",
        "Alice of the target:/home/alice",
    );
    let actual = pair.observe();
    let merge_back = merge_back(&actual);
    assert_eq!(merge_back.onto, Side::Source);
    let [alice] = &merge_back.users[..] else {
        panic!("{:?}", merge_back.users)
    };
    assert_eq!(
        (alice.verb, alice.uid, alice.gid),
        (Verb::Update, Uid(500), Gid(500))
    );
    let told = format!("{merge_back:?}{:?}", draft(&actual));
    assert!(!told.contains("secret"), "{told}");

    let (source, target) = pair.hosts();
    merge(&target, &source, &merge_back).unwrap();
    let changed =
        source_before[1].replace("alice:$6$salt$hash:14700:", "alice:$6$other$secret:20500:");
    let after: Vec<_> = FOUR.iter().map(|file| etc(&pair.source, file)).collect();
    assert_eq!(after[1], changed);
    assert_eq!(
        [&after[0], &after[2], &after[3]],
        [&source_before[0], &source_before[2], &source_before[3]]
    );
    let aside = pair
        .source
        .path()
        .join("var/lib/reconcile/t/aside/t.20261123T000000Z");
    for (file, before) in FOUR.iter().zip(&source_before) {
        assert_eq!(fs::read_to_string(aside.join(file)).unwrap(), *before);
    }
    assert_eq!(draft(&pair.observe()).actions, []);
}

const FOUR: [&str; 4] = ["passwd", "shadow", "group", "gshadow"];

#[test]
fn a_password_that_changed_since_the_plan_is_refused() {
    let pair = moved();
    pair.edit("shadow", "alice:$6$salt$hash:", "alice:$6$other$secret:");
    let plan = merge_back(&pair.observe());
    pair.edit("shadow", "alice:$6$other$secret:", "alice:$6$third$secret:");
    let (source, target) = pair.hosts();
    let before = etc(&pair.source, "shadow");
    let error = merge(&target, &source, &plan).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the account alice changed since the plan was made: its password on the target is not what \
         the plan saw"
    );
    assert_eq!(etc(&pair.source, "shadow"), before);
}

#[test]
fn what_cannot_go_back_is_said() {
    let pair = moved();
    pair.edit("shadow", "alice:$6$salt$hash:", "alice:$y$j9T$salt$hash:");
    pair.edit("passwd", "bob:x:2001:2001:Bob:/home/bob:/bin/tcsh\n", "");
    pair.edit(
        "passwd",
        "alice:x:500:500:Alice,,,:/home/alice",
        "alice:x:500:500:Alice,,,:/srv/alice",
    );
    let mut actual = pair.observe();
    actual.source_crypt = Crypt::Glibc;
    let draft = draft(&actual);
    assert_eq!(draft.actions, []);
    assert_eq!(
        notes(&draft),
        [
            "alice has another home on the target: only passwords and their ageing go back",
            "alice's password was changed on the target and is hashed by yescrypt, which glibc's \
             libcrypt on the source cannot check: the old one stays on the source; set a new one there",
            "bob was deleted on the target: account and mail stay on the source as they are; delete \
             them there by hand if they are to go",
            "zoe is on the target only, and does not go back: if people send mail to it, make the \
             account on the source and copy its mail there by hand",
        ]
    );
}

#[test]
fn numbers_translate_back_by_the_same_names() {
    let actual = moved().observe();
    let receipt = serde_yaml::from_str(RECEIPT).unwrap();
    let resolved = resolve(&reversing(), &actual, Some(&receipt));
    let back = ids_back(&actual, &resolved).unwrap();
    assert_eq!(back.uids[&Uid(2001)], Uid(501));
    // mail is 12 on Fedora and 8 on Debian.
    assert_eq!(back.gids[&Gid(8)], Gid(12));
    assert!(back.taken_gids.contains(&Gid(63)), "audio's on the source");
}

#[test]
fn a_number_that_stands_for_two_has_no_way_back() {
    let map = IdMap {
        uids: [
            (Uid(500), Uid(1000)),
            (Uid(501), Uid(1000)),
            (Uid(0), Uid(0)),
        ]
        .into(),
        ..IdMap::default()
    };
    let ambiguous = map.inverted([].into(), [].into()).unwrap_err();
    assert_eq!(
        ambiguous.to_string(),
        "uid 1000 on the target stands for the uids 500 and 501 of the source"
    );
}

proptest::proptest! {
    #[test]
    fn there_and_back_is_where_one_was(pairs: std::collections::BTreeMap<u32, u32>) {
        let map = IdMap {
            uids: pairs.iter().map(|(&a, &b)| (Uid(a), Uid(b))).collect(),
            ..IdMap::default()
        };
        if let Ok(back) = map.inverted([].into(), [].into()) {
            for (&from, &to) in &map.uids {
                proptest::prop_assert_eq!(back.uid(to).id(), from);
            }
            proptest::prop_assert_eq!(back.uids.len(), map.uids.len());
        }
    }
}
