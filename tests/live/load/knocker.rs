//! Somebody who connects all the time and wants to hear a greeting: how long nobody is there.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ledger::{Ledger, Stage};
use super::line::{Line, Patience, Protocol};

/// Between two attempts, at a brisk pace.
const EVERY: Duration = Duration::from_millis(250);

/// In a lab a connection takes no millisecond; a greeting takes longer where the machine is busy.
const PATIENCE: Patience = Patience {
    connect: Duration::from_millis(500),
    answer: Duration::from_secs(3),
};

/// A time in which nobody answered.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(super) protocol: Protocol,
    pub(super) address: IpAddr,
    /// From the first attempt that failed to the first answer.
    pub(super) length: Duration,
    /// How the first attempt failed.
    pub(super) why: String,
    /// Nobody answered until the end.
    pub(super) unended: bool,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            address,
            length,
            why,
            unended,
        } = self;
        let end = if *unended {
            ", and it has not ended"
        } else {
            ""
        };
        write!(
            f,
            "{protocol} at {address}: no answer for {length:.2?} (at first: {why}){end}"
        )
    }
}

/// Knocks until the clients are done.
pub(super) fn run(ledger: &Ledger, address: IpAddr, protocol: Protocol) {
    let mut closed: Option<(Instant, String)> = None;
    let outage = |(since, why): (Instant, String), unended| Outage {
        protocol,
        address,
        length: since.elapsed(),
        why,
        unended,
    };
    let every = ledger.pace.slowed(EVERY);
    while ledger.stage() == Stage::Running {
        let began = Instant::now();
        match Line::open(address, protocol, PATIENCE) {
            Ok(mut line) => {
                // It answered: that is all.
                line.say(protocol.farewell()).ok();
                if let Some(since) = closed.take() {
                    ledger.book().outages.push(outage(since, false));
                }
            }
            Err(trouble) => {
                closed.get_or_insert_with(|| (began, trouble.to_string()));
            }
        }
        ledger.rest(every.saturating_sub(began.elapsed()));
    }
    if let Some(since) = closed {
        ledger.book().outages.push(outage(since, true));
    }
}
