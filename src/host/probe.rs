//! The closed list of read-only questions that are answered by a host's own programs.
//!
//! A probe never changes the host beyond what its own documentation says: on an offline root the
//! program runs inside the root as nobody, without an environment and with nothing to write to; on a
//! live host it runs as root, in the C locale. Commands that change a host are
//! [`super::command::Command`].

pub mod mailboxes;

use std::io::{self, Read as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Doing as _, Error, Kind, Result};
use crate::raw::HostPath;
use mailboxes::{Mailboxes, Measure};

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Probe {
    /// The value of a Dovecot setting as a POP3 session sees it: `doveconf -f protocol=pop3 -h KEY`.
    Pop3Setting(String),
    /// `dovecot --version`.
    DovecotVersion,
    /// What systemd knows of these units, names or patterns: `systemctl show`, systemctl(1).
    Units(Vec<String>),
    /// The names of all unit files: `systemctl list-unit-files`.
    UnitFiles,
    /// Every process, one a line: pid, uid, command line. `ps`, ps(1).
    Processes,
    /// Who has a session with Dovecot: `doveadm who`.
    DovecotSessions,
    /// Parameters of Postfix with the parameters in their values expanded: `postconf -x`.
    PostfixParameters(Vec<String>),
    /// Those of these parameters that main.cf has, as it has them: `postconf -n`.
    PostfixWritten(Vec<String>),
    /// Defaults of parameters: `postconf -d`.
    PostfixDefaults(Vec<String>),
    /// What waits in Postfix's queue, an object a line: `postqueue -j`, Postfix 3.1.
    PostfixQueue,
    /// What mail clients would see of users' mailboxes.
    Mailboxes(Mailboxes),
    /// How much mail users have.
    Measure(Measure),
    /// The interfaces: `ip -o link show`, ip-link(8).
    Links,
    /// Their addresses: `ip -o addr show`, ip-address(8).
    Addresses,
    /// The IPv4 routes: `ip -o -4 route show`, ip-route(8).
    Routes,
    /// So many bytes of nothing, for tests of the way that answers take.
    #[cfg(test)]
    Echo(u32),
    /// Every Dovecot setting as the sessions of a protocol see it: `doveconf -a -f protocol=NAME`.
    /// Passwords and keys are hidden by doveconf itself.
    Doveconf(String),
    /// Whether doveconf accepts the configuration: `doveconf -n`.
    DoveconfCheck,
    /// The certificates in a PEM file, and nothing else of it.
    Certificates(HostPath),
    /// The public key that belongs to a private key (DER): `openssl pkey -pubout`. The private one
    /// does not leave the host.
    PublicKey(HostPath),
    /// A POP3 session with a configuration file that is not in place yet, see
    /// [`crate::resource::dovecot::trial`]: in namespaces of its own, so that nothing of it is left.
    PopTrial(Trial),
    /// The UIDs of the messages in a user's INBOX whose Message-ID holds a marker, by Dovecot's own
    /// code: `doveadm fetch`. As any look by a client that serves, it may give new messages their UIDs.
    Letter(Letter),
    /// Messages of one folder of a user: `doveadm fetch` of uid, guid, size, date and flags. As
    /// [`Probe::Letter`].
    Messages(Messages),
    /// UIDVALIDITY and UIDNEXT of one folder of a user: `doveadm mailbox status`. Likewise.
    Folder(Folder),
}

/// Messages in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Messages {
    /// Whose.
    pub user: String,
    /// The folder.
    pub folder: String,
    /// UIDs as in IMAP, `1:5,9` or `17:*`.
    pub uids: String,
}

