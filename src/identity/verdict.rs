//! What a comparison found: differences, notes, and what they cost clients. Plain data.

use std::fmt;

use serde::Serialize;

use super::difference::Difference;
use super::mailbox::{FolderName, Refusal};
use crate::names::UserName;

/// Something that a person should know, and no client can notice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Note {
    /// No client has opened this folder on the source, so none remembers anything of it.
    NeverOpened {
        /// Which.
        folder: FolderName,
    },
    /// It is listed on both sides and cannot be read on either: no mailbox, perhaps.
    UnreadableOnBoth {
        /// Which.
        folder: FolderName,
        /// The target's words.
        words: Refusal,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverOpened { folder } => {
                write!(f, "{folder}: no client has opened it on the source yet")
            }
            Self::UnreadableOnBoth { folder, words } => {
                write!(f, "{folder}: cannot be read on either side: {words}")
            }
        }
    }
}

/// Messages that clients would transfer again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Again {
    /// Folders whose content is not what clients remember; 1 for POP3.
    pub folders: u64,
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Again {
    /// Whether there are none.
    pub fn is_nothing(&self) -> bool {
        self.folders == 0
    }
}

/// What was found about one user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct UserVerdict {
    /// Who.
    pub user: UserName,
    /// Messages in the source's maildrop.
    pub pop3_messages: u64,
    /// Those of them with the same unique id on the target, or that nobody has seen yet.
    pub same_uidls: u64,
    /// Folders on the source that hold messages, or could.
    pub folders: u64,
    /// Messages in them.
    pub imap_messages: u64,
    /// All that a client could notice.
    pub differences: Vec<Difference>,
    /// What else is to be known.
    pub notes: Vec<Note>,
    /// What POP3 clients that leave mail on the server would download again.
    pub download: Again,
    /// What IMAP clients would fetch again.
    pub resync: Again,
}

impl UserVerdict {
    /// Whether clients see the same mailbox.
    pub fn identical(&self) -> bool {
        self.differences.is_empty()
    }
}

/// What was found about all users.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// Users that were compared.
    pub users: u64,
    /// Those with differences.
    pub differing: u64,
    /// Differences in all.
    pub differences: u64,
    /// Messages in the source's maildrops.
    pub pop3_messages: u64,
    /// Folders on the source.
    pub folders: u64,
    /// Messages in them.
    pub imap_messages: u64,
    /// Users whose POP3 clients would download again.
    pub download_users: u64,
    /// What they would download.
    pub download: Again,
    /// Users whose IMAP clients would fetch again.
    pub resync_users: u64,
    /// What they would fetch.
    pub resync: Again,
}

impl Summary {
    /// Adds a user.
    pub fn add(&mut self, verdict: &UserVerdict) {
        self.users += 1;
        self.differing += u64::from(!verdict.identical());
        self.differences += verdict.differences.len() as u64;
        self.pop3_messages += verdict.pop3_messages;
        self.folders += verdict.folders;
        self.imap_messages += verdict.imap_messages;
        self.download_users += u64::from(!verdict.download.is_nothing());
        self.resync_users += u64::from(!verdict.resync.is_nothing());
        for (sum, more) in [
            (&mut self.download, verdict.download),
            (&mut self.resync, verdict.resync),
        ] {
            sum.folders += more.folders;
            sum.messages += more.messages;
            sum.bytes += more.bytes;
        }
    }
}
