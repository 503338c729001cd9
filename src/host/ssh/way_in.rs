//! Getting into a host: one ssh, or several if a pin means another of the host's keys.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answer::{Facts, More, QUESTION, facts, first_line, read_some};
use super::control::ControlDir;
use super::failure::{Failure, understand};
use super::master::end_group;
use super::{Login, config, pin};
use crate::error::{Doing as _, Error, Kind, Result};

/// The whole way in, over jump hosts, is longer than this only if something hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// How to get into a host.
pub(super) struct WayIn<'a> {
    pub(super) login: &'a Login,
    pub(super) control: &'a ControlDir,
    pub(super) stop: &'a AtomicBool,
}

/// How a login ended that was not interrupted.
pub(super) type Outcome = std::result::Result<(Child, Facts), Failure>;

impl WayIn<'_> {
    /// Tries what there is to try.
    pub(super) fn connect(&self) -> Result<Outcome> {
        let Some(pinned) = &self.login.host_key else {
            let outcome = self.log_in(&[])?;
            return Ok(match outcome {
                Err(failure) => Err(self.with_keys(failure)?),
                in_there => in_there,
            });
        };
        let options = pin::options(pinned, &self.control.offered());
        let outcome = self.log_in(&options)?;
        let offered = self.noted()?;
        // Without a key of the host it was a jump host that is unknown.
        if offered.is_none() || !matches!(outcome, Err(Failure::UnknownKey { .. })) {
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
            offered,
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

    /// What ssh would connect to, without doing so: the host's name or address, by the configuration.
    /// `None` if ssh does not tell, which stops nothing.
    pub(super) fn host_name(&self) -> Option<String> {
        let mut ssh = self.ssh(&[]);
        let ssh = ssh.arg("-G").arg(self.login.host.as_str());
        let said = ssh.stdin(Stdio::null()).output().ok()?.stdout;
        let said = String::from_utf8_lossy(&said);
        let name = said.lines().find_map(|line| line.strip_prefix("hostname "));
        name.map(str::to_owned)
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
            let more = read_some(&mut stdout, &mut answer).doing(Kind::Host, || {
                format!("cannot read from ssh to {}", self.login.label)
            })?;
            let text = String::from_utf8_lossy(&answer);
            if let Some(outcome) = facts(&text) {
                return Ok(outcome);
            }
            if more == More::No {
                let said = said(&self.control.log())?;
                return Ok(Err(match first_line(&text) {
                    Some(line) => Failure::NoCommands(line.to_owned()),
                    None if said.trim().is_empty() => {
                        Failure::NoCommands("it ended at once".to_owned())
                    }
                    None => understand(&said),
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

    /// The fingerprint of the key that the host sends, which ssh tells only to those who believe
    /// nothing. `None` if a jump host is the obstacle.
    fn offered_key(&self) -> Result<Option<String>> {
        let options = pin::options("nothing", &self.control.offered());
        match self.log_in(&options)? {
            Ok(_) => unreachable!("ssh believes no key, so it does not get in"),
            Err(_) => self.noted(),
        }
    }

    fn noted(&self) -> Result<Option<String>> {
        #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
        let noted = fs::read_to_string(self.control.offered());
        match noted {
            Ok(noted) => Ok(Some(noted.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(Kind::Host, || {
                format!("cannot read {}", self.control.offered().display())
            }),
        }
    }
}

/// The fingerprint of a line in a file of known hosts.
fn recorded_key(place: Option<&(String, usize)>) -> Result<Option<String>> {
    let Some((file, line)) = place else {
        return Ok(None);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator's own file, not a host's"
    )]
    let known = fs::read(file).doing(Kind::Host, || format!("cannot read {file}"))?;
    let known = String::from_utf8_lossy(&known);
    let Some(entry) = known.lines().nth(line.saturating_sub(1)) else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-l", "-f", "/dev/stdin"])
        .stdin(Stdio::piped());
    // "256 SHA256:... host (ED25519)"
    let said = fed(command, entry.as_bytes())?;
    Ok(said.split_whitespace().nth(1).map(str::to_owned))
}

/// What ssh said.
pub(super) fn said(log: &Path) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "host/ does its own housekeeping")]
    let said = fs::read(log).doing(Kind::Host, || format!("cannot read {}", log.display()))?;
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
