//! A client of IMAP at work: it flags and expunges letters of the load, and remembers UIDs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::ledger::{Ledger, Number, Removal, Stage};
use super::line::{Attempt, CLIENT, Line, Protocol, Trouble};
use crate::host::PASSWORD;

/// Between two mailboxes, at a brisk pace.
const PAUSE: Duration = Duration::from_millis(150);

/// What a client does to a mailbox in one session at most: work comes again and again.
const AT_ONCE: usize = 3;

/// A message as a client sees it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) uid: u32,
    pub(super) flags: BTreeSet<String>,
    /// Its Message-ID, with the angle brackets; empty if it has none.
    pub(super) message_id: String,
}

/// A session with the INBOX open.
pub(super) struct Session {
    line: Line,
    commands: u32,
    validity: u32,
}

/// What a client remembers of a user's INBOX.
#[derive(Default)]
struct Memory {
    validity: Option<u32>,
    /// Message-IDs by UID.
    known: BTreeMap<u32, String>,
}

/// Goes from user to user until the end, and then once more to each.
pub(super) fn run(ledger: &Ledger, address: IpAddr, client: usize, clients: usize) {
    let mine: Vec<usize> = (client..ledger.users.len()).step_by(clients).collect();
    let mut memories: BTreeMap<usize, Memory> = BTreeMap::new();
    while ledger.stage() == Stage::Running {
        for &user in &mine {
            if ledger.stage() != Stage::Running {
                break;
            }
            let memory = memories.entry(user).or_default();
            if let Err(trouble) = visit(ledger, address, user, memory) {
                ledger.complain(Protocol::Imap, &ledger.users[user], &trouble);
                ledger.rest(Duration::from_millis(500));
            }
            ledger.rest(ledger.pace.slowed(PAUSE));
        }
    }
    for user in mine {
        let memory = memories.entry(user).or_default();
        while let Err(trouble) = visit(ledger, address, user, memory) {
            ledger.complain(Protocol::Imap, &ledger.users[user], &trouble);
            ledger.rest(Duration::from_millis(500));
            if ledger.stage() == Stage::Abandoned {
                return;
            }
        }
    }
}

fn visit(ledger: &Ledger, address: IpAddr, user: usize, memory: &mut Memory) -> Attempt<()> {
    let name = &ledger.users[user];
    let mut session = Session::open(address, name)?;
    let items = session.items()?;
    compare(ledger, name, memory, session.validity, &items);
    let mut left = AT_ONCE;
    for item in &items {
        if left == 0 {
            break;
        }
        let Some(number) = ledger.number_of(&item.message_id) else {
            continue;
        };
        if work(ledger, &mut session, number, item)? {
            left -= 1;
        }
    }
    session.command("LOGOUT")?;
    Ok(())
}

/// What is known must be what is there.
fn compare(ledger: &Ledger, user: &str, memory: &mut Memory, validity: u32, items: &[Item]) {
    if let Some(before) = memory.validity
        && before != validity
    {
        ledger.wrong(format!(
            "{user}: UIDVALIDITY was {before} and is {validity}"
        ));
        memory.known.clear();
    }
    memory.validity = Some(validity);
    let highest = memory.known.keys().next_back().copied().unwrap_or(0);
    for item in items {
        match memory.known.get(&item.uid) {
            Some(known) if *known != item.message_id => ledger.wrong(format!(
                "{user}: UID {} was {known} and is {}",
                item.uid, item.message_id
            )),
            None if item.uid < highest => ledger.wrong(format!(
                "{user}: {} has a UID ({}) below that of an older message ({highest})",
                item.message_id, item.uid
            )),
            _ => {}
        }
        memory.known.insert(item.uid, item.message_id.clone());
    }
}

/// What a client does to a letter follows from its number. True if there was something to do.
fn work(ledger: &Ledger, session: &mut Session, number: Number, item: &Item) -> Attempt<bool> {
    let flags: &[&str] = match number % 8 {
        0 => &["\\Flagged", "$Label1"],
        1 | 5 => &["\\Seen", "\\Answered"],
        3 => &["Work"],
        2 => return remove(ledger, session, number, item.uid),
        _ => return Ok(false),
    };
    let has = |set: &BTreeSet<String>| flags.iter().all(|flag| set.contains(*flag));
    let (mut acknowledged, mut copies) = (false, 1);
    ledger.note(number, |letter| {
        acknowledged = has(&letter.flags);
        copies += letter.doubtful;
    });
    if acknowledged {
        // Once is enough, or a loss would be mended before anybody sees it.
        if !has(&item.flags) && copies == 1 {
            let (id, seen) = (&item.message_id, &item.flags);
            ledger.wrong(format!("{id}: has lost {}: {seen:?}", flags.join(" ")));
        }
        return Ok(false);
    }
    session.command(&format!(
        "UID STORE {} +FLAGS.SILENT ({})",
        item.uid,
        flags.join(" ")
    ))?;
    if !session.written(item.uid)?.is_some_and(|flags| has(&flags)) {
        return Ok(true);
    }
    let flags = flags.iter().map(|&flag| flag.to_owned());
    ledger.note(number, |letter| letter.flags.extend(flags));
    ledger.progressed(Protocol::Imap);
    Ok(true)
}

