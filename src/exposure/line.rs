//! A conversation in lines, with bounds: on each line, on all that is heard, and on the time of the
//! whole. It knows no protocol.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::tls;

/// A line that is longer is no line of a mail protocol: the longest are capabilities of IMAP and of
/// `ManageSieve`, of one or two kilobytes.
const LONGEST_LINE: usize = 8 * 1024;

/// No conversation of ours takes more: greeting and capabilities are a few kilobytes, and a refusal
/// for each of many recipients some hundred bytes.
const LONGEST: usize = 256 * 1024;

/// Establishing a connection takes no longer, even where the whole may take longer: three tries of
/// the first packet, RFC 6298.
const CONNECT: Duration = Duration::from_secs(8);

/// Why a conversation did not go on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing came for too long, or not all of it.
    Silence,
    /// More came than any server has to say.
    Torrent,
    /// The server hung up.
    Ended,
    /// The connection broke.
    Broken(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("it did not answer in time"),
            Self::Torrent => f.write_str("what it says never ends"),
            Self::Ended => f.write_str("it hung up"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silence,
            // rustls calls it so when a server hangs up without a word, as most do.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => Self::Ended,
            _ => Self::Broken(error),
        }
    }
}

/// A socket that is patient up to a moment, whoever reads from it.
#[derive(Debug)]
pub(super) struct Patient {
    socket: TcpStream,
    until: Instant,
}

impl Patient {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// What a socket reports when its time is over, socket(7).
fn timed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer).map_err(timed)
    }
}

impl Write for Patient {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buffer).map_err(timed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

enum Stream {
    Clear(Patient),
    Secured(Box<StreamOwned<ClientConnection, Patient>>),
}

/// A conversation.
pub(super) struct Line {
    stream: Stream,
    /// Heard, and not yet read as lines.
    ahead: Vec<u8>,
    heard: usize,
    here: IpAddr,
}

impl Line {
    /// Connects; the whole conversation may take so long.
    pub(super) fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let until = Instant::now() + patience;
        let socket = TcpStream::connect_timeout(&address, patience.min(CONNECT))?;
        // Each line is sent whole.
        socket.set_nodelay(true)?;
        let here = socket.local_addr()?.ip();
        Ok(Self {
            stream: Stream::Clear(Patient { socket, until }),
            ahead: Vec::new(),
            heard: 0,
            here,
        })
    }

    /// Our own address as the server sees it, if nothing in between changes it.
    pub(super) fn here(&self) -> IpAddr {
        self.here
    }

    /// Begins TLS.
    pub(super) fn secure(self) -> Result<(Self, tls::Session), Trouble> {
        let Stream::Clear(mut patient) = self.stream else {
            return Err(Trouble::Broken(io::Error::other("TLS within TLS")));
        };
        if !self.ahead.is_empty() {
            // CVE-2011-0411: what came in the clear must not be taken for what comes under TLS.
            let what = "it goes on in the clear after it agreed to begin TLS";
            return Err(Trouble::Broken(io::Error::other(what)));
        }
        let peer = patient.socket.peer_addr()?.ip();
        let (connection, session) = tls::shake_hands(peer, &mut patient)?;
        let stream = Stream::Secured(Box::new(StreamOwned::new(connection, patient)));
        Ok((Self { stream, ..self }, session))
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) -> Result<(), Trouble> {
        let line = format!("{line}\r\n");
        match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(line.as_bytes())?,
            Stream::Secured(stream) => {
                stream.write_all(line.as_bytes())?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Hears a line; its end is not part of it.
    pub(super) fn hear(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut searched = 0;
        loop {
            let found = self.ahead[searched..]
                .iter()
                .position(|&byte| byte == b'\n');
            if let Some(end) = found {
                let rest = self.ahead.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.ahead, rest);
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            searched = self.ahead.len();
            if searched > LONGEST_LINE || self.heard > LONGEST {
                return Err(Trouble::Torrent);
            }
            let mut block = [0; 2048];
            let read = match &mut self.stream {
                Stream::Clear(stream) => stream.read(&mut block),
                Stream::Secured(stream) => stream.read(&mut block),
            };
            match read {
                Ok(0) => return Err(Trouble::Ended),
                Ok(count) => {
                    self.heard += count;
                    self.ahead.extend_from_slice(&block[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
