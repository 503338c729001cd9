//! A client's connection that may fail: lines of text to and from a server.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Protocol {
    Smtp,
    Imap,
    Pop3,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Smtp, Self::Imap, Self::Pop3];

    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Pop3 => 110,
        }
    }

    /// What a server that is ready begins with.
    pub(super) const fn greeting(self) -> &'static str {
        match self {
            Self::Smtp => "220",
            Self::Imap => "* OK",
            Self::Pop3 => "+OK",
        }
    }

    /// What ends a session.
    pub(super) const fn farewell(self) -> &'static str {
        match self {
            Self::Smtp | Self::Pop3 => "QUIT",
            Self::Imap => "L LOGOUT",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
        })
    }
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection, or it broke: by whoever, or because nobody said anything for too long.
    Broken(io::Error),
    /// The server said no.
    Said(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::Said(line) => write!(f, "the server said: {line}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

pub(super) type Attempt<T> = Result<T, Trouble>;

/// How long clients wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a connection.
    pub(super) connect: Duration,
    /// For an answer.
    pub(super) answer: Duration,
}

/// That of the clients. A busy server may take seconds for an answer.
pub(super) const CLIENT: Patience = Patience {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(15),
};

/// An open connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    /// Connects and reads the greeting.
    pub(super) fn open(address: IpAddr, protocol: Protocol, patience: Patience) -> Attempt<Self> {
        let place = SocketAddr::new(address, protocol.port());
        let stream = TcpStream::connect_timeout(&place, patience.connect)?;
        stream.set_read_timeout(Some(patience.answer))?;
        stream.set_write_timeout(Some(patience.answer))?;
        stream.set_nodelay(true)?;
        let mut line = Self {
            stream: BufReader::new(stream),
        };
        let greeting = line.hear()?;
        if greeting.starts_with(protocol.greeting()) {
            Ok(line)
        } else {
            Err(Trouble::Said(greeting))
        }
    }

    /// Sends text as it is.
    pub(super) fn send(&mut self, text: &str) -> Attempt<()> {
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    /// Sends a line.
    pub(super) fn say(&mut self, line: &str) -> Attempt<()> {
        self.send(&format!("{line}\r\n"))
    }

    /// A line from the server, without its end.
    pub(super) fn hear(&mut self) -> Attempt<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// This many bytes from the server.
    pub(super) fn hear_bytes(&mut self, count: usize) -> Attempt<String> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
