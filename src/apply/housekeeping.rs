//! Old messages leave the INBOX: copied by Dovecot, found again in the folder as they were, and only
//! then expunged.
//!
//! A run or a `doveadm` that is killed anywhere leaves each message in one place at least, and a record
//! ([`Begun`]) with which the next run tells which copies are its own: none is lost, and none stays
//! twice. Dovecot keeps a message's GUID when it copies it, so bodies are not compared.

use std::collections::{BTreeMap, BTreeSet};

use super::execute::Context;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::host::probe::{Answer, Folder, Messages};
use crate::host::{Command, Host, Probe};
use crate::plan::change::MessageMove;
use crate::raw::escape;
use crate::report::Event;
use crate::resource::spool::begun::{BEGUN_VERSION, Begun, Copied};
use crate::resource::spool::uids;

const INBOX: &str = "INBOX";

/// doveadm's exit status where there is no such folder (`DOVEADM_EX_NOTFOUND`); any other but 0 says
/// nothing of folders: it is 75 where nobody answers for users.
const NOT_FOUND: i32 = 68;

/// Ends what a run left half-done for this user, then moves what the plan says.
pub(super) fn perform(context: &Context<'_>, planned: &MessageMove) -> Result<()> {
    let name = &context.run.plan.manifest.name;
    let target = context.run.target;
    let mailbox = Mailbox::of(target, planned)?;
    if let Some(begun) = Begun::read(target, name, &planned.user)? {
        mailbox.finish(context, begun)?;
    }
    let inbox = mailbox.state(INBOX)?;
    let left = match inbox {
        Some(state) if state.uidvalidity == planned.uidvalidity => {
            mailbox.messages(INBOX, &planned.uids)?
        }
        _ if planned.uids.is_empty() => Vec::new(),
        _ => {
            let what = format!(
                "the INBOX of {} is not the one that was planned for",
                planned.user
            );
            return Err(Error::new(Kind::Host, what).hint("plan again"));
        }
    };
    if left.is_empty() {
        return Ok(());
    }
    let folder = mailbox.folder(&planned.folder)?;
    let begun = Begun {
        version: BEGUN_VERSION,
        user: planned.user.clone(),
        uidvalidity: planned.uidvalidity,
        uids: set(&left),
        folder: planned.folder.clone(),
        folder_uidvalidity: folder.uidvalidity,
        uidnext: folder.uidnext,
        attempts: 0,
        paths: planned.paths.clone(),
        copied: Copied::NotYet,
    };
    mailbox.finish(context, begun)
}

/// What tells a message from all others, wherever it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Print {
    guid: Vec<u8>,
    size: Vec<u8>,
    received: Vec<u8>,
}

struct Message {
    uid: u32,
    print: Print,
    /// Without `\Recent`, which belongs to a session.
    flags: BTreeSet<Vec<u8>>,
}

struct State {
    uidvalidity: u32,
    uidnext: u32,
}

/// Somebody's folders on the target.
struct Mailbox<'a> {
    target: &'a dyn Host,
    user: String,
}

impl<'a> Mailbox<'a> {
    fn of(target: &'a dyn Host, planned: &MessageMove) -> Result<Self> {
        let user = given(planned.user.as_bytes()).ok_or_else(|| {
            let what = format!("{} is a name that doveadm cannot be given", planned.user);
            Error::new(Kind::Host, what).hint("add it to spool.housekeeping.exclude")
        })?;
        Ok(Self {
            target,
            user: user.to_owned(),
        })
    }

