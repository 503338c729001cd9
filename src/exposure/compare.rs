//! What was offered before and is not any more. Pure.
//!
//! Not every word matters: servers of another kind or age greet otherwise, order their capabilities
//! otherwise, and offer more. What clients and senders can do without noticing is passed over
//! ([`IGNORED`]); what they depend on ([`DEPENDED_ON`]), ways to log in, TLS and whole ports weigh more
//! than the rest.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Exposure, Offer, Presented, Protocol, Secured, Seen, Service, Tls, dialogue, spoken_on,
};

/// Something that is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// On which port.
    pub port: u16,
    /// What.
    pub what: What,
}

/// What is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The whole service; the text says what is there instead.
    Service(String),
    /// TLS is not offered any more.
    TlsOffer,
    /// TLS is offered, or begun with, and fails; the text says how.
    TlsSession(String),
    /// A way to log in.
    Mechanism(Stage, String),
    /// To log in without TLS, at all.
    ClearLogin,
    /// A capability.
    Keyword(Stage, String),
    /// A parameter of a capability, `REFERENCES` of `THREAD`.
    Parameter(Stage, String, String),
    /// Messages of some size; `None` where any was taken before, RFC 1870.
    Size {
        /// Bytes before.
        before: Option<u64>,
        /// Bytes now.
        now: u64,
    },
}

/// When something is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// In the clear.
    Clear,
    /// Under TLS.
    Secured,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "in the clear",
            Self::Secured => "under TLS",
        })
    }
}

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    /// Clients and senders get on without it, less well.
    Lessens,
    /// For some client or sender something that worked does not work any more.
    Breaks,
}

/// Something that is missing on a port, and may be.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// On which port.
    pub port: u16,
    /// What.
    pub of: Lost,
}

/// What a person can give up on a port.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// The whole service.
    Service,
    /// TLS, where a conversation begins without it.
    Tls,
    /// All ways to log in that need no TLS.
    ClearLogin,
    /// Ways to log in.
    Mechanisms,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.of {
            Lost::Service => "the service",
            Lost::Tls => "TLS",
            Lost::ClearLogin => "logins without TLS",
            Lost::Mechanisms => "ways to log in",
        })?;
        write!(f, " on port {}", self.port)
    }
}

impl Missing {
    /// Whether it is this loss, or a part of it.
    pub fn is_part_of(&self, loss: Loss) -> bool {
        let of = match loss.of {
            Lost::Service => true,
            Lost::Tls => self.what == What::TlsOffer,
            Lost::ClearLogin => matches!(
                self.what,
                What::ClearLogin | What::Mechanism(Stage::Clear, _)
            ),
            Lost::Mechanisms => matches!(self.what, What::Mechanism(..)),
        };
        self.port == loss.port && of
    }

    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match &self.what {
            What::Service(_)
            | What::TlsOffer
            | What::TlsSession(_)
            | What::Mechanism(..)
            | What::ClearLogin => Weight::Breaks,
            What::Keyword(_, keyword) if DEPENDED_ON.contains(&keyword.as_str()) => Weight::Breaks,
            What::Keyword(..) | What::Parameter(..) | What::Size { .. } => Weight::Lessens,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match spoken_on(port) {
            Some((protocol, _)) => write!(f, "port {port} ({protocol}): ")?,
            None => write!(f, "port {port}: ")?,
        }
        match &self.what {
            What::Service(instead) => f.write_str(instead),
            What::TlsOffer => f.write_str("TLS is not offered any more"),
            What::TlsSession(how) => write!(f, "TLS worked and does not any more: {how}"),
            What::Mechanism(stage, name) => {
                write!(f, "clients cannot log in by {name} any more {stage}")
            }
            What::ClearLogin => f.write_str("clients cannot log in without TLS any more"),
            What::Keyword(stage, keyword) => {
                write!(f, "{keyword} is not offered any more {stage}")
            }
            What::Parameter(stage, keyword, parameter) => {
                write!(f, "{keyword} does not offer {parameter} any more {stage}")
            }
            What::Size { before, now } => {
                write!(f, "messages larger than {now} bytes are refused; ")?;
                match before {
                    Some(before) => write!(f, "{before} bytes were allowed"),
                    None => f.write_str("any size was allowed"),
                }
            }
        }
    }
}

/// What clients were written for. Most ask before they use it, but not all, and what it gives (mail at
/// once, what is left on the server, folders where they are) is missed at once.
const DEPENDED_ON: [&str; 8] = [
    "IMAP4REV1",
    "IDLE",
    "UIDPLUS",
    "NAMESPACE",
    "QUOTA", // RFC 3501, 2177, 4315, 2342, 9208
    "UIDL",
    "TOP",
    "USER", // RFC 2449, 6.3, 6.8, 6.1
];

