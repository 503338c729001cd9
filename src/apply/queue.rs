//! Carrying the mail queue of the host that hands over to the one that takes over, as far as that goes
//! before authority changes hands. What comes after are steps of the plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Kind, Result};
use crate::host::queue::{Carried, Left, QueueKind, waiting};
use crate::host::{Host, NewFile, ReadHost, TreeJob, Watch};
use crate::names::Uid;
use crate::plan::change::{Extraneous, IdMap, Selection, TreeKind};
use crate::plan::hand_over::{HostChange, QueueCarry, QueueTree};
use crate::raw::{HostPath, Raw};
use crate::replicate::{Oddity, OriginTree, Progress};

/// What was carried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Messages that waited, by directory and queue, as both hosts count them.
    pub waiting: BTreeMap<String, u64>,
    /// Those that the other host's MTA will get.
    pub carried: u64,
    /// Those that it cannot be given; they stay where they are.
    pub left: Vec<Left>,
}

/// How a copy is made, and who does what is done under a switch.
pub struct Means<'a> {
    /// Numbers of owners on `from` to numbers on `to`.
    pub ids: Arc<IdMap>,
    /// Set to end soon.
    pub stop: &'a AtomicBool,
    /// Carries out a change under the host's dead man's switch.
    pub advance: &'a mut dyn FnMut(&HostChange) -> Result<()>,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").finish_non_exhaustive()
    }
}

/// Copies the queues, counts on both sides, and makes everything ready. The MTA of `from` has stopped;
/// that of `to` is given nothing yet.
pub fn carry(
    from: &dyn Host,
    to: &dyn Host,
    carry: &QueueCarry,
    means: &mut Means<'_>,
) -> Result<Counted> {
    (means.advance)(&carry.begin)?;
    to.make_dirs(&carry.queue.staged, 0o700)?;
    for tree in &carry.trees {
        copy(from, to, tree, means)?;
    }
    let mut counted = Counted::default();
    for staged in &carry.queue.queues {
        let (kind, path) = (staged.from.kind, &staged.from.path);
        let there = count(from, kind, path, path)?;
        let here = count(to, kind, &carry.queue.staged.join(&staged.name), path)?;
        if there != here {
            return Err(moved(from, path));
        }
        counted.waiting.extend(there);
    }
    (means.advance)(&carry.ready)?;
    let carried = read(to, &Carried::path(&carry.queue.staged))?;
    let all: u64 = counted.waiting.values().sum();
    if carried.messages + carried.left.len() as u64 != all {
        let what = format!(
            "{all} messages waited on {}, and {} came to {}",
            from.label(),
            carried.messages + carried.left.len() as u64,
            to.label()
        );
        return Err(Error::new(Kind::Verification, what));
    }
    let json = serde_json::to_vec_pretty(&carried)
        .map_err(|error| Error::caused(Kind::Internal, "cannot write down the queue", error))?;
    from.make_dirs(&carry.aside.list.parent(), 0o700)?;
    from.replace(&carry.aside.list, &json, NewFile::root(0o600))?;
    counted.carried = carried.messages;
    counted.left = carried.left;
    Ok(counted)
}

fn copy(from: &dyn Host, to: &dyn Host, tree: &QueueTree, means: &Means<'_>) -> Result<()> {
    let only = |parts: &Vec<String>| parts.iter().map(|part| Raw::from(part.as_str())).collect();
    let job = TreeJob {
        tree: OriginTree {
            kind: TreeKind::Home,
            path: tree.from.clone(),
            select: Selection {
                only: tree.parts.as_ref().map(only),
                exclude: Vec::new(),
            },
            owner: Uid(0),
            tracking: None,
        },
        target: tree.to.clone(),
        ids: Arc::clone(&means.ids),
        extraneous: Extraneous::Remove,
        index: None,
        sealed: None,
        sample: 1,
    };
    let mut watch = Watch {
        progress: &Progress::default(),
        stop: means.stop,
        differences: None,
    };
    let report = to.copy(&[job], from, &mut watch).only()?;
    if let Some(first) = report.failures.first() {
        let what = format!(
            "the mail queue {} could not be read in full: {first}",
            tree.from
        );
        return Err(Error::new(Kind::Host, what).hint("mend that and run `reconcile apply` again"));
    }
    if report.oddities.count(Oddity::ChangedWhileRead) > 0 {
        return Err(moved(from, &tree.from));
    }
    Ok(())
}

fn moved(from: &dyn Host, queue: &HostPath) -> Error {
    let what = format!("{queue} on {} changed while it was carried", from.label());
    Error::new(Kind::Verification, what).hint(
        "something there still hands in or delivers mail; find it with `ps -ef`, and run again",
    )
}

/// Messages in a queue directory, named as it is on the host that hands over.
fn count(
    host: &dyn ReadHost,
    kind: QueueKind,
    dir: &HostPath,
    named: &HostPath,
) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for (queue, _) in waiting(host, kind, dir)? {
        let name = match kind {
            QueueKind::Postfix => named.join(&queue).to_string(),
            QueueKind::Sendmail | QueueKind::SendmailClient => named.to_string(),
        };
        *counts.entry(name).or_default() += 1;
    }
    Ok(counts)
}

fn read(host: &dyn ReadHost, path: &HostPath) -> Result<Carried> {
    let what = || format!("{path} on {} does not tell what was carried", host.label());
    let bytes = host
        .read(path)?
        .ok_or_else(|| Error::new(Kind::Malformed, what()))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::caused(Kind::Malformed, what(), error))
}
