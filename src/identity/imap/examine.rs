//! The answers to EXAMINE and UID FETCH of each folder, in the order of its LIST.
//!
//! Every folder is opened: STATUS is answered from an index and knows nothing of a mailbox that is
//! gone or cannot be read. All commands were sent at once; a command that opens another mailbox waits
//! for those before it, so that answers come in the order of the folders, and one that does not is
//! no answer.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::list::{Listed, Opens};
use super::{Completion, Token, Tokens, completion, number};
use crate::identity::mailbox::{
    Flags, Folder, FolderName, Folders, Mailbox, Message, Read, Refusal,
};
use crate::raw::Raw;

/// More messages than one user has: 10 million of them are half a gigabyte here.
const MOST_MESSAGES: usize = 10_000_000;

/// So far.
#[derive(Debug)]
pub(in crate::identity) struct Session {
    done: Folders,
    /// Folders that are still to come, with their numbers.
    left: VecDeque<(usize, FolderName)>,
    /// What was said since the last folder.
    open: Opening,
    flags: HashMap<Vec<u8>, Arc<Flags>>,
    messages: usize,
    broken: Option<String>,
}

#[derive(Debug, Default)]
struct Opening {
    /// The end of EXAMINE.
    opened: Option<Completion>,
    exists: Option<u32>,
    expunged: u32,
    mailbox: Mailbox,
}

impl Session {
    /// A session in which the folders of a LIST are opened.
    pub(in crate::identity) fn new(listed: Listed) -> Self {
        let mut done = Folders {
            subscriptions: listed.subscriptions,
            ..Folders::default()
        };
        let mut left = VecDeque::new();
        for (number, (name, opens)) in listed.folders.into_iter().enumerate() {
            match opens {
                Opens::Yes => left.push_back((number, name)),
                Opens::No => drop(done.folders.insert(name, Folder::Branch)),
            }
        }
        Self {
            done,
            left,
            open: Opening::default(),
            flags: HashMap::new(),
            messages: 0,
            broken: None,
        }
    }

    /// Takes a line without its end.
    pub(in crate::identity) fn line(&mut self, line: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        if let Some(rest) = line.strip_prefix(b"* ") {
            if self.untagged(rest).is_none() {
                self.breaks(line);
            }
            return;
        }
        let Some((number, _)) = self.left.front() else {
            return;
        };
        let (examine, fetch) = (format!("E{number}"), format!("F{number}"));
        match (&self.open.opened, completion(line, &examine)) {
            (None, Some(end)) => self.open.opened = Some(end),
            _ => match completion(line, &fetch) {
                Some(end) if self.open.opened.is_some() => self.finish(end),
                _ => self.breaks(line),
            },
        }
    }

    /// `None` if the line is not understood.
    fn untagged(&mut self, rest: &[u8]) -> Option<()> {
        if let Some(code) = rest.strip_prefix(b"OK [") {
            let code = code.split(|&byte| byte == b']').next()?;
            if let Some(value) = code.strip_prefix(b"UIDVALIDITY ") {
                self.open.mailbox.uid_validity = number(value)?;
            } else if let Some(value) = code.strip_prefix(b"UIDNEXT ") {
                self.open.mailbox.uid_next = number(value)?;
            }
            return Some(());
        }
        let mut tokens = Tokens(rest);
        let Some(Token::Atom(first)) = tokens.next() else {
            return Some(());
        };
        let Some(count) = number(first) else {
            return Some(());
        };
        match tokens.next()? {
            Token::Atom(b"EXISTS") => {
                // Of several, the first is the one of the opening.
                self.open.exists.get_or_insert(count);
            }
            Token::Atom(b"EXPUNGE") => self.open.expunged += 1,
            Token::Atom(b"FETCH") => self.fetched(tokens)?,
            _ => {}
        }
        Some(())
    }

    fn fetched(&mut self, mut tokens: Tokens<'_>) -> Option<()> {
        let (mut uid, mut size, mut date, mut flags) = (None, None, None, None);
        (tokens.next()? == Token::Open).then_some(())?;
        loop {
            match tokens.next()? {
                Token::Close => break,
                Token::Atom(b"UID") => uid = Some(atom(&mut tokens)?),
                Token::Atom(b"RFC822.SIZE") => size = Some(atom(&mut tokens)?),
                Token::Atom(b"INTERNALDATE") => match tokens.next()? {
                    Token::Quoted(text) => date = Some(date_time(text)?),
                    _ => return None,
                },
                Token::Atom(b"FLAGS") => flags = Some(self.flag_list(&mut tokens)?),
                // `MODSEQ (17)`, where a client made the server keep it.
                Token::Atom(_) => skip_value(&mut tokens)?,
                Token::Open | Token::Quoted(_) => return None,
            }
        }
        let messages = &mut self.open.mailbox.messages;
        match (uid, size, date, flags) {
            (Some(uid), Some(size), Some(date), Some(flags)) => {
                // UIDs ascend strictly (RFC 3501 2.3.1.1).
                let follows = messages.last().is_none_or(|last| last.uid < uid);
                self.messages += 1;
                (follows && self.messages <= MOST_MESSAGES).then_some(())?;
                messages.push(Message {
                    uid,
                    size,
                    date,
                    flags,
                });
            }
            // Another session changed the flags while we read.
            (Some(uid), None, None, Some(flags)) => {
                if let Ok(at) = messages.binary_search_by_key(&uid, |message| message.uid) {
                    messages[at].flags = flags;
                }
            }
            (None, None, None, _) => {}
            _ => return None,
        }
        Some(())
    }