fn remove(ledger: &Ledger, session: &mut Session, number: Number, uid: u32) -> Attempt<bool> {
    if !ledger.removes(number) {
        return Ok(false);
    }
    session.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
    session.command(&format!("UID EXPUNGE {uid}"))?;
    if session.written(uid)?.is_some() {
        return Ok(true);
    }
    ledger.note(number, |letter| letter.removal = Removal::Acknowledged);
    ledger.progressed(Protocol::Imap);
    Ok(true)
}

impl Session {
    /// Logs in and opens the INBOX.
    pub(super) fn open(address: IpAddr, user: &str) -> Attempt<Self> {
        let mut session = Self {
            line: Line::open(address, Protocol::Imap, CLIENT)?,
            commands: 0,
            validity: 0,
        };
        session.command(&format!("LOGIN {user} \"{PASSWORD}\""))?;
        let answers = session.command("SELECT INBOX")?;
        let validity = answers.iter().find_map(|line| {
            let (_, rest) = line.split_once("[UIDVALIDITY ")?;
            rest.split_once(']')?.0.parse().ok()
        });
        session.validity =
            validity.ok_or_else(|| Trouble::Said(format!("no UIDVALIDITY: {answers:?}")))?;
        Ok(session)
    }

    /// All messages, in order.
    pub(super) fn items(&mut self) -> Attempt<Vec<Item>> {
        let answers =
            self.command("UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")?;
        let fetched = answers.iter().filter(|line| line.contains(" FETCH ("));
        fetched
            .map(|line| item(line).ok_or_else(|| Trouble::Said(line.clone())))
            .collect()
    }

    /// The flags of a message as they are in the mailbox itself; `None` if it is not there. Dovecot keeps
    /// what a client stores in an mbox's index at first, and loses it there now and then, when another
    /// session reads the mbox at that moment (seen with 2.3.19, on a busy host on which nothing else was
    /// done). So what it acknowledged counts once it is written; else it is done again.
    fn written(&mut self, uid: u32) -> Attempt<Option<BTreeSet<String>>> {
        self.command("CHECK")?;
        let answers = self.command(&format!(
            "UID FETCH {uid} (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"
        ))?;
        let found = answers.iter().find(|line| line.contains(" FETCH ("));
        Ok(found.and_then(|line| item(line)).map(|item| item.flags))
    }

    /// A command; the untagged answers, literals in place, if the server says OK.
    pub(super) fn command(&mut self, command: &str) -> Attempt<Vec<String>> {
        self.commands += 1;
        let tag = format!("L{} ", self.commands);
        self.line.say(&format!("{tag}{command}"))?;
        let mut answers = Vec::new();
        loop {
            let mut answer = self.line.hear()?;
            while let Some(length) = literal(&answer) {
                answer.push('\n');
                answer.push_str(&self.line.hear_bytes(length)?);
                answer.push_str(&self.line.hear()?);
            }
            match answer.strip_prefix(&tag) {
                Some(status) if status.starts_with("OK") => return Ok(answers),
                Some(status) => return Err(Trouble::Said(format!("{command}: {status}"))),
                None => answers.push(answer),
            }
        }
    }
}

/// The length of the literal that a line ends in.
fn literal(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}

/// `* 1 FETCH (UID 1 FLAGS (\Seen) BODY[HEADER.FIELDS (MESSAGE-ID)] {30}`, and the literal.
fn item(line: &str) -> Option<Item> {
    let between = |before: &str, after: &[char]| {
        let (_, rest) = line.split_once(before)?;
        rest.split(after).next()
    };
    let message_id = match line.split_once('<') {
        Some((_, rest)) => format!("<{}>", rest.split_once('>')?.0),
        None => String::new(),
    };
    Some(Item {
        uid: between("UID ", &[' ', ')'])?.parse().ok()?,
        flags: between("FLAGS (", &[')'])?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        message_id,
    })
}
