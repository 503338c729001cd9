//! Greeting, capabilities, STARTTLS, farewell: what is said in each protocol, in which order.

use std::io;
use std::net::IpAddr;

use super::line::{Line, Trouble};
use super::{Offer, Protocol, Secured, Start, Tls, tls};
use crate::raw::escape;

/// Why a server is not what the port's protocol says.
#[derive(Debug)]
pub(super) enum Unsound {
    /// It speaks another protocol, or none.
    Stranger(Protocol, Vec<u8>),
    /// It does not want us.
    TurnedAway(Vec<u8>),
    /// The conversation did not go on.
    Trouble(Trouble),
}

impl From<Trouble> for Unsound {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stranger(protocol, said) => {
                write!(f, "it does not speak {protocol}: {}", quote(said))
            }
            Self::TurnedAway(said) => write!(f, "it turns clients away: {}", quote(said)),
            Self::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

/// What a server said, for people; no longer than they read.
pub(super) fn quote(said: &[u8]) -> String {
    const ENOUGH: usize = 200;
    if said.len() <= ENOUGH {
        return escape(said);
    }
    format!("{}...", escape(&said[..ENOUGH]))
}

/// A reply of SMTP: its code, and its lines without code and separator.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<Vec<u8>>,
}

impl Reply {
    /// As it was said, in one line.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = self.code.to_string().into_bytes();
        for line in &self.lines {
            text.push(b' ');
            text.extend_from_slice(line);
        }
        text
    }

    /// 2xx.
    pub(super) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
}

