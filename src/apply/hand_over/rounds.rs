//! Bringing mail over again and again while it moves, and the last time when it does not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::apply::execute::Context;
use crate::apply::mail::{self, Stillness};
use crate::error::{Error, Kind, Result};
use crate::names::{Side, UserName};
use crate::plan::change::MailCopy;
use crate::plan::hand_over::{LastDelta, Rounds};
use crate::report::Event;

/// What a freeze takes besides the last round and the proofs: services stop and start, addresses move,
/// the service is probed. Measured in the lab: 4 to 7 seconds.
const BESIDES: Duration = Duration::from_secs(10);

/// A round that is no shorter than this share of the one before does not get shorter any more.
const SHRINKS: f64 = 0.8;

/// Nothing is gained by shorter rounds.
const SHORT: Duration = Duration::from_secs(2);

const MOST_ROUNDS: u32 = 8;

/// Copies what moved, until a round is short enough or no longer gets shorter.
///
/// # Errors
///
/// [`Kind::Blocked`] if the freeze would take longer than it may.
pub(crate) fn rounds(context: &Context<'_>, rounds: &Rounds) -> Result<()> {
    for command in &rounds.flush {
        let host = context.run.change(rounds.from)?;
        let answer = host.run(command)?;
        if answer.status != Some(0) {
            let text = format!(
                "`{command}` on {} failed; what waits is carried over",
                host.label()
            );
            context.run.reporter.event(&Event::Warning { text });
        }
    }
    let mut before: Option<Duration> = None;
    for number in 1..=MOST_ROUNDS {
        let began = Instant::now();
        track(context, rounds.from, &rounds.copies)?;
        let bytes = copied(context);
        let changed = mail::bring_over(context, &rounds.copies, Stillness::Moving)?;
        let took = began.elapsed();
        context.run.reporter.event(&Event::Round {
            number,
            users: changed.len() as u64,
            bytes: copied(context) - bytes,
            seconds: took.as_secs_f64(),
        });
        context.memory.open().round = took;
        let shrinks =
            before.is_none_or(|before| took.as_secs_f64() < before.as_secs_f64() * SHRINKS);
        if changed.is_empty() || took < SHORT || !shrinks {
            break;
        }
        before = Some(took);
    }
    let took = context.memory.open().round;
    let budget = Duration::from_secs(rounds.budget);
    alone(took + BESIDES, rounds)?;
    if took + BESIDES > budget {
        let what = format!(
            "bringing over what moves takes {:.0} s each time and does not get shorter; with {} s for the \
             rest that is more than freeze.budget, {} s",
            took.as_secs_f64(),
            BESIDES.as_secs(),
            budget.as_secs()
        );
        return Err(Error::new(Kind::Blocked, what).hint(
            "choose a quieter hour, or give the freeze more time in the manifest's freeze.budget; nothing \
             was stopped",
        ));
    }
    Ok(())
}

/// Has the host that hands over note what changes, so that the next time only that is looked at.
fn track(context: &Context<'_>, from: Side, copies: &[MailCopy]) -> Result<()> {
    let (looks, host) = (&context.memory.looks, context.run.read(from)?);
    looks.track(host, copies, context.run.reporter)
}

/// The last time: nothing moves any more, and what is copied is compared by content.
pub(crate) fn last_delta(context: &Context<'_>, last: &LastDelta) -> Result<()> {
    track(context, last.from, &last.copies)?;
    let changed = mail::bring_over(context, &last.copies, Stillness::Frozen)?;
    forget(context, &changed);
    Ok(())
}

/// What was proven of a mailbox holds until it changes.
fn forget(context: &Context<'_>, changed: &BTreeSet<UserName>) {
    let mut memory = context.memory.open();
    memory.proven.retain(|user| !changed.contains(user));
}

/// Checks the forecast once the proof of the seeds tells how long a proof takes.
pub(super) fn forecast(context: &Context<'_>, proof: Duration, rounds: &Rounds) -> Result<()> {
    let took = context.memory.open().round + proof + BESIDES;
    let (seconds, budget) = (took.as_secs() + 1, rounds.budget);
    context
        .run
        .reporter
        .event(&Event::Forecast { seconds, budget });
    alone(took, rounds)?;
    if seconds <= budget {
        return Ok(());
    }
    let what = format!(
        "the freeze would take about {seconds} s, and freeze.budget is {budget} s; nothing was stopped"
    );
    Err(Error::new(Kind::Blocked, what).hint(format!(
        "write at least `budget: {}s` under freeze",
        seconds + seconds / 2
    )))
}

/// Whether mail may stand still for so long although no other exchanger takes it.
fn alone(took: Duration, rounds: &Rounds) -> Result<()> {
    let Some(alone) = &rounds.alone else {
        return Ok(());
    };
    let (seconds, most) = (took.as_secs() + 1, alone.seconds);
    if seconds <= most {
        return Ok(());
    }
    let what = format!(
        "the freeze would take about {seconds} s, and no other exchanger takes mail meanwhile, which is \
         accepted for {most} s; nothing was stopped"
    );
    Err(Error::new(Kind::Blocked, what).hint(format!(
        "add `{}` and an address of that name to the zone, for a host that queues for the domain; or \
         accept it: write `without_backup: {enough}s` under mx and at least `budget: {enough}s` under freeze",
        alone.record,
        enough = seconds + seconds / 2
    )))
}

fn copied(context: &Context<'_>) -> u64 {
    crate::apply::progress::done(context.progress).1
}
