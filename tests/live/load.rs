//! Mail traffic that runs as long as a test does, and the proof that nothing of it got lost.
//!
//! Senders bring letters by SMTP and try again as MTAs do, until the server acknowledged each. Clients
//! of IMAP flag and expunge, clients of POP3 remember UIDLs and delete. What the servers acknowledged
//! is written down ([`ledger`]); in the end it is compared with what is there ([`check`]). Somebody
//! knocks all the time and says how long nobody answered ([`knocker`]).
//!
//! ```ignore
//! let clients = lab.machine(2);
//! let load = Load::start(&clients, &SERVICES, everybody(), Pace::Brisk);
//! // ... what is tried ...
//! load.await_service();
//! load.settle().assert_nothing_lost(lab.host("new"));
//! ```
//!
//! With mbox users on Debian's Dovecot 2.3 the host needs `lock_as_procmail_does`.
//!
//! Nothing here panics where the network or a server fails: that is what is measured.

mod check;
mod knocker;
mod ledger;
mod line;
mod popper;
mod reader;
mod sender;

use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::machine::Machine;

pub(crate) use check::Settled;
pub(crate) use line::Protocol;

use ledger::Ledger;

/// Processes that send.
const SENDERS: usize = 3;

/// Clients of IMAP, and as many of POP3. Each goes from one of its users to the next.
const CLIENTS: usize = 2;

/// What came during an outage, and what servers do slowly, has an end by then.
const SETTLING: Duration = Duration::from_mins(3);

/// How much traffic there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// More than five letters a second; it keeps a core busy.
    Brisk,
    /// About one letter a second: for tests that ask what becomes of them, not how many there are.
    Gentle,
}

impl Pace {
    /// What is done so often at a brisk pace, at this one.
    const fn slowed(self, brisk: Duration) -> Duration {
        match self {
            Self::Brisk => brisk,
            Self::Gentle => brisk.saturating_mul(6),
        }
    }
}

/// Traffic under way.
#[derive(Debug)]
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    threads: Vec<(String, JoinHandle<()>)>,
}

impl Load {
    /// Starts the traffic from a machine to a service at these addresses, for these users, who have
    /// [`crate::host::PASSWORD`].
    #[track_caller]
    pub(crate) fn start<S: Into<String>>(
        machine: &Machine,
        service: &[IpAddr],
        users: impl IntoIterator<Item = S>,
        pace: Pace,
    ) -> Self {
        let users = users.into_iter().map(Into::into).collect();
        let ledger = Arc::new(Ledger::new(users, pace));
        let mut load = Self {
            ledger,
            threads: Vec::new(),
        };
        let at = |number: usize| service[number % service.len()];
        for number in 0..SENDERS {
            let address = at(number);
            load.thread(machine, format!("sender {number}"), move |ledger| {
                sender::run(ledger, address, number);
            });
        }
        for number in 0..CLIENTS {
            let address = at(number);
            load.thread(machine, format!("IMAP client {number}"), move |ledger| {
                reader::run(ledger, address, number, CLIENTS);
            });
            // The other way round, so that each of a user's clients has another address.
            let address = at(number + 1);
            load.thread(machine, format!("POP3 client {number}"), move |ledger| {
                popper::run(ledger, address, number, CLIENTS);
            });
        }
        for &address in service {
            for protocol in Protocol::ALL {
                let name = format!("knocker at {address}, {protocol}");
                load.thread(machine, name, move |ledger| {
                    knocker::run(ledger, address, protocol);
                });
            }
        }
        load
    }

    fn thread(
        &mut self,
        machine: &Machine,
        name: String,
        work: impl FnOnce(&Ledger) + Send + 'static,
    ) {
        let ledger = Arc::clone(&self.ledger);
        let thread = machine.spawn(move || work(&ledger));
        self.threads.push((name, thread));
    }

    /// Waits until, from now on, each protocol has acknowledged something to a client.
    #[track_caller]
    pub(crate) fn await_service(&self) -> &Self {
        self.await_service_within(SETTLING)
    }

    /// The same, and says how long one may wait.
    #[track_caller]
    pub(crate) fn await_service_within(&self, patience: Duration) -> &Self {
        let began = Instant::now();
        let before = self.ledger.progress();
        loop {
            let now = self.ledger.progress();
            if before.iter().zip(now).all(|(before, now)| *before < now) {
                return self;
            }
            assert!(
                began.elapsed() < patience,
                "no service after {patience:?}: {:?}",
                self.ledger.troubles()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until clients have done to the first letters what they do: flag, remove, see by POP3.
    #[track_caller]
    pub(crate) fn await_clients(&self) -> &Self {
        let began = Instant::now();
        while !self.ledger.clients_worked() {
            assert!(
                began.elapsed() < SETTLING,
                "clients have not done their work after {SETTLING:?}: {:?}",
                self.ledger.troubles()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// The power of a host was cut just now: its MTA delivers again what was under way. An mbox is torn
    /// by that, with or without us: only Maildirs should be in use.
    pub(crate) fn power_was_cut(&self) {
        self.ledger.power_was_cut();
    }

    /// How many letters the servers have acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.ledger.acknowledged()
    }

    /// No new letters; waits until each that was written is acknowledged, and until each client has
    /// looked at all its mailboxes once more. Prints what clients saw of outages.
    #[track_caller]
    pub(crate) fn settle(mut self) -> Settled {
        self.ledger.finish();
        let began = Instant::now();
        let mut threads = std::mem::take(&mut self.threads);
        while let Some((name, thread)) = threads.pop() {
            while !thread.is_finished() {
                if began.elapsed() > SETTLING {
                    let troubles = self.ledger.troubles();
                    self.threads = threads;
                    self.threads.push((name.clone(), thread));
                    panic!("{name} has not come to an end after {SETTLING:?}: {troubles:?}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            thread
                .join()
                .unwrap_or_else(|_| panic!("{name} panicked, see above"));
        }
        let settled = Settled::of(Arc::clone(&self.ledger));
        settled.print();
        settled
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ledger.abandon();
        for (_, thread) in self.threads.drain(..) {
            // Whoever panicked has said so.
            thread.join().ok();
        }
    }
}
