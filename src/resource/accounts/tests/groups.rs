//! Which groups come along, and with which members.

use super::*;
use crate::plan::change::Verb;

#[test]
fn groups_of_people_keep_their_gid_and_get_only_chosen_members() {
    let hosts = hosts(
        [
            "alice=1000 bob=1001 old=999",
            "alice=1000 bob=1001 office=1500/alice+bob+old+ghost",
        ],
        ["", ""],
    );
    let merge = merge_of("exclude: [bob]", &hosts, None);
    let office = merge
        .groups
        .iter()
        .find(|group| group.name == "office".into())
        .unwrap();
    assert_eq!((office.verb, office.gid.0), (Verb::Create, 1500));
    assert_eq!(office.add_members, [name("alice")].into());
}

#[test]
fn system_groups_are_taken_by_name_and_never_made() {
    let hosts = hosts(
        ["alice=1000", "alice=1000 audio=63/alice mock=135/alice"],
        ["", "audio=29"],
    );
    let merge = merge_of("", &hosts, None);
    let audio = merge
        .groups
        .iter()
        .find(|group| group.name == "audio".into())
        .unwrap();
    assert_eq!((audio.verb, audio.gid.0), (Verb::Update, 29));
    assert!(!merge.groups.iter().any(|group| group.name == "mock".into()));
    assert_eq!(
        notes(&plan("", &hosts, None)),
        [
            "mock is a system group that the target does not have: alice not made a member; `groupadd \
          -r mock` there brings it along"
        ]
    );
}

#[test]
fn members_on_the_target_stay() {
    let hosts = hosts(
        ["alice=1000", "alice=1000 audio=63/alice"],
        ["", "audio=29/zoe"],
    );
    let merge = merge_of("", &hosts, None);
    let audio = merge
        .groups
        .iter()
        .find(|group| group.name == "audio".into())
        .unwrap();
    assert_eq!(audio.differs[0].to, "alice, zoe");
}

#[test]
fn membership_that_gives_power_is_carried_with_a_warning() {
    let hosts = hosts(
        ["alice=1000", "alice=1000 wheel=10/alice"],
        ["", "wheel=10"],
    );
    merge_of("", &hosts, None);
    assert_eq!(
        notes(&plan("", &hosts, None)),
        [
            "alice is made a member of wheel, as on the source: that gives power over the target, \
             or over the mail of others"
        ]
    );
}

#[test]
fn a_member_that_gshadow_lacks_is_added_there() {
    let mut hosts = hosts(
        ["alice=1000", "alice=1000 audio=63/alice"],
        ["alice=1000", "alice=1000 audio=29/alice"],
    );
    assert_eq!(plan("", &hosts, None).actions, []);
    let audio = hosts.target.groups.get_mut(&"audio".into()).unwrap();
    audio.not_in_gshadow.insert(name("alice"));
    assert_eq!(merge_of("", &hosts, None).groups.len(), 1);
}

#[test]
fn a_gid_that_is_taken_fails_or_becomes_a_free_one() {
    let hosts = hosts(
        ["alice=1000", "alice=1000 office=1500/alice"],
        ["", "staff=1500 x=1001"],
    );
    assert_eq!(
        refusals("", &hosts),
        [
            "the group office has gid 1500, which is the group staff's on the target; write \
          `users.on_uid_conflict: remap` to give it a free one"
        ]
    );
    let merge = merge_of("on_uid_conflict: remap", &hosts, None);
    let office = merge
        .groups
        .iter()
        .find(|group| group.name == "office".into())
        .unwrap();
    assert_eq!(office.gid.0, 1002);
}
