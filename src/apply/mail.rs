//! Copying and proving mail trees: several users at a time, one flush for all of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::execute::{Context, Run};
use crate::error::{Error, Kind, Result};
use crate::host::{Pending, ReadHost, TreeJob, Watch};
use crate::parallel;
use crate::plan::change::{CopiedTree, MailCopy};
use crate::plan::{Action, Change};
use crate::raw::HostPath;
use crate::replicate::{Depth, OriginTree, Progress, Report};
use crate::resource::mail::index_file;

/// Users and bytes between two flushes: enough to spread the cost of a flush, few enough that a run
/// that dies repeats little.
const BATCH_USERS: usize = 128;
const BATCH_BYTES: u64 = 512 << 20;

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
    fn write(&self, action: &Action) -> Result<Vec<Box<dyn Pending>>> {
        match &action.change {
            Change::CopyMail(copy) => self.copy(copy),
            Change::ProveMail(copy) => {
                self.compare(copy, Depth::Content, self.progress)?;
                Ok(Vec::new())
            }
            _ => Err(Error::new(
                Kind::Internal,
                format!("{} is no change of mail", action.id),
            )),
        }
    }

    fn copy(&self, change: &MailCopy) -> Result<Vec<Box<dyn Pending>>> {
        let mut pending = Vec::new();
        for tree in &change.trees {
            let target = &tree.paths.target;
            self.run.target.make_dirs(&target.parent(), 0o755)?;
            let job = self.job(change, tree);
            let mut watch = self.watch(self.progress);
            let copied = self.run.target.copy(&job, self.source()?, &mut watch)?;
            complete(change, &copied.report)?;
            pending.extend(copied.index);
            self.wrote(target);
        }
        Ok(pending)
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

    /// The data is durable: the index may say so. Then the trees are looked at again.
    fn commit(&self, action: &Action, written: Vec<Box<dyn Pending>>) -> Result<()> {
        for index in written {
            index.commit()?;
        }
        match &action.change {
            // A second look is no progress.
            Change::CopyMail(copy) => self.compare(copy, Depth::Index, &Progress::default()),
            _ => Ok(()),
        }
    }

    /// Nothing may differ.
    fn compare(&self, change: &MailCopy, depth: Depth, progress: &Progress) -> Result<()> {
        for tree in &change.trees {
            if depth == Depth::Content {
                // What a killed run placed may be equal in memory only: a proof is flushed as well,
                // because the hand-over rests on it.
                self.wrote(&tree.paths.target);
            }
            let (job, mut watch) = (self.job(change, tree), self.watch(progress));
            let target = self.run.target;
            let report = target.compare(&job, depth, self.source()?, &mut watch)?;
            complete(change, &report)?;
            if let Some(first) = report.delta.sample.first() {
                let what = format!(
                    "the mail of {} is not equal on both hosts, first at {}",
                    change.user, first.path
                );
                return Err(Error::new(Kind::Verification, what).hint(
                    "something wrote there meanwhile; `reconcile plan --full` lists what differs",
                ));
            }
        }
        Ok(())
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

/// A copy with a hole in it is no copy.
fn complete(change: &MailCopy, report: &Report) -> Result<()> {
    if report.complete() {
        return Ok(());
    }
    let first = report
        .failures
        .first()
        .map_or("files changed while they were read".into(), |f| {
            f.to_string()
        });
    let what = format!(
        "the mail of {} could not be read in full: {first}",
        change.user
    );
    Err(Error::new(Kind::Host, what).hint("mend that and run `reconcile apply` again"))
}
