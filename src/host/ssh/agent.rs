//! Bringing this program to the host and starting it there as root.
//!
//! It is put into a fresh directory that only root can enter, and is first asked for its version on the
//! very channel that it then talks on: whether it can run over there is known before it is relied on,
//! and costs no round trip. The agent itself removes its directory when it starts. A host that keeps a
//! copy for a migration ([`crate::receipt::Receipt::program`]) is sent none.

mod upload;

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::process::{Ended, Remote};
use super::{Connection, quote};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::raw::HostPath;

/// The machine that this program is made for, as `uname -m` says it.
const MACHINE: &str = std::env::consts::ARCH;

/// A program that has not said its version by then never will.
const PATIENCE: Duration = Duration::from_mins(1);

/// No version is longer than this.
const LONGEST_VERSION: usize = 256;

/// `$0` is the program, the rest are its arguments. With a heap for each of its threads, malloc(3) keeps
/// more than they need.
const AS_ROOT: &str = r#""$0" --version && exec env MALLOC_ARENA_MAX=2 "$0" "$@""#;
const BY_SUDO: &str =
    r#"sudo -n -- "$0" --version && exec sudo -n -- env MALLOC_ARENA_MAX=2 "$0" "$@""#;

/// An agent that runs.
#[derive(Debug)]
pub struct Running {
    /// Its standard input. Its end is what ends the agent.
    pub stdin: PipeWriter,
    /// Its standard output, after the version.
    pub stdout: PipeReader,
    /// What it printed for `--version`, without the line's end.
    pub version: String,
    /// How it ends.
    pub remote: Remote,
}

/// Why an agent cannot run on a host, which can still be read by commands.
#[derive(Debug)]
pub struct CannotRun {
    label: String,
    why: String,
}

impl CannotRun {
    /// The reason alone: `the host's machine is i686, not x86_64`.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// As a failure, for a host that cannot do without.
    pub fn into_error(self) -> Error {
        let what = format!("reconcile cannot run on {}", self.label);
        Error::caused(Kind::Host, what, self.why).hint(
            "it needs Linux on the same kind of machine as here, with /var/lib mounted without noexec",
        )
    }
}

/// What became of starting an agent.
#[derive(Debug)]
pub enum Start {
    /// It runs.
    Running(Running),
    /// The host is there, but this program cannot run on it.
    CannotRun(CannotRun),
}

impl Connection {
    /// Starts a copy of `binary` that is kept on the host at this path, as [`Connection::start_agent`]
    /// does; `None` if none is there that only root can have put there, or if it does not run. It may be
    /// of another version: whoever talks to it has to see to that.
    pub fn start_kept(
        &self,
        kept: &HostPath,
        binary: &Path,
        arguments: &[&str],
    ) -> Result<Option<Running>> {
        let size = File::open(binary)
            .and_then(|file| Ok(file.metadata()?.len()))
            .doing(Kind::Host, || format!("cannot read {}", binary.display()))?;
        let kept = kept.to_string();
        if self.machine() != MACHINE || !self.is_there(&kept, size)? {
            return Ok(None);
        }
        match self.start(&kept, arguments)? {
            Start::Running(running) => Ok(Some(running)),
            Start::CannotRun(_) => Ok(None),
        }
    }

    /// The kind of machine that the host is.
    fn machine(&self) -> String {
        let master = self.master.lock();
        let master = master.unwrap_or_else(std::sync::PoisonError::into_inner);
        master.facts().machine.clone()
    }

    /// Uploads `binary`, an executable of this machine, and starts it as root with these arguments. It
    /// has to answer `--version` with one line.
    pub fn start_agent(&self, binary: &Path, arguments: &[&str]) -> Result<Start> {
        let machine = self.machine();
        if machine != MACHINE {
            let why = format!("the host's machine is {machine}, not {MACHINE}");
            return Ok(self.cannot_run(why));
        }
        let mut file =
            File::open(binary).doing(Kind::Host, || format!("cannot read {}", binary.display()))?;
        let dir = self.upload(&mut file)?;
        let program = format!("{dir}/{}", upload::NAME);
        let started = self.start(&program, arguments);
        if !matches!(started, Ok(Start::Running(_))) {
            self.remove_upload(&dir)?;
        }
        started
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Result<Start> {
        let script = if self.through_sudo() {
            BY_SUDO
        } else {
            AS_ROOT
        };
        let mut line = b"exec ".to_vec();
        let mut argv = vec![b"/bin/sh".as_slice(), b"-c", script.as_bytes()];
        argv.push(program.as_bytes());
        argv.extend(arguments.iter().map(|argument| argument.as_bytes()));
        line.extend(quote::command(&argv));
        let (stdin, mut stdout, remote) = self.spawn("the agent", &line)?;
        let version = read_line(&mut stdout)
            .doing(Kind::Host, || format!("cannot read from {}", self.label()))?;
        if let Some(version) = version {
            return Ok(Start::Running(Running {
                stdin,
                stdout,
                version,
                remote,
            }));
        }
        drop((stdin, stdout));
        let ended = remote.wait()?;
        if let Some(refused) = self.refused_by_sudo(&ended) {
            return Err(refused.into_error(&self.login));
        }
        match self.lost()? {
            Some(lost) => Err(lost),
            None => Ok(self.cannot_run(why(&ended, program))),
        }
    }

    fn cannot_run(&self, why: String) -> Start {
        Start::CannotRun(CannotRun {
            label: self.login.label.clone(),
            why,
        })
    }
}

/// What the shell or the kernel had against it.
fn why(ended: &Ended, program: &str) -> String {
    // Its directory has another name each time, and this goes into plans.
    let dir = program.rsplit_once('/').map_or(program, |(dir, _)| dir);
    let holder = dir.rsplit_once('/').map_or(dir, |(holder, _)| holder);
    let said = ended.last_words();
    if said.contains("Permission denied") {
        return format!("it may not be executed in {holder}: Permission denied");
    }
    said.replace(program, upload::NAME)
}

/// A line without its end, byte by byte, as what follows belongs to somebody else; `None` if the stream
/// ends first.
fn read_line(stdout: &mut PipeReader) -> io::Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    let mut line = Vec::new();
    loop {
        wait_until(stdout, deadline)?;
        let mut byte = [0];
        match stdout.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() >= LONGEST_VERSION => {
                return Err(io::Error::other("the agent does not say its version"));
            }
            Ok(_) => line.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn wait_until(stdout: &PipeReader, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let fd = stdout.as_fd();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
