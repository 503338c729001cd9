//! Which directories a look may pass over, without a kernel.

use super::*;

const HOME: u64 = 10;
const FOLDER: u64 = 11;
const CUR: u64 = 12;

fn spot(ino: u64) -> Spot {
    Spot {
        file_system: 0,
        ino,
    }
}

/// A look at the home of a user that trusts earlier ones.
fn look(known: &mut Known, user: &str, look: u32, settled: &[u32]) -> Phase {
    let settled = settled.to_vec();
    known.begin(&HostPath::from(user), &Tracking { look, settled })
}

/// Where the look is then; `None` if the directory is passed over.
fn meet(
    known: &mut Known,
    look: &Phase,
    above: Option<Standing>,
    (ino, name): (u64, &str),
) -> Option<Standing> {
    let ctime = Moment {
        seconds: 7,
        nanos: 0,
    };
    match known.meet(look, above.as_ref(), spot(ino), name.as_bytes(), ctime) {
        Met::Same => None,
        Met::Enter(standing) => Some(standing),
    }
}

/// Goes down into a folder; where it was passed over, if it was.
fn descend(known: &mut Known, look: &Phase) -> Option<u64> {
    let mut above = None;
    for (ino, name) in [(HOME, ""), (FOLDER, "Maildir"), (CUR, "cur")] {
        match meet(known, look, above, (ino, name)) {
            Some(standing) => above = Some(standing),
            None => return Some(ino),
        }
    }
    None
}

#[test]
fn a_directory_is_passed_over_until_something_below_it_changes() {
    let known = &mut Known::default();
    let first = look(known, "/home/alice", 1, &[]);
    assert_eq!(descend(known, &first), None);
    let second = look(known, "/home/alice", 2, &[1]);
    assert_eq!(descend(known, &second), Some(FOLDER));
    known.changed(spot(CUR));
    let third = look(known, "/home/alice", 3, &[1, 2]);
    assert_eq!(descend(known, &third), None);
    // That look found no end: what it entered is entered again.
    let fourth = look(known, "/home/alice", 4, &[1, 2]);
    assert_eq!(descend(known, &fourth), None);
    let fifth = look(known, "/home/alice", 5, &[1, 2, 4]);
    assert_eq!(descend(known, &fifth), Some(FOLDER));
}

#[test]
fn what_a_look_did_not_meet_is_not_known_when_it_is_back() {
    let known = &mut Known::default();
    let first = look(known, "/home/alice", 1, &[]);
    descend(known, &first);
    // The folder is elsewhere, and then there again.
    known.changed(spot(HOME));
    let second = look(known, "/home/alice", 2, &[1]);
    meet(known, &second, None, (HOME, ""));
    known.changed(spot(HOME));
    let third = look(known, "/home/alice", 3, &[1, 2]);
    assert_eq!(descend(known, &third), None);
}

#[test]
fn nothing_below_a_directory_of_another_name_is_passed_over() {
    let known = &mut Known::default();
    let first = look(known, "/home/alice", 1, &[]);
    descend(known, &first);
    let second = look(known, "/home/alice", 2, &[1]);
    let home = meet(known, &second, None, (HOME, ""));
    let renamed = meet(known, &second, home, (FOLDER, "Mail"));
    assert!(renamed.is_some());
    assert!(meet(known, &second, renamed, (CUR, "cur")).is_some());
}

#[test]
fn what_two_trees_have_is_looked_at_by_both() {
    let known = &mut Known::default();
    for round in 1..4 {
        for (user, settled) in [("/home/alice", round - 1), ("/home/bob", round - 1)] {
            let look = look(known, user, round, &[settled]);
            assert_eq!(descend(known, &look), None);
        }
    }
}

#[test]
fn what_changes_in_a_tree_is_found_in_the_tree_around_it_too() {
    let known = &mut Known::default();
    let around = look(known, "/home/alice", 1, &[]);
    descend(known, &around);
    let within = look(known, "/home/alice/Maildir/cur", 1, &[]);
    meet(known, &within, None, (CUR, ""));
    known.changed(spot(CUR));
    let again = look(known, "/home/alice", 2, &[1]);
    assert_eq!(descend(known, &again), None);
}

#[test]
fn a_tree_with_a_file_of_which_another_name_came_or_went_is_looked_at_as_a_whole() {
    let known = &mut Known::default();
    let first = look(known, "/home/alice", 1, &[]);
    descend(known, &first);
    known.file(&first, spot(100), 1);
    known.touched_elsewhere(spot(101));
    let second = look(known, "/home/alice", 2, &[1]);
    assert_eq!(
        descend(known, &second),
        Some(FOLDER),
        "it is no file of hers"
    );
    known.touched_elsewhere(spot(100));
    let third = look(known, "/home/alice", 3, &[1, 2]);
    assert_eq!(descend(known, &third), None);
    let fourth = look(known, "/home/alice", 4, &[1, 2, 3]);
    known.gone(spot(100));
    assert_eq!(descend(known, &fourth), None);
    let fifth = look(known, "/home/alice", 5, &[1, 2, 3, 4]);
    assert_eq!(descend(known, &fifth), Some(FOLDER), "its last name went");
    known.file(&fifth, spot(102), 2);
    let sixth = look(known, "/home/alice", 6, &[1, 2, 3, 4, 5]);
    assert_eq!(descend(known, &sixth), None);
}

#[test]
fn what_was_lost_is_not_known_again() {
    let known = &mut Known::default();
    let first = look(known, "/home/alice", 1, &[]);
    descend(known, &first);
    known.lose("for a test");
    for number in 2..4 {
        let look = look(known, "/home/alice", number, &[1, 2]);
        assert_eq!(descend(known, &look), None);
    }
    assert_eq!(known.lost(), Some("for a test"));
}
