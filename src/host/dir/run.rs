//! Running a host's own programs: inside an offline root as nobody, on a live host as root. Also the
//! names of file systems.

use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::probe::{Answer, Ended, Hearing};

/// What of a program's complaints is kept: their end.
const STDERR_KEPT: usize = 64 * 1024;

/// Looking changes nothing, whatever the program does: `doveconf` of Dovecot 2.4 makes files in
/// `/tmp`. So the root is read-only for it, with a `/tmp` in memory, in a mount namespace of its own.
/// Arguments: the root, the program, its arguments.
const WITHOUT_A_TRACE: &str = r#"
mount --rbind "$0" "$0" && mount -o remount,bind,ro "$0" &&
    mount -t tmpfs -o mode=1777 none "$0/tmp" || exit 125
exec chroot --userspec=65534:65534 --groups= "$0" "$@"
"#;

/// A program to run, its input, and how long it may be silent.
#[derive(Debug)]
pub(in crate::host) struct Order<'a> {
    pub(in crate::host) argv: &'a [String],
    pub(in crate::host) input: &'a [u8],
    pub(in crate::host) patience: Duration,
}

/// Runs a program inside a root as nobody, without environment, and with nothing to write to: it may
/// come from a disk that we know nothing about. `None` where that is not possible (not root).
pub(super) fn as_nobody_in(root: &Path, order: &Order<'_>) -> Result<Option<Box<dyn Hearing>>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "sh", "-c", WITHOUT_A_TRACE])
        .arg(root)
        .args(order.argv);
    start(command, order)
}

/// Runs a program of the system that we run on.
pub(in crate::host) fn as_root(order: &Order<'_>) -> Result<Option<Box<dyn Hearing>>> {
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let mut command = Command::new(&order.argv[0]);
    command.args(&order.argv[1..]);
    start(command, order)
}

/// Runs a program of the system that we run on to its end; `what` begins the message if it cannot run.
pub(super) fn to_its_end(order: &Order<'_>, what: &str) -> Result<Answer> {
    let cannot = |why: &str| Error::new(Kind::Host, format!("{what}: {why}"));
    let Some(mut hearing) = as_root(order)? else {
        return Err(cannot("it is not there"));
    };
    let mut stdout = Vec::new();
    hearing
        .read_to_end(&mut stdout)
        .doing(Kind::Host, || what.to_owned())?;
    match hearing.end()? {
        Ended::Ran { status, stderr } => Ok(Answer {
            status,
            stdout,
            stderr,
        }),
        Ended::NotRun => Err(cannot("it cannot run")),
        Ended::Hung => Err(cannot("it hangs")),
    }
}

fn start(mut command: Command, order: &Order<'_>) -> Result<Option<Box<dyn Hearing>>> {
    let what = || format!("cannot run {}", order.argv[0]);
    let spawned = command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(Kind::Host, what),
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let input = order.input.to_vec();
    std::thread::spawn(move || {
        // One that ends without reading everything has heard enough.
        stdin.map(|mut stdin| stdin.write_all(&input).ok());
    });
    let complaints = std::thread::spawn(move || end_of(stderr.expect("it is piped")));
    Ok(Some(Box::new(Running {
        child,
        stdout: stdout.expect("it is piped"),
        complaints: Some(complaints),
        patience: order.patience,
        hung: Silence::NotYet,
    })))
}

/// The end of a stream, read to its end so that the writer never waits.
fn end_of(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut block = [0; 4096];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(kept),
            n => kept.extend_from_slice(&block[..n]),
        }
        if kept.len() > 2 * STDERR_KEPT {
            kept.drain(..kept.len() - STDERR_KEPT);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Silence {
    NotYet,
    TooLong,
}

/// A program at work.
#[derive(Debug)]
struct Running {
    child: Child,
    stdout: ChildStdout,
    complaints: Option<JoinHandle<io::Result<Vec<u8>>>>,
    patience: Duration,
    hung: Silence,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.hung == Silence::TooLong {
            return Ok(0);
        }
        let patience = Timespec {
            tv_sec: i64::try_from(self.patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: self.patience.subsec_nanos().into(),
        };
        loop {
            match poll(
                &mut [PollFd::new(&self.stdout, PollFlags::IN)],
                Some(&patience),
            ) {
                Ok(0) => {
                    self.hung = Silence::TooLong;
                    self.child.kill()?;
                    return Ok(0);
                }
                Ok(_) => return self.stdout.read(buffer),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Hearing for Running {
    fn end(mut self: Box<Self>) -> Result<Ended> {
        let what = || "cannot wait for a program".to_owned();
        io::copy(&mut self, &mut io::sink()).doing(Kind::Host, what)?;
        let deadline = Instant::now() + self.patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().doing(Kind::Host, what)? {
                break status;
            }
            if self.hung == Silence::TooLong || Instant::now() > deadline {
                self.child.kill().doing(Kind::Host, what)?;
                self.hung = Silence::TooLong;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if self.hung == Silence::TooLong {
            return Ok(Ended::Hung);
        }
        let complaints = self.complaints.take().map(JoinHandle::join);
        let stderr = match complaints {
            Some(Ok(stderr)) => stderr.doing(Kind::Host, what)?,
            Some(Err(_)) | None => Vec::new(),
        };
        // chroot(1): 125 it failed itself, 126 cannot be executed, 127 not found; unshare(1): 1.
        let not_run = status.code() == Some(1) && stderr.starts_with(b"unshare:");
        if not_run || matches!(status.code(), Some(125..=127)) {
            return Ok(Ended::NotRun);
        }
        Ok(Ended::Ran {
            status: status.code(),
            stderr,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody hears the rest: one that has ended already cannot be killed, which is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The name of a file system's kind from statfs(2)'s magic number.
pub(in crate::host) fn file_system(magic: i64) -> &'static str {
    match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794C_7630 => "overlay",
        0x2FC1_2FC1 => "zfs",
        0x6969 => "nfs",
        0x0187 => "autofs",
        0xFF53_4D42 | 0xFE53_4D42 => "cifs",
        0x6573_5546 => "fuse",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(script: &str, input: &[u8], patience: Duration) -> (Vec<u8>, Ended) {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let order = Order {
            argv: &argv,
            input,
            patience,
        };
        let mut hearing = as_root(&order).unwrap().unwrap();
        let mut said = Vec::new();
        hearing.read_to_end(&mut said).unwrap();
        (said, hearing.end().unwrap())
    }

    #[test]
    fn a_program_gets_its_input_and_is_heard_to_the_end() {
        let (said, ended) = hear("cat; echo why >&2; exit 3", b"in", Duration::from_secs(10));
        assert_eq!(said, b"in");
        let status = Some(3);
        let stderr = b"why\n".to_vec();
        assert_eq!(ended, Ended::Ran { status, stderr });
    }

    #[test]
    fn one_that_is_silent_for_too_long_is_killed() {
        for script in ["echo; exec sleep 60", "exec >&- sleep 60"] {
            let (_, ended) = hear(script, b"", Duration::from_millis(200));
            assert_eq!(ended, Ended::Hung, "{script}");
        }
    }
}
