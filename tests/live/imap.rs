//! A client of IMAP (RFC 3501): what it does to a mailbox, and what it sees of one.
//!
//! Folder names are text here and modified UTF-7 on the wire. One command is under way at a time.

use std::collections::BTreeSet;

use crate::folder_name;
use crate::host::Host;
use crate::letter::on_the_network;
use crate::wire::Wire;

/// A session that is logged in.
#[derive(Debug)]
pub(crate) struct Imap {
    wire: Wire,
    commands: u32,
}

/// What the server says of a folder when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// Number of messages.
    pub(crate) exists: u32,
    pub(crate) writable: bool,
}

/// What a client remembers of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) uid: u32,
    /// Flags and keywords, without `\Recent`, which belongs to a session.
    pub(crate) flags: BTreeSet<String>,
    /// RFC822.SIZE, bytes.
    pub(crate) size: u64,
    /// INTERNALDATE, as the server writes it.
    pub(crate) date: String,
}

impl Imap {
    #[track_caller]
    pub(crate) fn login(host: &Host, user: &str, password: &str) -> Self {
        let mut wire = Wire::connect(host, 143);
        let greeting = wire.line();
        assert!(greeting.starts_with("* OK"), "{greeting}");
        let mut session = Self { wire, commands: 0 };
        session.command(&format!("LOGIN {user} \"{password}\""));
        session
    }

    /// Says a command, which the server must accept; its untagged answers, and the tagged one.
    #[track_caller]
    pub(crate) fn command(&mut self, command: &str) -> Vec<String> {
        let tag = self.begin(command);
        self.answers(&tag, command)
    }

    #[track_caller]
    fn begin(&mut self, command: &str) -> String {
        self.commands += 1;
        let tag = format!("C{}", self.commands);
        self.wire.say(&format!("{tag} {command}"));
        tag
    }

    /// Answers up to the tagged one. A literal stands in its line as it is.
    #[track_caller]
    fn answers(&mut self, tag: &str, command: &str) -> Vec<String> {
        let mut answers = Vec::new();
        loop {
            let mut line = self.wire.line();
            while let Some(length) = literal(&line) {
                let bytes = self.wire.bytes(length);
                line.push('\n');
                line.push_str(&String::from_utf8_lossy(&bytes));
                line.push_str(&self.wire.line());
            }
            let tagged = line.strip_prefix(tag).map(str::to_owned);
            answers.push(line);
            if let Some(status) = tagged {
                assert!(status.starts_with(" OK"), "{command}:{status}");
                return answers;
            }
        }
    }

    /// Makes a folder. With `/` in the name (mbox) or `.` (Maildir) it is a nested one.
    #[track_caller]
    pub(crate) fn create(&mut self, folder: &str) -> &mut Self {
        self.command(&format!("CREATE {}", quoted(folder)));
        self
    }

    #[track_caller]
    pub(crate) fn subscribe(&mut self, folder: &str) -> &mut Self {
        self.command(&format!("SUBSCRIBE {}", quoted(folder)));
        self
    }

    /// Adds a letter with flags and keywords, as in `\Seen $Label1`.
    #[track_caller]
    pub(crate) fn append(&mut self, folder: &str, flags: &str, letter: &str) -> &mut Self {
        self.append_dated(folder, flags, None, letter)
    }

    /// The same with a date of arrival, as in `02-Nov-2026 10:00:00 +0100`.
    #[track_caller]
    pub(crate) fn append_dated(
        &mut self,
        folder: &str,
        flags: &str,
        date: Option<&str>,
        letter: &str,
    ) -> &mut Self {
        let text = on_the_network(letter);
        let date = date.map_or_else(String::new, |date| format!("\"{date}\" "));
        let folder = quoted(folder);
        let command = format!("APPEND {folder} ({flags}) {date}{{{}}}", text.len());
        let tag = self.begin(&command);
        let answer = self.wire.line();
        assert!(answer.starts_with('+'), "{command}: {answer}");
        self.wire.say(&text);
        self.answers(&tag, &command);
        self
    }

    /// Opens a folder for changes.
    #[track_caller]
    pub(crate) fn select(&mut self, folder: &str) -> Opened {
        self.open("SELECT", folder)
    }

    /// Opens a folder for looking at.
    #[track_caller]
    pub(crate) fn examine(&mut self, folder: &str) -> Opened {
        self.open("EXAMINE", folder)
    }

    #[track_caller]
    fn open(&mut self, how: &str, folder: &str) -> Opened {
        let answers = self.command(&format!("{how} {}", quoted(folder)));
        let number = |before: &str, after: &str| {
            let found = answers.iter().find_map(|line| {
                let (_, rest) = line.split_once(before)?;
                rest.split_once(after)?.0.parse().ok()
            });
            found.unwrap_or_else(|| panic!("{how} {folder}: no {before}: {answers:?}"))
        };
        Opened {
            uid_validity: number("[UIDVALIDITY ", "]"),
            uid_next: number("[UIDNEXT ", "]"),
            exists: number("* ", " EXISTS"),
            writable: answers.last().unwrap().contains("[READ-WRITE]"),
        }
    }

