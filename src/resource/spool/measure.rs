//! How much mail users have: sizes of files, numbers of messages and their dates, read without
//! opening a mailbox for writing ([`crate::host::probe::mailboxes::Measure`]).
//!
//! What cannot be told is `None`, never zero. What is made of it is [`super::trend`] and
//! [`super::housekeeping`].

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::host::probe::mailboxes::{Measure, boundary};
use crate::host::{HostState, Probe, ReadHost};
use crate::names::UserName;
use crate::raw::{HostPath, escape};

/// One user's mail.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The INBOX.
    pub inbox: Part,
    /// All other folders together.
    pub folders: Part,
    /// Where Dovecot has the INBOX: an mbox or a Maildir.
    #[serde(skip)]
    pub inbox_path: HostPath,
    /// Where it has the folders.
    #[serde(skip)]
    pub root: HostPath,
    /// UIDVALIDITY of the INBOX.
    #[serde(skip)]
    pub uidvalidity: Option<u32>,
    /// The messages that were asked for.
    #[serde(skip)]
    pub old: Vec<OldMessage>,
    /// Storage of the user's quota roots.
    #[serde(skip)]
    pub quotas: Vec<Quota>,
}

impl Usage {
    /// The directory that homes are in, or that of the folders where these are in no home.
    pub fn homes(&self, user: &UserName) -> HostPath {
        let directory = self.root.parent();
        if directory.file_name() == user.as_bytes() {
            directory.parent()
        } else {
            directory
        }
    }

    /// The directory that INBOXes are in.
    pub fn inboxes(&self, user: &UserName) -> HostPath {
        if self.inbox_path == self.root {
            self.homes(user)
        } else {
            self.inbox_path.parent()
        }
    }
}

/// A part of somebody's mail. What cannot be told is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Bytes of its files.
    pub bytes: Option<u64>,
    /// Messages in it, by Dovecot.
    pub messages: Option<u64>,
    /// When the first message of each folder was received; of several folders the earliest.
    pub oldest: Option<Timestamp>,
}

/// A message of an INBOX.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OldMessage {
    /// Its UID.
    pub uid: u32,
    /// When it was received.
    pub received: Timestamp,
    /// Bytes on disk.
    pub bytes: u64,
    /// Flags and keywords as IMAP has them.
    pub flags: BTreeSet<String>,
}

/// What Dovecot's quota says, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// Used.
    pub used: u64,
    /// At most.
    pub limit: u64,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Everybody who was asked for and whom Dovecot knows.
    pub users: BTreeMap<UserName, Usage>,
    /// What Dovecot and others complained of.
    pub complaints: Vec<String>,
}

/// Measures the mail of these users; messages of INBOXes that were received before a day as well.
///
/// # Errors
///
/// [`Kind::Host`] where nothing can be measured: the host or its Dovecot does not run, or nothing can be
/// opened there without touching it.
pub fn measure<'a>(
    host: &dyn ReadHost,
    users: impl Iterator<Item = &'a UserName>,
    before: Option<jiff::civil::Date>,
) -> Result<Measured> {
    let what = || format!("the mail on {} cannot be measured", host.label());
    if host.state() == HostState::Offline {
        return Err(Error::new(
            Kind::Host,
            format!("{}: it is not running", what()),
        ));
    }
    let boundary = boundary()?;
    let probe = Probe::Measure(Measure {
        boundary: boundary.clone(),
        before: before.map(|day| day.to_string()),
        users: lines(users)?,
    });
    let Some(answer) = host.probe(&probe)? else {
        return Err(Error::new(
            Kind::Host,
            format!("{}: its programs do not run, or hang", what()),
        ));
    };
    if answer.status != Some(0) {
        return Err(answer.refusal("measuring the mail", &host.label()));
    }
    read(&answer.stdout, &boundary).map_err(|why| {
        Error::new(Kind::Host, format!("{}: {why}", what()))
            .hint("run `doveconf -n` and `doveadm service status` there, then run this again")
    })
}

