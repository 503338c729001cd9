//! Who is chosen, what is compared, and when it is quiet.

use super::*;
use crate::names::Uid;
use crate::plan::change::{Mapped, Verb};
use crate::plan::{Fact, Level};
use crate::resource::accounts::{Presence, rows};

#[test]
fn people_are_chosen_by_login_defs_and_nobody_never() {
    let mut hosts = hosts(
        [
            "root=0 mail=8/12 alice=500 nfsnobody=65534 nobody=99 zed=60001/500",
            "mail=12 alice=500 nobody=99 nfsnobody=65534",
        ],
        ["root=0 mail=8", "mail=8"],
    );
    hosts.source.as_mut().unwrap().ranges.uid_min = 500;
    let chosen = |users: &str| -> Vec<String> {
        let resolved = resolve(&manifest(users), &hosts, None);
        resolved.users.keys().map(ToString::to_string).collect()
    };
    assert_eq!(chosen(""), ["alice"]);
    assert_eq!(chosen("uid: 0..4294967295"), ["alice", "mail", "zed"]);
    assert_eq!(chosen("include: ['ze*'], exclude: [alice]"), ["zed"]);
    let resolved = resolve(&manifest("include: [nobody]"), &hosts, None);
    assert_eq!(
        resolved.notes[0].text,
        "nobody (uid 99) is no person's account and is never carried over"
    );
    assert_eq!(resolved.notes[0].level, Level::Warning);
}

#[test]
fn a_new_account_is_shown_with_its_groups() {
    let hosts = hosts(
        ["alice=1000", "alice=1000 staff=50/alice"],
        ["root=0", "staff=50"],
    );
    let merge = merge_of("", &hosts, None);
    let rows = rows(&merge);
    let shown: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row.sign.mark(), row.resource))
        .collect();
    assert_eq!(shown, ["+ group/alice", "~ group/staff", "+ account/alice"]);
    assert_eq!(rows[1].details, ["members: none -> alice"]);
    assert_eq!(rows[2].title, "uid 1000, gid 1000, home /home/alice");
    assert_eq!(
        rows[2].details,
        [
            "shell: /bin/bash",
            "password: sha512crypt #a1b2",
            "groups: staff"
        ]
    );
}

#[test]
fn a_password_changed_on_the_source_is_carried_and_shown_by_digest() {
    let mut hosts = hosts(["alice=1000", "alice=1000"], ["alice=1000", "alice=1000"]);
    assert_eq!(plan("", &hosts, None).actions, []);
    let alice = hosts
        .source
        .as_mut()
        .unwrap()
        .users
        .get_mut(&name("alice"))
        .unwrap();
    alice.password = Some(serde_yaml::from_str("{scheme: yescrypt, digest: c3d4}").unwrap());
    alice.ageing.last_change = Some(20000);
    alice.gecos = b"Andr\xe9"[..].into();
    let merge = merge_of("", &hosts, None);
    assert_eq!(merge.users[0].verb, Verb::Update);
    assert_eq!(
        rows(&merge)[0].details,
        [
            "gecos: \"\" -> Andr\\xE9",
            "last password change: none -> 20000",
            "password: sha512crypt #a1b2 -> yescrypt #c3d4",
        ]
    );
}

#[test]
fn when_all_is_right_the_facts_are_settled() {
    let hosts = hosts(["alice=1000", "alice=1000"], ["alice=1000", "alice=1000"]);
    let draft = plan("", &hosts, None);
    assert_eq!(draft.actions, []);
    assert!(draft.settled.contains(&Fact::AccountsMerged));
    assert!(draft.settled.contains(&Fact::AccountExists(name("alice"))));
}

#[test]
fn an_account_line_without_a_shadow_line_is_completed() {
    let mut hosts = hosts(["alice=1000", "alice=1000"], ["alice=1000", "alice=1000"]);
    let alice = hosts.target.users.get_mut(&name("alice")).unwrap();
    alice.password = None;
    alice.shadow = Presence::Absent;
    hosts
        .target
        .groups
        .get_mut(&"alice".into())
        .unwrap()
        .gshadow = Presence::Absent;
    let merge = merge_of("", &hosts, None);
    assert_eq!(rows(&merge)[0].details, ["gshadow entry: missing -> added"]);
    assert_eq!(
        rows(&merge)[1].details,
        ["password: missing -> sha512crypt #a1b2"]
    );
}

