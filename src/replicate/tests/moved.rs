//! Files that got another name since the last copy.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bench::{Bench, Way, write};

const LETTER: usize = 20_000;

/// A home with a Maildir of fifty letters, copied; what is new settles first.
fn bench() -> Bench {
    let bench = Bench::by(Way::Wire);
    for number in 0..50 {
        let name = format!("Maildir/cur/{number}.host:2,");
        write(bench.home().join(name), letter(number));
    }
    for name in ["Maildir/new", "Maildir/.Trash/cur"] {
        fs::create_dir_all(bench.home().join(name)).unwrap();
    }
    for number in 50..60 {
        write(
            bench.home().join(format!("Maildir/new/{number}.host")),
            letter(number),
        );
    }
    std::thread::sleep(Duration::from_millis(100));
    bench.converge();
    bench
}

fn letter(number: u8) -> Vec<u8> {
    vec![number; LETTER]
}

/// Renames on the source, within the home.
fn rename(bench: &Bench, from: &str, to: &str) {
    fs::rename(bench.home().join(from), bench.home().join(to)).unwrap();
}

fn inode(bench: &Bench, name: &str) -> u64 {
    fs::metadata(bench.there().join(name)).unwrap().ino()
}

/// What the next copy sends; everything is equal after it.
fn wire(bench: &Bench) -> u64 {
    bench.wire.store(0, Ordering::Relaxed);
    bench.copy();
    let wire = bench.wire.load(Ordering::Relaxed);
    bench.converge();
    wire
}

#[test]
fn a_flag_in_a_name_carries_no_content() {
    let bench = bench();
    let before = inode(&bench, "Maildir/cur/7.host:2,");
    rename(&bench, "Maildir/cur/7.host:2,", "Maildir/cur/7.host:2,S");
    rename(&bench, "Maildir/cur/49.host:2,", "Maildir/cur/49.host:2,FS");
    let wire = wire(&bench);
    assert!(wire < LETTER as u64, "{wire}");
    assert_eq!(inode(&bench, "Maildir/cur/7.host:2,S"), before);
}

#[test]
fn letters_that_were_seen_or_filed_carry_no_content() {
    let bench = bench();
    rename(&bench, "Maildir/new/51.host", "Maildir/cur/51.host:2,S");
    rename(
        &bench,
        "Maildir/cur/3.host:2,",
        "Maildir/.Trash/cur/3.host:2,T",
    );
    let before = inode(&bench, "Maildir/new/51.host");
    let wire = wire(&bench);
    assert_eq!(inode(&bench, "Maildir/cur/51.host:2,S"), before);
    assert!(wire < 2 * LETTER as u64, "{wire}");
}

#[test]
fn a_renamed_letter_needs_no_reading_at_the_next_copy() {
    let bench = bench();
    rename(&bench, "Maildir/cur/7.host:2,", "Maildir/cur/7.host:2,S");
    std::thread::sleep(Duration::from_millis(100));
    bench.copy();
    bench.compared();
    bench.copy();
    assert_eq!(bench.compared(), 0);
}

#[test]
fn names_that_were_swapped_have_each_others_content() {
    let bench = bench();
    rename(&bench, "Maildir/cur/1.host:2,", "aside");
    rename(&bench, "Maildir/cur/2.host:2,", "Maildir/cur/1.host:2,");
    rename(&bench, "aside", "Maildir/cur/2.host:2,");
    wire(&bench);
    let content = fs::read(bench.there().join("Maildir/cur/1.host:2,")).unwrap();
    assert!(content == letter(2));
}

#[test]
fn a_name_and_content_that_changed_with_the_old_time_are_seen() {
    let bench = bench();
    let path = bench.home().join("Maildir/cur/7.host:2,");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, vec![77; LETTER]).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(before)
        .unwrap();
    rename(&bench, "Maildir/cur/7.host:2,", "Maildir/cur/7.host:2,S");
    wire(&bench);
    let content = fs::read(bench.there().join("Maildir/cur/7.host:2,S")).unwrap();
    assert!(content == vec![77; LETTER]);
}

#[test]
fn a_name_that_was_used_again_is_a_new_letter() {
    let bench = bench();
    rename(&bench, "Maildir/cur/7.host:2,", "Maildir/cur/7.host:2,S");
    write(bench.home().join("Maildir/cur/7.host:2,"), vec![99; LETTER]);
    wire(&bench);
    for (name, number) in [("7.host:2,S", 7), ("7.host:2,", 99)] {
        let content = fs::read(bench.there().join("Maildir/cur").join(name)).unwrap();
        assert!(content == vec![number; LETTER], "{name}");
    }
}

#[test]
fn a_letter_that_was_changed_on_the_target_is_not_renamed() {
    let bench = bench();
    write(bench.there().join("Maildir/cur/7.host:2,"), vec![1; LETTER]);
    rename(&bench, "Maildir/cur/7.host:2,", "Maildir/cur/7.host:2,S");
    wire(&bench);
    let content = fs::read(bench.there().join("Maildir/cur/7.host:2,S")).unwrap();
    assert!(content == letter(7));
}
