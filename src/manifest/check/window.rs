//! The time in which mail may stand still.

use super::look::Look;
use crate::manifest::Span;
use crate::manifest::problem::{Problem, Problems};
use crate::manifest::scalar::{Instant, quote};

const DAY: u64 = 86_400;

/// A freeze takes seconds; a budget of days is a slip of the unit.
const LONGEST_FREEZE: u64 = DAY;

/// Shorter than this, the probes cannot have run.
const SHORTEST_CONFIRM: u64 = 30;
/// Longer than this, a dead operator would leave both hosts in doubt.
const LONGEST_CONFIRM: u64 = DAY;

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    let budget = look.value::<Span>(&["freeze", "budget"]);
    if let Some(budget) = &budget
        && budget.value.seconds > LONGEST_FREEZE
    {
        problems.push(
            Problem::new("a freeze of more than a day")
                .at(budget.place, "longer than 24h")
                .help("this is how long mail stands still; seconds to minutes are usual"),
        );
    }
    if let Some(within) = look.value::<Span>(&["cutover", "confirm_within"]) {
        let label = match within.value.seconds {
            ..SHORTEST_CONFIRM => "less than 30s",
            SHORTEST_CONFIRM..=LONGEST_CONFIRM => "",
            _ => "more than 24h",
        };
        if !label.is_empty() {
            problems.push(
                Problem::new("bad value for `cutover.confirm_within`")
                    .at(within.place, label)
                    .help("long enough for the probes, short enough to wait for: 30s to 24h, best about 5m"),
            );
        }
    }
    let from = look.value::<Instant>(&["freeze", "not_before"]);
    let until = look.value::<Instant>(&["freeze", "not_after"]);
    let (Some(from), Some(until)) = (from, until) else {
        return;
    };
    let open = until.value.0.as_second() - from.value.0.as_second();
    if open <= 0 {
        let when = if open == 0 { "when" } else { "before" };
        problems.push(
            Problem::new(format!("the window closes {when} it opens"))
                .at(until.place, "closes here")
                .at(from.place, "opens here")
                .help("`not_after` has to be later than `not_before`; mind the offsets from UTC"),
        );
    } else if let Some(budget) = budget
        && budget.value.seconds > open.unsigned_abs()
    {
        problems.push(
            Problem::new("the window is shorter than the freeze")
                .at(
                    budget.place,
                    format!("{} may be needed", quote(budget.text)),
                )
                .at(from.place, format!("opens here, for {open}s"))
                .at(until.place, "closes here")
                .help("make the window longer or the budget smaller"),
        );
    }
}
