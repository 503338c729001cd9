//! What is done on a host under its switch.

use std::sync::Arc;
use std::time::Duration;

use crate::apply::execute::{Context, Run};
use crate::apply::freeze as proof;
use crate::apply::hand_over::epoch;
use crate::apply::probe::{self, Vantage};
use crate::apply::queue::{self, Means};
use crate::error::{Error, Kind, Result};
use crate::host::switch::{Advance, Arming, Replacement};
use crate::names::Side;
use crate::plan::Change;
use crate::plan::change::{CopiedTree, MailCopy};
use crate::plan::hand_over::{Freeze, HostChange, QueueCarry, ServiceProbe, Start, SwitchArming};
use crate::receipt::Pending;
use crate::replicate::{OriginTree, Pace};
use crate::report::Event;
use crate::resource::edit;

/// Arms switches, or moves their deadlines.
pub(crate) fn arm(context: &Context<'_>, armings: &[SwitchArming]) -> Result<()> {
    let run = context.run;
    for arming in armings {
        // What an earlier try left would be there to be confirmed too early.
        Pending::remove(run.change(arming.side)?, &run.plan.manifest.name)?;
    }
    for arming in armings {
        run.change(arming.side)?.arm(&Arming {
            name: run.plan.manifest.name.clone(),
            epoch: this_epoch(run)?,
            within: Duration::from_secs(arming.within),
            commit: arming.commit.clone(),
        })?;
    }
    Ok(())
}

/// Stops what writes mail, and proves that nothing does. From here on users wait, so nothing else does.
pub(crate) fn freeze(context: &Context<'_>, freeze: &Freeze) -> Result<()> {
    context.run.set_pace(Pace::URGENT)?;
    let host = context.run.change(freeze.change.side)?;
    advance(context.run, &freeze.change)?;
    let trees = trees(context.run, freeze.change.side);
    let since = proof::prove(host, &context.run.plan.manifest.services, freeze, &trees)?;
    context.memory.open().still_since = Some(since);
    let host = host.label();
    context.run.reporter.event(&Event::Frozen { host });
    Ok(())
}

/// All trees that move, on a side.
fn trees(run: &Run<'_>, side: Side) -> Vec<OriginTree> {
    let last = run
        .plan
        .actions
        .iter()
        .find_map(|action| match &action.change {
            Change::LastDelta(last) => Some(last),
            _ => None,
        });
    let of = |copy: &MailCopy| -> Vec<OriginTree> {
        let tree = |tree: &CopiedTree| OriginTree {
            kind: tree.paths.kind,
            path: tree.paths.on(side).clone(),
            select: copy.select.clone(),
            owner: copy.uid,
            tracking: None,
        };
        copy.trees.iter().map(tree).collect()
    };
    last.map_or_else(Vec::new, |last| last.copies.iter().flat_map(of).collect())
}

/// Keeps what waits in the queues of the host that hands over ready on the other.
pub(crate) fn carry_queue(context: &Context<'_>, carry: &QueueCarry) -> Result<()> {
    let run = context.run;
    let (from, to) = (run.change(carry.from)?, run.change(carry.from.other())?);
    let mut means = Means {
        ids: Arc::clone(&run.ids),
        stop: run.stop,
        advance: &mut |change| advance(run, change),
    };
    let counted = queue::carry(from, to, carry, &mut means)?;
    run.reporter.event(&Event::Queue {
        waiting: counted.waiting.values().sum(),
        carried: counted.carried,
    });
    for left in &counted.left {
        let text = format!(
            "stays in the queue of {}: {} ({})",
            from.label(),
            left.path,
            left.why
        );
        run.reporter.event(&Event::Warning { text });
    }
    Ok(())
}

/// Looks at the service before it moves.
pub(crate) fn survey(context: &Context<'_>, plan: &ServiceProbe) -> Result<()> {
    let survey = probe::survey(plan, &vantages(context.run))?;
    context.memory.open().survey = Some(survey);
    Ok(())
}

/// Looks at it through the moved address.
///
/// # Errors
///
/// [`Kind::RolledBack`] if it is not what it was: the caller takes everything back.
pub(crate) fn look_again(context: &Context<'_>, plan: &ServiceProbe) -> Result<()> {
    let run = context.run;
    let missing = || Error::new(Kind::Internal, "a probe without a survey");
    let survey = context.memory.open().survey.clone().ok_or_else(missing)?;
    let server = run.change(plan.to)?;
    let probed = probe::probe(plan, &survey, &vantages(run), server, run.stop);
    let found = probed.map_err(|error| error.of_kind(Kind::Verification, Kind::RolledBack))?;
    for text in found.notes {
        run.reporter.event(&Event::Warning { text });
    }
    Ok(())
}

fn vantages<'a>(run: &Run<'a>) -> Vec<Vantage<'a>> {
    let third = run.third.map(Vantage::Host);
    std::iter::once(Vantage::Here).chain(third).collect()
}

/// Lets go of the service addresses, if nothing has moved since the freeze: what somebody wrote after the
/// last delta was read would be lost.
pub(crate) fn leave(context: &Context<'_>, change: &HostChange) -> Result<()> {
    let run = context.run;
    let missing = || Error::new(Kind::Internal, "addresses are left without a freeze");
    let since = context.memory.open().still_since.ok_or_else(missing)?;
    let freeze = run
        .plan
        .actions
        .iter()
        .find_map(|action| match &action.change {
            Change::Freeze(freeze) => Some(freeze),
            _ => None,
        });
    let trees = trees(run, change.side);
    proof::look(
        run.read(change.side)?,
        freeze.ok_or_else(missing)?,
        &trees,
        since,
    )?;
    advance(run, change)
}

/// Takes the service addresses.
pub(crate) fn take(context: &Context<'_>, change: &HostChange) -> Result<()> {
    advance(context.run, change)
}

/// Starts the mail services, and waits until they serve.
pub(crate) fn start(context: &Context<'_>, start: &Start) -> Result<()> {
    let run = context.run;
    advance(run, &start.change)?;
    let host = run.change(start.change.side)?;
    proof::serving(host, &run.plan.manifest.services, start)
}

/// Edits and steps in one go, with how they are taken back.
fn advance(run: &Run<'_>, change: &HostChange) -> Result<()> {
    let host = run.change(change.side)?;
    let mut files = Vec::with_capacity(change.edits.len());
    for file in &change.edits {
        let before = edit::text(host, &file.path)?;
        files.push(Replacement {
            path: file.path.clone(),
            content: edit::apply(file, before.as_deref())?.into_bytes(),
            mode: file.mode,
        });
    }
    host.advance(&Advance {
        name: run.plan.manifest.name.clone(),
        epoch: this_epoch(run)?,
        undo: change.undo.clone(),
        files,
        steps: change.steps.clone(),
    })
}

pub(super) fn this_epoch(run: &Run<'_>) -> Result<u32> {
    let missing = || Error::new(Kind::Internal, "a switch without a hand-over");
    epoch(run.plan).ok_or_else(missing)
}
