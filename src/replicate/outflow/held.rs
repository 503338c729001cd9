//! What holds streams back, in time.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Times of all streams of a host, added up. Only ever grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    /// That streams were there.
    pub elapsed: Duration,
    /// Waiting for the limit.
    pub limit: Duration,
    /// Giving way to others on the host.
    pub busy: Duration,
    /// Reading, hashing, compressing.
    pub working: Duration,
    /// That the other ends waited for answers.
    pub waited: Duration,
}

/// What holds a copy back most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// The limit in the manifest.
    Limit,
    /// The host that is read has other work.
    SourceBusy,
    /// Reading there.
    Source,
    /// The way between the hosts.
    Network,
    /// The host that is written.
    Target,
}

impl HeldBy {
    /// For people: what stands after "held back by".
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "transfer.limit",
            Self::SourceBusy => "other work on the source",
            Self::Source => "the source",
            Self::Network => "the network",
            Self::Target => "the target",
        }
    }
}

impl Held {
    /// What took most of the time; `None` if no stream was there.
    ///
    /// While the other end waits for us, and we neither work nor wait for anything, it is the way. While it
    /// does not, it has enough to do.
    pub fn most(&self) -> Option<HeldBy> {
        let here = self.limit + self.busy + self.working;
        let all = [
            (self.limit, HeldBy::Limit),
            (self.busy, HeldBy::SourceBusy),
            (self.working, HeldBy::Source),
            (self.waited.saturating_sub(here), HeldBy::Network),
            (
                self.elapsed.saturating_sub(self.waited.max(here)),
                HeldBy::Target,
            ),
        ];
        let most = all.into_iter().max_by_key(|(time, _)| *time);
        most.filter(|(time, _)| !time.is_zero()).map(|(_, by)| by)
    }
}

impl Add for Held {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            elapsed: self.elapsed.saturating_add(other.elapsed),
            limit: self.limit.saturating_add(other.limit),
            busy: self.busy.saturating_add(other.busy),
            working: self.working.saturating_add(other.working),
            waited: self.waited.saturating_add(other.waited),
        }
    }
}

impl Sub for Held {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            elapsed: self.elapsed.saturating_sub(earlier.elapsed),
            limit: self.limit.saturating_sub(earlier.limit),
            busy: self.busy.saturating_sub(earlier.busy),
            working: self.working.saturating_sub(earlier.working),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of ten: limit, busy, working, waited.
    fn of_ten(limit: u64, busy: u64, working: u64, waited: u64) -> Option<HeldBy> {
        let [elapsed, limit, busy, working, waited] =
            [10, limit, busy, working, waited].map(Duration::from_secs);
        Held {
            elapsed,
            limit,
            busy,
            working,
            waited,
        }
        .most()
    }

    #[test]
    fn what_takes_most_of_the_time_holds_it_back() {
        assert_eq!(of_ten(8, 0, 1, 9), Some(HeldBy::Limit));
        assert_eq!(of_ten(0, 7, 1, 9), Some(HeldBy::SourceBusy));
        assert_eq!(of_ten(0, 0, 8, 8), Some(HeldBy::Source));
        // It waits, and we have nothing to do: what was sent is under way.
        assert_eq!(of_ten(0, 0, 2, 9), Some(HeldBy::Network));
        // It does not even wait.
        assert_eq!(of_ten(0, 0, 2, 1), Some(HeldBy::Target));
        assert_eq!(Held::default().most(), None);
    }
}
