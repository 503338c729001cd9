//! The end of a load: what was acknowledged, compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::{Ledger, Letter, Number, Removal, Seen};
use super::line::Protocol;
use super::reader::Session;
use crate::host::{Host, PATIENCE};
use crate::machine::Machine;

/// A load that has come to its end.
#[derive(Debug)]
pub(crate) struct Settled {
    ledger: Arc<Ledger>,
}

/// What is there: for each user and letter, how many copies.
type Copies = BTreeMap<(usize, Number), usize>;

/// The flags of each letter's copies.
type Flags = BTreeMap<(usize, Number), Vec<BTreeSet<String>>>;

impl Settled {
    pub(super) const fn of(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    pub(super) fn print(&self) {
        let book = self.ledger.book();
        let count = |what: fn(&&Letter) -> bool| book.letters.iter().filter(what).count();
        eprintln!(
            "load: {} letters acknowledged, {} flagged, {} removed; {} may have come twice",
            count(|letter| letter.acknowledged.is_some()),
            count(|letter| !letter.flags.is_empty()),
            count(|letter| letter.removal == Removal::Acknowledged),
            book.letters
                .iter()
                .map(|letter| letter.doubtful)
                .sum::<usize>(),
        );
        for outage in &book.outages {
            eprintln!("load: {outage}");
        }
    }

    /// The longest time in which nobody answered to a protocol, at any of the addresses.
    pub(crate) fn downtime(&self, protocol: Protocol) -> Duration {
        let book = self.ledger.book();
        let of_it = book
            .outages
            .iter()
            .filter(|outage| outage.protocol == protocol);
        of_it.map(|outage| outage.length).max().unwrap_or_default()
    }

    /// How many letters the servers acknowledged.
    pub(crate) fn letters(&self) -> usize {
        self.ledger.acknowledged()
    }

    /// Every letter that was acknowledged is in its user's mailbox exactly once, with every flag that
    /// was acknowledged; what was expunged is gone; clients saw nothing twice and missed nothing. The
    /// host serves; clients are asked as well as files.
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self, machine: &Machine, host: &Host) {
        let problems = self.problems(machine, host);
        assert!(
            problems.is_empty(),
            "{}: {} of {} letters\n{}",
            host.name(),
            problems.len(),
            self.letters(),
            problems.join("\n")
        );
    }

    /// Each thing that is amiss, for people.
    #[track_caller]
    pub(crate) fn problems(&self, machine: &Machine, host: &Host) -> Vec<String> {
        // A delivery that an outage cut off is tried again after minutes only.
        host.run("sendmail -q");
        host.await_deliveries();
        // Two sessions that look into a Maildir at one moment can lose sight of a letter until the next
        // one comes (Dovecot 2.3.19).
        host.run("find /home -maxdepth 3 -path '*/Maildir/*' \\( -name cur -o -name new \\) -exec touch {} +");
        let files = self.in_files(host);
        let (copies, flags) = self.by_imap(machine, host);
        let book = self.ledger.book();
        let mut problems: Vec<String> = book.wrongs.iter().cloned().collect();
        for (number, letter) in (0..).zip(&book.letters) {
            let key = (letter.user, number);
            for (where_, found) in [("IMAP", &copies), ("files", &files)] {
                let found = found.get(&key).copied().unwrap_or(0);
                if let Some(problem) = amiss(letter, found) {
                    problems.push(format!("{}: {problem}, by {where_}", self.name(key)));
                }
            }
            let seen = flags.get(&key).map_or(&[][..], Vec::as_slice);
            // Of several copies, the client flagged one.
            if !seen.is_empty() && !seen.iter().any(|seen| letter.flags.is_subset(seen)) {
                let (name, flags) = (self.name(key), &letter.flags);
                problems.push(format!("{name}: has lost some of {flags:?}: {seen:?}"));
            }
            if let Some(seen) = book.pop3.get(&key)
                && let Some(problem) = unlike(letter, seen)
            {
                problems.push(format!("{}: {problem}, by POP3", self.name(key)));
            }
        }
        let strays = copies.keys().chain(files.keys()).filter(|(user, number)| {
            book.letters
                .get(*number as usize)
                .is_none_or(|letter| letter.user != *user)
        });
        problems.extend(strays.map(|&key| format!("{}: is another's", self.name(key))));
        problems
    }