/// What nobody misses: debugging, telling of names and versions, what only changes how errors are
/// worded, and what belongs to a server's kind. TLS and sizes are looked at elsewhere.
const IGNORED: [&str; 22] = [
    "STARTTLS",
    "STLS",
    "SIZE",
    "AUTH",
    "SASL",
    "LOGINDISABLED", // looked at elsewhere
    "EXPN",
    "VRFY",
    "VERB",
    "HELP",
    "ETRN",
    "ONEX",
    "XUSR", // SMTP
    "DELIVERBY",
    "ENHANCEDSTATUSCODES",
    "LOGIN-REFERRALS",
    "ID", // answers worded otherwise
    "IMPLEMENTATION",
    "LOGIN-DELAY",
    "EXPIRE",
    "VERSION",
    "UNAUTHENTICATE", // a server's own
];

/// What `before` offered and `after` does not, port by port.
pub fn compare(before: &Exposure, after: &Exposure) -> Vec<Missing> {
    let mut missing = Vec::new();
    for (&port, seen) in &before.ports {
        // What did not serve before is not missed.
        let Seen::Serves(old) = seen else {
            continue;
        };
        let mut add = |what| missing.push(Missing { port, what });
        match after.ports.get(&port) {
            Some(Seen::Serves(new)) => compare_services(port, old, new, &mut add),
            Some(instead) => add(What::Service(instead.to_string())),
            None => add(What::Service("it was not looked at".to_owned())),
        }
    }
    missing
}

fn compare_services(port: u16, old: &Service, new: &Service, add: &mut impl FnMut(What)) {
    let protocol = spoken_on(port).map(|(protocol, _)| protocol);
    if let (Some(old), Some(new)) = (&old.clear, &new.clear) {
        if takes_logins(protocol, old) && !takes_logins(protocol, new) {
            add(What::ClearLogin);
        }
        compare_offers(Stage::Clear, old, new, add);
    }
    match (&old.tls, &new.tls) {
        (Tls::Up(old), Tls::Up(new)) => {
            compare_offers(Stage::Secured, &old.offer, &new.offer, add);
        }
        (Tls::Up(_), Tls::Failed(how)) => add(What::TlsSession(how.clone())),
        // An offer that does not work is no loss.
        (Tls::Up(_), Tls::NotOffered) => add(What::TlsOffer),
        (Tls::NotOffered | Tls::Failed(_), _) => {}
    }
}

/// Whether passwords are taken as they are: LOGIN of IMAP (RFC 3501, 6.2.3), USER of POP3.
fn takes_logins(protocol: Option<Protocol>, offer: &Offer) -> bool {
    match protocol {
        Some(Protocol::Imap) => !offer.has("LOGINDISABLED"),
        Some(Protocol::Pop3) => offer.has("USER"),
        Some(Protocol::Smtp | Protocol::Sieve) | None => false,
    }
}

fn compare_offers(stage: Stage, old: &Offer, new: &Offer, add: &mut impl FnMut(What)) {
    for keyword in ["AUTH", "SASL"] {
        for name in old.parameters(keyword) {
            if new.parameters(keyword).all(|other| other != name) {
                add(What::Mechanism(stage, name.to_owned()));
            }
        }
    }
    // The size is the same under TLS.
    if stage == Stage::Clear && old.has("SIZE") {
        let (before, now) = (size(old), size(new));
        if let Some(now) = now
            && before.is_none_or(|before| now < before)
        {
            add(What::Size { before, now });
        }
    }
    // It is said as the loss of logins in the clear.
    let said = |keyword: &str| stage == Stage::Clear && keyword == "USER";
    for (keyword, parameters) in &old.0 {
        if IGNORED.contains(&keyword.as_str()) || said(keyword) {
            continue;
        }
        if !new.has(keyword) {
            add(What::Keyword(stage, keyword.clone()));
            continue;
        }
        for parameter in parameters {
            if new.parameters(keyword).all(|other| other != parameter) {
                add(What::Parameter(stage, keyword.clone(), parameter.clone()));
            }
        }
    }
}

/// The largest message that is taken; `None` for no limit, RFC 1870, 4.
fn size(offer: &Offer) -> Option<u64> {
    let said = offer.parameters("SIZE").next()?;
    said.parse().ok().filter(|&size| size > 0)
}

/// What is no loss and yet seen by people: another certificate.
pub fn notes(before: &Exposure, after: &Exposure) -> Vec<String> {
    let mut notes = Vec::new();
    for &port in before.ports.keys() {
        let (Some(old), Some(new)) = (session(before, port), session(after, port)) else {
            continue;
        };
        if old.fingerprint != new.fingerprint {
            notes.push(format!(
                "port {port} shows another certificate: {}, before: {}",
                described(&new.certificate),
                described(&old.certificate)
            ));
        }
    }
    notes
}

fn session(exposure: &Exposure, port: u16) -> Option<&Secured> {
    match &exposure.service(port)?.tls {
        Tls::Up(secured) => Some(secured),
        Tls::NotOffered | Tls::Failed(_) => None,
    }
}

fn described(presented: &Presented) -> String {
    match presented {
        Presented::Certificate(certificate) => {
            let names: Vec<&str> = certificate.names.iter().map(String::as_str).collect();
            format!(
                "for {} by {} until {}",
                names.join(", "),
                certificate.issuer,
                certificate.not_after
            )
        }
        Presented::Unreadable(why) => format!(
            "one that cannot be read ({})",
            dialogue::quote(why.as_bytes())
        ),
    }
}
