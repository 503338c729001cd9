//! Copying and proving mail trees: several users at a time, one flush for all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::execute::{Context, Run};
use crate::error::{Error, Kind, Result};
use crate::host::{HostState, Pending, ReadHost, TreeJob, Watch};
use crate::parallel;
use crate::plan::change::{CopiedTree, Extraneous, MailCopy};
use crate::plan::{Action, Change};
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Oddity, OriginTree, Progress, Report};
use crate::report::Event;
use crate::resource::mail::index_file;

/// Users and bytes between two flushes: enough to spread the cost of a flush, few enough that a run
/// that dies repeats little.
const BATCH_USERS: usize = 128;
const BATCH_BYTES: u64 = 512 << 20;

/// How often mail that moves on a live source is copied in one run.
const TRIES: u32 = 3;

/// How many actions from the first on are carried out side by side.
pub(super) fn batch(actions: &[Action]) -> usize {
    let Some(first) = actions.first() else {
        return 0;
    };
    let mut bytes = 0_u64;
    let fits = |action: &&Action| {
        let room = bytes < BATCH_BYTES;
        if let Change::CopyMail(copy) = &action.change {
            bytes = bytes.saturating_add(copy.delta.bytes());
        }
        room && together(first, action)
    };
    actions
        .iter()
        .take(BATCH_USERS)
        .take_while(fits)
        .count()
        .max(1)
}

/// Whether two actions are carried out side by side.
pub(super) fn together(first: &Action, other: &Action) -> bool {
    matches!(
        (&first.change, &other.change),
        (Change::CopyMail(_), Change::CopyMail(_)) | (Change::ProveMail(_), Change::ProveMail(_))
    )
}

/// Carries out copies, or proofs, side by side, and makes them durable together. An interruption is
/// the result of single actions: what the others wrote is made durable all the same.
pub(super) fn perform(context: &Context<'_>, actions: &[&Action]) -> Result<Vec<Result<()>>> {
    let batch = Batch {
        run: context.run,
        progress: context.progress,
        index: context.store.index_directory(),
        written: Mutex::default(),
    };
    let written = parallel::map(actions, |action| batch.write(action));
    batch.flush()?;
    crate::failpoint::hit("mail:written");
    let work: Vec<_> = actions
        .iter()
        .zip(written)
        .map(|pair| Mutex::new(Some(pair)))
        .collect();
    Ok(parallel::map(&work, |item| {
        let pair = item.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (action, written) = pair.expect("each item is taken once");
        batch.commit(action, written?)
    }))
}

struct Batch<'a> {
    run: &'a Run<'a>,
    progress: &'a Progress,
    /// The directory of the indexes.
    index: HostPath,
    /// Trees of the target that were written, or have to be durable for another reason.
    written: Mutex<BTreeSet<HostPath>>,
}