    fn name(&self, (user, number): (usize, Number)) -> String {
        format!("letter {number} to {}", self.ledger.users[user])
    }

    /// By looking into all mbox and Maildir files.
    #[track_caller]
    fn in_files(&self, host: &Host) -> Copies {
        // Dovecot's own files know Message-IDs, too.
        let mut script = "look() {
            find \"$2\" \"$3\" \"$4\" -type f ! -name 'dovecot*' ! -path '*/.imap/*' -print0 2>/dev/null |
                xargs -0r grep -ahiE '^Message-ID: <[0-9]+@DOMAIN>' | sed \"s/^/$1 /\" || true
        }\n"
            .replace("DOMAIN", &self.ledger.domain().replace('.', "\\."));
        for (user, name) in self.ledger.users.iter().enumerate() {
            writeln!(
                script,
                "look {user} /var/mail/{name} ~{name}/mail ~{name}/Maildir"
            )
            .unwrap();
        }
        let mut copies = Copies::new();
        for line in host.run(&script).lines() {
            let (user, header) = line.split_once(' ').unwrap();
            let (_, id) = header.split_once(' ').unwrap();
            let number = self.ledger.number_of(id.trim()).unwrap();
            *copies.entry((user.parse().unwrap(), number)).or_default() += 1;
        }
        copies
    }

    /// As clients see it, at the host's own address.
    #[track_caller]
    fn by_imap(&self, machine: &Machine, host: &Host) -> (Copies, Flags) {
        let ledger = Arc::clone(&self.ledger);
        let address: IpAddr = host.mail_address().parse().unwrap();
        let thread = machine.spawn(move || {
            let (mut copies, mut flags) = (Copies::new(), Flags::new());
            for (user, name) in ledger.users.iter().enumerate() {
                let began = Instant::now();
                let items = loop {
                    match Session::open(address, name).and_then(|mut session| session.items()) {
                        Ok(items) => break items,
                        Err(trouble) => {
                            assert!(began.elapsed() < PATIENCE, "IMAP of {name}: {trouble}");
                        }
                    }
                    std::thread::sleep(Duration::from_millis(200));
                };
                for item in items {
                    if let Some(number) = ledger.number_of(&item.message_id) {
                        *copies.entry((user, number)).or_default() += 1;
                        flags.entry((user, number)).or_default().push(item.flags);
                    }
                }
            }
            (copies, flags)
        });
        thread.join().unwrap()
    }
}

/// What is wrong with so many copies of a letter.
fn amiss(letter: &Letter, found: usize) -> Option<String> {
    // Each attempt of doubtful end may have brought one more.
    let doubtful = letter.doubtful;
    let expected = match (letter.acknowledged.is_some(), letter.removal) {
        (true, Removal::No) => 1..=1 + doubtful,
        (true, Removal::Asked) => 0..=1 + doubtful,
        (true, Removal::Acknowledged) | (false, _) => 0..=doubtful,
    };
    if expected.contains(&found) {
        return None;
    }
    Some(match (found, letter.removal) {
        (0, _) => "is lost".to_owned(),
        (_, Removal::Acknowledged) => format!("was removed, and is there ({found})"),
        _ => format!("is there {found} times"),
    })
}

/// What a client of POP3 should not have seen of a letter.
fn unlike(letter: &Letter, seen: &Seen) -> Option<String> {
    if seen.ids.len() > 1 + letter.doubtful {
        return Some(format!("came as new again: UIDLs {:?}", seen.ids));
    }
    if !seen.vanished.is_empty() && letter.removal == Removal::No {
        return Some(format!("vanished: UIDL {:?}", seen.vanished));
    }
    None
}