impl Messages {
    fn argv(&self) -> Vec<String> {
        let Self { user, folder, uids } = self;
        let words = [
            "/usr/bin/env",
            "TZ=UTC0",
            "/usr/bin/doveadm",
            "-f",
            "tab",
            "fetch",
            "-u",
            user,
            "uid guid size.virtual date.received flags",
            "mailbox",
            folder,
            "uid",
            uids,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// A folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Folder {
    /// Whose.
    pub user: String,
    /// Its name.
    pub folder: String,
}

/// A message in somebody's INBOX.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Whose INBOX.
    pub user: String,
    /// What its Message-ID holds and no other one does.
    pub marker: String,
}

impl Folder {
    fn argv(&self) -> Vec<String> {
        let Self { user, folder } = self;
        let words = [
            "/usr/bin/doveadm",
            "-f",
            "tab",
            "mailbox",
            "status",
            "-u",
            user,
            "uidvalidity uidnext",
            folder,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// The properties of a unit that [`Probe::Units`] asks for.
const UNIT_PROPERTIES: &str = "--property=Id,Names,LoadState,ActiveState,SubState,UnitFileState,\
                               FragmentPath,TriggeredBy";

/// In `/bin` both before and after the merge of `/bin` and `/usr/bin`.
const SYSTEMCTL: &str = "/bin/systemctl";
/// There on Debian and on Red Hat, whichever directory it is really in.
const IP: &str = "/sbin/ip";

/// A configuration file to be tried, and the mailbox that it is tried on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// The file, beneath `/etc/dovecot`.
    pub file: HostPath,
    /// What it would say.
    pub content: String,
    /// Generation of Dovecot, `2.3` or `2.4`.
    pub version: String,
    /// Format of the mailbox, `mbox` or `maildir`.
    pub mailbox: String,
    /// UID of the one message in it.
    pub uid: u32,
    /// UIDVALIDITY of it.
    pub uidvalidity: u32,
    /// File name of the message in a Maildir, without its flags.
    pub filename: String,
}

/// Makes the mailbox and the private instance, and asks it. What is written is in memory.
const POP_TRIAL: &str = include_str!("probe/pop_trial.sh");

/// sed prints from the first line of each certificate to its last.
const CERTIFICATES: &str = "/^-----BEGIN CERTIFICATE-----/,/^-----END CERTIFICATE-----/p";

impl Probe {
    /// Program (an absolute path) and arguments.
    pub fn argv(&self) -> Vec<String> {
        #[cfg(test)]
        if let Self::Echo(bytes) = self {
            return ["/usr/bin/head", "-c", &bytes.to_string(), "/dev/zero"]
                .map(str::to_owned)
                .to_vec();
        }
        let (filter, path, uid, uidvalidity);
        let words: &[&str] = match self {
            #[cfg(test)]
            Self::Echo(_) => &[],
            Self::Pop3Setting(key) => &["/usr/bin/doveconf", "-f", "protocol=pop3", "-h", key],
            Self::DovecotVersion => &["/usr/sbin/dovecot", "--version"],
            Self::Units(_) => &[SYSTEMCTL, "show", "--no-pager", UNIT_PROPERTIES, "--"],
            Self::UnitFiles => &[SYSTEMCTL, "list-unit-files", "--no-legend", "--no-pager"],
            Self::Processes => &["/bin/ps", "-eo", "pid=,uid=,args=", "-ww"],
            Self::DovecotSessions => &["/usr/bin/doveadm", "-f", "tab", "who"],
            Self::PostfixParameters(_) => &["/usr/sbin/postconf", "-x"],
            Self::PostfixWritten(_) => &["/usr/sbin/postconf", "-n"],
            Self::PostfixDefaults(_) => &["/usr/sbin/postconf", "-d"],
            Self::PostfixQueue => &["/usr/sbin/postqueue", "-j"],
            Self::Doveconf(protocol) => {
                filter = format!("protocol={protocol}");
                &["/usr/bin/doveconf", "-a", "-f", &filter]
            }
            Self::DoveconfCheck => &["/usr/bin/doveconf", "-n"],
            Self::Links => &[IP, "-o", "link", "show"],
            Self::Addresses => &[IP, "-o", "addr", "show"],
            Self::Routes => &[IP, "-o", "-4", "route", "show"],
            Self::Certificates(file) => {
                path = file.to_string();
                &["/bin/sed", "-n", CERTIFICATES, &path]
            }
            Self::PublicKey(file) => {
                path = file.to_string();
                &[
                    "/usr/bin/openssl",
                    "pkey",
                    "-pubout",
                    "-outform",
                    "DER",
                    "-passin",
                    "pass:",
                    "-in",
                    &path,
                ]
            }
            Self::PopTrial(trial) => {
                path = trial.file.to_string();
                (uid, uidvalidity) = (trial.uid.to_string(), trial.uidvalidity.to_string());
                &[
                    "/usr/bin/unshare",
                    "--mount",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--net",
                    "--ipc",
                    "--",
                    "/bin/sh",
                    "-c",
                    POP_TRIAL,
                    "sh",
                    &path,
                    &trial.version,
                    &trial.mailbox,
                    &uid,
                    &uidvalidity,
                    &trial.filename,
                ]
            }
            Self::Letter(Letter { user, marker }) => &[
                "/usr/bin/doveadm",
                "-f",
                "tab",
                "fetch",
                "-u",
                user,
                "uid",
                "mailbox",
                "INBOX",
                "HEADER",
                "Message-ID",
                marker,
            ],
            Self::Messages(messages) => return messages.argv(),
            Self::Folder(folder) => return folder.argv(),
            Self::Mailboxes(mailboxes) => return mailboxes.argv(),
            Self::Measure(measure) => return measure.argv(),
        };
        let names = match self {
            Self::Units(names)
            | Self::PostfixParameters(names)
            | Self::PostfixWritten(names)
            | Self::PostfixDefaults(names) => names.as_slice(),
            _ => &[],
        };
        let words = words.iter().map(|&word| word.to_owned());
        words.chain(names.iter().cloned()).collect()
    }

    /// What the program reads on its standard input.
    pub fn input(&self) -> &[u8] {
        match self {
            #[cfg(test)]
            Self::Echo(_) => &[],
            Self::Pop3Setting(_)
            | Self::DovecotVersion
            | Self::Units(_)
            | Self::UnitFiles
            | Self::Processes
            | Self::DovecotSessions
            | Self::PostfixParameters(_)
            | Self::PostfixWritten(_)
            | Self::PostfixDefaults(_)
            | Self::PostfixQueue
            | Self::Doveconf(_)
            | Self::DoveconfCheck
            | Self::Certificates(_)
            | Self::PublicKey(_)
            | Self::Letter(_)
            | Self::Messages(_)
            | Self::Folder(_)
            | Self::Links
            | Self::Addresses
            | Self::Routes => &[],
            Self::PopTrial(trial) => trial.content.as_bytes(),
            Self::Mailboxes(mailboxes) => &mailboxes.users,
            Self::Measure(measure) => &measure.users,
        }
    }

    /// How long the program may be silent before it counts as hanging.
    pub fn patience(&self) -> Duration {
        match self {
            #[cfg(test)]
            Self::Echo(_) => Duration::from_secs(10),
            // A configuration reader that has not answered by then never will.
            Self::Pop3Setting(_)
            | Self::DovecotVersion
            | Self::PostfixParameters(_)
            | Self::PostfixWritten(_)
            | Self::PostfixDefaults(_) => Duration::from_secs(10),
            // systemd answers while it starts or stops other units, but not always at once.
            Self::Units(_)
            | Self::UnitFiles
            | Self::Processes
            | Self::DovecotSessions
            | Self::PostfixQueue => Duration::from_secs(30),
            Self::Doveconf(_)
            | Self::DoveconfCheck
            | Self::Certificates(_)
            | Self::PublicKey(_)
            | Self::Links
            | Self::Addresses
            | Self::Routes => Duration::from_secs(10),
            // Dovecot starts, answers and stops within a second or two.
            Self::PopTrial(_) => Duration::from_mins(1),
            // The headers of every message, if the server has none in its cache.
            Self::Letter(_) => Duration::from_mins(2),
            // A server says nothing while it reads an mbox of many gigabytes for the first time.
            Self::Mailboxes(_) | Self::Measure(_) | Self::Messages(_) => Duration::from_mins(15),
            // Waits for whoever has the mailbox locked.
            Self::Folder(_) => Duration::from_mins(2),
        }
    }
}

/// What the program said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error; its end, if it is long.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// What to say of a program that did not succeed.
    pub fn refusal(&self, what: &str, host: &str) -> Error {
        let said = String::from_utf8_lossy(&self.stderr);
        let said = said.trim();
        let ended = match self.status {
            Some(status) => format!("exit status {status}"),
            None => "ended by a signal".to_owned(),
        };
        let why = if said.is_empty() {
            ended
        } else {
            format!("{ended}, {}", crate::raw::escape(said.as_bytes()))
        };
        Error::new(Kind::Host, format!("{what} on {host} failed: {why}"))
    }
}

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ended {
    /// By itself.
    Ran {
        /// Exit status; `None` when a signal ended it.
        status: Option<i32>,
        /// Standard error; its end, if it is long.
        stderr: Vec<u8>,
    },
    /// It was silent for too long and was killed.
    Hung,
    /// It could not be run here: other CPU, missing library, no mount namespace.
    NotRun,
}

/// A program's answer, read as it comes: its standard output. Dropped early, the program is killed.
pub trait Hearing: io::Read + Send {
    /// Waits for the end; what was not read is thrown away.
    fn end(self: Box<Self>) -> Result<Ended>;
}

/// An answer that is read whole is no longer than this.
const LONGEST: u64 = 64 << 20;

/// The whole answer; `None` where the program cannot run, or hangs.
pub(super) fn whole(mut hearing: Box<dyn Hearing>, probe: &Probe) -> Result<Option<Answer>> {
    let what = || format!("cannot hear {}", probe.argv()[0]);
    let mut stdout = Vec::new();
    let limited = &mut hearing.by_ref().take(LONGEST + 1);
    limited.read_to_end(&mut stdout).doing(Kind::Host, what)?;
    if stdout.len() as u64 > LONGEST {
        return Err(Error::new(
            Kind::Malformed,
            format!("{}: it never ends", what()),
        ));
    }
    Ok(match hearing.end()? {
        Ended::Ran { status, stderr } => Some(Answer {
            status,
            stdout,
            stderr,
        }),
        Ended::Hung | Ended::NotRun => None,
    })
}
