//! How far the copying is, told a few times a second while a run goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::replicate::Progress;
use crate::report::{Event, Reporter};

const INTERVAL: Duration = Duration::from_millis(250);

/// Files dealt with and bytes written.
pub(super) fn done(progress: &Progress) -> (u64, u64) {
    (
        progress.files.load(Ordering::Relaxed),
        progress.copied.load(Ordering::Relaxed),
    )
}

/// Reports until `ended` is set.
pub(super) fn watch(
    progress: &Progress,
    total_bytes: u64,
    reporter: &dyn Reporter,
    ended: &AtomicBool,
) {
    let began = Instant::now();
    let mut last = (0, began);
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
        });
    }
}
