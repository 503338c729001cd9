//! Carrying out a list of steps whole, also when some of them fail.

use crate::error::{Error, Result, chain};
use crate::host::Step;

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failed {
    step: Step,
    why: Error,
}

/// Takes back, from the last to the first. Nothing keeps the rest from being taken back but a barrier,
/// behind which nothing is done.
pub(super) fn back(undo: &[Step], perform: &dyn Fn(&Step) -> Result<()>) -> Vec<Failed> {
    through(undo.iter().rev(), perform)
}

/// Does what follows, from the first to the last, likewise. Powering off is left to the end of all.
pub(super) fn forth(commit: &[Step], perform: &dyn Fn(&Step) -> Result<()>) -> Vec<Failed> {
    let steps = commit.iter().filter(|step| **step != Step::PowerOff);
    through(steps, perform)
}

fn through<'a>(
    steps: impl Iterator<Item = &'a Step>,
    perform: &dyn Fn(&Step) -> Result<()>,
) -> Vec<Failed> {
    let mut failed = Vec::new();
    for step in steps {
        if let Err(why) = perform(step) {
            let step = step.clone();
            let barrier = matches!(step, Step::AwaitFree(_));
            failed.push(Failed { step, why });
            if barrier {
                break;
            }
        }
    }
    failed
}

/// What failed, on one line.
pub(super) fn describe(failed: &[Failed]) -> String {
    let each = failed
        .iter()
        .map(|Failed { step, why }| format!("{step}: {}", chain(why)));
    each.collect::<Vec<_>>().join("; ")
}
