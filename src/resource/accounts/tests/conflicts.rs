//! Every kind of conflict, and what gets past it.

use super::*;
use crate::resource::accounts::{Clearance, Crypt, Presence};

#[track_caller]
fn refused(users: &str, actual: &Actual, text: &str) {
    assert_eq!(refusals(users, actual), [text]);
}

#[test]
fn a_name_with_another_uid_on_the_target_fails_or_keeps_the_targets() {
    let hosts = hosts(["bob=1000", "bob=1000"], ["bob=1500", "bob=1500"]);
    assert_eq!(
        refusals("", &hosts),
        [
            "bob should have uid 1000 and has uid 1500 on the target; if they are one person, write \
         `users.remap: { bob: 1500 }` or `users.on_uid_conflict: remap` to keep 1500, else add bob \
         to users.exclude"
        ]
    );

    for remedy in ["on_uid_conflict: remap", "remap: {bob: 1500}"] {
        let resolved = resolve(&manifest(remedy), &hosts, None);
        assert_eq!(resolved.blocked, [], "{remedy}");
        let bob = &resolved.users[&name("bob")];
        assert_eq!((bob.source_uid.0, bob.uid.0, bob.gid.0), (1000, 1500, 1500));
        assert_eq!(resolved.ids.uids[&bob.source_uid], bob.uid);
        assert_eq!(resolved.ids.gids[&bob.source_gid], bob.gid);
    }
}

#[test]
fn anothers_uid_on_the_target_fails_with_a_free_number_or_takes_it() {
    let hosts = hosts(
        ["bob=1000 eve=1002", "bob=1000 eve=1002"],
        ["carol=1000 dan=1001", "carol=1000 dan=1001"],
    );
    assert_eq!(
        refusals("", &hosts),
        [
            "bob has uid 1000 on the source, which is carol's on the target; write `users.remap: { \
             bob: 1003 }`, or `users.on_uid_conflict: remap`"
        ]
    );
    // 1000 and 1001 are in use on the target, 1002 is eve's.
    let merge = merge_of("on_uid_conflict: remap", &hosts, None);
    assert_eq!((merge.users[0].uid.0, merge.users[0].gid.0), (1003, 1003));
    assert_eq!((merge.users[1].uid.0, merge.users[1].gid.0), (1002, 1002));
    // A number given by hand is enough: the private group follows.
    let merge = merge_of("remap: {bob: 2001}", &hosts, None);
    assert_eq!((merge.users[0].uid.0, merge.users[0].gid.0), (2001, 2001));
}

#[test]
fn a_system_account_is_never_merged_whatever_the_policy() {
    let hosts = hosts(["backup=1000", "backup=1000"], ["backup=34", "backup=34"]);
    for policy in ["", "on_uid_conflict: remap", "remap: {backup: 34}"] {
        assert_eq!(
            refusals(policy, &hosts)[0],
            "backup (uid 1000 on the source) is a system account on the target (uid 34); add \
             backup to users.exclude",
            "{policy}"
        );
    }
    let same = super::hosts(["backup=34", "backup=34"], ["backup=34", "backup=34"]);
    assert!(refusals("include: [backup]", &same)[0].contains("is a system account"));
}

#[test]
fn a_system_accounts_uid_can_be_left_for_a_free_one() {
    let hosts = hosts(["bob=998", "bob=998"], ["polkitd=998", "polkitd=998"]);
    let users = "uid: 500..59999";
    assert_eq!(
        refusals(users, &hosts)[0],
        "bob has uid 998 on the source, which is the system account polkitd's on the target; write \
         `users.remap: { bob: 1000 }`, or `users.on_uid_conflict: remap`"
    );
    let merge = merge_of("uid: 500..59999, on_uid_conflict: remap", &hosts, None);
    assert_eq!((merge.users[0].uid.0, merge.users[0].gid.0), (1000, 1000));
}

#[test]
fn a_group_of_people_that_is_a_system_group_there_is_refused() {
    let hosts = hosts(["bob=1000", "bob=1000 docker=1001/bob"], ["", "docker=998"]);
    for policy in ["", "on_uid_conflict: remap"] {
        refused(
            policy,
            &hosts,
            "the group docker is one of people on the source (gid 1001) and a system group on the \
             target (gid 998); rename it on the source (`groupmod -n`)",
        );
    }
}

#[test]
fn two_accounts_with_one_uid_are_refused() {
    let hosts = hosts(["al=1000 alice=1000", "al=1000 alice=1000"], ["", ""]);
    assert!(
        refusals("", &hosts)[0].starts_with("the uid 1000 on the source is shared by al and alice")
    );
    assert_eq!(refusals("exclude: [al]", &hosts), [""; 0]);
}

#[test]
fn duplicate_lines_are_refused_only_for_those_who_are_chosen() {
    let mut hosts = hosts(["bob=1000 eve=1001", "bob=1000 eve=1001"], ["", ""]);
    let source = hosts.source.as_mut().unwrap();
    source.duplicate_users.insert(name("bob"));
    source.duplicate_groups.insert("eve".into());
    hosts.target.duplicate_users.insert(name("daemon"));
    let seen = refusals("", &hosts);
    assert!(seen[0].starts_with("bob has more than one line in passwd or shadow on the source"));
    assert!(seen[1].starts_with("the group eve has more than one line in group or gshadow"));
    assert_eq!(seen.len(), 2);
    assert_eq!(
        refusals("include: [bob], exclude: [bob, eve], uid: 5..6", &hosts).len(),
        1
    );
}

