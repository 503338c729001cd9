//! Processes on the host: their stdin, stdout and stderr as plain pipes of ours, whose other ends the
//! ssh master has.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use openssh::{Child, OwningCommand, Session};
use tokio::runtime::Runtime;

use super::failure::{Failure, flat, refusal_of_sudo};
use super::{Connection, quote};
use crate::error::{Doing as _, Kind, Result};

/// So much of what a process writes to its standard error is kept: the end of it.
const TAIL: usize = 16 << 10;

/// How long standard error may stay open after a process has ended, by a child of its.
const LINGER: Duration = Duration::from_secs(2);

/// How long sshd may take to give us a session: one that has ended here may not have ended there.
const SESSION_ENDS: Duration = Duration::from_secs(10);

/// What a started process reads, what it writes, and itself.
type Spawned = (PipeWriter, PipeReader, Remote);

/// Whether sshd opens no further session, by `MaxSessions` of `sshd_config(5)`: nothing was run.
fn is_full(error: &openssh::Error) -> bool {
    flat(error).contains("Session open refused by peer")
}

/// A process on the host whose standard streams are elsewhere. Dropping it closes its streams.
pub struct Remote {
    child: Box<Child<Arc<Session>>>,
    runtime: Arc<Runtime>,
    stderr: Tail,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit status; `None` if a signal ended it or the connection is lost.
    pub status: Option<i32>,
    /// The last 16 KiB of its standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The last line of standard error, or how it ended.
    pub fn last_words(&self) -> String {
        let said = String::from_utf8_lossy(&self.stderr);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        match (last, self.status) {
            (Some(line), _) => line.to_owned(),
            (None, Some(status)) => format!("exit status {status}"),
            (None, None) => "ended by a signal, or by the connection".to_owned(),
        }
    }
}

impl Remote {
    /// Waits for the end. Whoever calls this has closed stdin and read stdout to its end, or the
    /// process may never end.
    pub fn wait(self) -> Result<Ended> {
        let status = match self.runtime.block_on(self.child.wait()) {
            Ok(status) => status.code(),
            // 127 comes as this: openssh takes it for a shell that found no such program.
            Err(openssh::Error::Remote(error)) if error.kind() == io::ErrorKind::NotFound => {
                Some(127)
            }
            // A signal there, or the end of the master: one cannot be told from the other.
            Err(
                openssh::Error::RemoteProcessTerminated
                | openssh::Error::Disconnected
                | openssh::Error::SshMux(_),
            ) => None,
            Err(error) => {
                return Err(error).doing(Kind::Host, || "cannot wait for a process".to_owned());
            }
        };
        Ok(Ended {
            status,
            stderr: self.stderr.finish(),
        })
    }
}

/// A command on the host whose output is being read.
#[derive(Debug)]
pub struct Exec {
    /// Its standard output.
    pub stdout: PipeReader,
    remote: Remote,
    feeder: JoinHandle<io::Result<()>>,
    through_sudo: Option<super::Login>,
}

impl Exec {
    /// Waits for the end, after `stdout` was read to its end.
    pub fn wait(self) -> Result<Ended> {
        drop(self.stdout);
        let ended = self.remote.wait()?;
        let fed = self.feeder.join().expect("feeding a pipe does not panic");
        match fed {
            // A command need not read all that it is given.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(error).doing(Kind::Host, || "cannot write to a command".to_owned());
            }
            Err(_) | Ok(()) => {}
        }
        if let Some(login) = self.through_sudo
            && ended.status != Some(0)
            && let Some(refused) = refusal_of_sudo(&String::from_utf8_lossy(&ended.stderr))
        {
            return Err(refused.into_error(&login));
        }
        Ok(ended)
    }
}

