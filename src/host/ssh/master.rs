//! The ssh master: one authenticated connection that all channels go over.
//!
//! Its own first channel says what the host is, and then waits for the end of its stdin, which only we
//! hold. So the master ends when we do, whichever way we end: on its server the first channel ends, and
//! as it does not persist and its other clients are gone, it has nothing left to live for. It runs in a
//! process group of its own, so that a Ctrl-C at the terminal reaches us and not it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::control::ControlDir;
use super::failure::{Failure, understand};
use super::{Environment, Login, config, pin};
use crate::error::{Doing as _, Error, Kind, Result};

/// The whole way in, over jump hosts, is longer than this only if something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a master may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Between two looks at whether something has happened.
const BEAT: Duration = Duration::from_millis(50);

/// First and last line of what the host says about itself.
const BEGIN: &str = "reconcile-begin";
const END: &str = "reconcile-end";

/// Where distributions keep the SFTP server: Debian, Red Hat, SUSE and Arch, Slackware, Gentoo.
const QUESTION: &str = "exec /bin/sh -c 'echo reconcile-begin; uname -s; uname -m; id -u; \
    for p in /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server \
    /usr/lib/ssh/sftp-server /usr/libexec/sftp-server /usr/lib64/misc/sftp-server; \
    do if [ -x $p ]; then echo $p; break; fi; done; echo reconcile-end; exec cat >/dev/null'";

/// What a host says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// `uname -s`.
    pub(super) system: String,
    /// `uname -m`.
    pub(super) machine: String,
    /// The login's uid.
    pub(super) uid: u32,
    /// The SFTP server's program, for those who cannot go through the subsystem.
    pub(super) sftp_server: Option<String>,
}

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
        let text = config::text(environment, |path| path.exists())?;
        #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
        let written = fs::write(control.config(), text);
        written.doing(Kind::Host, || {
            format!("cannot write {}", control.config().display())
        })?;
        let attempt = Attempt {
            login,
            control: &control,
            stop,
        };
        match attempt.connect()? {
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

/// The ways in that are tried, one after the other.
struct Attempt<'a> {
    login: &'a Login,
    control: &'a ControlDir,
    stop: &'a AtomicBool,
}

/// How a login ended that was not interrupted.
type Outcome = std::result::Result<(Child, Facts), Failure>;

impl Attempt<'_> {
    fn connect(&self) -> Result<Outcome> {
        let Some(pinned) = &self.login.host_key else {
            let outcome = self.log_in(&[])?;
            return Ok(match outcome {
                Err(failure) => Err(self.with_keys(failure)?),
                in_there => in_there,
            });
        };
        let options = pin::options(pinned);
        let outcome = self.log_in(&options)?;
        if !matches!(outcome, Err(Failure::UnknownKey { .. })) {
            return Ok(outcome);
        }
        for kind in pin::KINDS {
            let mut options = options.to_vec();
            options.push(kind.to_owned());
            let outcome = self.log_in(&options)?;
            if !matches!(
                outcome,
                Err(Failure::UnknownKey { .. } | Failure::NoCommonAlgorithm(_))
            ) {
                return Ok(outcome);
            }
        }
        Ok(Err(Failure::NotPinned {
            pinned: pinned.clone(),
            offered: self.offered_key()?,
        }))
    }

    /// ssh with our configuration and these options.
    fn ssh(&self, options: &[String]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.control.config()).arg("-T");
        for option in config::FOR_THE_HOST {
            command.args(["-o", option]);
        }
        for option in options {
            command.args(["-o", option]);
        }
        if let Some(user) = &self.login.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.login.port {
            command.args(["-p", &port.to_string()]);
        }
        command
    }

    fn log_in(&self, options: &[String]) -> Result<Outcome> {
        let log = File::create(self.control.log()).doing(Kind::Host, || {
            format!("cannot write {}", self.control.log().display())
        })?;
        let child = self
            .ssh(options)
            .arg("-M")
            .arg("-S")
            .arg(self.control.socket())
            .args([self.login.host.as_str(), QUESTION])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Err(Failure::NoClient));
            }
            Err(error) => return Err(Error::caused(Kind::Host, "cannot run ssh", error)),
        };
        let outcome = self.answer(&mut child);
        if let Ok(Ok(facts)) = outcome {
            return Ok(Ok((child, facts)));
        }
        end_group(&mut child).doing(Kind::Internal, || "cannot end ssh".to_owned())?;
        outcome.map(|outcome| match outcome {
            Err(failure) => Err(failure),
            Ok(_) => unreachable!("taken above"),
        })
    }

    /// Waits for what the host says about itself.
    fn answer(&self, child: &mut Child) -> Result<std::result::Result<Facts, Failure>> {
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let deadline = Instant::now() + PATIENCE;
        let mut answer = Vec::new();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                let what = format!("interrupted while connecting to {}", self.login.label);
                return Err(Error::new(Kind::Interrupted, what));
            }
            if Instant::now() > deadline {
                let patience = PATIENCE.as_secs();
                let said = format!("not logged in after {patience} s");
                return Ok(Err(Failure::Unreachable(said)));
            }
            let more = read_some(&mut stdout, &mut answer)
                .doing(Kind::Host, || format!("cannot read from ssh to {}", self.login.label))?;
            let text = String::from_utf8_lossy(&answer);
            if let Some(outcome) = facts(&text) {
                return Ok(outcome);
            }
            if more == More::No {
                let said = said(&self.control.log())?;
                let silent = said.trim().is_empty() || !text.trim().is_empty();
                return Ok(Err(match silent {
                    true => Failure::NoCommands(first_line(&text, &said)),
                    false => understand(&said),
                }));
            }
        }
    }

    /// Adds the fingerprints that ssh does not tell by itself.
    fn with_keys(&self, failure: Failure) -> Result<Failure> {
        Ok(match failure {
            Failure::UnknownKey { host, kind, .. } => Failure::UnknownKey {
                host,
                kind,
                fingerprint: self.offered_key()?,
            },
            Failure::ChangedKey {
                host,
                place,
                offered,
                ..
            } => Failure::ChangedKey {
                recorded: recorded_key(place.as_ref())?,
                host,
                place,
                offered,
            },
            other => other,
        })
    }

    /// The fingerprint of the key that the last host on the way sends. ssh tells it only when it
    /// explains itself; it is not let in.
    fn offered_key(&self) -> Result<Option<String>> {
        let mut command = self.ssh(&pin::options("nothing"));
        command
            .args(["-v", self.login.host.as_str(), "true"])
            .stdin(Stdio::null())
            .process_group(0);
        let said = output(command)?;
        Ok(said
            .lines()
            .filter_map(|line| line.split_once("Server host key: "))
            .filter_map(|(_, key)| key.split_whitespace().nth(1))
            .next_back()
            .map(str::to_owned))
    }
}

