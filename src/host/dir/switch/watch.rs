//! The watcher: a process of the host that finishes what was settled, takes back what was not, and
//! then leaves.
//!
//! It never writes before it acts, and acts on what it saw last where a disk cannot be read any more.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::DirHost;
use super::file::{self, Lock, SWITCH_LOCK, Taken, WATCHER_LOCK, end_holders};
use super::time::Due;
use super::{Here, Ward, install, walk};
use crate::error::{Error, Kind, Result, chain};
use crate::host::{Host as _, ReadHost as _, Step, Switch};
use crate::manifest::MigrationName;
use crate::receipt::Receipt;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// After something could not be done.
const AGAIN: Duration = Duration::from_secs(2);

/// Whoever works on the switch for so long after its deadline hangs, and is ended.
/// The host that hands over gives up only 15 seconds after the one that takes over.
const GRACE: Duration = Duration::from_secs(8);

/// After a boot, network daemons that are still at work may drop an address that was just taken.
const NETWORK_SETTLES: Duration = Duration::from_secs(6);

/// How often the neighbours are told who has an address, and for how long.
const ANNOUNCEMENTS: u32 = 12;
const BETWEEN_ANNOUNCEMENTS: Duration = Duration::from_secs(5);

/// Watches until there is nothing to watch, and leaves nothing behind.
pub(in super::super) fn watch(
    host: &DirHost,
    name: &MigrationName,
    stop: &AtomicBool,
) -> Result<()> {
    // Away from the terminal and the process group of whoever started us. One that leads a group,
    // as under systemd, is away already.
    rustix::process::setsid().ok();
    let here = Here::of(host, name)?;
    let mut watcher = Watcher {
        ward: &here.ward(),
        stop,
        last: None,
        receipt: None,
        said: String::new(),
        once: Once::NotYet,
    };
    let Some(shown) = watcher.show()? else {
        return install::remove(host, name);
    };
    watcher.until_settled(shown)?;
    watcher.announce()
}

/// Whether everything was taken back once since the boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Once {
    NotYet,
    Done,
}

/// Whether a receipt is read whose inode is that of the one that was read last. An inode can be used
/// again, so what is decided rests on one that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receipts {
    IfAnother,
    Anew,
}

/// What is to be done.
#[derive(Debug)]
enum Verdict {
    Wait,
    Finish(Switch),
    TakeBack(Switch, Due),
    Leave,
}

struct Watcher<'a> {
    ward: &'a Ward<'a>,
    stop: &'a AtomicBool,
    /// The switch as it was seen last.
    last: Option<Switch>,
    /// The receipt that was read last: inode, epoch.
    receipt: Option<(u64, u32)>,
    /// What was complained of last.
    said: String,
    once: Once,
}

