//! A client of POP3 that leaves mail on the server: it remembers UIDLs, and deletes some letters.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::ledger::{Ledger, Removal, Stage};
use super::line::{Attempt, CLIENT, Line, Protocol, Trouble};
use crate::host::PASSWORD;

/// Between two mailboxes, at a brisk pace.
const PAUSE: Duration = Duration::from_millis(150);

/// What a client remembers of a user's mailbox: Message-IDs by UIDL.
type Memory = BTreeMap<String, String>;

/// Whether a client trusts what it remembers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Only what is new is looked at.
    Trusting,
    /// Everything is.
    Thorough,
}

/// Goes from user to user until the end, and then once more to each, to look at all messages.
pub(super) fn run(ledger: &Ledger, address: IpAddr, client: usize, clients: usize) {
    let mine: Vec<usize> = (client..ledger.users.len()).step_by(clients).collect();
    let mut memories: BTreeMap<usize, Memory> = BTreeMap::new();
    while ledger.stage() == Stage::Running {
        for &user in &mine {
            if ledger.stage() != Stage::Running {
                break;
            }
            let memory = memories.entry(user).or_default();
            if let Err(trouble) = visit(ledger, address, user, memory, Look::Trusting) {
                ledger.complain(Protocol::Pop3, &ledger.users[user], &trouble);
                ledger.rest(Duration::from_millis(500));
            }
            ledger.rest(ledger.pace.slowed(PAUSE));
        }
    }
    for user in mine {
        let memory = memories.entry(user).or_default();
        while let Err(trouble) = visit(ledger, address, user, memory, Look::Thorough) {
            ledger.complain(Protocol::Pop3, &ledger.users[user], &trouble);
            ledger.rest(Duration::from_millis(500));
            if ledger.stage() == Stage::Abandoned {
                return;
            }
        }
    }
}

fn visit(
    ledger: &Ledger,
    address: IpAddr,
    user: usize,
    memory: &mut Memory,
    look: Look,
) -> Attempt<()> {
    let name = &ledger.users[user];
    let mut line = Line::open(address, Protocol::Pop3, CLIENT)?;
    command(&mut line, &format!("USER {name}"))?;
    command(&mut line, &format!("PASS {PASSWORD}"))?;
    command(&mut line, "UIDL")?;
    let listed = lines(&mut line)?;
    let listed: BTreeMap<String, u32> = listed
        .iter()
        .filter_map(|line| {
            let (number, id) = line.split_once(' ')?;
            Some((id.to_owned(), number.parse().ok()?))
        })
        .collect();
    vanished(ledger, user, memory, &listed);
    // Two that are seen for the first time together may be two, from before this load.
    let before = memory.clone();
    for (id, &number) in &listed {
        let known = memory.get(id);
        if known.is_some() && look == Look::Trusting {
            continue;
        }
        let message_id = match top(&mut line, number) {
            Ok(message_id) => message_id,
            // Another client expunged it after this session began.
            Err(Trouble::Said(answer)) if answer.starts_with("-ERR") => continue,
            Err(trouble) => return Err(trouble),
        };
        match known {
            Some(known) if *known != message_id => {
                ledger.wrong(format!("{name}: UIDL {id} was {known} and is {message_id}"));
            }
            Some(_) => {}
            None => {
                appeared(ledger, user, &before, id, &message_id);
                memory.insert(id.clone(), message_id);
            }
        }
    }
    // Some of those that the clients of IMAP leave alone.
    let mut marked = Vec::new();
    for (id, number) in listed {
        let letter = memory.get(&id).and_then(|id| ledger.number_of(id));
        let Some(letter) = letter.filter(|letter| letter % 16 == 4 && ledger.removes(*letter))
        else {
            continue;
        };
        command(&mut line, &format!("DELE {number}"))?;
        marked.push(letter);
    }
    command(&mut line, "QUIT")?;
    for letter in marked {
        ledger.note(letter, |letter| letter.removal = Removal::Acknowledged);
    }
    ledger.progressed(Protocol::Pop3);
    Ok(())
}

/// A UIDL that this client does not know, and what it knew before this session.
fn appeared(ledger: &Ledger, user: usize, before: &Memory, id: &str, message_id: &str) {
    if let Some(number) = ledger.number_of(message_id) {
        // Whether it came twice from its sender is known in the end only.
        let mut book = ledger.book();
        let seen = book.pop3.entry((user, number)).or_default();
        seen.ids.insert(id.to_owned());
    } else if !message_id.is_empty() {
        let old = before.iter().find(|(_, known)| *known == message_id);
        if let Some((old, _)) = old {
            let name = &ledger.users[user];
            ledger.wrong(format!(
                "{name}: {message_id} was UIDL {old} and comes as {id} once more"
            ));
        }
    }
}

/// What is no longer there. Only letters of this load are removed, by whatever client.
fn vanished(ledger: &Ledger, user: usize, memory: &mut Memory, listed: &BTreeMap<String, u32>) {
    memory.retain(|id, message_id| {
        if listed.contains_key(id) {
            return true;
        }
        if let Some(number) = ledger.number_of(message_id) {
            let mut book = ledger.book();
            let seen = book.pop3.entry((user, number)).or_default();
            seen.vanished.insert(id.clone());
        } else {
            let name = &ledger.users[user];
            ledger.wrong(format!("{name}: UIDL {id} ({message_id}) is gone"));
        }
        false
    });
}

/// The Message-ID of a message; empty if it has none.
fn top(line: &mut Line, number: u32) -> Attempt<String> {
    command(line, &format!("TOP {number} 0"))?;
    let header = lines(line)?;
    let found = header.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("message-id")
            .then(|| value.trim().to_owned())
    });
    Ok(found.unwrap_or_default())
}

fn command(line: &mut Line, command: &str) -> Attempt<()> {
    line.say(command)?;
    let answer = line.hear()?;
    if answer.starts_with("+OK") {
        Ok(())
    } else {
        Err(Trouble::Said(answer))
    }
}

/// Lines up to the dot that ends them.
fn lines(line: &mut Line) -> Attempt<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let text = line.hear()?;
        if text == "." {
            return Ok(lines);
        }
        lines.push(text);
    }
}
