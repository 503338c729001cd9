//! What a host says about itself, as the first thing on a connection.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::process::ChildStdout;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::failure::Failure;

/// How long one look for more takes at most.
const BEAT: Duration = Duration::from_millis(50);

/// First and last line of the answer.
const BEGIN: &str = "reconcile-begin";
const END: &str = "reconcile-end";

/// A command line for the login's shell, whichever it is: answers, then waits for the end of its stdin.
/// The paths are where distributions keep the SFTP server: Debian, Red Hat, SUSE and Arch, Slackware,
/// Gentoo.
pub(super) const QUESTION: &str = "exec /bin/sh -c 'echo reconcile-begin; uname -s; uname -m; id -u; \
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

/// Understands an answer; `None` if it is not whole yet.
pub(super) fn facts(answer: &str) -> Option<Result<Facts, Failure>> {
    let (before, rest) = answer.split_once(&format!("{BEGIN}\n"))?;
    let (rest, _) = rest.split_once(&format!("{END}\n"))?;
    if !before.is_empty() {
        let line = first_line(before).unwrap_or("an empty line");
        return Some(Err(Failure::Noise(line.to_owned())));
    }
    let mut lines = rest.lines().map(str::to_owned);
    let (Some(system), Some(machine), Some(uid)) = (lines.next(), lines.next(), lines.next())
    else {
        let said = "`uname -s`, `uname -m` or `id -u` say nothing".to_owned();
        return Some(Err(Failure::NoCommands(said)));
    };
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

/// The first line that is not empty.
pub(super) fn first_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty())
}

/// Whether a stream goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum More {
    /// It may.
    Yes,
    /// It has ended.
    No,
}

/// Reads what is there, or waits a moment for it.
pub(super) fn read_some(stdout: &mut ChildStdout, into: &mut Vec<u8>) -> io::Result<More> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_what_it_is() {
        let debian =
            "reconcile-begin\nLinux\nx86_64\n0\n/usr/lib/openssh/sftp-server\nreconcile-end\n";
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
