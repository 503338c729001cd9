//! How mail grows from run to run, and when something will be full: only as far as the runs carry it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::{Host, NewFile, ReadHost};
use crate::manifest::MigrationName;
use crate::names::{Side, UserName};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::report::counted;

/// Version of the file's form.
const VERSION: u32 = 1;

/// So many runs are kept: two months of daily ones.
const KEPT: usize = 60;

/// Runs that follow each other faster than this do not push older ones out: the last takes the place
/// of the one before.
const APART: f64 = 0.25;

/// Fewer runs than this say nothing of the future, nor do runs of fewer days.
const RUNS: usize = 4;
const DAYS: f64 = 3.0;

/// The past is carried on into the future for so many times its own length, no further.
const AHEAD: f64 = 3.0;

/// Below this share of the variance that a straight line explains (r squared) growth is no trend.
const STRAIGHT: f64 = 0.8;

/// What earlier runs saw: `spool.json` beside the receipt, only for root. Lost, it costs the forecasts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    version: u32,
    /// Oldest first.
    runs: Vec<Sample>,
}

/// What one run saw.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// On which host.
    pub side: Side,
    /// Bytes that root can still write, by a directory of each file system.
    pub free: BTreeMap<HostPath, u64>,
    /// Bytes of each user's INBOX and of the other folders.
    pub users: BTreeMap<UserName, (Option<u64>, Option<u64>)>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            version: VERSION,
            runs: Vec::new(),
        }
    }
}

impl History {
    fn path(name: &MigrationName) -> HostPath {
        Receipt::directory(name).join("spool.json")
    }

    /// Reads it from the target; empty before the first run that is recorded.
    pub fn read(target: &dyn ReadHost, name: &MigrationName) -> Result<Self> {
        let path = Self::path(name);
        let Some(bytes) = target.read(&path)? else {
            return Ok(Self::default());
        };
        let what = || format!("{path} on {} is no history of the spool", target.label());
        let history: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::caused(Kind::Malformed, what(), error)
                .hint("remove it: it holds nothing but what earlier runs measured")
        })?;
        Ok(history)
    }

    /// Writes it, durably.
    pub fn write(&self, target: &dyn Host, name: &MigrationName) -> Result<()> {
        target.make_dirs(&HostPath::from("/var/lib"), 0o755)?;
        target.make_dirs(&Receipt::directory(name), 0o700)?;
        let json = serde_json::to_vec(self).expect("a history is plain data with text keys");
        target.replace(&Self::path(name), &json, NewFile::root(0o600))
    }

    /// Adds a run.
    pub fn add(&mut self, sample: Sample) {
        let days = |from: &Sample, to: &Sample| days(from.at, to.at);
        if let [.., before, last] = self.runs.as_slice()
            && days(before, last) < APART
        {
            self.runs.pop();
        }
        self.runs.push(sample);
        let surplus = self.runs.len().saturating_sub(KEPT);
        self.runs.drain(..surplus);
    }

    /// The last run on a host.
    pub fn last(&self, side: Side) -> Option<&Sample> {
        self.runs.iter().rev().find(|run| run.side == side)
    }

    /// When a file system is full, from how its room shrank. `now` is a run that need not be recorded.
    pub fn room(&self, now: &Sample, path: &HostPath) -> Forecast {
        let room = |run: &Sample| run.free.get(path).map(|free| -count(*free));
        forecast(&self.points(now, room), 0.0)
    }

    /// When a user's INBOX is as large as it may be.
    pub fn inbox(&self, now: &Sample, user: &UserName, limit: u64) -> Forecast {
        let bytes = |run: &Sample| run.users.get(user).and_then(|(inbox, _)| inbox.map(count));
        forecast(&self.points(now, bytes), count(limit))
    }

    fn points(&self, now: &Sample, value: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
        let runs = self
            .runs
            .iter()
            .filter(|run| run.side == now.side && run.at < now.at);
        let all = runs.chain([now]);
        all.filter_map(|run| Some((-days(run.at, now.at), value(run)?)))
            .collect()
    }
}

fn days(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 86_400.0
}

#[expect(clippy::cast_precision_loss, reason = "a forecast needs no 53 bits")]
fn count(bytes: u64) -> f64 {
    bytes as f64
}

/// When something will be full.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(tag = "forecast", rename_all = "snake_case")]
pub enum Forecast {
    /// In so many days, as far as a straight line through the runs tells.
    In {
        /// Whole days.
        days: u64,
    },
    /// It is already.
    Full,
    /// Not in the time that the runs say anything about.
    NotWithin {
        /// That time, in whole days.
        days: u64,
    },
    /// It does not grow.
    Steady,
    /// It grows by leaps.
    Uneven,
    /// Too few runs, or too few days.
    TooFew {
        /// Runs.
        runs: usize,
        /// Hours between the first and the last.
        hours: u64,
    },
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In { days } => write!(f, "full in {}", counted(*days, "day", "days")),
            Self::Full => f.write_str("full"),
            Self::NotWithin { days } => {
                write!(f, "not full within {}", counted(*days, "day", "days"))
            }
            Self::Steady => f.write_str("does not grow"),
            Self::Uneven => f.write_str("no forecast: it grows by leaps"),
            Self::TooFew { runs, hours } => write!(
                f,
                "no forecast: {} over {hours} hours, and it takes {RUNS} over {DAYS} days",
                counted(*runs as u64, "run", "runs")
            ),
        }
    }
}

