//! The ssh master: one authenticated connection that all channels go over.
//!
//! Its own first channel says what the host is, and then waits for the end of its stdin, which only we
//! hold. So the master ends when we do, whichever way we end: on its server the first channel ends, and
//! as it does not persist and its other clients are gone, it has nothing left to live for. It runs in a
//! process group of its own, so that a Ctrl-C at the terminal reaches us and not it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::answer::Facts;
use super::control::ControlDir;
use super::way_in::{WayIn, said};
use super::{Environment, Login, config};
use crate::error::{Doing as _, Kind, Result};

/// How long a master may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running master. Dropping it ends it and removes its directory.
#[derive(Debug)]
pub(super) struct Master {
    child: Child,
    control: ControlDir,
    facts: Facts,
}

impl Master {
    /// Connects and logs in.
    pub(super) fn start(
        login: &Login,
        environment: &Environment,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let control = ControlDir::make(environment)?;
        let text = config::text(environment, std::path::Path::exists)?;
        #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
        let written = fs::write(control.config(), text);
        written.doing(Kind::Host, || {
            format!("cannot write {}", control.config().display())
        })?;
        let way_in = WayIn {
            login,
            control: &control,
            stop,
        };
        match way_in.connect()? {
            Ok((child, facts)) => Ok(Self {
                child,
                control,
                facts,
            }),
            Err(failure) => Err(failure.into_error(login)),
        }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.control.socket()
    }

    /// The name or address that ssh has connected to.
    pub(super) fn host_name(&self, login: &Login) -> Option<String> {
        let way_in = WayIn {
            login,
            control: &self.control,
            stop: &AtomicBool::new(false),
        };
        way_in.host_name()
    }

    /// What the master said before it ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        let ended = self.child.try_wait();
        if ended
            .doing(Kind::Internal, || "cannot wait for ssh".to_owned())?
            .is_none()
        {
            return Ok(None);
        }
        let said = said(&self.control.log())?;
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Ok(Some(last.unwrap_or("ssh ended").to_owned()))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // Nobody can be told any more; the next run sweeps what stays.
        end_group(&mut self.child).ok();
    }
}

/// Ends a master and what it started for itself (jump hosts, proxies).
pub(super) fn end_group(child: &mut Child) -> io::Result<()> {
    child.stdin.take();
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    signal_group(child, Signal::TERM)?;
    let deadline = Instant::now() + FAREWELL;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            signal_group(child, Signal::KILL)?;
            child.wait()?;
            break;
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn signal_group(child: &Child, signal: Signal) -> io::Result<()> {
    let id = i32::try_from(child.id()).expect("a pid fits");
    let group = Pid::from_raw(id).expect("a child's pid is not 0");
    Ok(kill_process_group(group, signal)?)
}

/// Waits for a program that should be quick, and kills it if it is not.
pub(super) fn wait_or_kill(child: &mut Child, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}
