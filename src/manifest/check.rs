//! Rules between values, and rules on a value that its grammar does not hold.
//!
//! Each rule looks up the values that it needs and is silent when one is absent or cannot be read
//! (that is reported by the walk), so that a problem in one place hides none in another. What
//! depends on a host (does the interface exist? is the uid free?) belongs to the plan.

mod cutover;
mod dovecot;
mod hosts;
mod look;
mod users;
mod window;

use super::problem::{Problem, Problems};
use super::scalar::Size;
use super::tree::Node;
pub(crate) use hosts::{TWO_HOSTS, not_two};
use look::Look;
pub(crate) use users::{FIRST_USER_UID, LAST_USER_UID};

/// Adds to `problems` every broken rule.
pub(super) fn check(root: &Node, problems: &mut Problems) {
    let look = Look::new(root);
    let rules = [
        hosts::check,
        users::check,
        dovecot::check,
        window::check,
        cutover::check,
        thresholds,
    ];
    for rule in rules {
        rule(&look, problems);
    }
}

/// A file is worth a mention before it is too large.
fn thresholds(look: &Look<'_>, problems: &mut Problems) {
    let warn = look.value::<Size>(&["spool", "warn"]);
    let limit = look.value::<Size>(&["spool", "limit"]);
    if let (Some(warn), Some(limit)) = (warn, limit)
        && limit.value < warn.value
    {
        problems.push(
            Problem::new("the limit is below the warning")
                .at(limit.place, "smaller than the warning")
                .at(warn.place, "the warning")
                .help("`spool.warn` comes first: make it the smaller one"),
        );
    }
}