/// A straight line through points of days (the last is day 0) and bytes, up to a ceiling.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "days and hours that were compared before"
)]
fn forecast(points: &[(f64, f64)], ceiling: f64) -> Forecast {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Forecast::TooFew { runs: 0, hours: 0 };
    };
    if last.1 >= ceiling {
        return Forecast::Full;
    }
    let span = last.0 - first.0;
    if points.len() < RUNS || span < DAYS {
        return Forecast::TooFew {
            runs: points.len(),
            hours: (span * 24.0) as u64,
        };
    }
    let number = count(points.len() as u64);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / number;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (xx, yy) = (sum(&|p| (p.0 - x).powi(2)), sum(&|p| (p.1 - y).powi(2)));
    let xy = sum(&|p| (p.0 - x) * (p.1 - y));
    let slope = xy / xx;
    if yy == 0.0 || slope <= 0.0 {
        return Forecast::Steady;
    }
    if xy * xy / (xx * yy) < STRAIGHT {
        return Forecast::Uneven;
    }
    let left = (ceiling - last.1) / slope;
    if left > AHEAD * span {
        return Forecast::NotWithin {
            days: (AHEAD * span) as u64,
        };
    }
    Forecast::In { days: left as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(values: &[f64]) -> Vec<(f64, f64)> {
        let last = count(values.len() as u64 - 1);
        let points = values.iter().enumerate();
        points
            .map(|(day, value)| (count(day as u64) - last, *value))
            .collect()
    }

    #[test]
    fn steady_growth_is_carried_on() {
        let points = daily(&[100.0, 110.0, 120.0, 130.0, 140.0]);
        assert_eq!(forecast(&points, 260.0), Forecast::In { days: 12 });
    }

    #[test]
    fn nothing_is_said_of_a_future_beyond_what_the_past_carries() {
        let points = daily(&[100.0, 110.0, 120.0, 130.0, 140.0]);
        assert_eq!(forecast(&points, 270.0), Forecast::NotWithin { days: 12 });
    }

    #[test]
    fn few_runs_leaps_and_standing_still_give_no_date() {
        let three = daily(&[100.0, 110.0, 120.0]);
        assert_eq!(
            forecast(&three, 200.0),
            Forecast::TooFew { runs: 3, hours: 48 }
        );
        let hourly: Vec<_> = (0..5)
            .map(|n| (f64::from(n - 4) / 24.0, f64::from(n)))
            .collect();
        assert_eq!(
            forecast(&hourly, 200.0),
            Forecast::TooFew { runs: 5, hours: 4 }
        );
        let leap = daily(&[100.0, 100.0, 100.0, 190.0, 110.0]);
        assert_eq!(forecast(&leap, 200.0), Forecast::Uneven);
        assert_eq!(forecast(&daily(&[5.0; 6]), 200.0), Forecast::Steady);
        let shrinks = daily(&[9.0, 8.0, 7.0, 6.0]);
        assert_eq!(forecast(&shrinks, 200.0), Forecast::Steady);
        assert_eq!(forecast(&shrinks, 6.0), Forecast::Full);
    }

    fn run(at: i64, side: Side) -> Sample {
        Sample {
            at: Timestamp::from_second(at).unwrap(),
            side,
            free: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }

    #[test]
    fn the_history_is_bounded_and_runs_in_quick_succession_push_nothing_out() {
        let mut history = History::default();
        (0..100).for_each(|day| history.add(run(day * 86_400, Side::Target)));
        assert_eq!(history.runs.len(), KEPT);
        let first = history.runs[0].at;
        (1..100).for_each(|minute| history.add(run(99 * 86_400 + minute * 60, Side::Target)));
        assert!(history.runs.len() <= KEPT);
        assert!(days(first, history.runs[0].at) <= 1.0);
        assert_eq!(
            history.runs.last().unwrap().at.as_second() % 86_400,
            99 * 60
        );
    }

    #[test]
    fn runs_on_the_other_host_are_no_part_of_a_trend() {
        let mut history = History::default();
        history.add(run(0, Side::Source));
        assert_eq!(history.last(Side::Target), None);
        let now = run(86_400 * 9, Side::Target);
        let none = history.points(&now, |_| Some(1.0));
        assert_eq!(none.len(), 1);
    }
}
