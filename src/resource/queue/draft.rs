//! How a queue is carried, decided.

use super::{Actual, Problem};
use crate::host::queue::{Accepting, QueueAside, QueueKind, QueueMove, QueueStep, StagedQueue};
use crate::host::{Command, Step};
use crate::manifest::Manifest;
use crate::names::Side;
use crate::plan::change::Count;
use crate::plan::hand_over::{HostChange, QueueCarry, QueueTree};
use crate::receipt::Receipt;
use crate::resource::mail::Volume;

/// What is done so that every message that waits at `from` is delivered by `to`, once. `None` if
/// `from` has no queue.
///
/// # Errors
///
/// All that is in the way.
pub fn draft(
    manifest: &Manifest,
    from: Side,
    to: Side,
    actual: &Actual,
) -> Result<Option<QueueCarry>, Vec<Problem>> {
    let mut problems = Vec::new();
    for side in [from, to] {
        match actual.of(side) {
            None => problems.push(Problem::NotSeen { side }),
            Some(seen) => problems.extend(seen.odd.iter().map(|odd| Problem::SplitQueue {
                side,
                path: odd.path.clone(),
            })),
        }
    }
    let (Some(there), Some(here), true) = (actual.of(from), actual.of(to), problems.is_empty())
    else {
        return Err(problems);
    };
    if there.directories.is_empty() {
        return Ok(None);
    }
    let Some(into) = here.accepting.clone() else {
        return Err(vec![Problem::NoMta { side: to }]);
    };
    if matches!(into, Accepting::Postfix { .. }) && !there.quarantined.is_empty() {
        let held = there.quarantined.iter();
        return Err(held
            .map(|(path, messages)| Problem::Quarantined {
                side: from,
                path: path.clone(),
                messages: *messages,
            })
            .collect());
    }
    let tight = no_room(to, there.size, &here.room);
    if !tight.is_empty() {
        return Err(tight);
    }
    let records = Receipt::directory(&manifest.name);
    let queues: Vec<_> = there.directories.iter().cloned().collect();
    let queue = QueueMove {
        staged: records.join("queue"),
        queues: queues
            .iter()
            .enumerate()
            .map(|(number, from)| StagedQueue {
                from: from.clone(),
                name: number.to_string(),
            })
            .collect(),
        ready: into.path().join(format!("reconcile-{}", manifest.name)),
        into,
    };
    let aside = QueueAside {
        list: records.join("queue-carried.json"),
        queues,
        kept: records.join("queue-carried"),
    };
    let step = |step| vec![Step::Queue(step)];
    let change = |steps, undo| HostChange {
        side: to,
        edits: Vec::new(),
        steps,
        undo,
    };
    let trees = queue.queues.iter().map(|staged| QueueTree {
        from: staged.from.path.clone(),
        to: queue.staged.join(&staged.name),
        parts: parts(staged.from.kind),
    });
    let mut commit_to = step(QueueStep::Deliver(queue.clone()));
    commit_to.push(Step::Run(flush(&queue.into)));
    Ok(Some(QueueCarry {
        from,
        flush: there.accepting.iter().map(flush).collect(),
        begin: change(
            step(QueueStep::Drop(queue.clone())),
            step(QueueStep::Drop(queue.clone())),
        ),
        trees: trees.collect(),
        ready: change(step(QueueStep::Prepare(queue.clone())), Vec::new()),
        commit_to,
        commit_from: step(QueueStep::SetAside(aside.clone())),
        queue,
        aside,
    }))
}

/// Everything is there twice for a while: as it was brought, and ready for the MTA. A tenth is left.
fn no_room(side: Side, waits: Count, room: &[Volume]) -> Vec<Problem> {
    let times = if room.len() == 1 { 2 } else { 1 };
    let with_a_tenth = |count: u64| {
        let all = count.saturating_mul(times);
        all.saturating_add(all / 10)
    };
    let needed = Count {
        files: with_a_tenth(waits.files),
        bytes: with_a_tenth(waits.bytes),
    };
    let is_full = |volume: &&Volume| {
        let inodes = volume.free_inodes.unwrap_or(u64::MAX);
        needed.bytes > volume.free_bytes || needed.files > inodes
    };
    let full = room.iter().filter(is_full);
    full.map(|volume| Problem::NoRoom {
        side,
        path: volume.path.clone(),
        needed,
        free_bytes: volume.free_bytes,
        free_inodes: volume.free_inodes,
    })
    .collect()
}

fn parts(kind: QueueKind) -> Option<Vec<String>> {
    let parts = kind.parts()?;
    Some(parts.iter().map(|&part| part.to_owned()).collect())
}

const fn flush(mta: &Accepting) -> Command {
    match mta {
        Accepting::Postfix { .. } => Command::FlushPostfix,
        Accepting::Sendmail { .. } => Command::FlushSendmail,
    }
}
