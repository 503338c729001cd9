//! Copying and proving mail trees: several users at a time, one flush for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::execute::{Context, Run};
use super::tracking::Looks;
use super::transfer;
use crate::error::{Error, Kind, Result};
use crate::host::{HostState, Pending, TreeJob, Watch};
use crate::names::{Side, UserName};
use crate::parallel;
use crate::plan::change::{CopiedTree, Extraneous, MailCopy};
use crate::plan::{Action, Change};
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Oddity, OriginTree, Progress, Report};
use crate::report::Event;
use crate::resource::mail::index_file;

/// Users and bytes whose actions are recorded together.
const BATCH_USERS: usize = 256;
const BATCH_BYTES: u64 = 1 << 30;

/// Users and bytes between two flushes: enough to spread the cost of a flush, few enough that a run
/// that dies repeats little. While some are flushed and looked at again, the next are copied.
const FLUSH_USERS: usize = 48;
const FLUSH_BYTES: u64 = 128 << 20;

/// How often mail that moves on a live source is copied in one run.
const TRIES: u32 = 3;

/// How many actions from the first on are carried out side by side.
pub(super) fn batch(actions: &[Action]) -> usize {
    let Some(first) = actions.first() else {
        return 0;
    };
    let alike = actions.iter().take_while(|action| together(first, action));
    let alike = &actions[..alike.count()];
    at_most(alike, BATCH_USERS, BATCH_BYTES, to_copy).max(1)
}

/// How many items from the first on are taken together: one at least, if there is one.
fn at_most<T>(items: &[T], most: usize, bytes: u64, of: impl Fn(&T) -> u64) -> usize {
    let mut sum = 0_u64;
    let fits = |item: &&T| {
        let room = sum < bytes;
        sum = sum.saturating_add(of(item));
        room
    };
    items.iter().take(most).take_while(fits).count()
}

fn to_copy(action: &Action) -> u64 {
    match &action.change {
        Change::CopyMail(copy) => copy.delta.bytes(),
        _ => 0,
    }
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
    let stillness = match context.run.read(Side::Source)?.state() {
        HostState::Live => Stillness::Moving,
        HostState::Offline => Stillness::Frozen,
    };
    let batch = Batch::new(context, stillness);
    batch.flush_behind(
        actions,
        |action| to_copy(action),
        |action| batch.write(action),
        |action, written| Ok(written.and_then(|written| batch.commit(action, written))),
    )
}

/// Whether mail moves while it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stillness {
    /// On a live host: what moved is copied again, a few times.
    Moving,
    /// It does not: what moves all the same is an error. What is copied is compared by content.
    Frozen,
}

/// Makes the trees of all these users equal; tells whose were not. Ends soon after the first failure.
pub(super) fn bring_over(
    context: &Context<'_>,
    copies: &[MailCopy],
    stillness: Stillness,
) -> Result<BTreeSet<UserName>> {
    let batch = Batch::new(context, stillness);
    let ended = batch.flush_behind(
        copies,
        |copy| copy.delta.bytes(),
        |copy| batch.copy(&ours_by_now(copy)),
        |copy, written| {
            let mut written = written?;
            batch.settle(copy, &mut written)?;
            Ok(written.changed.then(|| copy.user.clone()))
        },
    )?;
    Ok(ended.into_iter().flatten().collect())
}

struct Batch<'a> {
    run: &'a Run<'a>,
    stillness: Stillness,
    progress: &'a Progress,
    looks: &'a Looks,
    /// Whose mail moves faster than it is copied.
    moving: &'a Mutex<BTreeSet<UserName>>,
    /// The directory of the indexes.
    index: HostPath,
    /// Trees that were written, or have to be durable for another reason, by the side that has them.
    written: Mutex<BTreeMap<Side, BTreeSet<HostPath>>>,
    /// Directories that are there by now.
    made: Mutex<BTreeSet<(Side, HostPath)>>,
}

impl<'a> Batch<'a> {
    fn new(context: &Context<'a>, stillness: Stillness) -> Self {
        Self {
            run: context.run,
            stillness,
            progress: context.progress,
            looks: &context.memory.looks,
            moving: context.moving,
            index: context.store.index_directory(),
            written: Mutex::default(),
            made: Mutex::default(),
        }
    }
}

