//! What clients remember of a mailbox, read by the server's own code on each host, and the proof that
//! it did not change.
//!
//! A POP3 client that leaves mail on the server remembers unique ids; an IMAP client remembers for
//! each folder its UIDVALIDITY, and UIDs with their flags, sizes and dates. When those differ after a
//! migration, mail is downloaded again, or lost to the client. Only the server's own answer tells
//! what a client would get, so `pop3` and `imap` of each host's Dovecot are asked, as root and
//! without passwords ([`crate::host::probe::mailboxes`]); both hosts at once, the same users in the
//! same order, compared user by user as the answers come, so that memory holds a few users and no
//! more.
//!
//! Comparing is pure ([`mod@compare`]). What is not here: accounts, files and settings, which are
//! [`crate::resource`]s; this finds what a difference in them does to clients.

pub mod compare;
pub mod difference;
mod digest;
mod frames;
mod imap;
pub mod mailbox;
mod pop3;
mod read;
pub mod render;
pub mod verdict;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::ReadHost;
use crate::host::probe::mailboxes::Inbox;
pub use crate::host::probe::mailboxes::Way;
use crate::names::{Side, UserName};
use crate::raw::HostPath;
pub use difference::Difference;
use mailbox::Seen;
use read::{Next, ask};
pub use verdict::{Note, Summary, UserVerdict};

/// So many users that were read wait for the other side.
const READ_AHEAD: usize = 2;

/// So many users are asked about once more; where it is more than that, it is no accident.
const AGAIN: usize = 3;

/// A user on a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The login name.
    pub user: UserName,
    /// The home directory there, with its links resolved ([`crate::host::real_path`]).
    pub home: HostPath,
    /// The spool file there, likewise. It need not exist.
    pub spool: HostPath,
}

/// A host, and how it may be asked.
#[derive(Clone, Copy)]
pub struct Party<'a> {
    /// The host.
    pub host: &'a dyn ReadHost,
    /// How. [`Way::Aside`] wherever the copy may be incomplete.
    pub way: Way,
}

impl fmt::Debug for Party<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.host.label();
        let way = &self.way;
        f.debug_struct("Party")
            .field("host", &label)
            .field("way", way)
            .finish()
    }
}

/// Why nobody's mailboxes can be read on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "why", content = "words", rename_all = "snake_case")]
pub enum Unable {
    /// Nothing runs there: it is a directory.
    Offline,
    /// There is no Dovecot, or its configuration is not accepted.
    Configuration(String),
    /// There is no `imap` or `pop3` where the configuration says.
    Programs(String),
    /// Dovecot serves there, and must not be asked.
    Serves(String),
    /// No overlay can be mounted, so nothing can be opened without touching it.
    Cover(String),
    /// Dovecot did not start beside.
    Start(String),
}

impl Unable {
    fn new(why: &[u8], words: String) -> Self {
        match why {
            b"configuration" => Self::Configuration(words),
            b"programs" => Self::Programs(words),
            b"serving" => Self::Serves(words),
            b"cover" => Self::Cover(words),
            _ => Self::Start(words),
        }
    }

    /// What can be done, as a sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Offline => "start the host, or compare the files: `reconcile verify --deep`",
            Self::Configuration(_) => "run `doveconf -n` there",
            Self::Programs(_) => "install dovecot-imapd and dovecot-pop3d there",
            Self::Serves(_) => "stop and mask it there until the copy is complete",
            Self::Cover(_) => {
                "the kernel there must have overlayfs and tmpfs, and let root mount them; \
                 else finish the copy, start Dovecot there, and verify then"
            }
            Self::Start(_) => "correct what its words say, and run this again",
        }
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, words) = match self {
            Self::Offline => return f.write_str("it is not running"),
            Self::Configuration(words) => (
                "it has no Dovecot, or one that does not accept its configuration",
                words,
            ),
            Self::Programs(words) => ("it has no programs for POP3 and IMAP", words),
            Self::Serves(words) => (
                "its Dovecot serves, and would write to a copy that may be incomplete",
                words,
            ),
            Self::Cover(words) => ("its mailboxes cannot be read without touching them", words),
            Self::Start(words) => ("its Dovecot cannot be started beside", words),
        };
        f.write_str(what)?;
        if words.is_empty() {
            return Ok(());
        }
        write!(f, ": {words}")
    }
}

/// How reading or comparing ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// All users were read.
    Done(Summary),
    /// Nobody could be, or nobody further, on this side.
    Unable(Side, Unable),
}

