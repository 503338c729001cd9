//! Copying and proving mail trees: several users at a time, one flush for all of them.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Mutex;

use super::execute::{Context, Run};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::parallel;
use crate::plan::change::{Extraneous, MailCopy};
use crate::plan::{Action, Change};
use crate::replicate::{
    Depth, Filter, Job, PendingIndex, Place, Progress, Report, Tree, compare, copy, sync,
};
use crate::resource::mail::{Places, index_name, room_for};

/// Users between two flushes: enough to spread the cost of a flush, few enough that a run that dies
/// repeats little.
pub(super) const BATCH: usize = 32;

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
    };
    let written = parallel::map(actions, |action| batch.write(action));
    flush(written.iter().flatten())?;
    let work: Vec<_> = actions
        .iter()
        .zip(written)
        .map(|pair| Mutex::new(Some(pair)))
        .collect();
    Ok(parallel::map(&work, |item| {
        let pair = item
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        let (action, written) = pair.expect("each item is taken once");
        batch.commit(action, written?)
    }))
}

struct Batch<'a> {
    run: &'a Run<'a>,
    progress: &'a Progress,
    index: &'a OwnedFd,
}

/// What a copy leaves to be done once it is durable.
#[derive(Default)]
struct Written {
    pending: Vec<PendingIndex>,
    places: Vec<Places>,
}

impl Batch<'_> {
    /// Copies a user's trees, or compares them by content.
    fn write(&self, action: &Action) -> Result<Written> {
        match &action.change {
            Change::CopyMail(copy) => self.copy(copy),
            Change::ProveMail(copy) => {
                self.compare(copy, Depth::Content, self.progress)?;
                Ok(Written::default())
            }
            _ => Err(Error::new(
                Kind::Internal,
                format!("{} is no change of mail", action.id),
            )),
        }
    }

    fn copy(&self, change: &MailCopy) -> Result<Written> {
        let filter = Filter::new(&change.select)?;
        let mut places_of = Vec::new();
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
            places_of.push(places);
        }
        Ok(Written {
            pending,
            places: places_of,
        })
    }

    fn source(&self) -> Result<&dyn crate::host::ReadHost> {
        self.run
            .source
            .ok_or_else(|| Error::new(Kind::Host, "the source is gone"))
    }

    /// The data is durable: the index may say so. Then the trees are looked at again.
    fn commit(&self, action: &Action, written: Written) -> Result<()> {
        written
            .pending
            .into_iter()
            .try_for_each(PendingIndex::commit)?;
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

/// One flush for each file system that was written.
fn flush<'a>(written: impl Iterator<Item = &'a Written>) -> Result<()> {
    let mut flushed = BTreeSet::new();
    for places in written.flat_map(|written| &written.places) {
        let dir = places.target_dir();
        let stat = rustix::fs::fstat(dir).map_err(std::io::Error::from);
        let device = stat
            .doing(Kind::Host, || {
                "cannot look at a directory of the target".to_owned()
            })?
            .st_dev;
        if flushed.insert(device) {
            sync(dir.as_fd())?;
        }
    }
    Ok(())
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
