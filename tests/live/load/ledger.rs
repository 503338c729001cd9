//! What was sent and done, and what of it the servers acknowledged: one book for all threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::Pace;
use super::knocker::Outage;
use super::line::{Protocol, Trouble};

/// The number of a letter of this load.
pub(super) type Number = u32;

/// So long after its acknowledgement a letter may still be under way to its mailbox.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// Until when the threads work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    /// New letters come.
    Running,
    /// What has begun is brought to its end.
    Finishing,
    /// Nobody asks any more.
    Abandoned,
}

/// The book.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Who gets mail.
    pub(super) users: Vec<String>,
    /// Tells the letters of this load from those of another.
    run: String,
    pub(super) pace: Pace,
    stage: Mutex<Stage>,
    stage_changed: Condvar,
    /// What each protocol has acknowledged.
    progress: [AtomicU32; 3],
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) letters: Vec<Letter>,
    /// What no client should have seen.
    pub(super) wrongs: BTreeSet<String>,
    /// What POP3 clients saw of each letter: the UIDLs that it had, and those of them that vanished.
    pub(super) pop3: BTreeMap<(usize, Number), Seen>,
    pub(super) outages: Vec<Outage>,
    /// The last that each protocol complained of.
    pub(super) troubles: BTreeMap<Protocol, String>,
}

/// A letter of this load.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its recipient, of [`Ledger::users`].
    pub(super) user: usize,
    pub(super) acknowledged: Option<Instant>,
    /// What may have brought one more copy: attempts of which the sender does not know how they ended,
    /// and power cuts while the MTA may have been delivering.
    pub(super) doubtful: usize,
    /// Flags and keywords that the server acknowledged.
    pub(super) flags: BTreeSet<String>,
    pub(super) removal: Removal,
}

/// Whether a client removed a letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Removal {
    No,
    /// The server was asked to, and may have done so.
    Asked,
    Acknowledged,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ids: BTreeSet<String>,
    pub(super) vanished: BTreeSet<String>,
}

impl Ledger {
    pub(super) fn new(users: Vec<String>, pace: Pace) -> Self {
        static LOADS: AtomicU32 = AtomicU32::new(1);
        let load = LOADS.fetch_add(1, Ordering::Relaxed);
        Self {
            users,
            run: format!("{}-{load}.load.example.com", std::process::id()),
            pace,
            stage: Mutex::new(Stage::Running),
            stage_changed: Condvar::new(),
            progress: Default::default(),
            book: Mutex::default(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock().expect("nobody panics on a stage")
    }

    pub(super) fn finish(&self) {
        self.reach(Stage::Finishing);
    }

    pub(super) fn abandon(&self) {
        self.reach(Stage::Abandoned);
    }

    fn reach(&self, next: Stage) {
        let mut stage = self.stage.lock().expect("nobody panics on a stage");
        *stage = next.max(*stage);
        self.stage_changed.notify_all();
    }

    /// Sleeps, but not past the end of the stage.
    pub(super) fn rest(&self, time: Duration) {
        let stage = self.stage.lock().expect("nobody panics on a stage");
        let now = *stage;
        let rested = self
            .stage_changed
            .wait_timeout_while(stage, time, |stage| *stage == now);
        drop(rested.expect("nobody panics on a stage"));
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with the book open")
    }

    /// Writes a new letter; to whom follows from its number.
    pub(super) fn write_letter(&self) -> (Number, usize) {
        let mut book = self.book();
        let number = Number::try_from(book.letters.len()).unwrap();
        let user = book.letters.len() % self.users.len();
        book.letters.push(Letter {
            user,
            acknowledged: None,
            doubtful: 0,
            flags: BTreeSet::new(),
            removal: Removal::No,
        });
        (number, user)
    }

    /// Power was cut just now: what an MTA was delivering, it delivers once more.
    pub(super) fn power_was_cut(&self) {
        for letter in &mut self.book().letters {
            if letter
                .acknowledged
                .is_none_or(|when| when.elapsed() < UNDER_WAY)
            {
                letter.doubtful += 1;
            }
        }
    }

    /// Changes the page of a letter.
    pub(super) fn note(&self, number: Number, change: impl FnOnce(&mut Letter)) {
        change(&mut self.book().letters[number as usize]);
    }

    /// A client is about to remove a letter that it sees. False if that was acknowledged before, which
    /// is wrong unless it came more than once.
    pub(super) fn removes(&self, number: Number) -> bool {
        let mut book = self.book();
        let letter = &mut book.letters[number as usize];
        match letter.removal {
            Removal::No | Removal::Asked => {
                letter.removal = Removal::Asked;
                true
            }
            Removal::Acknowledged if letter.doubtful > 0 => true,
            Removal::Acknowledged => {
                let user = &self.users[letter.user];
                let what = format!("letter {number} to {user}: was removed, and is back");
                book.wrongs.insert(what);
                false
            }
        }
    }

    /// Whether every client has done its work on the first letters.
    pub(super) fn clients_worked(&self) -> bool {
        let book = self.book();
        let done = |number: Number| {
            let letter = book.letters.get(number as usize);
            letter.is_some_and(|letter| match number {
                0 | 1 | 3 | 5 => !letter.flags.is_empty(),
                2 | 4 => letter.removal == Removal::Acknowledged,
                _ => book.pop3.contains_key(&(letter.user, number)),
            })
        };
        (0..8).all(done)
    }

    /// A server acknowledged something.
    pub(super) fn progressed(&self, protocol: Protocol) {
        self.progress[protocol as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn progress(&self) -> [u32; 3] {
        self.progress
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    pub(super) fn complain(&self, protocol: Protocol, user: &str, trouble: &Trouble) {
        let text = format!("{user}: {trouble}");
        self.book().troubles.insert(protocol, text);
    }

    pub(super) fn troubles(&self) -> BTreeMap<Protocol, String> {
        self.book().troubles.clone()
    }

    /// Something that no client should have seen.
    pub(super) fn wrong(&self, what: String) {
        self.book().wrongs.insert(what);
    }

    pub(super) fn acknowledged(&self) -> usize {
        let book = self.book();
        book.letters
            .iter()
            .filter(|letter| letter.acknowledged.is_some())
            .count()
    }

    /// What follows the number in the Message-ID of a letter of this load.
    pub(super) fn domain(&self) -> &str {
        &self.run
    }

    /// The Message-ID of a letter of this load.
    pub(super) fn message_id(&self, number: Number) -> String {
        format!("<{number}@{}>", self.run)
    }

    /// The letter of this load that has a Message-ID.
    pub(super) fn number_of(&self, message_id: &str) -> Option<Number> {
        let (number, run) = message_id
            .strip_prefix('<')?
            .strip_suffix('>')?
            .split_once('@')?;
        (run == self.run).then(|| number.parse().ok())?
    }
}
