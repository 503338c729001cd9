//! Large files of which the target has an older version.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::bench::{Bench, Way, write};

/// Bytes that no two places have in common.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

const MIB: usize = 1024 * 1024;

/// A home with one mailbox, copied.
fn bench(content: &[u8]) -> (Bench, PathBuf) {
    let bench = Bench::by(Way::Wire);
    let mailbox = bench.home().join("mail/Sent");
    write(&mailbox, content);
    bench.converge();
    (bench, mailbox)
}

/// Copies once more; what went over the wire, at most, and everything is equal.
fn wire(bench: &Bench) -> u64 {
    bench.wire.store(0, Ordering::Relaxed);
    bench.copy();
    let wire = bench.wire.load(Ordering::Relaxed);
    bench.converge();
    wire
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn an_appended_mailbox_costs_its_tail() {
    let (bench, mailbox) = bench(&bytes(1, 20 * MIB + 5000));
    append(&mailbox, &bytes(2, 30_000));
    let wire = wire(&bench);
    assert!((30_000..60_000).contains(&wire), "{wire}");
}

#[test]
fn flags_that_change_in_place_cost_their_blocks() {
    let (bench, mailbox) = bench(&bytes(1, 20 * MIB));
    let file = OpenOptions::new().write(true).open(&mailbox).unwrap();
    for at in [17, 7_000_000, 20 * 1024 * 1024 - 1] {
        file.write_all_at(b"R", at).unwrap();
    }
    let wire = wire(&bench);
    assert!((24_000..50_000).contains(&wire), "{wire}");
}

#[test]
fn a_shorter_mailbox_costs_nothing_to_speak_of() {
    let (bench, mailbox) = bench(&bytes(1, 5 * MIB));
    let file = OpenOptions::new().write(true).open(&mailbox).unwrap();
    file.set_len(3 * 1024 * 1024 + 100).unwrap();
    let wire = wire(&bench);
    assert!(wire < 10_000, "{wire}");
}

#[test]
fn a_mailbox_that_was_rewritten_costs_little_more_than_itself() {
    let (bench, mailbox) = bench(&bytes(1, 5 * MIB));
    write(&mailbox, bytes(3, 6 * MIB));
    let wire = wire(&bench);
    assert!((6 * MIB as u64..6_400_000).contains(&wire), "{wire}");
}

#[test]
fn holes_stay_holes() {
    let (bench, mailbox) = bench(&bytes(1, MIB));
    let mut file = fs::File::create(&mailbox).unwrap();
    file.seek(SeekFrom::Start(3 << 20)).unwrap();
    file.write_all(b"end").unwrap();
    let wire = wire(&bench);
    assert!(wire < 10_000, "{wire}");
}

/// Does something once, in the middle of the next copy.
fn in_between(
    bench: &mut Bench,
    what: impl Fn() + Send + Sync + UnwindSafe + RefUnwindSafe + 'static,
) {
    let asked = AtomicU32::new(0);
    bench.meddle = Arc::new(move || {
        // Past those for the tree: the windows.
        if asked.fetch_add(1, Ordering::Relaxed) == 9 {
            what();
        }
    });
}

#[test]
fn an_old_version_that_changes_while_it_is_read_spoils_nothing() {
    let (mut bench, mailbox) = bench(&bytes(1, 12 * MIB));
    append(&mailbox, b"more");
    let old = bench.there().join("mail/Sent");
    in_between(&mut bench, move || {
        let file = OpenOptions::new().write(true).open(&old).unwrap();
        for at in 0..12 {
            file.write_all_at(b"else", at << 20).unwrap();
        }
    });
    bench.wire.store(0, Ordering::Relaxed);
    let report = bench.copy();
    assert_eq!(report.failed, 0);
    // The second try trusts nothing.
    assert!(bench.wire.load(Ordering::Relaxed) > 12 << 20);
    assert_eq!(
        fs::read(&mailbox).unwrap(),
        fs::read(bench.there().join("mail/Sent")).unwrap()
    );
    bench.converge();
}

#[test]
fn a_mailbox_that_changes_while_it_is_read_is_read_again() {
    let (mut bench, mailbox) = bench(&bytes(1, 12 * MIB));
    append(&mailbox, b"more");
    let source = mailbox.clone();
    in_between(&mut bench, move || append(&source, b"and more"));
    bench.copy();
    assert_eq!(
        fs::read(&mailbox).unwrap(),
        fs::read(bench.there().join("mail/Sent")).unwrap()
    );
    bench.converge();
}

proptest! {
    #![proptest_config(super::cases(24))]

    #[test]
    fn whatever_changed_the_result_is_the_sources(
        length in 0_usize..2_500_000,
        // Where, how much of the old goes, how much comes.
        edits in prop::collection::vec((0_usize..2_700_000, 0_usize..100_000, 0_usize..100_000), 0..6),
        seed in any::<u64>(),
    ) {
        let mut content = bytes(seed, length);
        let (bench, mailbox) = bench(&content);
        for (number, (at, gone, new)) in (1..).zip(edits) {
            let start = at.min(content.len());
            let end = (start + gone).min(content.len());
            content.splice(start..end, bytes(seed ^ number, new));
        }
        write(&mailbox, &content);
        bench.converge();
        prop_assert!(fs::read(bench.there().join("mail/Sent")).unwrap() == content);
    }
}
