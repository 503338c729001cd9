//! The walk over the plan: each action begun and ended in the journal, its result looked at, what
//! depends on a failed one left out and named.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::journal::{Journal, Moment};
use super::lock::{Owner, RunLock};
use super::store::Store;
use super::{backup, hand_over, housekeeping, mail, progress, services, timer, transfer, uidl};
use crate::error::{Error, Kind, Result};
use crate::host::{Host, ReadHost};
use crate::names::{Side, UserName};
use crate::parallel;
use crate::plan::change::{AccountsMerge, HandOverRecord, IdMap, Rename};
use crate::plan::{Action, ActionId, Change, Fact, Plan};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::replicate::{Held, Pace, Progress};
use crate::report::{Event, Reporter};
use crate::resource::{accounts, edit};

/// All that carrying out a plan needs.
pub struct Run<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The plan's [`Plan::ids`], shared with every copy.
    pub ids: Arc<IdMap>,
    /// The old host; `None` once the target has authority and the source is gone.
    pub source: Option<&'a dyn ReadHost>,
    /// The same, if it can be frozen and can take the mail back.
    pub change_source: Option<&'a dyn Host>,
    /// A third host that looks at the service through its addresses.
    pub third: Option<&'a dyn ReadHost>,
    /// The backup mail exchanger.
    pub backup: Option<&'a dyn Host>,
    /// The new host.
    pub target: &'a dyn Host,
    /// Who listens.
    pub reporter: &'a dyn Reporter,
    /// Set when the user wants us to stop; looked at between actions and inside long copies.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("basis", &self.plan.basis)
            .finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    /// One of the hosts, for looking.
    pub(super) fn read(&self, side: Side) -> Result<&'a dyn ReadHost> {
        match side {
            Side::Target => Ok(self.target),
            Side::Source => self
                .source
                .ok_or_else(|| Error::new(Kind::Host, "the source is gone")),
        }
    }

    /// How many users' mail is brought over at a time.
    pub(super) fn abreast(&self) -> usize {
        let round_trips = self.hosts().map(ReadHost::round_trip);
        parallel::abreast(round_trips.max().unwrap_or_default())
    }

    /// Both hosts, as far as they are there.
    fn hosts(&self) -> impl Iterator<Item = &'a dyn ReadHost> {
        let target: &dyn ReadHost = self.target;
        self.source.into_iter().chain([target])
    }

    /// What held the reading of the hosts so far.
    fn held(&self) -> Held {
        self.hosts()
            .fold(Held::default(), |sum, host| sum + host.held())
    }

    /// Both hosts are read at this pace from now on.
    pub(super) fn set_pace(&self, pace: Pace) -> Result<()> {
        self.hosts().try_for_each(|host| host.set_pace(pace))
    }

    /// One of the hosts, for changing it.
    pub(super) fn change(&self, side: Side) -> Result<&'a dyn Host> {
        match side {
            Side::Target => Ok(self.target),
            Side::Source => self
                .change_source
                .ok_or_else(|| Error::new(Kind::Host, "the source is gone, or can only be read")),
        }
    }
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Actions carried out.
    pub done: usize,
    /// Actions that failed, and why.
    pub failed: Vec<(ActionId, Error)>,
    /// Actions left out, and the fact that each misses.
    pub skipped: Vec<(ActionId, Fact)>,
    /// Whose mail was copied and still moved when it was looked at again. That of all others was equal.
    pub moving: BTreeSet<UserName>,
}

/// Everything that a single action works with.
pub(super) struct Context<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) journal: &'a Journal<'a>,
    pub(super) store: &'a Store<'a>,
    pub(super) progress: &'a Progress,
    pub(super) memory: &'a hand_over::Memory,
    pub(super) moving: &'a Mutex<BTreeSet<UserName>>,
}