impl Batch<'_> {
    /// Writes some items, several at a time, has them durable and ends them, again several at a time;
    /// meanwhile the next are written. The results come in the order of the items. Once an item cannot be
    /// ended, no more are begun.
    fn flush_behind<T: Sync, R: Send>(
        &self,
        items: &[T],
        bytes: impl Fn(&T) -> u64,
        write: impl Fn(&T) -> Result<Written> + Sync,
        end: impl Fn(&T, Result<Written>) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let abreast = self.run.abreast();
        let finish = |some: &[T], written: Vec<Result<Written>>| {
            self.flush()?;
            crate::failpoint::hit("mail:written");
            let work = some.iter().zip(written);
            let work: Vec<_> = work.map(|pair| Mutex::new(Some(pair))).collect();
            let ended = parallel::map_in(abreast, &work, |item| {
                let pair = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (item, written) = pair.expect("each item is taken once");
                end(item, written)
            });
            ended.into_iter().collect::<Result<Vec<R>>>()
        };
        let mut ended = Vec::new();
        std::thread::scope(|scope| {
            let finish = &finish;
            let mut behind = None;
            let mut rest = items;
            while !rest.is_empty() {
                let (some, later) = rest.split_at(at_most(rest, FLUSH_USERS, FLUSH_BYTES, &bytes));
                rest = later;
                let written = parallel::map_in(abreast, some, &write);
                transfer::tell_loss(self.run);
                let before = behind.replace(scope.spawn(move || finish(some, written)));
                ended.extend(before.map_or(Ok(Vec::new()), parallel::joined)?);
            }
            ended.extend(behind.map_or(Ok(Vec::new()), parallel::joined)?);
            Ok(())
        })?;
        Ok(ended)
    }

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
            let onto = change.from.other();
            let (from, to) = (self.run.read(change.from)?, self.run.change(onto)?);
            self.make(onto, &tree.paths.on(onto).parent(), 0o755)?;
            self.make(onto, &self.index, 0o700)?;
            let job = self.job(change, tree, Depth::Index);
            let mut watch = self.watch(self.progress);
            let copied = to.copy(&job, from, &mut watch)?;
            readable(change, &copied.report)?;
            written.moved |= changed(&copied.report) > 0;
            written.changed |= !copied.report.delta.is_empty();
            written.indexes.extend(copied.index);
            self.wrote(onto, tree.paths.on(onto));
        }
        Ok(written)
    }

    /// Makes a directory, once in a batch: most trees are in the same few.
    fn make(&self, side: Side, dir: &HostPath, mode: u32) -> Result<()> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (side, dir.clone());
        if !made().contains(&place) {
            self.run.change(side)?.make_dirs(dir, mode)?;
            made().insert(place);
        }
        Ok(())
    }

    /// Remembers that a tree has to be made durable.
    fn wrote(&self, side: Side, tree: &HostPath) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.entry(side).or_default().insert(tree.clone());
    }

    /// One flush for each file system that was written. Others write meanwhile, and may flush what we did:
    /// that is no reason to wait for less.
    fn flush(&self) -> Result<()> {
        let written = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.clone()
        };
        let mut sides = written.iter();
        sides.try_for_each(|(&side, trees)| self.run.change(side)?.sync(trees))
    }

    /// The data is durable: the index may say so. Then all trees of the user are looked at again.
    ///
    /// Between live hosts this second look is what takes a mailbox together with its index: a user
    /// whose trees show no difference then has on one side what the other had at one moment. One
    /// whose mail moved meanwhile is copied again, a few times; the rest is left to the next run.
    fn commit(&self, action: &Action, mut written: Written) -> Result<()> {
        let Change::CopyMail(copy) = &action.change else {
            return Ok(());
        };
        if let Some(found) = self.settle(copy, &mut written)? {
            let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
            moving.insert(copy.user.clone());
            let action = action.id.clone();
            let what = found.to_string();
            self.run.reporter.event(&Event::Moving { action, what });
        }
        Ok(())
    }

    /// Looks again until nothing differs; `Some` if mail still moved at the last try. What differs where
    /// directories were passed over is looked at as a whole.
    fn settle(&self, copy: &MailCopy, written: &mut Written) -> Result<Option<Found>> {
        let trees = || copy.trees.iter().map(|tree| tree.paths.on(copy.from));
        let mut tries = 1;
        loop {
            let moved = written.moved;
            let indexes = std::mem::take(&mut written.indexes);
            // Without the new index, what was just copied is compared by content.
            let (before, after) = match self.stillness {
                Stillness::Moving => (indexes, Vec::new()),
                Stillness::Frozen => (Vec::new(), indexes),
            };
            before.into_iter().try_for_each(Pending::commit)?;
            // A second look is no progress.
            let found = self.compare(copy, Depth::Index, &Progress::default())?;
            after.into_iter().try_for_each(Pending::commit)?;
            let found = match found {
                None if !moved => {
                    trees().for_each(|tree| self.looks.settle(tree));
                    return Ok(None);
                }
                None => Found::Changed,
                Some(found) => found,
            };
            let doubted = trees().filter(|tree| self.looks.forget(tree)).count() > 0;
            match self.stillness {
                Stillness::Frozen if !doubted => return Err(found.into_error(copy)),
                Stillness::Moving if tries == TRIES => return Ok(Some(found)),
                Stillness::Frozen | Stillness::Moving => {}
            }
            tries += 1;
            let changed = written.changed;
            *written = self.copy(&ours_by_now(copy))?;
            written.changed |= changed;
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
        let onto = change.from.other();
        let (from, to) = (self.run.read(change.from)?, self.run.read(onto)?);
        for tree in &change.trees {
            if depth == Depth::Content {
                // What a killed run placed may be equal in memory only: a proof is flushed as well,
                // because the hand-over rests on it.
                self.wrote(onto, tree.paths.on(onto));
            }
            let (job, mut watch) = (self.job(change, tree, depth), self.watch(progress));
            let report = to.compare(&job, depth, from, &mut watch)?;
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

    fn job(&self, change: &MailCopy, tree: &CopiedTree, depth: Depth) -> TreeJob {
        let paths = &tree.paths;
        let tracking = match depth {
            Depth::Index => self.looks.begin(paths.on(change.from)),
            Depth::Content => None,
        };
        TreeJob {
            tree: OriginTree {
                kind: paths.kind,
                path: paths.on(change.from).clone(),
                select: change.select.clone(),
                owner: change.uid,
                tracking,
            },
            target: paths.on(change.from.other()).clone(),
            ids: Arc::clone(&self.run.ids),
            extraneous: tree.extraneous.clone(),
            sealed: None,
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
    /// Something was not equal.
    changed: bool,
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

/// The copy once more: what is there by now came from this very action, so a message that was renamed
/// on the side that counts meanwhile goes under its old name, also where a first copy expects nothing.
fn ours_by_now(change: &MailCopy) -> MailCopy {
    let mut change = change.clone();
    for tree in &mut change.trees {
        // What is set aside is kept once only.
        if tree.extraneous == Extraneous::Refuse {
            tree.extraneous = Extraneous::Remove;
        }
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