#[test]
fn a_primary_gid_without_a_group_is_refused() {
    let hosts = hosts(["bob=1000/777", "users=100"], ["", ""]);
    refused(
        "",
        &hosts,
        "bob's primary gid 777 has no group on the source; make one there (`groupadd -g 777 NAME`), \
         or add bob to users.exclude",
    );
}

#[test]
fn a_primary_system_group_must_be_on_the_target() {
    let lacking = hosts(["bob=1000/100", "users=100"], ["", ""]);
    assert!(refusals("", &lacking)[0].contains("`groupadd -r users`"));
    let there = hosts(["bob=1000/100", "users=100"], ["", "users=985"]);
    assert_eq!(merge_of("", &there, None).users[0].gid.0, 985);
}

#[test]
fn a_number_given_by_hand_must_be_free_and_a_persons() {
    let hosts = hosts(
        ["bob=1000 eve=2001", "bob=1000 eve=2001"],
        ["dan=3000", "dan=3000"],
    );
    let first = |users: &str| refusals(users, &hosts)[0].clone();
    assert!(first("remap: {bob: 3000}").starts_with(
        "users.remap gives bob the uid 3000, which is dan's on the target; write `users.remap: { bob: "
    ));
    assert!(first("remap: {bob: 2001}").contains("which is eve's"));
    assert!(first("remap: {bob: 65534}").contains("which no person may have"));
    assert!(first("remap: {bb: 2002}").contains("names bb, who is not among the chosen accounts"));
    assert!(
        first("remap: {boob: 2002}").contains("(did you mean bob?)"),
        "{}",
        first("remap: {boob: 2002}")
    );
    // By hand wins over what eve would keep.
    let merge = merge_of("on_uid_conflict: remap, remap: {bob: 2001}", &hosts, None);
    let uids: Vec<u32> = merge.users.iter().map(|user| user.uid.0).collect();
    assert_eq!(uids, [2001, 1001]);
}

#[test]
fn nobody_chosen_says_where_was_looked() {
    let hosts = hosts(["bob=500", "bob=500"], ["", ""]);
    refused(
        "",
        &hosts,
        "no account is chosen: looked at uids 1000..60000 of the source; widen `users.uid` or name \
         accounts in `users.include`",
    );
}

#[test]
fn an_include_that_fits_nobody_is_refused_with_a_guess() {
    let hosts = hosts(["webmaster=1000", "webmaster=1000"], ["", ""]);
    refused(
        "include: [webmastr]",
        &hosts,
        "`webmastr` in users.include fits no account on the source (did you mean webmaster?); \
         correct it or take it out",
    );
    assert!(refusals("include: ['[']", &hosts)[0].starts_with("`[` in users.include is no glob: "));
}

#[test]
fn a_hash_that_the_target_cannot_check_is_refused_unless_it_is_locked() {
    let mut hosts = hosts(["bob=1000", "bob=1000"], ["", ""]);
    hosts.crypt = Crypt::Glibc;
    let password = |text: &str| Some(serde_yaml::from_str(text).unwrap());
    let set = |hosts: &mut Actual, text| {
        hosts
            .source
            .as_mut()
            .unwrap()
            .users
            .get_mut(&name("bob"))
            .unwrap()
            .password = password(text);
    };
    set(&mut hosts, "{scheme: yescrypt, digest: a}");
    refused(
        "",
        &hosts,
        "bob's password is hashed by a scheme (yescrypt) that glibc's libcrypt on the target cannot \
         check; set a new password on the source, or add bob to users.exclude",
    );
    let resolved = resolve(&manifest(""), &hosts, None);
    assert_eq!(resolved.users[&name("bob")].blocked, Clearance::InConflict);
    set(&mut hosts, "{scheme: yescrypt, digest: a, locked: true}");
    assert_eq!(refusals("", &hosts), [""; 0]);
    set(&mut hosts, "{scheme: empty, digest: a}");
    assert!(refusals("", &hosts)[0].starts_with("bob has an empty password on the source"));
    assert_eq!(refusals("allow_empty_password: ['b*']", &hosts), [""; 0]);
}

#[test]
fn a_target_without_shadow_is_refused() {
    let mut hosts = hosts(["bob=1000", "bob=1000"], ["", ""]);
    hosts.target.shadow = Presence::Absent;
    assert!(refusals("", &hosts)[0].starts_with("the target has no /etc/shadow"));
    assert_eq!(plan("", &hosts, None).actions, []);
}

#[test]
fn when_people_have_used_every_number_it_is_said() {
    let mut hosts = hosts(["bob=1000", "bob=1000"], ["carol=1000", "carol=1000"]);
    hosts.target.ranges.uid_max = 1000;
    assert!(refusals("on_uid_conflict: remap", &hosts)[0].contains("no free number for bob"));
}

#[test]
fn one_conflict_keeps_only_its_own_facts_away() {
    let hosts = hosts(
        ["bob=1000 eve=1001", "bob=1000 eve=1001"],
        ["carol=1000", ""],
    );
    let draft = plan("", &hosts, None);
    let given: Vec<String> = draft.actions[0]
        .gives
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(given, ["account eve exists"]);
}