/// Carries out the plan. An `Err` means that nothing more could be recorded; failures of single
/// actions are in the outcome.
pub fn execute(run: &Run<'_>) -> Result<Outcome> {
    let store = Store::open(run.target, &run.plan.manifest)?;
    RunLock::sign(run.target, &run.plan.manifest.name, &Owner::this_process())?;
    run.target.clear_account_locks()?;
    let journal = Journal::open(run.target, &run.plan.manifest.name)?;
    run.set_pace(run.plan.manifest.transfer.pace())?;
    let progress = Progress::default();
    let (files, bytes) = planned(run.plan);
    run.reporter.event(&Event::RunStarted {
        actions: run.plan.actions.len(),
        bytes,
        files,
    });
    transfer::open(run)?;
    journal.write(Moment::Begin)?;
    let ended = AtomicBool::new(false);
    let moving = Mutex::default();
    let outcome = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            progress::watch(&progress, bytes, run.reporter, &|| run.held(), &ended);
        });
        let context = Context {
            run,
            journal: &journal,
            store: &store,
            progress: &progress,
            memory: &hand_over::Memory::default(),
            moving: &moving,
        };
        let outcome = walk(&context);
        ended.store(true, Ordering::Release);
        watcher.thread().unpark();
        outcome
    });
    transfer::tell_loss(run);
    let outcome = match outcome {
        Ok(outcome) => Outcome {
            moving: moving.into_inner().unwrap_or_else(PoisonError::into_inner),
            ..outcome
        },
        // An interruption has no end of its own, and a journal that cannot be written says nothing.
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(error) => {
            return Err(match journal.write(Moment::Failed) {
                Ok(()) => error,
                Err(unwritten) => {
                    let text = crate::error::chain(&unwritten);
                    run.reporter.event(&Event::Warning { text });
                    error
                }
            });
        }
    };
    let moment = if outcome.failed.is_empty() {
        Moment::Done
    } else {
        Moment::Failed
    };
    journal.write(moment)?;
    let (files, bytes) = progress::done(&progress);
    run.reporter.event(&Event::RunEnded {
        done: outcome.done,
        failed: outcome.failed.len(),
        skipped: outcome.skipped.len(),
        files,
        bytes,
    });
    Ok(outcome)
}

fn planned(plan: &Plan) -> (u64, u64) {
    plan.actions
        .iter()
        .fold((0, 0), |(files, bytes), action| match &action.change {
            Change::CopyMail(copy) => {
                let delta = &copy.delta;
                (
                    files + delta.create.files + delta.update.files,
                    bytes + delta.bytes(),
                )
            }
            _ => (files, bytes),
        })
}

/// Mail trees go several at a time; everything else one after the other.
fn walk(context: &Context<'_>) -> Result<Outcome> {
    let mut book = Book::default();
    let mut rest = &context.run.plan.actions[..];
    let mut guarded = Guarded::Nothing;
    while let Some(first) = rest.first() {
        if context.run.stop.load(Ordering::Relaxed) {
            return Err(guarded.end(context, interrupted()));
        }
        let (batch, later) = rest.split_at(mail::batch(rest));
        rest = later;
        let admitted = batch.iter().filter(|action| book.admits(action, context));
        let ready: Vec<&Action> = admitted.collect();
        if ready.is_empty() {
            continue;
        }
        guarded.reach(first);
        begin(context, &ready).map_err(|error| guarded.end(context, error))?;
        let results = if mail::together(first, first) {
            mail::perform(context, &ready)?
        } else {
            ready
                .iter()
                .map(|action| perform(context, action))
                .collect()
        };
        let failed_before = book.outcome.failed.len();
        // Before it is written down: what cannot be written down is no reason to take it back.
        if results.iter().all(Result::is_ok) {
            guarded.pass(first);
        }
        let ended = book.end(context, ready.into_iter().zip(results).collect());
        ended.map_err(|error| guarded.end(context, error))?;
        if guarded != Guarded::Nothing
            && book.outcome.failed.len() > failed_before
            && let Some((action, error)) = book.outcome.failed.pop()
        {
            return Err(guarded.end(context, error.during(&action)));
        }
    }
    Ok(book.outcome)
}