    /// The messages of the open folder, in order.
    #[track_caller]
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        self.command("UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)")
            .iter()
            .filter(|line| line.starts_with("* ") && line.contains(" FETCH ("))
            .map(|line| message(line))
            .collect()
    }

    /// A message of the open folder, without setting `\Seen`.
    #[track_caller]
    pub(crate) fn body(&mut self, uid: u32) -> String {
        let answers = self.command(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        let found = answers.iter().find(|line| line.contains(" BODY[] {"));
        let answer = found.unwrap_or_else(|| panic!("no message {uid}: {answers:?}"));
        let (head, text) = answer.split_once('\n').unwrap();
        text[..literal(head).unwrap()].to_owned()
    }

    /// Adds flags and keywords to messages of the open folder; `uids` as in `1:3,7`.
    #[track_caller]
    pub(crate) fn flag(&mut self, uids: &str, flags: &str) -> &mut Self {
        self.command(&format!("UID STORE {uids} +FLAGS ({flags})"));
        self
    }

    /// Takes flags and keywords from messages of the open folder.
    #[track_caller]
    pub(crate) fn unflag(&mut self, uids: &str, flags: &str) -> &mut Self {
        self.command(&format!("UID STORE {uids} -FLAGS ({flags})"));
        self
    }

    /// Marks messages of the open folder as deleted; [`Imap::expunge`] removes them.
    #[track_caller]
    pub(crate) fn delete(&mut self, uids: &str) -> &mut Self {
        self.flag(uids, "\\Deleted")
    }

    /// Removes what is marked as deleted from the open folder.
    #[track_caller]
    pub(crate) fn expunge(&mut self) -> &mut Self {
        self.command("EXPUNGE");
        self
    }

    /// Moves messages of the open folder to another one (RFC 6851).
    #[track_caller]
    pub(crate) fn move_to(&mut self, uids: &str, folder: &str) -> &mut Self {
        self.command(&format!("UID MOVE {uids} {}", quoted(folder)));
        self
    }

    /// All folders.
    #[track_caller]
    pub(crate) fn folders(&mut self) -> BTreeSet<String> {
        let answers = self.command("LIST \"\" \"*\"");
        names(&answers, "* LIST ")
    }

    /// The folders that are subscribed to.
    #[track_caller]
    pub(crate) fn subscriptions(&mut self) -> BTreeSet<String> {
        let answers = self.command("LSUB \"\" \"*\"");
        names(&answers, "* LSUB ")
    }

    /// Ends the session; the server has written what it knew.
    #[track_caller]
    pub(crate) fn logout(&mut self) {
        self.command("LOGOUT");
    }
}

/// A folder's name on the wire.
fn quoted(folder: &str) -> String {
    let name = folder_name::encode(folder);
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The length of the literal that a line ends in.
fn literal(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}

/// The names in LIST or LSUB answers: `* LIST (\HasNoChildren) "/" "a name"`.
#[track_caller]
fn names(answers: &[String], what: &str) -> BTreeSet<String> {
    let lines = answers.iter().filter_map(|line| line.strip_prefix(what));
    lines
        .map(|line| {
            // Attributes, separator, name: an atom, a quoted string or a literal.
            let (_, rest) = line.split_once(") ").unwrap();
            let (_, name) = rest.split_once(' ').unwrap();
            let name = match (name.split_once('\n'), name.strip_prefix('"')) {
                (Some((_, literal)), _) => literal.to_owned(),
                (None, Some(quoted)) => quoted
                    .strip_suffix('"')
                    .unwrap()
                    .replace("\\\"", "\"")
                    .replace("\\\\", "\\"),
                (None, None) => name.to_owned(),
            };
            folder_name::decode(&name)
        })
        .collect()
}

/// `* 1 FETCH (UID 1 FLAGS (\Seen) RFC822.SIZE 300 INTERNALDATE "02-Nov-2026 10:00:00 +0100")`
#[track_caller]
fn message(line: &str) -> Message {
    let item = |before: &str, after: &[char]| {
        let found = line
            .split_once(before)
            .and_then(|(_, rest)| rest.split(after).next());
        found.unwrap_or_else(|| panic!("no {before}: {line}"))
    };
    Message {
        uid: item("UID ", &[' ', ')']).parse().unwrap(),
        flags: item("FLAGS (", &[')'])
            .split_whitespace()
            .filter(|flag| *flag != "\\Recent")
            .map(str::to_owned)
            .collect(),
        size: item("RFC822.SIZE ", &[' ', ')']).parse().unwrap(),
        date: item("INTERNALDATE \"", &['"']).to_owned(),
    }
}