/// Compares what clients see of each user on both hosts, and asks the target whether it could write
/// to the INBOX. `on_user` gets each verdict as soon as it is there, in the order of `pairs` (each the
/// same user on the source and on the target).
pub fn compare(
    source: Party<'_>,
    target: Party<'_>,
    pairs: &[(Subject, Subject)],
    stop: &AtomicBool,
    on_user: &mut dyn FnMut(&UserVerdict),
) -> Result<Outcome> {
    let (on_source, on_target): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let (source_sends, sources) = sync_channel(READ_AHEAD);
        let (target_sends, targets) = sync_channel(READ_AHEAD);
        let on_source = &on_source;
        scope.spawn(move || hear(source, Inbox::Leave, on_source, &source_sends));
        let on_target = &on_target;
        scope.spawn(move || hear(target, Inbox::Select, on_target, &target_sends));
        for (subject, _) in pairs {
            let before = match receive(&sources, stop)? {
                Heard::User(seen) => seen,
                Heard::Unable(unable) => return Ok(Outcome::Unable(Side::Source, unable)),
            };
            let after = match receive(&targets, stop)? {
                Heard::User(seen) => seen,
                Heard::Unable(unable) => return Ok(Outcome::Unable(Side::Target, unable)),
            };
            let verdict = compare::user(&subject.user, &before, &after);
            summary.add(&verdict);
            on_user(&verdict);
        }
        Ok(Outcome::Done(summary))
    })
}

/// Reads what clients see of each user on one host. `on_user` gets each as soon as it is there.
pub fn read(
    party: Party<'_>,
    subjects: &[Subject],
    stop: &AtomicBool,
    on_user: &mut dyn FnMut(&Subject, &Seen),
) -> Result<Option<Unable>> {
    std::thread::scope(|scope| {
        let (sends, heard) = sync_channel(READ_AHEAD);
        scope.spawn(move || hear(party, Inbox::Leave, subjects, &sends));
        for subject in subjects {
            match receive(&heard, stop)? {
                Heard::User(seen) => on_user(subject, &seen),
                Heard::Unable(unable) => return Ok(Some(unable)),
            }
        }
        Ok(None)
    })
}

enum Heard {
    User(Box<Seen>),
    Unable(Unable),
}

/// Reads one side until all is read or nobody listens any more.
fn hear(party: Party<'_>, inbox: Inbox, subjects: &[Subject], sends: &SyncSender<Result<Heard>>) {
    let mut reader = match ask(party.host, party.way, inbox, subjects) {
        Ok(Ok(reader)) => reader,
        Ok(Err(unable)) => return drop(sends.send(Ok(Heard::Unable(unable)))),
        Err(error) => return drop(sends.send(Err(error))),
    };
    let mut subjects = subjects.iter();
    let mut again = AGAIN;
    loop {
        let (heard, last) = match reader.next() {
            Ok(Next::User(seen, cut)) => {
                let seen = match subjects.next() {
                    Some(subject) if cut && again > 0 => {
                        again -= 1;
                        once_more(party, inbox, subject).unwrap_or(seen)
                    }
                    _ => seen,
                };
                (Ok(Heard::User(seen)), false)
            }
            Ok(Next::Unable(unable)) => (Ok(Heard::Unable(unable)), true),
            Ok(Next::End) => return,
            Err(error) => (Err(error), true),
        };
        if sends.send(heard).is_err() || last {
            return;
        }
    }
}

/// Asks again about a user whose server left without a word, as a mail client would: on hosts that did
/// much at once this was seen, once in some hundred hand-overs.
fn once_more(party: Party<'_>, inbox: Inbox, subject: &Subject) -> Option<Box<Seen>> {
    let mut reader = ask(party.host, party.way, inbox, std::slice::from_ref(subject))
        .ok()?
        .ok()?;
    match reader.next() {
        Ok(Next::User(seen, _)) => Some(seen),
        // What was seen at first is what there is.
        Ok(Next::Unable(_) | Next::End) | Err(_) => None,
    }
}

fn receive(heard: &Receiver<Result<Heard>>, stop: &AtomicBool) -> Result<Heard> {
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::new(
                Kind::Interrupted,
                "interrupted while reading mailboxes",
            ));
        }
        match heard.recv_timeout(std::time::Duration::from_millis(200)) {
            Ok(heard) => return heard,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                let what = "the reading of mailboxes ended before its end";
                return Err(Error::new(Kind::Internal, what));
            }
        }
    }
}