    /// Brings a move to its end, from wherever it stopped.
    fn finish(&self, context: &Context<'_>, mut begun: Begun) -> Result<()> {
        let name = &context.run.plan.manifest.name;
        let inbox = self.state(INBOX)?;
        let inbox = inbox.filter(|inbox| inbox.uidvalidity == begun.uidvalidity);
        let folder = self.state(&begun.folder)?;
        let folder = folder.filter(|folder| folder.uidvalidity == begun.folder_uidvalidity);
        let (Some(_), Some(folder)) = (inbox, folder) else {
            let text = format!(
                "the INBOX or {} of {} is another one since a run moved messages and died: what it \
                 copied may be in both",
                begun.folder, begun.user
            );
            context.run.reporter.event(&Event::Warning { text });
            return begun.remove(self.target, name);
        };
        if begun.copied == Copied::NotYet {
            begun.attempts += 1;
            begun.write(self.target, name)?;
            failpoint::hit("housekeeping:begun");
            begun.uids = self.copy(&begun, folder.uidnext)?;
            begun.uidnext = folder.uidnext;
            let paths = begun.paths.iter().cloned().collect();
            self.target.sync(&paths)?;
            begun.copied = Copied::All;
            begun.write(self.target, name)?;
            failpoint::hit("housekeeping:copied");
        }
        self.clear_inbox(&begun)?;
        failpoint::hit("housekeeping:expunged");
        begun.remove(self.target, name)
    }

    /// Has every message of the INBOX that is there still in the folder once, as it is, from UID
    /// `uidnext` on; their UIDs.
    fn copy(&self, begun: &Begun, uidnext: u32) -> Result<String> {
        let mut earlier = Vec::new();
        if begun.attempts > 1 {
            earlier = self.since(&begun.folder, begun.uidnext)?;
            earlier.retain(|message| message.uid < uidnext);
        }
        let from = self.messages(INBOX, &begun.uids)?;
        for uids in uids::pieces(&set(&from)) {
            let (user, folder) = (self.user.clone(), begun.folder.clone());
            self.run(&Command::CopyMessages { user, folder, uids })?;
            failpoint::hit("housekeeping:piece");
        }
        let from = self.messages(INBOX, &begun.uids)?;
        let missing = missing(&from, &self.since(&begun.folder, uidnext)?);
        if missing.is_empty() {
            // What a run that died has copied is not trusted: of a copy that a kill cut short Dovecot
            // may still say what the whole one was. Only now may it go: a client may have moved a
            // message here meanwhile, and what was taken for a copy of it would be all there is.
            let earlier = copies(&from, &earlier, begun.attempts as usize - 1);
            self.expunge(&begun.folder, &earlier)?;
            return Ok(set(&from));
        }
        let what = format!(
            "messages {missing} of {} are not in {} as they are in the INBOX; none was taken out of it",
            self.user, begun.folder
        );
        Err(Error::new(Kind::Verification, what).hint(
            "the mail log of the target says more; run `reconcile apply` again to go on from here",
        ))
    }

    /// Takes the messages that are in the folder out of the INBOX.
    fn clear_inbox(&self, begun: &Begun) -> Result<()> {
        let mut there: BTreeMap<Print, usize> = BTreeMap::new();
        for message in self.since(&begun.folder, begun.uidnext)? {
            *there.entry(message.print).or_default() += 1;
        }
        let mut from = self.messages(INBOX, &begun.uids)?;
        // One whose copy somebody took away meanwhile stays.
        from.retain(|message| take(&mut there, &message.print));
        let uids = set(&from);
        self.expunge(INBOX, &uids)?;
        let left = set(&self.messages(INBOX, &uids)?);
        if left.is_empty() {
            return Ok(());
        }
        let what = format!("messages {left} of {} are in the INBOX still", self.user);
        Err(Error::new(Kind::Verification, what).hint(
            "the mail log of the target says why it cannot be written; \
             they are in both places until `reconcile apply` has run again",
        ))
    }

    /// The folder, made if it is not there.
    fn folder(&self, name: &str) -> Result<State> {
        if let Some(state) = self.state(name)? {
            return Ok(state);
        }
        let (user, folder) = (self.user.clone(), name.to_owned());
        self.run(&Command::CreateFolder { user, folder })?;
        self.state(name)?.ok_or_else(|| {
            let what = format!("{name} of {} was made, and is not there", self.user);
            Error::new(Kind::Verification, what)
        })
    }

