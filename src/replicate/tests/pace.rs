//! How fast, and in what form, content leaves the source.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::bench::{Bench, Way, write};
use crate::replicate::{HeldBy, Manner, Pace};

/// Bytes that do not shrink.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

/// Letters of words.
fn letters(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<_> = (0..2000).map(|word| format!("{word:x}word ")).collect();
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        // Short words are more frequent.
        let word = random.usize(..2000).min(random.usize(..2000));
        text.extend_from_slice(words[word].as_bytes());
    }
    text.truncate(length);
    text
}

#[test]
fn the_limit_holds_whichever_way_content_leaves() {
    for way in [Way::Here, Way::Wire, Way::Programs] {
        let bench = Bench::by(way);
        write(bench.home().join("large"), noise(1, 600_000));
        for small in 0..20 {
            write(
                bench.home().join(format!("small{small}")),
                noise(small, 10_000),
            );
        }
        bench.outflow.set_pace(Pace {
            limit: Some(2_000_000),
            manner: Manner::Yielding,
        });
        let began = Instant::now();
        bench.copy();
        // 800 kB at 2 MB/s, but for the burst.
        assert!(began.elapsed() >= Duration::from_millis(300), "{way:?}");
        let held = bench.outflow.held();
        assert!(held.limit > Duration::ZERO, "{way:?}: {held:?}");
        // Comparing sends no content, but where it is fetched for that.
        if !matches!(way, Way::Programs) {
            assert_eq!(held.most(), Some(HeldBy::Limit), "{way:?}: {held:?}");
            bench.converge();
            assert_eq!(bench.outflow.held().limit, held.limit, "{way:?}");
        }
        bench.outflow.set_pace(Pace::URGENT);
        write(bench.home().join("more"), noise(2, 600_000));
        let before = bench.outflow.held().limit;
        bench.converge();
        assert_eq!(bench.outflow.held().limit, before, "{way:?}");
    }
}

#[test]
fn letters_are_compressed_for_a_slow_wire_and_arrive_as_they_are() {
    let mut bench = Bench::by(Way::Wire);
    // 4 MB/s.
    bench.slowness = Duration::from_nanos(250);
    for large in 0..2 {
        write(
            bench.home().join(format!("mail/{large}")),
            letters(large, 6_000_000),
        );
    }
    for small in 0..400 {
        write(
            bench.home().join(format!("Maildir/cur/{small}")),
            letters(small, 6_000),
        );
    }
    bench.copy();
    let wire = bench.wire.swap(0, Ordering::Relaxed);
    // 14.4 MB, of which 9 were sent before it was clear.
    assert!(wire < 12_800_000, "{wire}");
    bench.slowness = Duration::ZERO;
    bench.converge();
    assert_eq!(bench.rsync(), "");
}