/// Whether the run is within a hand-over between live hosts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guarded {
    /// It is not: what fails is left as it is, and the next run goes on from there.
    Nothing,
    /// What has been checked before the freeze failed: nothing was stopped.
    Gates,
    /// Whatever fails takes everything back.
    Switches(Side),
}

impl Guarded {
    /// An action is about to begin.
    fn reach(&mut self, action: &Action) {
        if hand_over::is_gate(action) && *self == Self::Nothing {
            *self = Self::Gates;
        }
        if let (true, Some(to)) = (hand_over::is_guarded(action), hand_over::towards(action)) {
            *self = Self::Switches(to);
        }
    }

    /// An action was carried out.
    fn pass(&mut self, action: &Action) {
        if matches!(action.change, Change::HandOver { .. }) {
            *self = Self::Nothing;
        }
    }

    /// What becomes of a failure.
    fn end(self, context: &Context<'_>, error: Error) -> Error {
        match self {
            Self::Nothing | Self::Gates => error,
            Self::Switches(_) if error.kind() == Kind::Undecided => error,
            Self::Switches(to) => match hand_over::take_back(context.run, to, &error) {
                Ok(()) => hand_over::taken_back(error),
                Err(left) => left,
            },
        }
    }
}

/// Says that actions begin, durably.
fn begin(context: &Context<'_>, actions: &[&Action]) -> Result<()> {
    let ids: Vec<&ActionId> = actions.iter().map(|action| &action.id).collect();
    context.journal.write_all(Moment::Begin, &ids)?;
    for id in ids {
        context
            .run
            .reporter
            .event(&Event::ActionStarted { action: id.clone() });
    }
    Ok(())
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Book {
    outcome: Outcome,
    lost: BTreeSet<Fact>,
}

impl Book {
    /// Whether all that an action needs can still hold; if not, it is left out, and so is what it
    /// would give.
    fn admits(&mut self, action: &Action, context: &Context<'_>) -> bool {
        let Some(missing) = action.needs.iter().find(|need| self.lost.contains(*need)) else {
            return true;
        };
        let missing = missing.clone();
        context.run.reporter.event(&Event::ActionSkipped {
            action: action.id.clone(),
            waits_on: missing.to_string(),
        });
        self.lost.extend(action.gives.iter().cloned());
        self.outcome.skipped.push((action.id.clone(), missing));
        false
    }

    /// Says how actions ended, durably. An interruption ends the walk, once the others are recorded.
    fn end(&mut self, context: &Context<'_>, ended: Vec<(&Action, Result<()>)>) -> Result<()> {
        let ids = |wanted: fn(&Result<()>) -> bool| -> Vec<&ActionId> {
            let matching = ended.iter().filter(|(_, result)| wanted(result));
            matching.map(|(action, _)| &action.id).collect()
        };
        context
            .journal
            .write_all(Moment::Done, &ids(Result::is_ok))?;
        context
            .journal
            .write_all(Moment::Failed, &ids(has_failed))?;
        let mut interruption = Ok(());
        for (action, result) in ended {
            let id = action.id.clone();
            match result {
                Ok(()) => {
                    context
                        .run
                        .reporter
                        .event(&Event::ActionDone { action: id });
                    self.outcome.done += 1;
                }
                Err(error) if error.kind() == Kind::Interrupted => interruption = Err(error),
                Err(error) => {
                    let text = crate::error::chain(&error);
                    let event = Event::ActionFailed {
                        action: id.clone(),
                        error: text,
                    };
                    context.run.reporter.event(&event);
                    self.lost.extend(action.gives.iter().cloned());
                    self.outcome.failed.push((id, error));
                }
            }
        }
        interruption
    }
}

/// What was interrupted has not failed: it is begun and not ended, as after a power cut.
fn has_failed(result: &Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() != Kind::Interrupted)
}

pub(super) fn interrupted() -> Error {
    Error::new(
        Kind::Interrupted,
        "stopped before the end, between two steps",
    )
    .hint("nothing is half-done; run `reconcile apply` again to go on from here")
}

