//! The journal, read: what the run at work has done so far, and how the last one ended.

use serde::Serialize;

use crate::apply::{Entry, Moment};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub(super) enum LastRun {
    Never,
    Well {
        at: jiff::Timestamp,
    },
    Failed {
        at: jiff::Timestamp,
        actions: Vec<String>,
    },
    Interrupted {
        at: jiff::Timestamp,
        during: Vec<String>,
    },
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Progress {
    /// Actions that it has carried out.
    pub(super) done: usize,
    /// What it is at.
    pub(super) during: Vec<String>,
    /// Since when.
    pub(super) since: jiff::Timestamp,
}

/// The run that is at work; `None` if there is none, or it has not begun with its actions.
pub(super) fn progress(entries: &[Entry], busy: bool) -> Option<Progress> {
    let (_, run) = split(entries)?;
    let last = run.last()?;
    (busy && !is_over(run)).then(|| Progress {
        done: with(run, Moment::Done).count(),
        during: under_way(run),
        since: last.at,
    })
}

/// The last run that is over, or died.
pub(super) fn last_run(entries: &[Entry], busy: bool) -> LastRun {
    let Some((before, run)) = split(entries) else {
        return LastRun::Never;
    };
    if is_over(run) {
        return ended(run);
    }
    if busy {
        return split(before).map_or(LastRun::Never, |(_, run)| ended(run));
    }
    ended(run)
}

/// What was before the last run, and that.
fn split(entries: &[Entry]) -> Option<(&[Entry], &[Entry])> {
    let start = entries
        .iter()
        .rposition(|entry| entry.action.is_none() && entry.moment == Moment::Begin)?;
    Some(entries.split_at(start))
}

fn is_over(run: &[Entry]) -> bool {
    let last = run.last();
    last.is_some_and(|last| last.action.is_none() && last.moment != Moment::Begin)
}

fn ended(run: &[Entry]) -> LastRun {
    let last = &run[run.len() - 1];
    let at = last.at;
    match (last.action.is_none(), last.moment) {
        (true, Moment::Done) => LastRun::Well { at },
        (true, Moment::Failed) => LastRun::Failed {
            at,
            actions: with(run, Moment::Failed).collect(),
        },
        _ => LastRun::Interrupted {
            at,
            during: under_way(run),
        },
    }
}

fn with(run: &[Entry], moment: Moment) -> impl Iterator<Item = String> {
    let of = run.iter().filter(move |entry| entry.moment == moment);
    of.filter_map(|entry| Some(entry.action.as_ref()?.to_string()))
}

fn under_way(run: &[Entry]) -> Vec<String> {
    let ended: Vec<String> = with(run, Moment::Done)
        .chain(with(run, Moment::Failed))
        .collect();
    with(run, Moment::Begin)
        .filter(|action| !ended.contains(action))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ActionId;

    fn entry(second: i64, moment: Moment, action: Option<&str>) -> Entry {
        Entry {
            v: 1,
            at: jiff::Timestamp::from_second(second).unwrap(),
            run: 1,
            moment,
            action: action.map(|action| ActionId(action.to_owned())),
        }
    }

    /// One that ended well, then one that has done one action and is at another.
    fn two_runs() -> Vec<Entry> {
        vec![
            entry(1, Moment::Begin, None),
            entry(2, Moment::Begin, Some("accounts/merge")),
            entry(3, Moment::Done, Some("accounts/merge")),
            entry(4, Moment::Done, None),
            entry(5, Moment::Begin, None),
            entry(6, Moment::Begin, Some("hand-over/arm")),
            entry(7, Moment::Done, Some("hand-over/arm")),
            entry(8, Moment::Begin, Some("hand-over/freeze")),
        ]
    }

    #[test]
    fn a_run_at_work_is_told_apart_from_the_one_before() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let progress = progress(&two_runs(), true).unwrap();
        assert_eq!(progress.done, 1);
        assert_eq!(progress.during, ["hand-over/freeze"]);
        assert_eq!(progress.since, at(8));
        assert_eq!(last_run(&two_runs(), true), LastRun::Well { at: at(4) });
    }

    #[test]
    fn without_a_run_at_work_the_last_one_died() {
        assert_eq!(progress(&two_runs(), false), None);
        let died = LastRun::Interrupted {
            at: jiff::Timestamp::from_second(8).unwrap(),
            during: vec!["hand-over/freeze".to_owned()],
        };
        assert_eq!(last_run(&two_runs(), false), died);
    }

    #[test]
    fn a_run_that_has_only_the_lock_so_far_is_not_the_one_that_has_ended() {
        let ended = &two_runs()[..4];
        assert_eq!(progress(ended, true), None);
        let at = jiff::Timestamp::from_second(4).unwrap();
        assert_eq!(last_run(ended, true), LastRun::Well { at });
        assert_eq!(last_run(&[], true), LastRun::Never);
    }
}
