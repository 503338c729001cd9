//! Copying and proving mail trees: several users at a time, one flush for all of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use super::execute::{Context, Run};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::parallel;
use crate::plan::change::{Extraneous, MailCopy};
use crate::plan::{Action, Change};
use crate::replicate::{
    Depth, Filter, Job, PendingIndex, Place, Progress, Report, Tree, compare, copy, sync,
};
use crate::resource::mail::{Places, index_name, room_for};

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
    let index_dir = context.store.index_directory();
    let index = context.run.target.open_tree(&index_dir)?.ok_or_else(|| {
        Error::new(
            Kind::Host,
            format!("{index_dir} on {} is gone", context.run.target.label()),
        )
    })?;
    let batch = Batch {
        run: context.run,
        progress: context.progress,
        index: &index,
        volumes: Mutex::default(),
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
    index: &'a OwnedFd,
    /// A directory of each of the target's file systems that was written, by device number.
    volumes: Mutex<BTreeMap<u64, OwnedFd>>,
}

impl Batch<'_> {
    /// Copies a user's trees, or compares them by content.
    fn write(&self, action: &Action) -> Result<Vec<PendingIndex>> {
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

    fn copy(&self, change: &MailCopy) -> Result<Vec<PendingIndex>> {
        let filter = Filter::new(&change.select)?;
        let mut pending = Vec::new();
        for tree in &change.trees {
            let paths = &tree.paths;
            room_for(paths, self.run.target)?;
            let places = Places::open(paths, self.source()?, self.run.target)?;
            let name = index_name(&change.user, paths.kind);
            let trees = [places.tree()];
            let job = self.job(
                change,
                tree.extraneous,
                &filter,
                &trees,
                &name,
                self.progress,
            );
            let copied = copy(&job)?;
            complete(change, &copied.report)?;
            pending.extend(copied.index);
            self.wrote_to(&places)?;
        }
        Ok(pending)
    }

    /// Remembers that a file system has to be flushed. One descriptor each: a batch has more trees
    /// than a process may have open files.
    fn wrote_to(&self, places: &Places) -> Result<()> {
        let fail = || "cannot look at a directory of the target".to_owned();
        let dir = places.target_dir();
        let stat = rustix::fs::fstat(dir).map_err(std::io::Error::from);
        let device = stat.doing(Kind::Host, fail)?.st_dev;
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(entry) = volumes.entry(device) {
            entry.insert(dir.try_clone().doing(Kind::Host, fail)?);
        }
        Ok(())
    }

    /// One flush for each file system that was written.
    fn flush(&self) -> Result<()> {
        let volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        volumes.values().try_for_each(|dir| sync(dir.as_fd()))
    }

    fn source(&self) -> Result<&dyn crate::host::ReadHost> {
        self.run
            .source
            .ok_or_else(|| Error::new(Kind::Host, "the source is gone"))
    }

    /// The data is durable: the index may say so. Then the trees are looked at again.
    fn commit(&self, action: &Action, written: Vec<PendingIndex>) -> Result<()> {
        written.into_iter().try_for_each(PendingIndex::commit)?;
        match &action.change {
            // A second look is no progress.
            Change::CopyMail(copy) => self.compare(copy, Depth::Index, &Progress::default()),
            _ => Ok(()),
        }
    }

    /// Nothing may differ.
    fn compare(&self, change: &MailCopy, depth: Depth, progress: &Progress) -> Result<()> {
        let filter = Filter::new(&change.select)?;
        for tree in &change.trees {
            let paths = &tree.paths;
            let places = Places::open(paths, self.source()?, self.run.target)?;
            if depth == Depth::Content {
                // What a killed run placed may be equal in memory only: a proof is flushed as well,
                // because the hand-over rests on it.
                self.wrote_to(&places)?;
            }
            let name = index_name(&change.user, paths.kind);
            let trees = [places.tree()];
            let report = compare(
                &self.job(change, tree.extraneous, &filter, &trees, &name, progress),
                depth,
                &mut |_, _, _| {},
            )?;
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

    fn job<'b>(
        &'b self,
        change: &'b MailCopy,
        extraneous: Extraneous,
        filter: &'b Filter,
        trees: &'b [Tree<'b>],
        index: &'b str,
        progress: &'b Progress,
    ) -> Job<'b> {
        Job {
            trees,
            owner: change.uid,
            ids: &self.run.plan.ids,
            filter,
            extraneous,
            index: Some(Place {
                dir: self.index.as_fd(),
                name: index.as_bytes(),
            }),
            sample: 1,
            progress,
            stop: self.run.stop,
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
