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
const FLUSH_USERS: usize = 128;
const FLUSH_BYTES: u64 = 128 << 20;

/// Bytes to copy that are as much work as a user without any.
const AS_A_USER: u64 = 64 << 10;

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
    match (&first.change, &other.change) {
        (Change::CopyMail(first), Change::CopyMail(other))
        | (Change::ProveMail(first), Change::ProveMail(other)) => first.from == other.from,
        _ => false,
    }
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
        |actions| batch.write(actions),
        |actions, lot| Ok(batch.commit(actions, lot)),
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
        |copies| {
            let ours: Vec<MailCopy> = copies.iter().map(ours_by_now).collect();
            batch.copy(&ours.iter().collect::<Vec<_>>())
        },
        |copies, lot| {
            let settled = batch.settle(&copies.iter().collect::<Vec<_>>(), lot);
            let changed = copies.iter().zip(settled).map(|(copy, settled)| {
                let changed = settled?.changed;
                Ok(changed.then(|| copy.user.clone()))
            });
            changed.collect()
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
    /// Writes some items, several lots at a time, has them durable and ends them likewise; meanwhile the
    /// next are written. The results come in the order of the items. Once an item cannot be ended, no more
    /// are begun.
    fn flush_behind<T: Sync, R: Send>(
        &self,
        items: &[T],
        bytes: impl Fn(&T) -> u64,
        write: impl Fn(&[T]) -> Lot + Sync,
        end: impl Fn(&[T], Lot) -> Result<Vec<R>> + Sync,
    ) -> Result<Vec<R>> {
        let abreast = self.run.abreast();
        let finish = |lots: Vec<(&[T], Lot)>| {
            self.flush()?;
            crate::failpoint::hit("mail:written");
            let lots: Vec<_> = lots.into_iter().map(|lot| Mutex::new(Some(lot))).collect();
            let ended = parallel::map_in(abreast, &lots, |lot| {
                let lot = lot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (items, lot) = lot.expect("each lot is taken once");
                end(items, lot)
            });
            let ended: Result<Vec<Vec<R>>> = ended.into_iter().collect();
            ended.map(|lots| lots.into_iter().flatten().collect::<Vec<R>>())
        };
        let mut ended = Vec::new();
        std::thread::scope(|scope| {
            let finish = &finish;
            let mut behind = None;
            let mut rest = items;
            while !rest.is_empty() {
                let (some, later) = rest.split_at(at_most(rest, FLUSH_USERS, FLUSH_BYTES, &bytes));
                rest = later;
                let weight = |item: &T| 1 + bytes(item) / AS_A_USER;
                let written = parallel::in_lots(abreast, some, weight, &write);
                transfer::tell_loss(self.run);
                let before = behind.replace(scope.spawn(move || finish(written)));
                ended.extend(before.map_or(Ok(Vec::new()), parallel::joined)?);
            }
            ended.extend(behind.map_or(Ok(Vec::new()), parallel::joined)?);
            Ok(())
        })?;
        Ok(ended)
    }

    /// Copies users' trees, or compares them by content.
    fn write(&self, actions: &[&Action]) -> Lot {
        let proofs = actions.iter().filter_map(|action| match &action.change {
            Change::ProveMail(copy) => Some(copy),
            _ => None,
        });
        let proofs: Vec<&MailCopy> = proofs.collect();
        if proofs.is_empty() {
            return self.copy(&copies(actions));
        }
        let found = self.compare(&proofs, Depth::Content, self.progress);
        let written = proofs.iter().zip(found).map(|(copy, found)| match found? {
            None => Ok(Written::default()),
            Some(found) => Err(found.into_error(copy)),
        });
        Lot {
            written: written.collect(),
            indexes: None,
        }
    }

    fn copy(&self, copies: &[&MailCopy]) -> Lot {
        self.try_copy(copies).unwrap_or_else(|error| Lot {
            written: copies.iter().map(|_| Err(error.clone())).collect(),
            indexes: None,
        })
    }

    fn try_copy(&self, copies: &[&MailCopy]) -> Result<Lot> {
        let Some(first) = copies.first() else {
            return Ok(Lot::default());
        };
        let onto = first.from.other();
        let (from, to) = (self.run.read(first.from)?, self.run.change(onto)?);
        self.make(onto, &self.index, 0o700)?;
        for tree in copies.iter().flat_map(|copy| &copy.trees) {
            let tree = tree.paths.on(onto);
            self.make(onto, &tree.parent(), 0o755)?;
            self.wrote(onto, tree);
        }
        let jobs = self.jobs(copies, Depth::Index);
        let copied = to.copy(&jobs, from, &mut self.watch(self.progress));
        let each = by_user(copies, copied.reports);
        let written = copies.iter().zip(each).map(|(copy, reports)| {
            let mut written = Written::default();
            for report in reports {
                let report = report?;
                readable(copy, &report)?;
                written.moved |= changed(&report) > 0;
                written.changed |= !report.delta.is_empty();
            }
            Ok(written)
        });
        Ok(Lot {
            written: written.collect(),
            indexes: Some(copied.indexes),
        })
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

    /// The data is durable: the index may say so. Then all trees of the users are looked at again.
    ///
    /// Between live hosts this second look is what takes a mailbox together with its index: a user
    /// whose trees show no difference then has on one side what the other had at one moment. One
    /// whose mail moved meanwhile is copied again, a few times; the rest is left to the next run.
    fn commit(&self, actions: &[&Action], lot: Lot) -> Vec<Result<()>> {
        let copies = copies(actions);
        if copies.is_empty() {
            return lot
                .written
                .into_iter()
                .map(|proven| proven.map(drop))
                .collect();
        }
        let settled = self.settle(&copies, lot).into_iter();
        let ended = actions.iter().zip(settled).map(|(action, settled)| {
            if let (Some(found), Change::CopyMail(copy)) = (settled?.still, &action.change) {
                let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
                moving.insert(copy.user.clone());
                let action = action.id.clone();
                let what = found.to_string();
                self.run.reporter.event(&Event::Moving { action, what });
            }
            Ok(())
        });
        ended.collect()
    }

    /// Looks again at what was copied, for each user until nothing differs.
    fn settle(&self, copies: &[&MailCopy], lot: Lot) -> Vec<Result<Settled>> {
        let sound = copies.iter().zip(&lot.written);
        let sound: Vec<&MailCopy> = sound
            .filter_map(|(copy, written)| written.is_ok().then_some(*copy))
            .collect();
        let mut found = self.look_again(&sound, lot.indexes).into_iter();
        let each = copies.iter().zip(lot.written).map(|(copy, written)| {
            let written = written?;
            let found = found.next().unwrap_or_else(|| Err(unanswered()))?;
            self.conclude(copy, written, found)
        });
        each.collect()
    }

    /// Commits indexes, and compares.
    fn look_again(
        &self,
        copies: &[&MailCopy],
        indexes: Option<Box<dyn Pending>>,
    ) -> Vec<Result<Option<Found>>> {
        // Without the new index, what was just copied is compared by content.
        let (before, after) = match self.stillness {
            Stillness::Moving => (indexes, None),
            Stillness::Frozen => (None, indexes),
        };
        let committed = before.map_or(Ok(()), Pending::commit);
        // A second look is no progress.
        let found = committed.map(|()| self.compare(copies, Depth::Index, &Progress::default()));
        let found = found.and_then(|found| {
            // An index must not vouch for what this look found to be otherwise.
            if found.iter().all(|found| matches!(found, Ok(None))) {
                after.map_or(Ok(()), Pending::commit)?;
            }
            Ok(found)
        });
        found.unwrap_or_else(|error| copies.iter().map(|_| Err(error.clone())).collect())
    }

    /// Copies again until nothing differs. What differs where directories were passed over is looked at
    /// as a whole.
    fn conclude(
        &self,
        copy: &MailCopy,
        mut written: Written,
        mut found: Option<Found>,
    ) -> Result<Settled> {
        let trees = || copy.trees.iter().map(|tree| tree.paths.on(copy.from));
        let mut tries = 1;
        loop {
            let what = match found {
                None if !written.moved => {
                    trees().for_each(|tree| self.looks.settle(tree));
                    return Ok(Settled {
                        changed: written.changed,
                        still: None,
                    });
                }
                None => Found::Changed,
                Some(found) => found,
            };
            let doubted = trees().filter(|tree| self.looks.forget(tree)).count() > 0;
            match self.stillness {
                Stillness::Frozen if !doubted => return Err(what.into_error(copy)),
                Stillness::Moving if tries == TRIES => {
                    return Ok(Settled {
                        changed: written.changed,
                        still: Some(what),
                    });
                }
                Stillness::Frozen | Stillness::Moving => {}
            }
            tries += 1;
            let changed = written.changed;
            let mut lot = self.copy(&[&ours_by_now(copy)]);
            written = lot.written.pop().unwrap_or_else(|| Err(unanswered()))?;
            written.changed |= changed;
            self.flush()?;
            let again = self.look_again(&[copy], lot.indexes).pop();
            found = again.unwrap_or_else(|| Err(unanswered()))?;
        }
    }

    /// Of each user the first thing that differs.
    fn compare(
        &self,
        copies: &[&MailCopy],
        depth: Depth,
        progress: &Progress,
    ) -> Vec<Result<Option<Found>>> {
        let reports = self.reports(copies, depth, progress);
        let each = by_user(copies, reports);
        let found = copies.iter().zip(each).map(|(copy, reports)| {
            for report in reports {
                let report = report?;
                readable(copy, &report)?;
                let moved = changed(&report) > 0;
                if let Some(first) = report.delta.sample.into_iter().next() {
                    return Ok(Some(Found::Differs(first.path)));
                }
                if moved {
                    return Ok(Some(Found::Changed));
                }
            }
            Ok(None)
        });
        found.collect()
    }

    fn reports(
        &self,
        copies: &[&MailCopy],
        depth: Depth,
        progress: &Progress,
    ) -> Vec<Result<Report>> {
        let Some(first) = copies.first() else {
            return Vec::new();
        };
        let onto = first.from.other();
        if depth == Depth::Content {
            // What a killed run placed may be equal in memory only: a proof is flushed as well, because
            // the hand-over rests on it.
            let trees = copies.iter().flat_map(|copy| &copy.trees);
            trees.for_each(|tree| self.wrote(onto, tree.paths.on(onto)));
        }
        let jobs = self.jobs(copies, depth);
        match (self.run.read(first.from), self.run.read(onto)) {
            (Ok(from), Ok(to)) => to.compare(&jobs, depth, from, &mut self.watch(progress)),
            (Err(error), _) | (_, Err(error)) => jobs.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn jobs(&self, copies: &[&MailCopy], depth: Depth) -> Vec<TreeJob> {
        let trees = copies
            .iter()
            .flat_map(|copy| copy.trees.iter().map(move |tree| (copy, tree)));
        trees
            .map(|(copy, tree)| self.job(copy, tree, depth))
            .collect()
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

/// What became of some users' trees.
#[derive(Default)]
struct Lot {
    /// Of each user.
    written: Vec<Result<Written>>,
    /// To be committed once everything is durable.
    indexes: Option<Box<dyn Pending>>,
}

/// What became of a user's trees.
#[derive(Default)]
struct Written {
    /// Something changed each time that it was read.
    moved: bool,
    /// Something was not equal.
    changed: bool,
}

/// How a user's trees were left.
struct Settled {
    /// Something was not equal before.
    changed: bool,
    /// Mail still moved at the last look.
    still: Option<Found>,
}

/// The copies of actions that copy.
fn copies<'a>(actions: &[&'a Action]) -> Vec<&'a MailCopy> {
    let copies = actions.iter().filter_map(|action| match &action.change {
        Change::CopyMail(copy) => Some(copy),
        _ => None,
    });
    copies.collect()
}

/// What came of the trees of each user.
fn by_user(copies: &[&MailCopy], of_trees: Vec<Result<Report>>) -> Vec<Vec<Result<Report>>> {
    let mut of_trees = of_trees.into_iter();
    let mut next = || of_trees.next().unwrap_or_else(|| Err(unanswered()));
    let each = copies
        .iter()
        .map(|copy| copy.trees.iter().map(|_| next()).collect());
    each.collect()
}

/// What nobody looked at is not equal.
fn unanswered() -> Error {
    Error::new(Kind::Internal, "a tree was not looked at")
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