#[test]
fn uids_below_the_targets_uid_min_are_kept_with_one_note() {
    let mut hosts = hosts(["al=500 bo=501", "al=500 bo=501"], ["", ""]);
    hosts.source.as_mut().unwrap().ranges.uid_min = 500;
    merge_of("", &hosts, None);
    let draft = plan("", &hosts, None);
    assert_eq!(
        notes(&draft),
        [
            "2 uids are below the target's UID_MIN of 1000, the lowest is al's 500: Dovecot's \
          first_valid_uid there (500 by default) must not be higher"
        ]
    );
}

#[test]
fn what_was_remapped_stays_remapped() {
    let hosts = hosts(
        ["bob=1000", "bob=1000"],
        ["bob=1004 carol=1000", "bob=1004 carol=1000"],
    );
    // The policy was `remap` once; the receipt knows that bob is ours.
    let receipt = receipt("source", "bob");
    let draft = plan("", &hosts, Some(&receipt));
    assert_eq!((draft.actions, draft.blocked), (vec![], vec![]));
}

#[test]
fn after_the_cutover_the_target_is_right() {
    let mut hosts = hosts(
        ["alice=1000 new=1001", "alice=1000 new=1001"],
        ["alice=1000", "alice=1000"],
    );
    let alice = hosts.target.users.get_mut(&name("alice")).unwrap();
    alice.password = Some(serde_yaml::from_str("{scheme: yescrypt, digest: c3d4}").unwrap());
    let receipt = receipt("target", "alice, gone");
    for source in [hosts.source.clone(), None] {
        hosts.source = source;
        let draft = plan("", &hosts, Some(&receipt));
        assert_eq!((&draft.actions, &draft.blocked), (&vec![], &vec![]));
        assert!(draft.settled.contains(&Fact::AccountExists(name("alice"))));
        assert_eq!(
            notes(&draft),
            ["gone was carried over and is no longer on the target, whose accounts count now"]
        );
    }
}

#[test]
fn an_account_that_left_the_source_stays_on_the_target() {
    let hosts = hosts(
        ["alice=1000", "alice=1000"],
        ["alice=1000 bob=1001", "alice=1000 bob=1001"],
    );
    let draft = plan("", &hosts, Some(&receipt("source", "alice, bob")));
    assert_eq!(draft.actions, []);
    assert!(
        notes(&draft)[0]
            .starts_with("bob was carried over before and is no longer on the source: account and")
    );
}

#[test]
fn a_missing_shell_is_one_note_for_all_who_have_it() {
    let mut hosts = hosts(["al=1000 bo=1001", "al=1000 bo=1001"], ["", ""]);
    hosts.missing_shells.insert("/bin/bash".into());
    let draft = plan("", &hosts, None);
    assert_eq!(
        notes(&draft),
        [
            "the login shell /bin/bash of 2 accounts is not on the target: mail works, logins \
          do not; install it there"
        ]
    );
}

#[test]
fn owners_of_files_translate_by_name() {
    let hosts = hosts(
        ["alice=1000 mail=8/12 rpc=32", "alice=1000 mail=12 man=15"],
        ["alice=1000 mail=8 uucp=10", "alice=1000 mail=8 man=12"],
    );
    let ids = resolve(&manifest(""), &hosts, None).ids;
    assert_eq!(ids.gid(crate::names::Gid(12)).id().0, 8);
    assert_eq!(ids.gid(crate::names::Gid(15)).id().0, 12);
    assert_eq!(ids.uid(Uid(32)), Mapped::Kept(Uid(32)));
    assert_eq!(ids.uid(Uid(10)), Mapped::ToRoot(Uid(0)));
}

#[test]
fn an_observation_survives_as_yaml() {
    let hosts = hosts(["alice=1000", "alice=1000/alice"], ["root=0", "root=0"]);
    let text = serde_yaml::to_string(&hosts).unwrap();
    assert_eq!(actual(&text), hosts, "{text}");
}