fn perform(context: &Context<'_>, action: &Action) -> Result<()> {
    let target = context.run.target;
    match &action.change {
        Change::MergeAccounts(merge) => merge_accounts(context, merge),
        Change::ClaimTrees { users } => context
            .store
            .update(|receipt| receipt.trees.extend(users.clone())),
        Change::SetAside { renames, .. } => renames
            .iter()
            .try_for_each(|Rename { from, to }| target.rename_new(from, to)),
        Change::EditFile(file) => edit::perform(context.run.change(file.side)?, file),
        Change::HoldService(hold) => services::hold(context, hold),
        Change::ReleaseService(release) => services::release(context, release),
        Change::EnforceUidl(drop_in) => uidl::enforce(target, drop_in),
        Change::SetUpBackup(setup) => backup::set_up(context, setup),
        Change::AskBackup(asking) => backup::ask(context, asking),
        Change::DrainBackup(drain) => backup::drain(context, drain),
        Change::EndLeftover(leftover) => hand_over::end(context, leftover),
        Change::Rounds(rounds) => hand_over::rounds(context, rounds),
        Change::ProveIdentity(proof) => hand_over::prove(context, proof),
        Change::Survey(probe) => hand_over::survey(context, probe),
        Change::ProbeService(probe) => hand_over::look_again(context, probe),
        Change::Arm(armings) => hand_over::arm(context, armings),
        Change::Freeze(freeze) => hand_over::freeze(context, freeze),
        Change::CarryQueue(carry) => hand_over::carry_queue(context, carry),
        Change::LastDelta(last) => hand_over::last_delta(context, last),
        Change::MendAddresses(change) => hand_over::mend(context, change),
        Change::LeaveAddresses(change) => hand_over::leave(context, change),
        Change::TakeAddresses(change) => hand_over::take(context, change),
        Change::StartServices(start) => hand_over::start(context, start),
        Change::HandOver {
            to,
            keep: keep @ HandOverRecord {
                live: Some(live), ..
            },
        } => hand_over::hand_over(context, *to, keep, live),
        Change::HandOver { to, keep } => {
            // What a killed run renamed in /etc may not have reached the disk, and from here on
            // nobody carries accounts again.
            target.sync(&BTreeSet::from([HostPath::from("/etc")]))?;
            context
                .store
                .update(|receipt| receipt.hand_over(*to, keep, Timestamp::now()))
        }
        Change::MoveMessages(planned) => housekeeping::perform(context, planned),
        Change::SetUpTimer(setup) => timer::set_up(context, setup),
        Change::CopyMail(_) | Change::ProveMail(_) => Err(Error::new(
            Kind::Internal,
            format!("{} was not carried out together with its kind", action.id),
        )),
    }
}

/// Merges, and looks again: nothing may be left to merge.
fn merge_accounts(context: &Context<'_>, merge: &AccountsMerge) -> Result<()> {
    let run = context.run;
    let (from, onto) = (run.read(merge.onto.other())?, run.change(merge.onto)?);
    // Before the merge: an account that exists and is not on record would look like a stranger.
    context.store.update(|receipt| {
        receipt
            .accounts
            .extend(merge.users.iter().map(|user| user.name.clone()));
    })?;
    accounts::merge(from, onto, merge)?;
    let actual = accounts::observe(Some(run.read(Side::Source)?), run.target)?;
    let receipt = Receipt::read(context.run.target, &context.run.plan.manifest.name)?;
    let manifest = &context.run.plan.manifest;
    let resolved = accounts::resolve(manifest, &actual, receipt.as_ref());
    let left = accounts::diff(manifest, &actual, &resolved, receipt.as_ref());
    if left.actions.is_empty() && left.blocked.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the accounts were merged, but the {}'s files are still not as planned",
        merge.onto
    );
    Err(Error::new(Kind::Verification, what)
        .hint("another program may have changed them; run `reconcile plan` to see what differs"))
}

#[cfg(test)]
mod tests;
