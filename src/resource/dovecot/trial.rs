//! Trying our drop-in before it is in place: in a private instance of the target's Dovecot, in
//! namespaces of its own, on a mailbox made for it.
//!
//! doveconf does not notice a format that fails in every session, and a server that is told to read
//! a broken configuration goes on with the old one until its next start (seen on 2.3.19 and 2.4.1).
//! Nothing of a trial is left, whatever happens: its files are in memory, in a mount namespace, and
//! its processes in a pid namespace that ends with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Version;
use crate::host::probe::Trial;
use crate::host::{Answer, Probe};
use crate::raw::HostPath;
use crate::uidl::{Format, Message};

/// UIDVALIDITY of the mailbox.
const UIDVALIDITY: u32 = 1_234_567_890;

/// UID of its one message.
const UID: u32 = 305_419_896;

/// File name of the message in a Maildir, without its flags.
const FILENAME: &str = "1234567890.M1P1.trial";

/// In which format the mailbox is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mailbox {
    /// mbox.
    Mbox,
    /// Maildir.
    Maildir,
}

impl Mailbox {
    /// The one that a driver reads; mbox for what is neither.
    pub fn of(driver: &str) -> Self {
        if driver == "maildir" {
            Self::Maildir
        } else {
            Self::Mbox
        }
    }
}

/// The question to the host.
pub fn probe(file: &HostPath, content: &str, version: Version, mailbox: Mailbox) -> Probe {
    let version = match version {
        Version::V2_4 => "2.4",
        Version::V2_3 | Version::Absent => "2.3",
    };
    let mailbox = match mailbox {
        Mailbox::Mbox => "mbox",
        Mailbox::Maildir => "maildir",
    };
    Probe::PopTrial(Trial {
        file: file.clone(),
        content: content.to_owned(),
        version: version.to_owned(),
        mailbox: mailbox.to_owned(),
        uid: UID,
        uidvalidity: UIDVALIDITY,
        filename: FILENAME.to_owned(),
    })
}

/// What is wrong; `Ok` if POP3 clients will see the UIDL that the format stands for.
pub fn judge(
    answer: Option<&Answer>,
    format: &str,
    version: Version,
    mailbox: Mailbox,
) -> Result<(), String> {
    let Some(answer) = answer else {
        return Err("the trial could not be run, or hung".to_owned());
    };
    let stderr = String::from_utf8_lossy(&answer.stderr);
    let complaint = || {
        let telling = stderr.lines().rfind(|line| {
            ["Error:", "Fatal:", "trial:"]
                .iter()
                .any(|word| line.contains(word))
        });
        telling
            .or_else(|| stderr.lines().last())
            .unwrap_or("it says nothing")
            .to_owned()
    };
    match answer.status {
        Some(0) => {}
        Some(REFUSED) => return Err(format!("doveconf refuses it: {}", complaint())),
        _ => return Err(format!("the private instance fails: {}", complaint())),
    }
    let stdout = String::from_utf8_lossy(&answer.stdout);
    let seen = uidl(&stdout).ok_or_else(|| {
        let said = stdout.lines().next().unwrap_or("nothing");
        format!("a POP3 session answers `{}`: {}", said.trim(), complaint())
    })?;
    let syntax = version
        .syntax()
        .and_then(|syntax| Format::parse(format, syntax).ok());
    let message = Message {
        uid: UID,
        uidvalidity: UIDVALIDITY,
        filename: (mailbox == Mailbox::Maildir).then_some(FILENAME),
    };
    match syntax.and_then(|format| format.expand(&message)) {
        Some(expected) if expected != seen => Err(format!(
            "a POP3 session shows the UIDL {seen} where the format stands for {expected}"
        )),
        _ => Ok(()),
    }
}

/// Exit status of the script when doveconf refuses the configuration.
const REFUSED: i32 = 3;

/// The UIDL in the answer to `UIDL` on a mailbox with one message.
fn uidl(said: &str) -> Option<String> {
    let mut lines = said.lines().map(str::trim_end);
    lines.find(|line| *line == "+OK")?;
    let uidl = lines.next()?.strip_prefix("1 ")?.to_owned();
    let is_whole = lines.next() == Some(".");
    let is_valid = (1..=70).contains(&uidl.len()) && uidl.bytes().all(|b| b.is_ascii_graphic());
    (is_whole && is_valid).then_some(uidl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: i32, stdout: &str, stderr: &str) -> Answer {
        Answer {
            status: Some(status),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    /// What trials on 2.3.19 and 2.4.1 printed.
    #[test]
    fn a_trial_is_judged_by_the_uidl_that_it_shows() {
        let shows = |uidl: &str| {
            answer(
                0,
                &format!("+OK\r\n1 {uidl}\r\n.\r\n+OK Logging out.\r\n"),
                "",
            )
        };
        for (version, mailbox, format, uidl) in [
            (
                Version::V2_3,
                Mailbox::Mbox,
                "%v-%u",
                "1234567890-305419896",
            ),
            (
                Version::V2_3,
                Mailbox::Mbox,
                "%08Xv.%08Xu",
                "499602d2.12345678",
            ),
            (
                Version::V2_3,
                Mailbox::Maildir,
                "%v-%u-%f",
                "1234567890-305419896-1234567890.M1P1.trial",
            ),
            (
                Version::V2_4,
                Mailbox::Maildir,
                "%{uidvalidity}-%{filename}",
                "1234567890-1234567890.M1P1.trial",
            ),
            // What it stands for cannot be said beforehand.
            (
                Version::V2_4,
                Mailbox::Mbox,
                "%{md5}",
                "ac70fe8efe7c1a348232e9495b572073",
            ),
        ] {
            let judged = judge(Some(&shows(uidl)), format, version, mailbox);
            assert_eq!(judged, Ok(()), "{format}");
        }
        let other = judge(
            Some(&shows("12345678499602d2")),
            "%v-%u",
            Version::V2_3,
            Mailbox::Mbox,
        );
        assert!(
            other
                .unwrap_err()
                .contains("stands for 1234567890-305419896")
        );
    }

    #[test]
    fn a_trial_that_fails_says_why() {
        let no_function = "pop3(reconcile-trial)<27><V3r0BOsxBWsbAAAAg+zDdQ>: Error: UIDL: Failed to \
            expand pop3_uidl_format=%{uid | number(8)}: No such function 'number'\n\
            pop3(reconcile-trial)<27><V3r0BOsxBWsbAAAAg+zDdQ>: Info: Disconnected\n";
        let refused = "doveconf: Fatal: Error in configuration file /etc/dovecot/dovecot.conf: Unknown \
            pop3_uidl_format variable: %{uidl}\n";
        for (answer, why) in [
            (
                Some(answer(0, "+OK\r\n", no_function)),
                "No such function 'number'",
            ),
            (
                Some(answer(3, "", refused)),
                "doveconf refuses it: doveconf: Fatal:",
            ),
            (
                Some(answer(1, "", "trial: dovecot does not start\n")),
                "the private instance fails: trial: dovecot does not start",
            ),
            (None, "could not be run"),
        ] {
            let said = judge(answer.as_ref(), "%{uid}", Version::V2_4, Mailbox::Mbox).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