fn lines<'a>(users: impl Iterator<Item = &'a UserName>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (number, user) in users.enumerate() {
        let name = user.as_bytes();
        if name.iter().any(|byte| b"\t\n\0".contains(byte)) || name.starts_with(b"-") {
            let what = format!("{user} is a name that cannot be asked for");
            return Err(Error::new(Kind::Malformed, what));
        }
        lines.extend_from_slice(format!("{number}\t").as_bytes());
        lines.extend_from_slice(name);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The sections of an answer, each with its lines.
type Sections<'a> = BTreeMap<&'a [u8], Vec<Vec<&'a [u8]>>>;

/// Reads an answer of `spool.sh`; `Err` says why there is none.
fn read(answer: &[u8], boundary: &str) -> std::result::Result<Measured, String> {
    let mut measured = Measured::default();
    let mut sections = Sections::new();
    let mut current: Option<&mut Vec<Vec<&[u8]>>> = None;
    let mut finished = false;
    for line in answer.split(|&byte| byte == b'\n') {
        let ours = line
            .strip_prefix(boundary.as_bytes())
            .and_then(|rest| rest.strip_prefix(b" "));
        match ours {
            Some(b"finished") => finished = true,
            Some(words) if words.starts_with(b"words ") => {
                measured.complaints.push(escape(&words[6..]));
            }
            Some(failed) if failed.starts_with(b"failed ") => {
                let why = match &failed[7..] {
                    b"configuration" => {
                        "it has no Dovecot, or one that does not accept its settings"
                    }
                    b"cover" => "its kernel lets nothing be opened there without touching it",
                    _ => "Dovecot cannot be asked",
                };
                let words = measured.complaints.join("; ");
                return Err([why, &words].join(": ").trim_end_matches(": ").to_owned());
            }
            Some(section) => current = Some(sections.entry(section).or_default()),
            None if line.is_empty() => {}
            None => {
                if let Some(lines) = &mut current {
                    lines.push(line.split(|&byte| byte == b'\t').collect());
                }
            }
        }
    }
    if !finished {
        return Err("the answer was cut short".to_owned());
    }
    let complaints = sections.remove(&b"complaints"[..]).unwrap_or_default();
    measured
        .complaints
        .extend(complaints.iter().map(|line| escape(&line.join(&b'\t'))));
    places(&sections, &mut measured.users);
    sizes(&sections, &mut measured.users);
    if sections.contains_key(&b"status"[..]) {
        counts(&sections, &mut measured.users);
    }
    old(&sections, &mut measured.users);
    Ok(measured)
}

fn rows<'s, 'a>(sections: &'s Sections<'a>, name: &str) -> &'s [Vec<&'a [u8]>] {
    sections.get(name.as_bytes()).map_or(&[], Vec::as_slice)
}

fn places(sections: &Sections<'_>, users: &mut BTreeMap<UserName, Usage>) {
    for row in rows(sections, "inboxes") {
        if let [user, path] = row.as_slice() {
            let usage = users.entry(UserName::from(*user)).or_default();
            usage.inbox_path = HostPath::from(*path);
        }
    }
    for row in rows(sections, "roots") {
        if let [user, path] = row.as_slice()
            && let Some(usage) = users.get_mut(&UserName::from(*user))
        {
            usage.root = HostPath::from(*path);
        }
    }
}

