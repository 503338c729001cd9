//! Whether the service takes mail: a message sent through it, and recipients asked for without one.
//!
//! Everything is said in the clear and holds no secret. The sender is `<>` (RFC 5321, 4.5.5) unless
//! another is given: whatever goes wrong with the message, nobody is sent a report about it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dialogue::{self, Unsound, command, quote};
use super::line::Line;
use super::{PATIENCE, Protocol};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::names::UserName;
use crate::raw::escape;

/// Where mail comes in.
const PORT: u16 = 25;

/// What a message is found by: random, and nothing else. Letters and digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marker(String);

impl Marker {
    /// A new one, that no other message holds.
    pub fn random() -> Result<Self> {
        let mut bits = [0; 16];
        rustix::rand::getrandom(&mut bits[..], rustix::rand::GetRandomFlags::empty())
            .doing(Kind::Host, || "cannot get random bits".to_owned())?;
        Ok(Self(format!("reconcile{:032x}", u128::from_be_bytes(bits))))
    }

    /// As it stands in the message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Through which address.
    pub address: IpAddr,
    /// The sender's mailbox; empty for `<>`.
    pub from: String,
    /// The recipient.
    pub to: UserName,
    /// The recipient's domain.
    pub domain: String,
    /// What it is found by.
    pub marker: Marker,
}

/// The server has taken a message, and answers for it from then on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// What it said; mostly the message's name in its queue.
    pub said: String,
}

/// Recipients to be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipients {
    /// Through which address.
    pub address: IpAddr,
    /// Who.
    pub users: Vec<UserName>,
    /// Their domain.
    pub domain: String,
}

/// Why a server would not take mail for a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// It said so.
    Said {
        /// Its code; 4xx for now, 5xx for ever.
        code: u16,
        /// The rest, escaped.
        text: String,
    },
    /// The name cannot be said in SMTP: no server ever takes mail for it.
    Unsayable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { code, text } => write!(f, "{code} {text}"),
            Self::Unsayable => f.write_str("its name cannot be written in an address"),
        }
    }
}

/// Sends a message, from this machine.
///
/// # Errors
///
/// [`Kind::Verification`] if the server does not take it, with what it said.
pub fn send(letter: &Letter) -> Result<Accepted> {
    send_at(SocketAddr::new(letter.address, PORT), letter)
}

pub(super) fn send_at(address: SocketAddr, letter: &Letter) -> Result<Accepted> {
    let Letter {
        address: ip,
        from,
        to,
        domain,
        marker,
    } = letter;
    let refused = |what: &str, why: String| {
        let what = format!("the server at {ip} does not take {what}");
        Error::caused(Kind::Verification, what, why)
    };
    let to = mailbox(to, domain).ok_or_else(|| {
        let why = Refusal::Unsayable.to_string();
        refused(&format!("mail for {to}"), why)
    })?;
    if !is_sayable(from) {
        return Err(refused(
            &format!("mail from {}", escape(from.as_bytes())),
            "it is no mailbox".to_owned(),
        ));
    }
    let mut line = connect(address)?;
    let mut say = |words: &str, code: u16, what: &str| {
        let reply = command(&mut line, words).map_err(|unsound| broken(address, &unsound))?;
        if reply.code == code {
            Ok(reply)
        } else {
            Err(refused(what, quote(&reply.text())))
        }
    };
    say(
        &format!("MAIL FROM:<{from}>"),
        250,
        &format!("mail from <{from}>"),
    )?;
    say(&format!("RCPT TO:<{to}>"), 250, &format!("mail for {to}"))?;
    say("DATA", 354, "a message")?;
    let text = message(from, &to, marker, Timestamp::now());
    let reply = say(&format!("{}\r\n.", text.join("\r\n")), 250, "the message")?;
    dialogue::take_leave(&mut line, Protocol::Smtp);
    Ok(Accepted {
        said: quote(&reply.text()),
    })
}

