//! What a client could notice, one by one, and as sentences.

use std::fmt;

use serde::Serialize;

use super::mailbox::{Flags, FolderName, NumberSet, Refusal};
use crate::names::Side;
use crate::raw::Raw;
use crate::report::counted;

/// Something that a client could notice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Difference {
    /// The maildrop cannot be read there, so nothing about it is proven.
    Pop3Unreadable {
        /// Where.
        side: Side,
        /// The server's words.
        words: Refusal,
    },
    /// All messages have other unique ids though IMAP shows the same: the format differs.
    UidlFormat {
        /// How many messages.
        messages: u64,
        /// The first on the source.
        source: Raw,
        /// The same message's on the target.
        target: Raw,
    },
    /// Messages on the target with unique ids that the source does not have: clients download them.
    UidlNew {
        /// Message numbers on the target.
        numbers: NumberSet,
        /// Their bytes.
        bytes: u64,
    },
    /// Messages of the source whose unique ids the target does not have.
    UidlGone {
        /// Message numbers on the source.
        numbers: NumberSet,
    },
    /// The same unique ids in another order.
    UidlOrder,
    /// The same messages have other sizes in LIST.
    Pop3Size {
        /// Message numbers on the target.
        numbers: NumberSet,
    },
    /// Another number of messages in a maildrop that nobody has opened yet.
    Pop3Count {
        /// On the source.
        source: u64,
        /// On the target.
        target: u64,
    },
    /// IMAP shows nothing of this user there, so nothing is proven.
    ImapUnreadable {
        /// Where.
        side: Side,
        /// The server's words.
        words: Refusal,
    },
    /// A folder is listed on both sides and can be read on the other only.
    FolderUnreadable {
        /// Where it cannot.
        side: Side,
        /// Which.
        folder: FolderName,
        /// The server's words.
        words: Refusal,
    },
    /// A folder of the source that the target does not have.
    FolderMissing {
        /// Which.
        folder: FolderName,
        /// Its messages.
        messages: u64,
    },
    /// A folder that only the target has.
    FolderExtra {
        /// Which.
        folder: FolderName,
        /// Its messages.
        messages: u64,
    },
    /// One side has messages under a name that only holds folders on the other.
    FolderKind {
        /// Which.
        folder: FolderName,
        /// The side where it holds folders only.
        branch_on: Side,
    },
    /// Another UIDVALIDITY: clients throw away what they know of the folder.
    UidValidity {
        /// Which folder.
        folder: FolderName,
        /// On the source.
        source: u32,
        /// On the target.
        target: u32,
    },
    /// A UIDNEXT below the source's: UIDs that clients have seen would be given again.
    UidNext {
        /// Which folder.
        folder: FolderName,
        /// On the source.
        source: u32,
        /// On the target.
        target: u32,
    },
    /// Messages of the source that the target does not have.
    MessagesMissing {
        /// Which folder.
        folder: FolderName,
        /// UIDs.
        uids: NumberSet,
    },
    /// Messages that only the target has: clients fetch them as new.
    MessagesExtra {
        /// Which folder.
        folder: FolderName,
        /// UIDs.
        uids: NumberSet,
    },
    /// Another number of messages where UIDs mean nothing, because UIDVALIDITY differs.
    MessageCount {
        /// Which folder.
        folder: FolderName,
        /// On the source.
        source: u64,
        /// On the target.
        target: u64,
    },
    /// Other sizes.
    Sizes {
        /// Which folder.
        folder: FolderName,
        /// UIDs.
        uids: NumberSet,
    },
    /// Other internal dates.
    Dates {
        /// Which folder.
        folder: FolderName,
        /// UIDs.
        uids: NumberSet,
        /// By how many seconds all are later on the target, if it is the same for all: whole hours
        /// mean another time zone.
        later: Option<i64>,
    },
    /// Other flags or keywords.
    Flags {
        /// Which folder.
        folder: FolderName,
        /// UIDs of those that have these flags on the source and those on the target.
        uids: NumberSet,
        /// On the source.
        source: Flags,
        /// On the target.
        target: Flags,
    },
    /// A subscription of the source that the target does not have.
    SubscriptionMissing {
        /// To which folder.
        folder: FolderName,
    },
    /// A subscription that only the target has.
    SubscriptionExtra {
        /// To which folder.
        folder: FolderName,
    },
    /// The target opens the INBOX for reading only: what clients delete or mark is lost silently.
    InboxReadOnly,
    /// The target does not open the INBOX for writing.
    InboxRefused {
        /// The server's words.
        words: Refusal,
    },
}