/// Bytes of files: of an mbox its own; of a Maildir the files two levels down, in `cur` and `new`.
fn sizes(sections: &Sections<'_>, users: &mut BTreeMap<UserName, Usage>) {
    let mut tops = BTreeMap::new();
    for row in rows(sections, "tops") {
        if let [kind, size, path] = row.as_slice() {
            tops.insert(*path, (*kind, number(size)));
        }
    }
    let mut trees = BTreeMap::new();
    for row in rows(sections, "files") {
        if let [first, second, all, root] = row.as_slice() {
            trees.insert(*root, [number(first), number(second), number(all)]);
        }
    }
    for usage in users.values_mut() {
        let none = [Some(0); 3];
        let [first, second, all] = *trees.get(usage.root.as_bytes()).unwrap_or(&none);
        let inside = usage.inbox_path.parent() == usage.root;
        (usage.inbox.bytes, usage.folders.bytes) = match tops.get(usage.inbox_path.as_bytes()) {
            None => (Some(0), all),
            Some((b"f", size)) if inside => (*size, minus(all, *size)),
            Some((b"f", size)) => (*size, all),
            // What is one level down are Dovecot's lists.
            Some((b"d", _)) if usage.inbox_path == usage.root => {
                (second, minus(minus(all, first), second))
            }
            // dbox, or something that nobody here knows.
            Some(_) => (None, None),
        };
    }
}

fn minus(all: Option<u64>, part: Option<u64>) -> Option<u64> {
    Some(all?.saturating_sub(part?))
}

