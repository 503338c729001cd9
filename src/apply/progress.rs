//! How far the copying is, told a few times a second while a run goes on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::replicate::{Held, HeldBy, Progress};
use crate::report::{Event, Reporter};

const INTERVAL: Duration = Duration::from_millis(250);

/// Files dealt with and bytes written.
pub(super) fn done(progress: &Progress) -> (u64, u64) {
    (
        progress.files.load(Ordering::Relaxed),
        progress.copied.load(Ordering::Relaxed),
    )
}

/// Reports until `ended` is set. `held` tells what held the hosts that are read so far.
pub(super) fn watch(
    progress: &Progress,
    total_bytes: u64,
    reporter: &dyn Reporter,
    held: &dyn Fn() -> Held,
    ended: &AtomicBool,
) {
    let began = Instant::now();
    let mut last = (0, began);
    let mut holding = Holding::since(held());
    while !ended.load(Ordering::Acquire) {
        std::thread::park_timeout(INTERVAL);
        let (files, bytes) = done(progress);
        let now = Instant::now();
        let since = now.duration_since(last.1);
        if since < INTERVAL / 2 {
            continue;
        }
        let per_second = |bytes: u64, time: Duration| {
            u64::try_from(u128::from(bytes) * 1000 / time.as_millis().max(1)).unwrap_or(u64::MAX)
        };
        let average = per_second(bytes, now.duration_since(began));
        let eta_seconds = (average > 0).then(|| total_bytes.saturating_sub(bytes) / average);
        let rate = per_second(bytes - last.0, since);
        last = (bytes, now);
        reporter.event(&Event::Progress {
            files,
            bytes,
            total_bytes,
            rate,
            eta_seconds,
            held_by: holding.now(held()),
        });
    }
}

/// What holds the copying back, told for the last second or so: single moments jump about.
struct Holding {
    /// The newest last.
    seen: VecDeque<Held>,
}

impl Holding {
    const REMEMBERED: usize = 5;

    fn since(held: Held) -> Self {
        Self {
            seen: VecDeque::from([held]),
        }
    }

    fn now(&mut self, held: Held) -> Option<HeldBy> {
        let before = *self.seen.front()?;
        self.seen.push_back(held);
        if self.seen.len() > Self::REMEMBERED {
            self.seen.pop_front();
        }
        (held - before).most()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_the_copying_a_while_ago_is_forgotten() {
        let seconds = |limit, working| Held {
            elapsed: Duration::from_secs(limit + working),
            limit: Duration::from_secs(limit),
            working: Duration::from_secs(working),
            ..Held::default()
        };
        let mut holding = Holding::since(Held::default());
        assert_eq!(holding.now(seconds(10, 0)), Some(HeldBy::Limit));
        let later: Vec<_> = (1..=6).map(|n| holding.now(seconds(10, n))).collect();
        assert_eq!(later[0], Some(HeldBy::Limit));
        assert_eq!(later[5], Some(HeldBy::Source));
        let end: Vec<_> = (0..6).map(|_| holding.now(seconds(10, 6))).collect();
        assert_eq!(end[5], None, "nothing is read any more");
    }
}
