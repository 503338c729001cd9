//! A connection that has been made: bytes in and bytes out, by two threads at once.
//!
//! The state of TLS is behind one lock, which nobody holds while the network is waited for.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use super::SILENCE;
use super::tls::timed_out;

/// What is read from the network at once: a few records (RFC 8446, 5.2).
const BLOCK: usize = 64 * 1024;

/// A connection to the peer.
pub struct Secured {
    /// What the peer says.
    pub incoming: Incoming,
    /// What is said to the peer.
    pub outgoing: Outgoing,
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured(..)")
    }
}

/// Both directions of one connection.
struct Both {
    tls: Mutex<Connection>,
    socket: TcpStream,
}

impl Both {
    fn tls(&self) -> MutexGuard<'_, Connection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secured {
    /// Takes over a connection whose ends have shaken hands.
    pub(super) fn new(tls: Connection, socket: TcpStream) -> io::Result<Self> {
        // Messages are sent whole.
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.set_write_timeout(Some(SILENCE))?;
        let both = Arc::new(Both {
            tls: Mutex::new(tls),
            socket,
        });
        Ok(Self {
            incoming: Incoming {
                both: Arc::clone(&both),
                block: vec![0; BLOCK],
                unread: 0..0,
            },
            outgoing: Outgoing {
                both,
                sealed: Vec::new(),
            },
        })
    }

    /// What ends it from anywhere.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn hang_up(&self) -> io::Result<HangUp> {
        self.incoming.both.socket.try_clone().map(HangUp)
    }
}

/// Ends a connection when it is dropped, whoever waits for it.
#[derive(Debug)]
pub struct HangUp(TcpStream);

impl Drop for HangUp {
    fn drop(&mut self) {
        // One that is broken needs no end.
        self.0.shutdown(Shutdown::Both).ok();
    }
}

/// What the peer says. An end without the peer's word for it is an error, as is a silence of
/// [`SILENCE`].
pub struct Incoming {
    both: Arc<Both>,
    block: Vec<u8>,
    /// What of the block TLS has not had yet.
    unread: std::ops::Range<usize>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Incoming(..)")
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            {
                let mut tls = self.both.tls();
                // First what is there, as TLS takes nothing more before it is fetched.
                match tls.reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
                if !self.unread.is_empty() {
                    let taken = tls.read_tls(&mut &self.block[self.unread.clone()])?;
                    self.unread.start += taken;
                    let state = tls.process_new_packets();
                    state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                    continue;
                }
            }
            let read = (&self.both.socket).read(&mut self.block);
            match read.map_err(timed_out)? {
                0 => {
                    let mut tls = self.both.tls();
                    tls.read_tls(&mut io::empty())?;
                }
                read => self.unread = 0..read,
            }
        }
    }
}

/// What is said to the peer. A peer that takes nothing for [`SILENCE`] is an error.
pub struct Outgoing {
    both: Arc<Both>,
    /// Records on their way.
    sealed: Vec<u8>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing(..)")
    }
}

impl Outgoing {
    /// Sends the records that TLS has ready.
    fn send(
        &mut self,
        mut tls: impl FnMut(&mut Connection) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let taken = {
            let mut connection = self.both.tls();
            let taken = tls(&mut connection)?;
            while connection.wants_write() {
                connection.write_tls(&mut self.sealed)?;
            }
            taken
        };
        let sent = (&self.both.socket).write_all(&self.sealed);
        self.sealed.clear();
        sent.map_err(timed_out)?;
        Ok(taken)
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(|tls| tls.writer().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send(|_| Ok(0)).map(|_| ())
    }
}