    /// Few combinations of flags occur, each many times.
    fn flag_list(&mut self, tokens: &mut Tokens<'_>) -> Option<Arc<Flags>> {
        let before = tokens.0;
        let mut list = BTreeSet::new();
        let length = before.iter().position(|&byte| byte == b')')? + 1;
        if let Some(known) = self.flags.get(&before[..length]) {
            tokens.0 = &before[length..];
            return Some(Arc::clone(known));
        }
        (tokens.next()? == Token::Open).then_some(())?;
        loop {
            match tokens.next()? {
                Token::Close => break,
                Token::Atom(flag) if flag.eq_ignore_ascii_case(b"\\Recent") => {}
                Token::Atom(flag) => drop(list.insert(Raw::from(flag))),
                Token::Open | Token::Quoted(_) => return None,
            }
        }
        let flags = Arc::new(Flags(list));
        self.flags
            .insert(before[..length].to_vec(), Arc::clone(&flags));
        Some(flags)
    }

    fn finish(&mut self, fetch: Completion) {
        let Some((_, name)) = self.left.pop_front() else {
            return;
        };
        let open = std::mem::take(&mut self.open);
        let fewest = open.exists.unwrap_or(0).saturating_sub(open.expunged);
        let read = open.mailbox.messages.len();
        let folder = match (open.opened, fetch) {
            (Some(Completion::Refused(words)), _) | (_, Completion::Refused(words)) => {
                Folder::Unreadable(Refusal(words))
            }
            _ if open.exists.is_none() || open.mailbox.uid_validity == 0 => {
                Folder::Unreadable(Refusal("opened without its UIDVALIDITY".to_owned()))
            }
            _ if read < fewest as usize => Folder::Unreadable(Refusal(format!(
                "{fewest} messages are there and {read} can be read"
            ))),
            _ => Folder::Mailbox(open.mailbox),
        };
        self.done.folders.insert(name, folder);
    }

    fn breaks(&mut self, line: &[u8]) {
        self.broken = Some(crate::raw::escape(&line[..line.len().min(300)]));
    }

    /// Whether everything was answered, or refused.
    pub(in crate::identity) fn is_whole(&self) -> bool {
        self.broken.is_some() || self.left.is_empty()
    }

    /// The end of the session.
    pub(in crate::identity) fn end(self, words: &str) -> Read<Folders> {
        match (self.broken, self.left.front()) {
            (Some(line), _) => Err(Refusal(format!("not understood: {line}"))),
            (None, None) => Ok(self.done),
            (None, Some((_, name))) => {
                Err(Refusal(format!("the session ended at folder {name}")).because(words))
            }
        }
    }
}

fn atom<N: std::str::FromStr>(tokens: &mut Tokens<'_>) -> Option<N> {
    match tokens.next()? {
        Token::Atom(atom) => number(atom),
        Token::Open | Token::Close | Token::Quoted(_) => None,
    }
}

fn skip_value(tokens: &mut Tokens<'_>) -> Option<()> {
    let mut depth = 0_usize;
    loop {
        match tokens.next()? {
            Token::Open => depth += 1,
            Token::Close => depth = depth.checked_sub(1)?,
            Token::Atom(_) | Token::Quoted(_) => {}
        }
        if depth == 0 {
            return Some(());
        }
    }
}

/// RFC 3501 date-time, `" 1-Feb-2020 03:04:05 +0200"`, in seconds since 1970.
fn date_time(text: &[u8]) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.is_ascii())?;
    let (date, rest) = text.trim_start().split_once(' ')?;
    let (time, zone) = rest.split_once(' ')?;
    let mut date = date.split('-');
    let day = date.next()?.parse().ok()?;
    let month = date.next()?;
    let month = i8::try_from(MONTHS.iter().position(|&name| name == month)? + 1).ok()?;
    let year = date.next()?.parse().ok()?;
    let mut time = time.split(':').map(|part| part.parse().ok());
    let mut part = || time.next().flatten();
    let civil = jiff::civil::DateTime::new(year, month, day, part()?, part()?, part()?, 0).ok()?;
    let minutes: i32 = zone.get(3..5)?.parse().ok()?;
    let hours: i32 = zone.get(1..3)?.parse().ok()?;
    let east = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let offset = jiff::tz::Offset::from_seconds(east * (hours * 3600 + minutes * 60)).ok()?;
    Some(offset.to_timestamp(civil).ok()?.as_second())
}

#[cfg(test)]
mod tests;