impl Difference {
    /// The sentence, where what counts is on `from`: there the source of a comparison is that host, and
    /// its target the other one.
    pub const fn counted_on(&self, from: Side) -> Told<'_> {
        Told {
            difference: self,
            from,
        }
    }
}

/// A difference in the words of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    difference: &'a Difference,
    from: Side,
}

impl Told<'_> {
    /// Which host a side of the comparison is.
    fn host(&self, side: Side) -> Side {
        match side {
            Side::Source => self.from,
            Side::Target => self.from.other(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counted_on(Side::Source).fmt(f)
    }
}

impl fmt::Display for Told<'_> {
    #[expect(clippy::too_many_lines, reason = "a sentence for each, and no more")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (here, there) = (self.from.other(), self.from);
        match self.difference {
            Difference::Pop3Unreadable { side, words } => {
                write!(f, "POP3 on the {}: {words}", self.host(*side))
            }
            Difference::UidlFormat {
                messages,
                source,
                target,
            } => write!(
                f,
                "POP3: other UIDLs for {}: {source} -> {target} (another pop3_uidl_format?)",
                plural(*messages, "message")
            ),
            Difference::UidlNew { numbers, .. } => write!(
                f,
                "POP3: {} with UIDLs that the {there} does not have: {numbers}",
                plural(numbers.count(), "message")
            ),
            Difference::UidlGone { numbers } => write!(
                f,
                "POP3: UIDLs of {} are gone: {numbers} of the {there}",
                plural(numbers.count(), "message")
            ),
            Difference::UidlOrder => f.write_str("POP3: the same messages in another order"),
            Difference::Pop3Size { numbers } => write!(f, "POP3: other sizes: {numbers}"),
            Difference::Pop3Count { source, target } => {
                write!(f, "POP3: messages: {source} -> {target}")
            }
            Difference::ImapUnreadable { side, words } => {
                write!(f, "IMAP on the {}: {words}", self.host(*side))
            }
            Difference::FolderUnreadable {
                side,
                folder,
                words,
            } => {
                let side = self.host(*side);
                write!(f, "{folder}: cannot be read on the {side}: {words}")
            }
            Difference::FolderMissing { folder, messages } => {
                write!(
                    f,
                    "{folder}: missing on the {here}, with {}",
                    plural(*messages, "message")
                )
            }
            Difference::FolderExtra { folder, messages } => {
                write!(
                    f,
                    "{folder}: only on the {here}, with {}",
                    plural(*messages, "message")
                )
            }
            Difference::FolderKind { folder, branch_on } => {
                let side = self.host(*branch_on);
                write!(f, "{folder}: holds no messages on the {side}")
            }
            Difference::UidValidity {
                folder,
                source,
                target,
            } => {
                write!(f, "{folder}: UIDVALIDITY: {source} -> {target}")
            }
            Difference::UidNext {
                folder,
                source,
                target,
            } => {
                write!(f, "{folder}: UIDNEXT: {source} -> {target}")
            }
            Difference::MessagesMissing { folder, uids } => write!(
                f,
                "{folder}: {} missing on the {here}: UID {uids}",
                plural(uids.count(), "message")
            ),
            Difference::MessagesExtra { folder, uids } => write!(
                f,
                "{folder}: {} only on the {here}: UID {uids}",
                plural(uids.count(), "message")
            ),
            Difference::MessageCount {
                folder,
                source,
                target,
            } => {
                write!(f, "{folder}: messages: {source} -> {target}")
            }
            Difference::Sizes { folder, uids } => write!(f, "{folder}: other sizes: UID {uids}"),
            Difference::Dates {
                folder,
                uids,
                later: Some(later),
            } => {
                write!(f, "{folder}: dates later by {later} s: UID {uids}")
            }
            Difference::Dates {
                folder,
                uids,
                later: None,
            } => {
                write!(f, "{folder}: other dates: UID {uids}")
            }
            Difference::Flags {
                folder,
                uids,
                source,
                target,
            } => {
                write!(f, "{folder}: flags: {source} -> {target}: UID {uids}")
            }
            Difference::SubscriptionMissing { folder } => {
                write!(f, "{folder}: no longer subscribed")
            }
            Difference::SubscriptionExtra { folder } => {
                write!(f, "{folder}: subscribed on the {here} only")
            }
            Difference::InboxReadOnly => write!(
                f,
                "INBOX: the {here} cannot write it: what clients delete or mark is lost silently"
            ),
            Difference::InboxRefused { words } => {
                write!(f, "INBOX: not opened for writing: {words}")
            }
        }
    }
}

fn plural(count: u64, one: &str) -> String {
    counted(count, one, &format!("{one}s"))
}
