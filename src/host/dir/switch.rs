//! The dead man's switch of the machine that we are on; what its rules are is said in
//! [`crate::host::switch`].
//!
//! Two processes work on it: the agent of a run, which may die at any moment, and the watcher, which
//! the host itself keeps alive ([`watch`]). Whoever reads, decides and writes holds the lock
//! ([`file`]). Whatever is decided by time is decided by a clock that nobody can set ([`time`]).

mod file;
mod install;
mod keep;
mod steps;
mod time;
mod walk;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::host::switch::{Advance, Arming, Moment, SWITCH_VERSION, Settlement};
use crate::host::{Host as _, HostState, NewFile, ReadHost as _, Step, Switch};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;
use file::Lock;
use time::{Due, Now};

pub(super) use watch::watch;

/// What a switch needs of the machine, so that its decisions can be tried without one.
trait Machine {
    /// The clocks.
    fn now(&self) -> Result<Now>;
    /// Carries out one step.
    fn perform(&self, step: &Step) -> Result<()>;
    /// Sees to it that a process of the host itself watches the switch, now and after a reboot.
    fn keep_watch(&self) -> Result<()>;
}

/// The switch of one migration on a host.
struct Ward<'a> {
    host: &'a DirHost,
    name: &'a MigrationName,
    machine: &'a dyn Machine,
}

/// The machine that we are on.
struct Here<'a> {
    host: &'a DirHost,
    name: &'a MigrationName,
}

impl Machine for Here<'_> {
    fn now(&self) -> Result<Now> {
        Now::read(self.host)
    }

    fn perform(&self, step: &Step) -> Result<()> {
        steps::perform(self.host, step)
    }

    fn keep_watch(&self) -> Result<()> {
        install::ensure(self.host, self.name)
    }
}

impl<'a> Here<'a> {
    fn of(host: &'a DirHost, name: &'a MigrationName) -> Result<Self> {
        if host.state == HostState::Live {
            return Ok(Self { host, name });
        }
        let what = format!("{} does not run, and has no switch", host.label);
        Err(Error::new(Kind::Internal, what))
    }

    fn ward(&self) -> Ward<'_> {
        Ward {
            host: self.host,
            name: self.name,
            machine: self,
        }
    }
}

pub(super) fn arm(host: &DirHost, arming: &Arming) -> Result<()> {
    Here::of(host, &arming.name)?.ward().arm(arming)
}

pub(super) fn advance(host: &DirHost, advance: &Advance) -> Result<()> {
    Here::of(host, &advance.name)?.ward().advance(advance)
}

pub(super) fn trip(host: &DirHost, name: &MigrationName) -> Result<()> {
    Here::of(host, name)?.ward().trip()
}

pub(super) fn settle(host: &DirHost, settlement: &Settlement) -> Result<()> {
    Here::of(host, &settlement.name)?.ward().settle(settlement)
}