impl Connection {
    /// Runs a program as root with these very arguments, in the C locale, and `stdin` to read.
    pub fn exec(&self, argv: &[&[u8]], stdin: &[u8]) -> Result<Exec> {
        let mut line: Vec<&[u8]> = Vec::new();
        if self.through_sudo() {
            line.extend([&b"sudo"[..], b"-n", b"--"]);
        }
        line.extend([&b"env"[..], b"LC_ALL=C"]);
        line.extend(argv);
        let what = String::from_utf8_lossy(argv.first().copied().unwrap_or_default());
        let (mut pipe, stdout, remote) = self.spawn(&what, &quote::command(&line))?;
        let stdin = stdin.to_vec();
        let feeder = std::thread::spawn(move || pipe.write_all(&stdin));
        Ok(Exec {
            stdout,
            remote,
            feeder,
            through_sudo: self.through_sudo().then(|| self.login.clone()),
        })
    }

    /// Starts a command line of the login's shell. While sshd has as many sessions as it lets a
    /// connection have, it waits for one of them to end.
    pub(super) fn spawn(&self, what: &str, line: &[u8]) -> Result<Spawned> {
        let began = Instant::now();
        loop {
            match self.try_to_spawn(line)? {
                Ok(spawned) => return Ok(spawned),
                Err(error) if is_full(&error) && began.elapsed() < SESSION_ENDS => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(self.channel(what, &error)),
            }
        }
    }

    fn try_to_spawn(&self, line: &[u8]) -> Result<Result<Spawned, openssh::Error>> {
        let pipe = || io::pipe().doing(Kind::Internal, || "cannot make a pipe".to_owned());
        let (stdin, ours_in, ours_out, stdout) = {
            let (read, write) = pipe()?;
            let (ours, theirs) = pipe()?;
            (read, write, ours, theirs)
        };
        let (tail, stderr) =
            Tail::start().doing(Kind::Internal, || "cannot make a pipe".to_owned())?;
        let session = Arc::clone(&self.session);
        let mut command: OwningCommand<Arc<Session>> =
            Session::to_raw_command(session, OsStr::from_bytes(line));
        command
            .stdin(OwnedFd::from(stdin))
            .stdout(OwnedFd::from(stdout))
            .stderr(OwnedFd::from(stderr));
        let spawned = self.runtime.block_on(command.spawn());
        // With it go our copies of the master's ends: else no stream would ever end.
        drop(command);
        let running = |child| {
            let remote = Remote {
                child: Box::new(child),
                runtime: Arc::clone(&self.runtime),
                stderr: tail,
            };
            (ours_in, ours_out, remote)
        };
        Ok(spawned.map(running))
    }

    /// The failure of a process that should have run as root: sudo's refusal, or none.
    pub(super) fn refused_by_sudo(&self, ended: &Ended) -> Option<Failure> {
        self.through_sudo()
            .then(|| refusal_of_sudo(&String::from_utf8_lossy(&ended.stderr)))
            .flatten()
    }
}

/// Reads a stream to its end, so that nobody waits to write to it, and keeps the last of it.
#[derive(Debug)]
pub(super) struct Tail {
    kept: mpsc::Receiver<Vec<u8>>,
}

impl Tail {
    /// The reader, and the end to write to.
    pub(super) fn start() -> io::Result<(Self, PipeWriter)> {
        let (mut read, write) = io::pipe()?;
        let (send, kept) = mpsc::channel();
        std::thread::spawn(move || {
            let mut tail = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                match read.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(got) => tail.extend_from_slice(&buffer[..got]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        tail.extend_from_slice(format!("(unreadable: {error})").as_bytes());
                        break;
                    }
                }
                let excess = tail.len().saturating_sub(TAIL);
                tail.drain(..excess);
            }
            // Nobody may want to know.
            send.send(tail).ok();
        });
        Ok((Self { kept }, write))
    }

    /// What was kept, once the process has ended.
    pub(super) fn finish(self) -> Vec<u8> {
        self.kept
            .recv_timeout(LINGER)
            .unwrap_or_else(|_| b"(standard error was not closed)".to_vec())
    }
}