    /// `None` where there is no such folder.
    fn state(&self, folder: &str) -> Result<Option<State>> {
        let probe = Probe::Folder(Folder {
            user: self.user.clone(),
            folder: folder.to_owned(),
        });
        let answer = self.ask(&probe)?;
        if answer.status == Some(NOT_FOUND) {
            return Ok(None);
        }
        let rows = self.rows(&answer)?;
        let row = rows.first().map_or(&[][..], Vec::as_slice);
        state(row).map(Some).ok_or_else(|| {
            let row = escape(&row.join(&b'\t'));
            let what = format!("doveadm said of {folder} of {}: {row}", self.user);
            Error::new(Kind::Malformed, what)
        })
    }

    /// What came into a folder since this was its next UID.
    fn since(&self, folder: &str, uidnext: u32) -> Result<Vec<Message>> {
        let mut messages = self.messages(folder, &format!("{uidnext}:*"))?;
        // In IMAP `9:*` is the last message where there is no ninth.
        messages.retain(|message| message.uid >= uidnext);
        Ok(messages)
    }

    fn messages(&self, folder: &str, set: &str) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        for uids in uids::pieces(set) {
            let probe = Probe::Messages(Messages {
                user: self.user.clone(),
                folder: folder.to_owned(),
                uids,
            });
            for row in self.rows(&self.ask(&probe)?)? {
                messages.push(message(&row).ok_or_else(|| {
                    let row = escape(&row.join(&b'\t'));
                    let what = format!("doveadm said of a message of {}: {row}", self.user);
                    Error::new(Kind::Malformed, what)
                })?);
            }
        }
        Ok(messages)
    }

    fn expunge(&self, folder: &str, set: &str) -> Result<()> {
        for uids in uids::pieces(set) {
            let (user, folder) = (self.user.clone(), folder.to_owned());
            self.run(&Command::ExpungeMessages { user, folder, uids })?;
        }
        Ok(())
    }

    fn run(&self, command: &Command) -> Result<()> {
        let answer = self.target.run(command)?;
        if answer.status == Some(0) {
            return Ok(());
        }
        Err(answer.refusal(&format!("`{command}`"), &self.target.label()))
    }

    fn ask(&self, probe: &Probe) -> Result<Answer> {
        self.target.probe(probe)?.ok_or_else(|| {
            let what = format!("doveadm on {} does not answer", self.target.label());
            Error::new(Kind::Host, what)
        })
    }

    /// The rows of an answer in tab format, without its head.
    fn rows(&self, answer: &Answer) -> Result<Vec<Vec<Vec<u8>>>> {
        if answer.status != Some(0) {
            let what = format!("asking for messages of {}", self.user);
            return Err(answer.refusal(&what, &self.target.label()));
        }
        let lines = answer.stdout.split(|&byte| byte == b'\n').skip(1);
        let rows = lines.filter(|line| !line.is_empty());
        let fields = |line: &[u8]| line.split(|&b| b == b'\t').map(<[u8]>::to_vec).collect();
        Ok(rows.map(fields).collect())
    }
}

/// A name as doveadm takes it after `-u`, where `*` and `?` stand for other users.
fn given(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.contains(['*', '?'])).then_some(name)
}

/// doveadm names the folder first, and orders what it was asked for in its own way.
fn state(row: &[Vec<u8>]) -> Option<State> {
    let [_, uidnext, uidvalidity] = row else {
        return None;
    };
    Some(State {
        uidvalidity: number(uidvalidity)?,
        uidnext: number(uidnext)?,
    })
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn message(row: &[Vec<u8>]) -> Option<Message> {
    let [uid, guid, size, received, flags] = row else {
        return None;
    };
    let flags = flags.split(|&byte| byte == b' ');
    let flags = flags.filter(|flag| !flag.is_empty() && *flag != b"\\Recent");
    Some(Message {
        uid: number(uid)?,
        print: Print {
            guid: guid.clone(),
            size: size.clone(),
            received: received.clone(),
        },
        flags: flags.map(<[u8]>::to_vec).collect(),
    })
}

fn set<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let mut uids: Vec<u32> = messages.into_iter().map(|message| message.uid).collect();
    uids.sort_unstable();
    uids::write(&uids)
}

