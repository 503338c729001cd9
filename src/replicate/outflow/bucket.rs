//! A token bucket that may go into debt: who takes more than there is waits until it is paid off, and
//! who comes later waits behind.

use std::time::{Duration, Instant};

/// What may leave at once after a pause, in time at the full rate.
const BURST: Duration = Duration::from_millis(100);

/// Tokens are bytes.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Bytes a second; never 0.
    rate: f64,
    /// Until when everything taken so far is paid off; in the past, what was saved since.
    paid: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = rate.max(1) as f64;
        Self {
            rate,
            paid: now.checked_sub(BURST).unwrap_or(now),
        }
    }

    /// Takes so many; how long to wait for them.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        let fullest = now.checked_sub(BURST).unwrap_or(now);
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let price = Duration::from_secs_f64(bytes as f64 / self.rate);
        self.paid = self.paid.max(fullest) + price;
        self.paid.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn a_stream_that_never_pauses_gets_the_rate_and_one_burst() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(50 * MB, begin);
        let (mut now, mut sent) = (begin, 0);
        while now < begin + Duration::from_secs(10) {
            now += bucket.take(256 * 1024, now);
            sent += 256 * 1024;
        }
        // Ten seconds at the rate, a tenth of a second of burst, and what was under way at the end.
        assert!(
            (500 * MB..=505 * MB + 2 * 256 * 1024).contains(&sent),
            "{sent}"
        );
    }

    #[test]
    fn many_streams_share_one_rate() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(MB, begin);
        let waits: Vec<_> = (0..4).map(|_| bucket.take(MB, begin)).collect();
        let seconds: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(seconds, [900, 1900, 2900, 3900]);
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_burst() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(MB, begin);
        let later = begin + Duration::from_hours(1);
        assert_eq!(bucket.take(MB / 10, later), Duration::ZERO);
        assert_eq!(bucket.take(MB / 10, later).as_millis(), 100);
    }
}
