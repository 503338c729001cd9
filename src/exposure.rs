//! A mail service as clients and senders meet it at an address: what answers on its ports, what it
//! offers, whether it takes mail.
//!
//! This looks at servers from outside, from whatever machine it runs on: the operator's, or any host
//! with an agent ([`crate::host::ReadHost::expose`]). It never logs in, and it holds no secrets, so it
//! accepts any certificate and reports which one it was shown. What a server says is read with bounds
//! on its length and on its time, for a server may be hostile or broken.
//!
//! [`look()`] and [`smtp`] do the IO, [`offer`] reads what was said, [`compare()`] judges. That the
//! service is right is decided by whoever asks.

pub mod compare;
mod dialogue;
mod line;
mod look;
pub mod offer;
pub mod smtp;
mod tls;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::names::UserName;
pub use compare::{Loss, Lost, Missing, Weight, compare, notes};
pub use look::{PATIENCE, look};
pub use offer::Offer;

/// The ports that can be looked at: RFC 6409, RFC 8314, RFC 5804 and the well-known ones.
pub const PORTS: [(u16, Protocol, Start); 8] = [
    (25, Protocol::Smtp, Start::Clear),
    (110, Protocol::Pop3, Start::Clear),
    (143, Protocol::Imap, Start::Clear),
    (465, Protocol::Smtp, Start::Tls),
    (587, Protocol::Smtp, Start::Clear),
    (993, Protocol::Imap, Start::Tls),
    (995, Protocol::Pop3, Start::Tls),
    (4190, Protocol::Sieve, Start::Clear),
];

/// A mail protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 1939.
    Pop3,
    /// RFC 3501.
    Imap,
    /// `ManageSieve`, RFC 5804.
    Sieve,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
            Self::Sieve => "ManageSieve",
        })
    }
}

/// How a conversation on a port begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// In the clear; TLS by STARTTLS or STLS.
    Clear,
    /// With TLS.
    Tls,
}

/// What was seen at an address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// The address.
    pub address: IpAddr,
    /// By port: those that were looked at, of [`PORTS`].
    pub ports: BTreeMap<u16, Seen>,
}

/// What was seen from several places, and what was asked there, to be compared with later.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// By the place that was looked from, one for each address.
    pub places: BTreeMap<String, Vec<Exposure>>,
    /// For whom the server takes no mail, and what it says.
    pub refused: BTreeMap<UserName, String>,
}

impl Survey {
    /// What was seen of an address from a place.
    pub fn of(&self, place: &str, address: IpAddr) -> Option<&Exposure> {
        let seen = self.places.get(place)?;
        seen.iter().find(|exposure| exposure.address == address)
    }
}

impl Exposure {
    /// What serves on a port; `None` if nothing does.
    pub fn service(&self, port: u16) -> Option<&Service> {
        match self.ports.get(&port)? {
            Seen::Serves(service) => Some(service),
            _ => None,
        }
    }

    /// Whether anything serves.
    pub fn serves(&self) -> bool {
        self.ports.keys().any(|&port| self.service(port).is_some())
    }
}

/// What was seen on a port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The host is there, and nobody listens.
    Refused,
    /// No answer at all: nobody has the address, or something in between throws packets away.
    Silent,
    /// The network says that it cannot be reached, and why.
    Unreachable(String),
    /// Something took the connection that does not serve as it should; the text says how it did.
    Unsound(String),
    /// A server of the port's protocol.
    Serves(Service),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the connection is refused"),
            Self::Silent => f.write_str("nobody answers"),
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Self::Unsound(how) => f.write_str(how),
            Self::Serves(_) => f.write_str("it serves"),
        }
    }
}

/// What a server offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Before TLS; `None` where the conversation begins with TLS.
    pub clear: Option<Offer>,
    /// TLS, and what is offered under it.
    pub tls: Tls,
}

/// What became of TLS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// The server does not offer it.
    NotOffered,
    /// It does, and no session came of it. We speak TLS 1.2 and 1.3 with forward secrecy: a server
    /// that speaks older ones only is no fault of its clients of the same age.
    Failed(String),
    /// A session.
    Up(Box<Secured>),
}

/// A TLS session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secured {
    /// `TLS 1.3`.
    pub version: String,
    /// SHA-256 of the certificate (DER), as `openssl x509 -fingerprint -sha256` writes it. The one that
    /// clients are shown which name no host (RFC 6066, 3).
    pub fingerprint: String,
    /// What is in it.
    pub certificate: Presented,
    /// What is offered in the session.
    pub offer: Offer,
}

/// A certificate that a server shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presented {
    /// What clients look at.
    Certificate(Certificate),
    /// It cannot be read; the text says why.
    Unreadable(String),
}

/// How a port's conversation goes; `None` for one that is no mail service's.
pub fn spoken_on(port: u16) -> Option<(Protocol, Start)> {
    let found = PORTS.iter().find(|(known, _, _)| *known == port);
    found.map(|&(_, protocol, start)| (protocol, start))
}