impl Batch<'_> {
    /// Copies a user's trees, or compares them by content.
    fn write(&self, action: &Action) -> Result<Written> {
        match &action.change {
            Change::CopyMail(copy) => self.copy(copy),
            Change::ProveMail(copy) => match self.compare(copy, Depth::Content, self.progress)? {
                None => Ok(Written::default()),
                Some(found) => Err(found.into_error(copy)),
            },
            _ => Err(Error::new(
                Kind::Internal,
                format!("{} is no change of mail", action.id),
            )),
        }
    }

    fn copy(&self, change: &MailCopy) -> Result<Written> {
        let mut written = Written::default();
        for tree in &change.trees {
            let target = &tree.paths.target;
            self.run.target.make_dirs(&target.parent(), 0o755)?;
            let job = self.job(change, tree);
            let mut watch = self.watch(self.progress);
            let copied = self.run.target.copy(&job, self.source()?, &mut watch)?;
            readable(change, &copied.report)?;
            written.moved |= changed(&copied.report) > 0;
            written.indexes.extend(copied.index);
            self.wrote(target);
        }
        Ok(written)
    }

    /// Remembers that a tree has to be made durable.
    fn wrote(&self, tree: &HostPath) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(tree.clone());
    }

    /// One flush for each file system that was written.
    fn flush(&self) -> Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        self.run.target.sync(&written)
    }

    fn source(&self) -> Result<&dyn ReadHost> {
        self.run
            .source
            .ok_or_else(|| Error::new(Kind::Host, "the source is gone"))
    }

    /// The data is durable: the index may say so. Then all trees of the user are looked at again.
    ///
    /// Between live hosts this second look is what takes a mailbox together with its index: a user
    /// whose trees show no difference then has on the target what the source had at one moment. One
    /// whose mail moved meanwhile is copied again, a few times; the rest is left to the next run.
    fn commit(&self, action: &Action, written: Written) -> Result<()> {
        let Change::CopyMail(copy) = &action.change else {
            return Ok(());
        };
        let live = self.source()?.state() == HostState::Live;
        let mut written = written;
        let mut tries = 1;
        loop {
            let moved = written.moved;
            for index in std::mem::take(&mut written.indexes) {
                index.commit()?;
            }
            // A second look is no progress.
            let found = match self.compare(copy, Depth::Index, &Progress::default())? {
                None if !moved => return Ok(()),
                None => Found::Changed,
                Some(found) => found,
            };
            if !live {
                return Err(found.into_error(copy));
            }
            if tries == TRIES {
                let action = action.id.clone();
                let what = found.to_string();
                self.run.reporter.event(&Event::Moving { action, what });
                return Ok(());
            }
            tries += 1;
            written = self.copy(&ours_by_now(copy))?;
            self.flush()?;
        }
    }

    /// The first thing that differs.
    fn compare(
        &self,
        change: &MailCopy,
        depth: Depth,
        progress: &Progress,
    ) -> Result<Option<Found>> {
        for tree in &change.trees {
            if depth == Depth::Content {
                // What a killed run placed may be equal in memory only: a proof is flushed as well,
                // because the hand-over rests on it.
                self.wrote(&tree.paths.target);
            }
            let (job, mut watch) = (self.job(change, tree), self.watch(progress));
            let target = self.run.target;
            let report = target.compare(&job, depth, self.source()?, &mut watch)?;
            readable(change, &report)?;
            if let Some(first) = report.delta.sample.into_iter().next() {
                return Ok(Some(Found::Differs(first.path)));
            }
            if report.oddities.count(Oddity::ChangedWhileRead) > 0 {
                return Ok(Some(Found::Changed));
            }
        }
        Ok(None)
    }

    fn job(&self, change: &MailCopy, tree: &CopiedTree) -> TreeJob {
        let paths = &tree.paths;
        TreeJob {
            tree: OriginTree {
                kind: paths.kind,
                path: paths.source.clone(),
                select: change.select.clone(),
                owner: change.uid,
            },
            target: paths.target.clone(),
            ids: Arc::clone(&self.run.ids),
            extraneous: tree.extraneous,
            index: Some(index_file(&self.index, &change.user, paths.kind)),
            sample: 1,
        }
    }

    fn watch<'b>(&'b self, progress: &'b Progress) -> Watch<'b> {
        Watch {
            progress,
            stop: self.run.stop,
            differences: None,
        }
    }
}

/// What a copy left to be done.
#[derive(Default)]
struct Written {
    /// To be committed once everything is durable.
    indexes: Vec<Box<dyn Pending>>,
    /// Something changed each time that it was read.
    moved: bool,
}

/// Why two trees are not equal.
enum Found {
    /// Something at this path.
    Differs(Raw),
    /// Something changed while it was read.
    Changed,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(path) => path.fmt(f),
            Self::Changed => f.write_str("while it was read"),
        }
    }
}

impl Found {
    fn into_error(self, change: &MailCopy) -> Error {
        match self {
            Self::Differs(path) => Error::new(
                Kind::Verification,
                format!(
                    "the mail of {} is not equal on both hosts, first at {path}",
                    change.user
                ),
            )
            .hint("something wrote there meanwhile; `reconcile plan --full` lists what differs"),
            Self::Changed => incomplete(change, "files changed while they were read"),
        }
    }
}

/// The copy once more: what the target has by now came from this very action, so a message that was
/// renamed on the source meanwhile goes under its old name, also where a first copy expects nothing.
fn ours_by_now(change: &MailCopy) -> MailCopy {
    let mut change = change.clone();
    for tree in &mut change.trees {
        tree.extraneous = Extraneous::Remove;
    }
    change
}

fn changed(report: &Report) -> u64 {
    report.oddities.count(Oddity::ChangedWhileRead)
}

/// A copy with a hole in it is no copy.
fn readable(change: &MailCopy, report: &Report) -> Result<()> {
    match report.failures.first() {
        Some(first) => Err(incomplete(change, &first.to_string())),
        None => Ok(()),
    }
}

fn incomplete(change: &MailCopy, why: &str) -> Error {
    let what = format!(
        "the mail of {} could not be read in full: {why}",
        change.user
    );
    Error::new(Kind::Host, what).hint("mend that and run `reconcile apply` again")
}