/// The fingerprint of a line in a file of known hosts.
fn recorded_key(place: Option<&(String, usize)>) -> Result<Option<String>> {
    let Some((file, line)) = place else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "the operator's own file, not a host's")]
    let known = fs::read(file).doing(Kind::Host, || format!("cannot read {file}"))?;
    let known = String::from_utf8_lossy(&known);
    let Some(entry) = known.lines().nth(line.saturating_sub(1)) else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let mut command = Command::new("ssh-keygen");
    command.args(["-l", "-f", "/dev/stdin"]).stdin(Stdio::piped());
    // "256 SHA256:... host (ED25519)"
    let said = fed(command, entry.as_bytes())?;
    Ok(said.split_whitespace().nth(1).map(str::to_owned))
}

/// What a program says on both its outputs, whether it succeeds or not.
fn output(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .doing(Kind::Host, || "cannot run ssh".to_owned())?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn fed(mut command: Command, input: &[u8]) -> Result<String> {
    use std::io::Write as _;
    let mut run = || -> io::Result<Vec<u8>> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input)?;
        stdin.write_all(b"\n")?;
        drop(stdin);
        Ok(child.wait_with_output()?.stdout)
    };
    let said = run().doing(Kind::Host, || "cannot run ssh-keygen".to_owned())?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn said(log: &Path) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
    let said = fs::read(log).doing(Kind::Host, || format!("cannot read {}", log.display()))?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn first_line(text: &str, said: &str) -> String {
    let mut lines = text.lines().chain(said.lines()).map(str::trim);
    lines
        .find(|line| !line.is_empty())
        .unwrap_or("it ended at once")
        .to_owned()
}

/// Whether a stream goes on.
#[derive(PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// Waits a beat at most.
fn read_some(stdout: &mut ChildStdout, into: &mut Vec<u8>) -> io::Result<More> {
    let beat = Timespec::try_from(BEAT).expect("a beat is short");
    let ready = {
        let fd = stdout.as_fd();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, Some(&beat)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        }
    };
    if ready == 0 {
        return Ok(More::Yes);
    }
    let mut buffer = [0; 4096];
    let got = stdout.read(&mut buffer)?;
    into.extend_from_slice(&buffer[..got]);
    Ok(if got == 0 { More::No } else { More::Yes })
}

/// Understands a whole answer; `None` if it is not whole yet.
fn facts(answer: &str) -> Option<std::result::Result<Facts, Failure>> {
    let (before, rest) = answer.split_once(&format!("{BEGIN}\n"))?;
    let (rest, _) = rest.split_once(&format!("{END}\n"))?;
    if !before.is_empty() {
        return Some(Err(Failure::Noise(first_line(before, ""))));
    }
    let mut lines = rest.lines().map(str::to_owned);
    let (system, machine, uid) = (lines.next()?, lines.next()?, lines.next()?);
    let Ok(uid) = uid.parse() else {
        return Some(Err(Failure::NoCommands(format!("`id -u` says {uid}"))));
    };
    Some(Ok(Facts {
        system,
        machine,
        uid,
        sftp_server: lines.next(),
    }))
}

/// Ends a master and what it started for itself (jump hosts, proxies).
fn end_group(child: &mut Child) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_what_it_is() {
        let debian = "reconcile-begin\nLinux\nx86_64\n0\n/usr/lib/openssh/sftp-server\nreconcile-end\n";
        assert_eq!(
            facts(debian),
            Some(Ok(Facts {
                system: "Linux".to_owned(),
                machine: "x86_64".to_owned(),
                uid: 0,
                sftp_server: Some("/usr/lib/openssh/sftp-server".to_owned()),
            }))
        );
        let bsd = "reconcile-begin\nFreeBSD\namd64\n1001\nreconcile-end\n";
        assert!(matches!(facts(bsd), Some(Ok(Facts { system, .. })) if system == "FreeBSD"));
        for end in 0..debian.len() {
            assert_eq!(facts(&debian[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_talkative_login_is_noticed() {
        let answer = "Welcome to old!\nreconcile-begin\nLinux\nx86_64\n0\nreconcile-end\n";
        let welcome = Failure::Noise("Welcome to old!".to_owned());
        assert_eq!(facts(answer), Some(Err(welcome)));
    }
}
