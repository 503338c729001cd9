//! The files of a switch, and the lock that guards them.
//!
//! `/var/lib/reconcile/NAME/` holds `switch.json`, `switch.lock` (who works on the switch) and
//! `watcher.lock` (that somebody watches). Lock files are removed only by one who holds the lock, so
//! whoever gets a lock looks whether its file is still the one of that name.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::Deserialize;

use super::super::DirHost;
use super::super::replace::open_named;
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::{Host as _, ReadHost as _};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// How long an agent waits for another, or for the watcher, who take as long as their steps do.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often a directory is made that a leaving watcher takes away.
const MOST_TRIES: u32 = 100;

const PAUSE: Duration = Duration::from_millis(50);

/// Who works on the switch.
pub(super) const SWITCH_LOCK: &str = "switch.lock";
/// That somebody watches.
pub(super) const WATCHER_LOCK: &str = "watcher.lock";

/// A lock that is held until this is dropped, or its process dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for its lock")] OwnedFd);

/// What came of trying to take a lock.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is ours.
    Ours(Lock),
    /// Another process has it.
    Busy,
    /// There is no directory of this migration.
    NoDirectory,
}

impl Lock {
    /// Takes the lock of the switch, for an agent; `None` if there is no directory of the migration.
    pub(super) fn take(host: &DirHost, name: &MigrationName) -> Result<Option<Self>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::try_take(host, name, SWITCH_LOCK)? {
                Taken::Ours(lock) => return Ok(Some(lock)),
                Taken::NoDirectory => return Ok(None),
                Taken::Busy if Instant::now() > until => {
                    let what = format!("the dead man's switch of {name} on {} is busy", host.label);
                    return Err(Error::new(Kind::Locked, what).hint("wait, and run again"));
                }
                Taken::Busy => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The same, with a directory made for it: a watcher that leaves may take it away just now.
    pub(super) fn take_anew(host: &DirHost, name: &MigrationName) -> Result<Self> {
        let directory = Receipt::directory(name);
        for _ in 0..MOST_TRIES {
            host.make_dirs(&HostPath::from("/var/lib"), 0o755)?;
            host.make_dirs(&directory, 0o700)?;
            if let Some(lock) = Self::take(host, name)? {
                return Ok(lock);
            }
        }
        Err(host.fail("lock", &directory, Errno::NOENT))
    }

    /// Takes a lock unless another process has it.
    pub(super) fn try_take(host: &DirHost, name: &MigrationName, which: &str) -> Result<Taken> {
        let path = Receipt::directory(name).join(which);
        let fail = |errno| host.fail("lock", &path, errno);
        let Some((dir, file)) = host.locate_no_follow(&path)? else {
            return Ok(Taken::NoDirectory);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            // A disk that is full, or can only be read, has it all the same.
            let fd = match open_named(dir.as_fd(), &file, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let mode = Mode::RUSR | Mode::WUSR;
                    match open_named(dir.as_fd(), &file, flags | OFlags::CREATE, mode) {
                        Err(Errno::NOENT) => return Ok(Taken::NoDirectory),
                        made => made,
                    }
                }
                opened => opened,
            };
            let fd = fd.map_err(fail)?;
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Taken::Busy),
                Err(errno) => return Err(fail(errno)),
            }
            let held = fstat(&fd).map_err(fail)?;
            match statat(&dir, &file, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) => {
                    return Ok(Taken::Ours(Self(fd)));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
}

/// Ends the processes, other than this one, that hold a lock or wait for it: a program that they
/// wait for hangs, and the host must not hang with it.
pub(super) fn end_holders(host: &DirHost, name: &MigrationName, which: &str) -> Result<()> {
    let lock = format!("/reconcile/{name}/{which}");
    let proc = HostPath::from("/proc");
    for entry in host.list(&proc)?.unwrap_or_default() {
        let pid = entry.as_str().and_then(|text| text.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw).filter(|pid| *pid != getpid()) else {
            continue;
        };
        let files = proc.join(entry.as_bytes()).join("fd");
        for file in host.list(&files)?.unwrap_or_default() {
            let target = host.read_link(&files.join(file.as_bytes()))?;
            if target.is_some_and(|target| target.as_bytes().ends_with(lock.as_bytes())) {
                match kill_process(pid, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => break,
                    Err(errno) => return Err(host.fail("end who holds", &files, errno)),
                }
            }
        }
    }
    Ok(())
}

/// Where the receipt of a migration is.
pub(super) fn receipt(name: &MigrationName) -> HostPath {
    Receipt::directory(name).join("receipt.json")
}

/// What of a receipt decides: the number of hand-overs that came before. Whatever else a receipt of
/// another version holds, this is read.
#[derive(Deserialize)]
struct Epoch {
    #[serde(default)]
    epoch: u32,
}

/// The epoch in a receipt's text.
pub(super) fn receipt_epoch(receipt: &[u8]) -> Result<u32, serde_json::Error> {
    serde_json::from_slice(receipt).map(|Epoch { epoch }| epoch)
}

/// The epoch of the receipt on a host; 0 if there is none.
pub(super) fn settled_epoch(host: &DirHost, name: &MigrationName) -> Result<u32> {
    let path = receipt(name);
    let Some(bytes) = host.read(&path)? else {
        return Ok(0);
    };
    receipt_epoch(&bytes).doing(Kind::Malformed, || {
        format!("{path} on {} is no receipt", host.label)
    })
}