fn counts(sections: &Sections<'_>, users: &mut BTreeMap<UserName, Usage>) {
    let mut counted = BTreeSet::new();
    for row in rows(sections, "status") {
        // Sorted by name: `messages uidvalidity` in either order of asking.
        if let [user, folder, messages, uidvalidity] = row.as_slice()
            && let Some(usage) = users.get_mut(&UserName::from(*user))
        {
            let part = if *folder == b"INBOX" {
                counted.insert(UserName::from(*user));
                usage.uidvalidity = text(uidvalidity).and_then(|text| text.parse().ok());
                &mut usage.inbox
            } else {
                &mut usage.folders
            };
            part.messages = Some(part.messages.unwrap_or(0) + number(messages).unwrap_or(0));
        }
    }
    for (user, usage) in users.iter_mut() {
        if counted.contains(user) || usage.inbox.bytes == Some(0) {
            usage.inbox.messages.get_or_insert(0);
            usage.folders.messages.get_or_insert(0);
        } else {
            // Dovecot could not open the INBOX: what it said of the others may be half of it.
            usage.inbox.messages = None;
            usage.folders.messages = None;
        }
    }
    for row in rows(sections, "oldest") {
        if let [user, date, folder] = row.as_slice()
            && let Some(usage) = users.get_mut(&UserName::from(*user))
        {
            let part = if *folder == b"INBOX" {
                &mut usage.inbox
            } else {
                &mut usage.folders
            };
            part.oldest = match (part.oldest, instant(date)) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
}

fn old(sections: &Sections<'_>, users: &mut BTreeMap<UserName, Usage>) {
    for row in rows(sections, "old") {
        let [user, uid, received, bytes, flags] = row.as_slice() else {
            continue;
        };
        let usage = users.get_mut(&UserName::from(*user));
        let uid = text(uid).and_then(|uid| uid.parse().ok());
        // One of which something is not understood is not listed, and so never moved.
        if let (Some(usage), Some(uid), Some(received), Some(bytes), Some(flags)) =
            (usage, uid, instant(received), number(bytes), text(flags))
        {
            usage.old.push(OldMessage {
                uid,
                received,
                bytes,
                flags: flags.split(' ').map(str::to_owned).collect(),
            });
        }
    }
    for row in rows(sections, "quota") {
        if let [user, _root, b"STORAGE", used, limit, ..] = row.as_slice()
            && let Some(usage) = users.get_mut(&UserName::from(*user))
            && let (Some(used), Some(limit)) = (number(used), number(limit))
        {
            // doveadm-quota(1) counts storage in kibibytes.
            usage.quotas.push(Quota {
                used: used.saturating_mul(1024),
                limit: limit.saturating_mul(1024),
            });
        }
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn number(bytes: &[u8]) -> Option<u64> {
    text(bytes)?.parse().ok()
}

/// `2020-11-02 10:00:00`, in UTC.
fn instant(bytes: &[u8]) -> Option<Timestamp> {
    let time: DateTime = text(bytes)?.parse().ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `spool.sh` said on Debian 13 (Dovecot 2.4.1), with vera's Maildir beside it.
    const ANSWER: &str = "
B inboxes
anna\t/var/mail/anna
vera\t/home/vera/Maildir
nix\t/var/mail/nix

B roots
anna\t/home/anna/mail
vera\t/home/vera/Maildir
nix\t/home/nix/mail

B tops
f\t16097\t/var/mail/anna
d\t4096\t/home/vera/Maildir

B files
6464\t0\t6464\t/home/anna/mail
20\t660\t900\t/home/vera/Maildir

B status
anna\tArchive\t3\t1795528510
anna\tSent\t5\t1795528422
anna\tINBOX\t20\t1795528422
vera\tINBOX\t3\t1795528423
vera\tArchive\t1\t1795528424

B oldest
anna\t2020-11-02 10:00:00\tArchive
anna\t2019-11-02 10:00:00\tSent
anna\t2020-11-02 10:00:00\tINBOX

B old
anna\t1\t2020-11-02 10:00:00\t670\t\\Seen \\Recent Foo
anna\t10\t2020-11-02 10:00:00\t722\t\\Recent

B complaints
doveadm(anna): Error: something

B finished
";

    #[test]
    fn mbox_maildir_and_nothing_are_told_apart() {
        let measured = read(ANSWER.as_bytes(), "B").unwrap();
        let part = |name: &str| {
            let usage = &measured.users[&UserName::from(name)];
            [usage.inbox, usage.folders].map(|part| (part.bytes, part.messages))
        };
        let anna = [(Some(16097), Some(20)), (Some(6464), Some(8))];
        assert_eq!(part("anna"), anna);
        let vera = [(Some(660), Some(3)), (Some(220), Some(1))];
        assert_eq!(part("vera"), vera);
        assert_eq!(part("nix"), [(Some(0), Some(0)), (Some(0), Some(0))]);
        assert_eq!(measured.complaints, ["doveadm(anna): Error: something"]);
        let anna = &measured.users[&UserName::from("anna")];
        let oldest = anna.folders.oldest.unwrap().to_string();
        assert_eq!(oldest, "2019-11-02T10:00:00Z");
        assert_eq!(anna.uidvalidity, Some(1_795_528_422));
        assert!(anna.old[0].flags.contains("\\Seen"));
        assert!(!anna.old[1].flags.contains("\\Seen"));
    }

    #[test]
    fn a_maildir_in_the_spool_is_on_its_file_system_and_not_on_the_one_above() {
        let user = UserName::from("vera");
        let maildir = |path: &str| Usage {
            inbox_path: HostPath::from(path),
            root: HostPath::from(path),
            ..Usage::default()
        };
        let spool = maildir("/var/mail/vera");
        assert_eq!(spool.homes(&user), HostPath::from("/var/mail"));
        assert_eq!(spool.inboxes(&user), HostPath::from("/var/mail"));
        let home = maildir("/home/vera/Maildir");
        assert_eq!(home.homes(&user), HostPath::from("/home"));
    }

    #[test]
    fn what_dovecot_did_not_open_is_unknown_and_not_empty() {
        let unread = ANSWER.replace("anna\tINBOX\t20\t1795528422\n", "");
        let measured = read(unread.as_bytes(), "B").unwrap();
        let anna = &measured.users[&UserName::from("anna")];
        assert_eq!(anna.inbox.bytes, Some(16097));
        assert_eq!((anna.inbox.messages, anna.folders.messages), (None, None));
    }

    #[test]
    fn an_answer_without_its_end_is_none() {
        let cut = ANSWER.replace("B finished\n", "");
        assert!(read(cut.as_bytes(), "B").is_err());
        let words = "\nB words it does not run\n\nB failed start\n";
        let why = read(words.as_bytes(), "B").unwrap_err();
        assert_eq!(why, "Dovecot cannot be asked: it does not run");
    }
}
