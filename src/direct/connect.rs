//! The end that connects, by whichever of the other's addresses it can.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::{Identity, PATIENCE, PublicKey, Secured, tls};
use crate::error::Result;

/// How long nothing may come back from an address.
const NOTHING: Duration = Duration::from_secs(3);

/// A peer that was crowded out by strangers is tried again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Why no address led to the peer.
#[derive(Debug)]
pub struct Refusal(Vec<(SocketAddr, io::Error)>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (address, error)) in self.0.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            write!(f, "{comma}{address} ")?;
            match error.kind() {
                io::ErrorKind::TimedOut => f.write_str("does not answer")?,
                io::ErrorKind::ConnectionRefused => f.write_str("refuses the connection")?,
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    f.write_str("hangs up")?;
                }
                io::ErrorKind::InvalidData => f.write_str("is somebody else")?,
                _ => write!(f, "cannot be reached: {error}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// Connects to a peer that listens at one of these addresses, all of which are tried at once. `Ok(Err)`
/// if none leads there.
///
/// # Errors
///
/// [`crate::error::Kind::Internal`] if TLS cannot be set up.
pub fn connect(
    identity: &Identity,
    peer: &PublicKey,
    addresses: &[SocketAddr],
) -> Result<Result<(SocketAddr, Secured), Refusal>> {
    let config = tls::client(identity, peer)?;
    let until = Instant::now() + PATIENCE;
    let (to, outcomes) = mpsc::channel();
    for &address in addresses {
        let (to, config) = (to.clone(), Arc::clone(&config));
        std::thread::spawn(move || {
            // Whoever has a connection does not wait for another.
            to.send((address, try_often(&config, address, until))).ok();
        });
    }
    drop(to);
    let mut refused = Vec::new();
    // Each ends when its time is over.
    for (address, outcome) in outcomes {
        match outcome {
            Ok(secured) => return Ok(Ok((address, secured))),
            Err(error) => refused.push((address, error)),
        }
    }
    refused.sort_by_key(|(address, _)| *address);
    Ok(Err(Refusal(refused)))
}

fn try_often(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    until: Instant,
) -> io::Result<Secured> {
    let mut tries = 1;
    loop {
        let error = match try_once(config, address, until) {
            Ok(secured) => return Ok(secured),
            Err(error) => error,
        };
        let crowded = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        );
        if !crowded || tries == TRIES || Instant::now() + PAUSE > until {
            return Err(error);
        }
        tries += 1;
        std::thread::sleep(PAUSE);
    }
}

fn try_once(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    until: Instant,
) -> io::Result<Secured> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let socket = TcpStream::connect_timeout(&address, left.min(NOTHING))?;
    let connection = tls::offer(config, address.ip(), &socket, until)?;
    Secured::new(connection, socket)
}
