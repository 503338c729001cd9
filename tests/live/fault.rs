//! Faults: what can happen to a run of `reconcile apply` at one point of it, and what must be true
//! afterwards whatever it was.
//!
//! A case is a [`Way`] (what the run does), a point of its journal and a [`Kind`] of fault, on a
//! [`stand::Stand`] with a load under way. Points are taken from the plan when the case runs, so no
//! names of actions stand here but those that begin a [`Phase`].

mod case;
mod holders;
mod stand;

use std::fmt;
use std::time::Duration;

pub(crate) use case::Row;
pub(crate) use stand::Stand;

/// What the manifests of these tests give a freeze: on a machine that is busy with several labs the
/// forecast is half of it.
const BUDGET: Duration = Duration::from_mins(1);

/// How long a hand-over waits for its confirmation: the least that a manifest can ask for.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// By then each host has given up by itself: the host that hands over waits 15 s longer than the other,
/// and a lab on a busy machine is slow.
const DEAD_MAN: Duration = Duration::from_secs(80);

/// What a run does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// The source serves, and the copy is brought up to date.
    Stage,
    /// From the source to the target.
    Cutover,
    /// From the target to the source.
    Reverse,
}

impl Way {
    /// The manifest's `serve_from`, and the host that serves in the end.
    const fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Stage | Self::Reverse => ("source", "old"),
            Self::Cutover => ("target", "new"),
        }
    }
}

/// A part of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Everything is as before.
    Before,
    /// The host that hands over is frozen, or about to be.
    Frozen,
    /// The address moves; nobody but the probes reaches it.
    Moving,
    /// Authority changes hands, and after that.
    HandedOver,
}

impl Phase {
    /// The actions with which a phase begins.
    fn begins_with(action: &str) -> Option<Self> {
        match action {
            "hand-over/arm" => Some(Self::Frozen),
            "hand-over/arm-both" => Some(Self::Moving),
            "migration/hand-over" => Some(Self::HandedOver),
            _ => None,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The operator's process dies.
    OperatorKilled,
    /// The operator's machine loses the network for good.
    OperatorCut,
    /// The source loses power, and boots later.
    SourcePowerCut,
    /// The target loses power, and boots later.
    TargetPowerCut,
    /// The target has no room left until the run has ended.
    TargetDiskFull,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::OperatorKilled,
        Self::OperatorCut,
        Self::SourcePowerCut,
        Self::TargetPowerCut,
        Self::TargetDiskFull,
    ];
}

/// A place in a run's journal, and the phase that it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) phase: Phase,
    /// As `RECONCILE_FAILPOINT` has it.
    pub(crate) name: String,
}

/// The points of a plan with these actions: the begin of each, and the end of the last. Between the
/// end of one action and the begin of the next nothing happens. Failpoints inside of actions follow
/// the begin of theirs.
pub(crate) fn points(actions: &[String]) -> Vec<Point> {
    let mut phase = Phase::Before;
    let mut points = Vec::new();
    for action in actions {
        phase = Phase::begins_with(action).unwrap_or(phase);
        let mut add = |name: String| points.push(Point { phase, name });
        add(format!("journal:begin:{action}"));
        if action == "migration/hand-over" {
            // The new authority is about to be written.
            add("hand-over:authority".to_owned());
        }
    }
    if let Some(last) = actions.last() {
        let name = format!("journal:done:{last}");
        points.push(Point { phase, name });
    }
    points
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stage => "stage",
            Self::Cutover => "cutover",
            Self::Reverse => "reverse",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OperatorKilled => "operator killed",
            Self::OperatorCut => "operator cut off",
            Self::SourcePowerCut => "source power cut",
            Self::TargetPowerCut => "target power cut",
            Self::TargetDiskFull => "target disk full",
        })
    }
}
