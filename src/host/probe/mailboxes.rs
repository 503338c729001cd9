//! The question for mailboxes as clients see them, and the scripts that answer it.
//!
//! One long-lived program reads all users, because a probe for each would cost a round trip for
//! each. What its answer means is the business of [`crate::identity`]; that nothing is changed is
//! the business of the scripts:
//!
//! - `ask.sh` finds out whether Dovecot serves, and chooses;
//! - `world.sh` makes mount and pid namespaces in which every file system is covered by an overlay
//!   with its upper layer in memory: opening an incomplete copy of a mailbox destroys its identity
//!   (a Dovecot that finds an index without its mbox expunges every UID from it), so what is written
//!   there must never reach a disk;
//! - `read.sh` asks `imap` and `pop3` of the server for each user, there after a start of Dovecot
//!   without listeners;
//! - `spool.sh` measures them in such a world: sizes of files, numbers of messages and dates, as
//!   [`crate::resource::spool`] wants them.

use serde::{Deserialize, Serialize};

use crate::error::{Doing as _, Kind, Result};

const ASK: &str = include_str!("mailboxes/ask.sh");
const WORLD: &str = include_str!("mailboxes/world.sh");
const READ: &str = include_str!("mailboxes/read.sh");
const SPOOL: &str = include_str!("mailboxes/spool.sh");

/// How the server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As one more login, where Dovecot serves: its effects are those of a client that logs in and
    /// looks. Where Dovecot is stopped, as in [`Way::Aside`].
    Client,
    /// Never through a server that serves: the copy there may be incomplete. Refused where one does.
    Aside,
}

/// Whether the INBOX is opened for writing after everything else was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inbox {
    /// It is: the server then says whether it could write. Through a server that serves this takes
    /// `\Recent` from new messages, as any client does.
    Select,
    /// It is not.
    Leave,
}

/// What mail clients would see of the users' mailboxes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mailboxes {
    /// What every line begins with that is not the server's: random, so that no mailbox can hold it.
    /// Letters and digits.
    pub boundary: String,
    /// How.
    pub way: Way,
    /// Whether also for writing.
    pub inbox: Inbox,
    /// The users, one a line: number, name, home and spool file, with tabs between.
    pub users: Vec<u8>,
}

impl Mailboxes {
    pub(super) fn argv(&self) -> Vec<String> {
        let way = match self.way {
            Way::Client => "client",
            Way::Aside => "aside",
        };
        let inbox = match self.inbox {
            Inbox::Select => "select",
            Inbox::Leave => "leave",
        };
        let words = [
            "/bin/sh",
            "-c",
            ASK,
            "sh",
            READ,
            WORLD,
            &self.boundary,
            way,
            inbox,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// How much mail users have, asked in a world of its own (`world.sh`) beside a server that serves:
/// nothing of what Dovecot writes while it answers reaches a disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Measure {
    /// As in [`Mailboxes`].
    pub boundary: String,
    /// List the messages of each INBOX that were received before this day (`YYYY-MM-DD`), too.
    pub before: Option<String>,
    /// The users, one a line: number and name, with a tab between.
    pub users: Vec<u8>,
}

impl Measure {
    pub(super) fn argv(&self) -> Vec<String> {
        let before = self.before.as_deref().unwrap_or("-");
        let words = [
            "/bin/sh",
            "-c",
            ASK,
            "sh",
            SPOOL,
            WORLD,
            &self.boundary,
            "beside",
            before,
        ];
        words.map(str::to_owned).to_vec()
    }
}

/// What the lines of an answer begin with: 128 random bits as a word.
pub fn boundary() -> Result<String> {
    use std::fmt::Write as _;
    let mut bits = [0_u8; 16];
    rustix::rand::getrandom(&mut bits[..], rustix::rand::GetRandomFlags::empty())
        .doing(Kind::Internal, || "cannot get random bits".to_owned())?;
    let mut word = "reconcile-".to_owned();
    for byte in bits {
        write!(word, "{byte:02x}").expect("writing to a String cannot fail");
    }
    Ok(word)
}