/// The lines of the message. None begins with a dot.
fn message(from: &str, to: &str, marker: &Marker, now: Timestamp) -> Vec<String> {
    let marker = marker.as_str();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let sender = if from.is_empty() { to } else { from };
    [
        &format!("From: reconcile <{sender}>"),
        &format!("To: <{to}>"),
        "Subject: reconcile: does mail arrive here?",
        &format!("Date: {date}"),
        // RFC 2606: a domain that nobody has.
        &format!("Message-ID: <{marker}@reconcile.invalid>"),
        // RFC 3834: nobody answers it.
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "This mail server was moved to another machine by reconcile, which sent",
        "this message to see that mail arrives. It removes it once it has found it;",
        "if you read this, you can delete it.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Asks for recipients, from this machine, and sends nothing: those that the server would not take,
/// and why, in the order in which they were given.
///
/// # Errors
///
/// [`Kind::Verification`] if the server does not answer, or takes no mail at all.
pub fn recipients(query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
    ask_at(SocketAddr::new(query.address, PORT), query)
}

pub(super) fn ask_at(address: SocketAddr, query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
    let mut refused = Vec::new();
    let mut rest = query.users.as_slice();
    let mut open: Option<Session> = None;
    let mut tries = 0;
    while let Some((user, others)) = rest.split_first() {
        let Some(to) = mailbox(user, &query.domain) else {
            refused.push((user.clone(), Refusal::Unsayable));
            rest = others;
            continue;
        };
        let mut session = match open.take() {
            Some(session) => session,
            None => Session::open(address)?,
        };
        match session.ask(&to) {
            Ok(Verdict::Taken) => {}
            Ok(Verdict::Refused(refusal)) => refused.push((user.clone(), refusal)),
            // Many servers end a connection on which they have refused often, Postfix by
            // smtpd_hard_error_limit, or that is used for long: they are asked again on a new one.
            Err(_) if session.asked > 1 && tries < TRIES => {
                tries += 1;
                continue;
            }
            Err(unsound) => return Err(broken(address, &unsound)),
        }
        tries = 0;
        rest = others;
        if rest.is_empty() || session.is_spent() {
            session.end();
        } else {
            open = Some(session);
        }
    }
    Ok(refused)
}

/// How often the same recipient is asked for again on a new connection.
const TRIES: usize = 3;

/// Recipients of one message; every server takes 100, RFC 5321, 4.5.3.1.8.
const AT_ONCE: usize = 100;

/// Recipients of one connection: each has a time and a length of its own. Not fewer than need be:
/// sendmail of Debian takes 10 connections a minute from a client (`ClientRate` in its access table).
const TO_ONE: usize = 2000;

/// Transactions of one connection, well below the 100 RSETs from which on Postfix takes each for an
/// error (`smtpd_junk_command_limit`).
const TRANSACTIONS: usize = 50;

/// A connection that recipients are asked for on.
struct Session {
    line: Line,
    /// On this connection.
    asked: usize,
    /// In this transaction.
    taken: usize,
    transactions: usize,
}

enum Verdict {
    Taken,
    Refused(Refusal),
}

impl Session {
    fn open(address: SocketAddr) -> Result<Self> {
        let mut line = connect(address)?;
        begin(&mut line).map_err(|unsound| broken(address, &unsound))?;
        Ok(Self {
            line,
            asked: 0,
            taken: 0,
            transactions: 1,
        })
    }

    fn is_spent(&self) -> bool {
        self.asked >= TO_ONE || self.transactions >= TRANSACTIONS
    }

    fn ask(&mut self, to: &str) -> Result<Verdict, Unsound> {
        if self.taken >= AT_ONCE {
            self.again()?;
        }
        self.asked += 1;
        let mut reply = command(&mut self.line, &format!("RCPT TO:<{to}>"))?;
        if reply.code == 452 && self.taken > 0 {
            // Too many for one message, RFC 5321, 4.5.3.1.10.
            self.again()?;
            reply = command(&mut self.line, &format!("RCPT TO:<{to}>"))?;
        }
        // The server ends the connection, RFC 5321, 3.8.
        if reply.code == 421 {
            return Err(Unsound::TurnedAway(reply.text()));
        }
        if reply.is_positive() {
            self.taken += 1;
            return Ok(Verdict::Taken);
        }
        let text = quote(&reply.lines.join(&b' '));
        Ok(Verdict::Refused(Refusal::Said {
            code: reply.code,
            text,
        }))
    }

    /// Another transaction.
    fn again(&mut self) -> Result<(), Unsound> {
        let reply = command(&mut self.line, "RSET")?;
        if !reply.is_positive() {
            return Err(Unsound::TurnedAway(reply.text()));
        }
        begin(&mut self.line)?;
        self.taken = 0;
        self.transactions += 1;
        Ok(())
    }

    /// Ends the transaction, in which nothing was sent.
    fn end(mut self) {
        // A server that hangs up instead has ended it, too.
        command(&mut self.line, "RSET").ok();
        dialogue::take_leave(&mut self.line, Protocol::Smtp);
    }
}

/// Begins a transaction from nobody.
fn begin(line: &mut Line) -> Result<(), Unsound> {
    let reply = command(line, "MAIL FROM:<>")?;
    if reply.is_positive() {
        return Ok(());
    }
    Err(Unsound::TurnedAway(reply.text()))
}

/// A connection on which greetings were exchanged.
fn connect(address: SocketAddr) -> Result<Line> {
    let patience: Duration = PATIENCE * 4;
    let what = || format!("cannot reach port {} at {}", address.port(), address.ip());
    let mut line = Line::connect(address, patience).doing(Kind::Verification, what)?;
    dialogue::greet_smtp(&mut line).map_err(|unsound| broken(address, &unsound))?;
    Ok(line)
}

fn broken(address: SocketAddr, unsound: &Unsound) -> Error {
    let what = format!("port {} at {} does not serve", address.port(), address.ip());
    Error::caused(Kind::Verification, what, unsound.to_string())
}

/// A user's mailbox, RFC 5321, 4.1.2; `None` where none can be written.
fn mailbox(user: &UserName, domain: &str) -> Option<String> {
    let name = std::str::from_utf8(user.as_bytes()).ok()?;
    if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let atoms = |atom: &str| !atom.is_empty() && atom.bytes().all(is_atext);
    let local = if name.split('.').all(atoms) {
        name.to_owned()
    } else {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{quoted}\"")
    };
    let mailbox = format!("{local}@{domain}");
    is_sayable(domain).then_some(mailbox)
}

/// RFC 5322, 3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Whether this can stand in a command without becoming another.
fn is_sayable(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}