/// Hears a reply of SMTP, RFC 5321, 4.2. Also `220-` first and the rest much later, as postscreen(8).
pub(super) fn reply(line: &mut Line) -> Result<Reply, Unsound> {
    let mut lines = Vec::new();
    loop {
        let said = line.hear()?;
        let stranger = |said: &[u8]| Unsound::Stranger(Protocol::Smtp, said.to_vec());
        let code = said
            .get(..3)
            .filter(|code| code.iter().all(u8::is_ascii_digit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let Some(code) = code else {
            return Err(stranger(&said));
        };
        let separator = said.get(3).copied();
        if !matches!(separator, None | Some(b' ' | b'-')) {
            return Err(stranger(&said));
        }
        lines.push(said.get(4..).unwrap_or_default().to_vec());
        if separator != Some(b'-') {
            return Ok(Reply { code, lines });
        }
    }
}

/// Says a command of SMTP and hears its reply.
pub(super) fn command(line: &mut Line, words: &str) -> Result<Reply, Unsound> {
    line.say(words)?;
    reply(line)
}

/// Hears the greeting of SMTP and greets back.
pub(super) fn greet_smtp(line: &mut Line) -> Result<Offer, Unsound> {
    let greeting = reply(line)?;
    if greeting.code != 220 {
        return Err(Unsound::TurnedAway(greeting.text()));
    }
    ehlo(line)
}

fn ehlo(line: &mut Line) -> Result<Offer, Unsound> {
    let reply = command(line, &format!("EHLO {}", literal(line.here())))?;
    if reply.is_positive() {
        return Ok(Offer::of_ehlo(&reply.lines));
    }
    // A server of RFC 821 offers nothing.
    let reply = command(line, &format!("HELO {}", literal(line.here())))?;
    if reply.is_positive() {
        return Ok(Offer::default());
    }
    Err(Unsound::TurnedAway(reply.text()))
}

/// An address as SMTP writes it where a host's name would stand, RFC 5321, 4.1.3.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// Hears the greeting, and what is offered.
pub(super) fn greet(line: &mut Line, protocol: Protocol) -> Result<Offer, Unsound> {
    match protocol {
        Protocol::Smtp => return greet_smtp(line),
        Protocol::Sieve => return sieve(line),
        Protocol::Pop3 => {
            let said = line.hear()?;
            if said.starts_with(b"-ERR") {
                return Err(Unsound::TurnedAway(said));
            }
            if !said.starts_with(b"+OK") {
                return Err(Unsound::Stranger(protocol, said));
            }
        }
        Protocol::Imap => {
            let said = line.hear()?;
            if said.starts_with(b"* BYE") {
                return Err(Unsound::TurnedAway(said));
            }
            if !said.starts_with(b"* OK") && !said.starts_with(b"* PREAUTH") {
                return Err(Unsound::Stranger(protocol, said));
            }
        }
    }
    capabilities(line, protocol, "a")
}

fn capabilities(line: &mut Line, protocol: Protocol, tag: &str) -> Result<Offer, Unsound> {
    match protocol {
        Protocol::Smtp => ehlo(line),
        Protocol::Pop3 => capa(line),
        Protocol::Imap => capability(line, tag),
        Protocol::Sieve => {
            line.say("CAPABILITY")?;
            sieve(line)
        }
    }
}

fn capa(line: &mut Line) -> Result<Offer, Unsound> {
    line.say("CAPA")?;
    let said = line.hear()?;
    if said.starts_with(b"-ERR") {
        // A server from before RFC 2449.
        return Ok(Offer::default());
    }
    if !said.starts_with(b"+OK") {
        return Err(Unsound::Stranger(Protocol::Pop3, said));
    }
    let mut lines = Vec::new();
    loop {
        let said = line.hear()?;
        if said == b"." {
            return Ok(Offer::of_capa(&lines));
        }
        lines.push(said);
    }
}

fn capability(line: &mut Line, tag: &str) -> Result<Offer, Unsound> {
    line.say(&format!("{tag} CAPABILITY"))?;
    let ok = format!("{tag} OK");
    let mut offer = Offer::default();
    loop {
        let said = line.hear()?;
        if let Some(words) = said.strip_prefix(b"* CAPABILITY ") {
            offer = Offer::of_capability(words);
        } else if said.starts_with(ok.as_bytes()) {
            return Ok(offer);
        } else if said.starts_with(b"* BYE") {
            return Err(Unsound::TurnedAway(said));
        } else if !said.starts_with(b"* ") {
            return Err(Unsound::Stranger(Protocol::Imap, said));
        }
    }
}

fn sieve(line: &mut Line) -> Result<Offer, Unsound> {
    let mut lines = Vec::new();
    loop {
        let said = line.hear()?;
        if said.starts_with(b"OK") {
            return Ok(Offer::of_sieve(&lines));
        }
        if said.starts_with(b"BYE") || said.starts_with(b"NO") {
            return Err(Unsound::TurnedAway(said));
        }
        if said.first() != Some(&b'"') {
            return Err(Unsound::Stranger(Protocol::Sieve, said));
        }
        lines.push(said);
    }
}

/// The keyword of TLS in a protocol.
pub(super) fn tls_keyword(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Pop3 => "STLS",
        Protocol::Smtp | Protocol::Imap | Protocol::Sieve => "STARTTLS",
    }
}

/// Asks for TLS, where it is offered.
fn ask_for_tls(line: &mut Line, protocol: Protocol) -> Result<(), Unsound> {
    let (words, agreed): (&str, &[u8]) = match protocol {
        Protocol::Smtp => ("STARTTLS", b"220"),
        Protocol::Pop3 => ("STLS", b"+OK"),
        Protocol::Imap => ("b STARTTLS", b"b OK"),
        Protocol::Sieve => ("STARTTLS", b"OK"),
    };
    line.say(words)?;
    let said = line.hear()?;
    if said.starts_with(agreed) {
        return Ok(());
    }
    Err(Unsound::TurnedAway(said))
}

/// Begins TLS in the place of what went before, and looks at what is offered there.
pub(super) fn secured(mut line: Line, protocol: Protocol, start: Start) -> Tls {
    let agreed = match start {
        Start::Clear => ask_for_tls(&mut line, protocol),
        Start::Tls => Ok(()),
    };
    if let Err(unsound) = agreed {
        return Tls::Failed(unsound.to_string());
    }
    let (mut line, session) = match line.secure() {
        Ok(secured) => secured,
        Err(trouble) => return Tls::Failed(format!("the TLS handshake failed: {trouble}")),
    };
    let offer = match (start, protocol) {
        // These greet, and ManageSieve says by itself what it offers now.
        (Start::Tls, _) | (Start::Clear, Protocol::Sieve) => greet(&mut line, protocol),
        (Start::Clear, _) => capabilities(&mut line, protocol, "c"),
    };
    let tls::Session {
        version,
        fingerprint,
        certificate,
    } = session;
    match offer {
        Ok(offer) => {
            take_leave(&mut line, protocol);
            Tls::Up(Box::new(Secured {
                version,
                fingerprint,
                certificate,
                offer,
            }))
        }
        Err(unsound) => Tls::Failed(format!("under TLS: {unsound}")),
    }
}

/// Says goodbye, so that no server's log speaks of a lost connection. All that was to be learnt is
/// learnt: whether the server hears it makes no difference.
pub(super) fn take_leave(line: &mut Line, protocol: Protocol) {
    let words = match protocol {
        Protocol::Smtp | Protocol::Pop3 => "QUIT",
        Protocol::Imap => "d LOGOUT",
        Protocol::Sieve => "LOGOUT",
    };
    line.say(words).and_then(|()| line.hear()).ok();
}

impl From<io::Error> for Unsound {
    fn from(error: io::Error) -> Self {
        Self::Trouble(error.into())
    }
}