impl Ward<'_> {
    fn arm(&self, arming: &Arming) -> Result<()> {
        let lock = Lock::take_anew(self.host, self.name)?;
        self.holding(lock, || self.arm_locked(arming))
    }

    fn advance(&self, advance: &Advance) -> Result<()> {
        let lock = Lock::take(self.host, self.name)?;
        let lock = lock.ok_or_else(|| self.not_armed())?;
        self.holding(lock, || self.advance_locked(advance))
    }

    fn trip(&self) -> Result<()> {
        match Lock::take(self.host, self.name)? {
            Some(lock) => self.holding(lock, || self.trip_locked()),
            None => Ok(()),
        }
    }

    fn settle(&self, settlement: &Settlement) -> Result<()> {
        let promised = file::receipt_epoch(&settlement.receipt);
        if promised.ok() != Some(settlement.epoch) {
            let what = "the receipt of a settlement is of another epoch than the settlement";
            return Err(Error::new(Kind::Internal, what));
        }
        let lock = Lock::take_anew(self.host, self.name)?;
        self.holding(lock, || self.settle_locked(settlement))
    }

    /// Acts with the lock in hand. Where nothing is armed and nobody watches, its file goes again.
    fn holding(&self, lock: Lock, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let done = act();
        let directory = Receipt::directory(self.name);
        let watcher = directory.join(file::WATCHER_LOCK);
        let idle = || -> Result<bool> {
            let armed = self.host.lstat(&Switch::path(self.name))?;
            Ok(armed.is_none() && self.host.lstat(&watcher)?.is_none())
        };
        let tidied = idle().and_then(|idle| {
            if idle {
                self.host.remove_file(&directory.join(file::SWITCH_LOCK))?;
            }
            Ok(())
        });
        drop(lock);
        done.and(tidied)
    }

    fn arm_locked(&self, arming: &Arming) -> Result<()> {
        let former = Switch::read(self.host, self.name)?;
        if self.settled_epoch()? >= arming.epoch {
            return Err(self.refused("a hand-over of this or a later epoch was settled there"));
        }
        if let Some(former) = &former {
            self.must_be_open(former, arming.epoch)?;
        }
        // Whoever watches finds no switch yet, or one that is not due, and waits for the lock.
        self.machine.keep_watch()?;
        let now = self.machine.now()?;
        if let Some(former) = &former
            && former.due(&now) != Due::Ahead
        {
            return Err(self.too_late());
        }
        let (armed, undo) = former.map_or_else(
            || (now.wall, Vec::new()),
            |former| (former.armed, former.undo),
        );
        let within = i64::try_from(arming.within.as_millis()).unwrap_or(i64::MAX);
        let within = jiff::SignedDuration::from_millis(within);
        self.write(&Switch {
            version: SWITCH_VERSION,
            name: self.name.clone(),
            epoch: arming.epoch,
            armed,
            deadline: now.wall.saturating_add(within).unwrap_or(now.wall),
            boottime: now.after(arming.within),
            boot: now.boot,
            undo,
            commit: arming.commit.clone(),
            stuck: None,
        })?;
        failpoint::hit("switch:armed");
        Ok(())
    }

    fn advance_locked(&self, advance: &Advance) -> Result<()> {
        let mut switch = self.armed()?;
        self.must_be_open(&switch, advance.epoch)?;
        // Undone in the opposite order: files come back last, behind every barrier among the steps.
        let kept = keep::plan(&mut switch, self.name, &advance.files);
        switch.undo.extend(advance.undo.iter().cloned());
        self.write(&switch)?;
        failpoint::hit("switch:recorded");
        for saved in &kept {
            keep::save(self.host, saved)?;
        }
        for file in &advance.files {
            let new = NewFile::root(file.mode);
            self.host.replace(&file.path, &file.content, new)?;
            failpoint::hit("switch:replaced");
        }
        for step in &advance.steps {
            if switch.due(&self.machine.now()?) != Due::Ahead {
                return Err(self.too_late());
            }
            self.machine.perform(step)?;
            failpoint::hit("switch:performed");
        }
        Ok(())
    }

    fn trip_locked(&self) -> Result<()> {
        let Some(mut switch) = Switch::read(self.host, self.name)? else {
            return Ok(());
        };
        if self.settled_epoch()? >= switch.epoch {
            return Err(self.refused("authority has changed hands already"));
        }
        // So that the watcher goes on if we die, and nobody advances what is half taken back. A host
        // whose disk is full takes back all the same.
        let now = self.machine.now()?;
        (switch.deadline, switch.boottime) = (now.wall, time::TRIPPED);
        let marked = self.write(&switch);
        failpoint::hit("switch:tripped");
        let taken_back = self.take_back(&switch);
        taken_back.map_err(|error| match marked {
            Ok(()) => error,
            Err(unmarked) => error.hint(format!(
                "the host goes on by itself only at its deadline, because {}",
                crate::error::chain(&unmarked)
            )),
        })
    }

    fn settle_locked(&self, settlement: &Settlement) -> Result<()> {
        let switch = Switch::read(self.host, self.name)?;
        let settled = self.settled_epoch()?;
        if let Some(switch) = switch.as_ref().filter(|s| s.epoch != settlement.epoch) {
            return Err(self.other_epoch(switch));
        }
        match (settlement.moment, &switch) {
            // Done before: the rest may be missing.
            (Moment::Now, _) if settled == settlement.epoch => {}
            (_, _) if settled > settlement.epoch => {
                return Err(self.refused("a later hand-over was settled there"));
            }
            (Moment::Now, None) => return Err(self.not_armed()),
            (Moment::Now, Some(switch)) => {
                self.must_be_open(switch, settlement.epoch)?;
                // What was done outlives a power cut from here on; that may take its time.
                self.sync()?;
                failpoint::hit("settle:before");
                self.must_be_open(switch, settlement.epoch)?;
                self.write_receipt(settlement)?;
                failpoint::hit("settle:after");
            }
            (Moment::Past, _) => {
                self.sync()?;
                failpoint::hit("settle:before");
                self.write_receipt(settlement)?;
                failpoint::hit("settle:after");
            }
        }
        match switch {
            Some(switch) => self.finish(&switch),
            None => Ok(()),
        }
    }

    /// Takes everything back, and disarms. The caller holds the lock.
    fn take_back(&self, switch: &Switch) -> Result<()> {
        let failed = walk::back(&switch.undo, &|step| self.machine.perform(step));
        self.end("take back", switch, &failed)
    }

    /// Does what follows once authority has changed hands, and disarms. The caller holds the lock.
    fn finish(&self, switch: &Switch) -> Result<()> {
        let failed = walk::forth(&switch.commit, &|step| self.machine.perform(step));
        self.end("do what follows the hand-over:", switch, &failed)?;
        // Only now: a host that powers off before it is disarmed would power off at every boot.
        if switch.commit.contains(&Step::PowerOff) {
            self.machine.perform(&Step::PowerOff)?;
        }
        Ok(())
    }

    /// Disarms after a walk in which nothing failed; else says what did, also in the switch.
    fn end(&self, doing: &str, switch: &Switch, failed: &[walk::Failed]) -> Result<()> {
        if failed.is_empty() {
            return self.disarm(switch);
        }
        Err(self.stuck(doing, switch, failed))
    }

    /// Records that a walk did not get to its end, and says so.
    fn stuck(&self, doing: &str, switch: &Switch, failed: &[walk::Failed]) -> Error {
        let why = walk::describe(failed);
        let what = format!("{} cannot {doing} everything: {why}", self.host.label);
        let stuck = Some(why);
        if switch.stuck != stuck {
            let stuck = Switch {
                stuck,
                ..switch.clone()
            };
            // For people only; a full disk keeps nobody from trying again.
            self.write(&stuck).ok();
        }
        let hint = "it tries again every few seconds; `reconcile status` shows whether it is done";
        Error::new(Kind::Host, what).hint(hint)
    }

    /// The switch goes last: whoever dies before that does it all again.
    fn disarm(&self, switch: &Switch) -> Result<()> {
        self.sync()?;
        failpoint::hit("switch:disarm");
        for step in switch.undo.iter().chain(&switch.commit) {
            if let Step::Save(saved) | Step::Restore(saved) = step {
                keep::forget(self.host, saved)?;
            }
        }
        self.host.remove_file(&Switch::path(self.name))
    }

    /// Masks and links, which other programs made and did not flush.
    fn sync(&self) -> Result<()> {
        let paths = ["/etc", "/var/lib/reconcile"].map(HostPath::from);
        self.host.sync(&BTreeSet::from(paths))
    }

    fn write(&self, switch: &Switch) -> Result<()> {
        let mut json =
            serde_json::to_vec_pretty(switch).expect("a switch is plain data with text keys");
        json.push(b'\n');
        self.host
            .replace(&Switch::path(self.name), &json, NewFile::root(0o600))
    }

    fn write_receipt(&self, settlement: &Settlement) -> Result<()> {
        let path = file::receipt(self.name);
        self.host
            .replace(&path, &settlement.receipt, NewFile::root(0o600))
    }

    fn settled_epoch(&self) -> Result<u32> {
        file::settled_epoch(self.host, self.name)
    }

    fn armed(&self) -> Result<Switch> {
        Switch::read(self.host, self.name)?.ok_or_else(|| self.not_armed())
    }

    fn must_be_open(&self, switch: &Switch, epoch: u32) -> Result<()> {
        if switch.epoch != epoch {
            return Err(self.other_epoch(switch));
        }
        if self.settled_epoch()? >= epoch {
            return Err(self.refused("authority has changed hands already"));
        }
        match switch.due(&self.machine.now()?) {
            Due::Ahead => Ok(()),
            Due::Passed | Due::Rebooted => Err(self.too_late()),
        }
    }

    fn refused(&self, why: &str) -> Error {
        let host = &self.host.label;
        let what = format!("{host} takes no further part in this hand-over: {why}");
        Error::new(Kind::Blocked, what).hint("run `reconcile status`, then `reconcile apply` again")
    }

    fn not_armed(&self) -> Error {
        self.refused("its dead man's switch is not armed")
    }

    fn too_late(&self) -> Error {
        self.refused(
            "its deadline has passed, or it was booted meanwhile, and it takes everything back",
        )
    }

    fn other_epoch(&self, switch: &Switch) -> Error {
        let Switch { epoch, .. } = switch;
        self.refused(&format!("its dead man's switch is armed for epoch {epoch}"))
    }
}
