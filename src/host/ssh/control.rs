//! The directory that holds the socket of an ssh master, and what is left of those of killed runs.
//!
//! Its owner keeps it locked for as long as it lives; the kernel lets the lock go with the process,
//! whichever way it ends. So a directory that can be locked is nobody's. A pid in the name would not
//! tell as much: pids are used again, and `/tmp` is shared between containers that each count their own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::config::is_plain;
use super::{Environment, master};
use crate::error::{Error, Kind, Result};

/// Begins the name of every control directory.
const PREFIX: &str = "reconcile-ssh-";

/// A socket's address has room for 108 bytes (unix(7)); ssh needs 18 of them while it makes the
/// socket, our own names 40.
const LONGEST_BASE: usize = 48;

/// How long a master that nobody owns may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(3);

/// A control directory of ours.
#[derive(Debug)]
pub(super) struct ControlDir {
    path: PathBuf,
    /// Held, not read.
    _lock: File,
}

impl ControlDir {
    /// Sweeps what killed runs left, then makes a directory that only we can enter.
    pub(super) fn make(environment: &Environment) -> Result<Self> {
        let mut refused = None;
        for base in bases(environment) {
            match sweep(&base).and_then(|()| Self::make_in(&base)) {
                Ok(made) => return Ok(made),
                Err(error) => refused = Some((base, error)),
            }
        }
        let (base, error) = refused.expect("/tmp is always a candidate");
        Err(Error::caused(
            Kind::Host,
            format!("cannot keep a directory for ssh in {}", base.display()),
            error,
        )
        .hint("set TMPDIR to a directory that can be written"))
    }

    fn make_in(base: &Path) -> io::Result<Self> {
        loop {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            let id = u64::from_ne_bytes(random);
            let path = base.join(format!("{PREFIX}{}-{id:016x}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path)?;
            let lock = File::open(&path)?;
            flock(&lock, FlockOperation::LockExclusive)?;
            // A sweep may have come between the two; then it is made again.
            match fs::symlink_metadata(&path) {
                Ok(now) if now.ino() == lock.metadata()?.ino() => {
                    return Ok(Self { path, _lock: lock });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The master's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("m")
    }

    /// The configuration that ssh runs with.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join("config")
    }

    /// The fingerprint of the key that the host sent.
    pub(super) fn offered(&self) -> PathBuf {
        self.path.join("offered")
    }

    /// What the master says.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }
}

impl Drop for ControlDir {
    fn drop(&mut self) {
        // Nobody can be told any more; the next run sweeps what stays.
        remove(&self.path).ok();
    }
}

/// Where control directories may be, best first.
fn bases(environment: &Environment) -> Vec<PathBuf> {
    let named = [&environment.runtime_dir, &environment.temp_dir];
    let mut bases: Vec<PathBuf> = Vec::new();
    for base in named.into_iter().flatten() {
        let short = base.as_os_str().len() <= LONGEST_BASE;
        if short && base.to_str().is_some_and(is_plain) && base.is_dir() {
            bases.push(base.clone());
        }
    }
    bases.push(PathBuf::from("/tmp"));
    bases.dedup();
    bases
}

/// Ends the masters that lost their owner, and removes their directories. Those of other users are
/// none of our business.
fn sweep(base: &Path) -> io::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
    let entries = fs::read_dir(base)?;
    for entry in entries {
        let entry = entry?;
        if !is_ours(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        if let Some(lock) = orphan(&path, me).or_else(gone)? {
            end_master(&path.join("m"))?;
            remove(&path)?;
            drop(lock);
        }
    }
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX))
}

/// The lock of a directory of ours that nobody holds; `None` if somebody does, or it is not ours.
fn orphan(path: &Path, me: u32) -> io::Result<Option<File>> {
    let stat = fs::symlink_metadata(path)?;
    if !stat.is_dir() || stat.uid() != me {
        return Ok(None);
    }
    let lock = File::open(path)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Another sweep was faster.
fn gone<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
    let removed = fs::remove_dir_all(path);
    removed.or_else(|error| gone::<()>(error).map(|_| ()))
}

/// Tells the master behind a socket to end. That it has ended already is as good.
fn end_master(socket: &Path) -> io::Result<()> {
    if !socket.try_exists()? {
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let mut child = Command::new("ssh")
        .args(["-F", "none", "-O", "exit", "-S"])
        .arg(socket)
        .arg("nobody")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    master::wait_or_kill(&mut child, PATIENCE)
}