impl Watcher<'_> {
    /// Shows that somebody watches; `None` if there is nothing to watch.
    fn show(&self) -> Result<Option<Lock>> {
        loop {
            match Lock::try_take(self.ward.host, self.ward.name, WATCHER_LOCK)? {
                Taken::Ours(lock) => return Ok(Some(lock)),
                Taken::NoDirectory => return Ok(None),
                Taken::Busy => self.pause(Duration::from_millis(50))?,
            }
        }
    }

    fn until_settled(&mut self, shown: Lock) -> Result<()> {
        let mut shown = Some(shown);
        loop {
            let pause = match self.look(Receipts::IfAnother) {
                Ok(Verdict::Wait) => PAUSE,
                Ok(verdict) => match self.act(&verdict, &mut shown) {
                    Ok(Acted::Left) => return Ok(()),
                    Ok(Acted::Pause(pause)) => pause,
                    Err(error) => {
                        self.complain(&error);
                        AGAIN
                    }
                },
                Err(error) => {
                    self.complain(&error);
                    AGAIN
                }
            };
            self.pause(pause)?;
        }
    }

    /// What is to be done. Without the lock that may change at any moment.
    fn look(&mut self, receipts: Receipts) -> Result<Verdict> {
        match Switch::read(self.ward.host, self.ward.name) {
            Ok(switch) => {
                let there = switch.is_some();
                self.last = switch.or(self.last.take());
                if !there {
                    return Ok(Verdict::Leave);
                }
            }
            Err(error) if self.last.is_none() => return Err(error),
            Err(error) => self.complain(&error),
        }
        let Some(switch) = self.last.clone() else {
            return Ok(Verdict::Leave);
        };
        if self.settled_epoch(receipts)? >= switch.epoch {
            return Ok(Verdict::Finish(switch));
        }
        Ok(match switch.due(&self.ward.machine.now()?) {
            Due::Ahead => Verdict::Wait,
            due => Verdict::TakeBack(switch, due),
        })
    }

    /// The epoch of the receipt; a large one is not read again and again.
    fn settled_epoch(&mut self, receipts: Receipts) -> Result<u32> {
        let Ward { host, name, .. } = self.ward;
        let seen = host.lstat(&file::receipt(name)).and_then(|stat| {
            let ino = stat.map_or(0, |stat| stat.ino);
            match self.receipt {
                Some((known, epoch)) if receipts == Receipts::IfAnother && known == ino => {
                    Ok((ino, epoch))
                }
                _ => file::settled_epoch(host, name).map(|epoch| (ino, epoch)),
            }
        });
        match (seen, self.receipt) {
            (Ok(seen), _) => {
                self.receipt = Some(seen);
                Ok(seen.1)
            }
            // It is written by this host's agents alone, and was readable then.
            (Err(error), Some((_, epoch))) => {
                self.complain(&error);
                Ok(epoch)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Does what is to be done, decided again with the lock in hand.
    fn act(&mut self, seen: &Verdict, shown: &mut Option<Lock>) -> Result<Acted> {
        let Ward { host, name, .. } = self.ward;
        let lock = match Lock::try_take(host, name, SWITCH_LOCK)? {
            Taken::Ours(lock) => lock,
            Taken::Busy => return self.wait_for_lock(seen),
            Taken::NoDirectory => {
                install::remove(host, name)?;
                return Ok(Acted::Left);
            }
        };
        match self.look(Receipts::Anew)? {
            Verdict::Wait => Ok(Acted::Pause(PAUSE)),
            Verdict::Finish(switch) => {
                self.ward.finish(&switch)?;
                Ok(Acted::Pause(Duration::ZERO))
            }
            Verdict::TakeBack(switch, Due::Rebooted) if self.once == Once::NotYet => {
                let perform = |step: &Step| self.ward.machine.perform(step);
                let failed = walk::back(&switch.undo, &perform);
                if !failed.is_empty() {
                    return Err(self.ward.stuck("take back", &switch, &failed));
                }
                self.once = Once::Done;
                Ok(Acted::Pause(NETWORK_SETTLES))
            }
            Verdict::TakeBack(switch, _) => {
                self.ward.take_back(&switch)?;
                Ok(Acted::Pause(Duration::ZERO))
            }
            Verdict::Leave => {
                install::remove(host, name)?;
                let directory = Receipt::directory(name);
                host.remove_file(&directory.join(WATCHER_LOCK))?;
                // Who arms next must not take us for a watcher.
                shown.take();
                host.remove_file(&directory.join(SWITCH_LOCK))?;
                host.remove_records(name)?;
                drop(lock);
                Ok(Acted::Left)
            }
        }
    }

    /// Whoever holds the lock may hang, and the host must not hang with it.
    fn wait_for_lock(&self, seen: &Verdict) -> Result<Acted> {
        let Ward { host, name, .. } = self.ward;
        if let Verdict::TakeBack(switch, _) = seen
            && switch.overrun(&self.ward.machine.now()?) > GRACE
        {
            end_holders(host, name, SWITCH_LOCK)?;
        }
        Ok(Acted::Pause(PAUSE))
    }

    /// Tells the neighbours for a minute who has the address now, for those that did not hear it at
    /// once. Nothing is left that could be in anybody's way.
    fn announce(&mut self) -> Result<()> {
        let Some(switch) = self.last.take() else {
            return Ok(());
        };
        let settled = file::settled_epoch(self.ward.host, self.ward.name)? >= switch.epoch;
        let steps = if settled { switch.commit } else { switch.undo };
        let mut steps: Vec<Step> = steps
            .into_iter()
            .filter(|step| matches!(step, Step::Announce(_)))
            .collect();
        for _ in 0..ANNOUNCEMENTS {
            if steps.is_empty() {
                break;
            }
            self.pause(BETWEEN_ANNOUNCEMENTS)?;
            // An address that was let go of meanwhile is announced no more.
            steps.retain(|step| match self.ward.machine.perform(step) {
                Ok(()) => true,
                Err(error) => {
                    self.complain(&error);
                    false
                }
            });
        }
        Ok(())
    }

    /// Says what is wrong, to the journal; once.
    fn complain(&mut self, error: &Error) {
        let text = chain(error);
        if text != self.said {
            // Without a journal there is nobody to tell.
            writeln!(std::io::stderr(), "{text}").ok();
            self.said = text;
        }
    }

    fn pause(&self, pause: Duration) -> Result<()> {
        let until = std::time::Instant::now() + pause;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Interrupted, "the watcher was told to end"));
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// What came of acting.
enum Acted {
    /// Look again after a while.
    Pause(Duration),
    /// Nothing is left.
    Left,
}
