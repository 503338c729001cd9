//! What clients remember of one user's mailboxes, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::raw::Raw;

/// Why something could not be read, in the server's words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refusal(pub String);

impl Refusal {
    /// The session ended without an answer; its log may say why.
    pub(super) fn silence() -> Self {
        Self("the session ended before its answers".to_owned())
    }

    /// With what the server's program complained of.
    pub(super) fn because(self, words: &str) -> Self {
        if words.is_empty() {
            self
        } else if self == Self::silence() {
            Self(words.to_owned())
        } else {
            Self(format!("{} ({words})", self.0))
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was asked for, or why there is no answer.
pub type Read<T> = std::result::Result<T, Refusal>;

/// One user's mail as POP3 and IMAP clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The host's clock before the first question, in seconds since 1970. A UIDVALIDITY that is not
    /// older was invented by our asking.
    pub asked: u64,
    /// The POP3 maildrop.
    pub pop3: Read<Maildrop>,
    /// All that IMAP shows.
    pub imap: Read<Folders>,
    /// Whether the server would write to the INBOX; `None` where that was not asked.
    pub inbox: Option<Read<Access>>,
}

/// The maildrop in the order of its message numbers, which is the order of POP3 clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Maildrop {
    /// Message number 1 first.
    pub messages: Vec<Pop3Message>,
}

/// A message in a maildrop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pop3Message {
    /// Its unique id (RFC 1939, UIDL): what a client that leaves mail on the server remembers.
    pub uidl: Box<[u8]>,
    /// Bytes with CRLF line ends (RFC 1939, LIST).
    pub size: u64,
}

/// Folders and subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folders {
    /// All that LIST shows.
    pub folders: BTreeMap<FolderName, Folder>,
    /// All that LSUB shows.
    pub subscriptions: BTreeSet<FolderName>,
}

/// A folder's name as text, with the separators of its hierarchy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FolderName(pub Raw);

impl FolderName {
    /// The name of the folder that POP3 shows. RFC 3501 5.1 knows it in any case of letters, Dovecot
    /// lists it in capitals.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that LIST shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Folder {
    /// It only holds other folders (`\Noselect`).
    Branch,
    /// It holds messages.
    Mailbox(Mailbox),
    /// It was listed and could not be opened or read.
    Unreadable(Refusal),
}

/// What EXAMINE and FETCH tell of a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mailbox {
    /// RFC 3501 2.3.1.1: with another value a client throws away all that it knows of the folder.
    pub uid_validity: u32,
    /// The lowest UID that the next message may get.
    pub uid_next: u32,
    /// By UID, ascending.
    pub messages: Vec<Message>,
}

impl Mailbox {
    /// The messages' bytes.
    pub fn bytes(&self) -> u64 {
        self.messages.iter().map(|message| message.size).sum()
    }

    /// Whether no client has seen this UIDVALIDITY, because it was invented when we asked: Dovecot
    /// gives a folder without one the time of its first opening.
    pub fn never_opened(&self, asked: u64) -> bool {
        u64::from(self.uid_validity) >= asked
    }
}

/// A message in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its UID.
    pub uid: u32,
    /// `RFC822.SIZE`: bytes with CRLF line ends.
    pub size: u64,
    /// `INTERNALDATE` in seconds since 1970: a server writes it in its own time zone.
    pub date: i64,
    /// System flags and keywords.
    pub flags: Arc<Flags>,
}

/// Flags and keywords of a message without `\Recent`, which is no property of the message: it tells
/// one session that it is the first (RFC 3501 2.3.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Flags(pub BTreeSet<Raw>);

impl Flags {
    /// Each as IMAP writes it. The backslash of a system flag is no escape.
    fn shown(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|flag| match flag.as_bytes().strip_prefix(b"\\") {
                Some(name) => format!("\\{}", Raw::from(name)),
                None => flag.to_string(),
            })
    }
}

impl Serialize for Flags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.shown())
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.shown().collect::<Vec<_>>().join(" "))
    }
}

/// How the server opened a mailbox that it was asked to open for writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// `[READ-WRITE]`.
    ReadWrite,
    /// `[READ-ONLY]`: what clients delete or mark is lost without a word.
    ReadOnly,
}

/// A set of UIDs (or POP3 message numbers) in the notation of RFC 3501: `1:5,9`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
}

impl NumberSet {
    /// Adds a number that is greater than all before it.
    pub fn push(&mut self, number: u32) {
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some(_) | None => self.ranges.push((number, number)),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let sizes = self
            .ranges
            .iter()
            .map(|(first, last)| u64::from(last - first) + 1);
        sizes.sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}:{last}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for NumberSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