/// Takes one of a kind.
fn take<K: Ord>(stock: &mut BTreeMap<K, usize>, kind: &K) -> bool {
    match stock.get_mut(kind) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// Messages of the INBOX of which no copy is as they are.
fn missing(from: &[Message], there: &[Message]) -> String {
    let mut copies: BTreeMap<(&Print, &BTreeSet<Vec<u8>>), usize> = BTreeMap::new();
    for copy in there {
        *copies.entry((&copy.print, &copy.flags)).or_default() += 1;
    }
    let mut missing = Vec::new();
    for message in from {
        if !take(&mut copies, &(&message.print, &message.flags)) {
            missing.push(message);
        }
    }
    set(missing)
}

/// Copies of messages of the INBOX, so many of each at most.
fn copies(from: &[Message], there: &[Message], times: usize) -> String {
    let mut guids: BTreeMap<&[u8], usize> = BTreeMap::new();
    for message in from {
        *guids.entry(&message.print.guid).or_default() += times;
    }
    let mut copies = Vec::new();
    for copy in there {
        if take(&mut guids, &copy.print.guid.as_slice()) {
            copies.push(copy);
        }
    }
    set(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &[&str]) -> Vec<Message> {
        let fields = |row: &&str| row.split('\t').map(|f| f.as_bytes().to_vec()).collect();
        let rows = rows.iter().map(fields).collect::<Vec<Vec<_>>>();
        rows.iter().map(|row| message(row).unwrap()).collect()
    }

    /// As doveadm of 2.3.19 and of 2.4.1 shows them.
    const INBOX_ROWS: [&str; 3] = [
        "1\t7b69\t725\t2020-11-02 10:00:00\t\\Seen \\Recent Foo",
        "2\tf821\t725\t2020-11-02 10:00:00\t\\Seen",
        "3\tf821\t725\t2020-11-02 10:00:00\t\\Seen",
    ];

    fn missing_from(there: &[&str]) -> String {
        missing(&read(&INBOX_ROWS), &read(there))
    }

    fn copies_in(there: &[&str], times: usize) -> String {
        copies(&read(&INBOX_ROWS), &read(there), times)
    }

    #[test]
    fn each_message_needs_a_copy_of_its_own() {
        assert_eq!(missing_from(&[]), "1:3");
        let there = [
            "11\tf821\t725\t2020-11-02 10:00:00\t\\Seen",
            "12\t7b69\t725\t2020-11-02 10:00:00\tFoo \\Seen \\Recent",
        ];
        assert_eq!(missing_from(&there), "3");
        let all = [
            there[0],
            there[1],
            "13\tf821\t725\t2020-11-02 10:00:00\t\\Seen",
        ];
        assert_eq!(missing_from(&all), "");
    }

    #[test]
    fn a_copy_that_is_not_as_the_message_is_does_not_count() {
        let torn = ["11\t7b69\t300\t2020-11-02 10:00:00\t\\Seen Foo"];
        assert_eq!(missing_from(&torn), "1:3");
        let flags = ["11\t7b69\t725\t2020-11-02 10:00:00\t\\Seen"];
        assert_eq!(missing_from(&flags), "1:3");
    }

    #[test]
    fn what_a_dead_run_copied_is_found_and_what_others_put_there_is_left_alone() {
        let there = [
            "11\tdddd\t725\t2020-11-02 10:00:00\t\\Seen",
            "12\t7b69\t300\t2020-11-02 10:00:00\t",
            "13\t7b69\t725\t2020-11-02 10:00:00\t\\Seen Foo",
            "14\tf821\t725\t2020-11-02 10:00:00\t\\Seen",
        ];
        // The second of a message that is there once is somebody's own.
        assert_eq!(copies_in(&there, 1), "12,14");
        assert_eq!(copies_in(&there, 2), "12:14");
        assert_eq!(copies_in(&there, 0), "");
        assert_eq!(copies_in(&there[..1], 1), "");
    }

    #[test]
    fn a_name_that_stands_for_other_users_is_not_given_to_doveadm() {
        assert_eq!(given(b"-anna"), Some("-anna"));
        for name in [&b"ann*"[..], b"ann?", b"caf\xe9"] {
            assert_eq!(given(name), None);
        }
    }
}
