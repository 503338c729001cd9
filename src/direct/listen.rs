//! The end that listens, until the peer has come.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConfig;

use super::{Identity, PATIENCE, PublicKey, Secured, tls};
use crate::error::{Doing as _, Kind, Result};

/// The port, below those that Linux gives to outgoing connections and assigned to nobody (IANA), so
/// that a firewall can be told. Any other is as good if it is taken.
pub const PORT: u16 = 28_730;

/// Strangers that are heard at a time. Whoever comes when there are so many is heard, and the one that
/// has been silent for longest makes way: the peer needs two round trips.
const MOST: usize = 32;

/// How long the port stays open for a peer that does not come.
const OPEN: Duration = PATIENCE.saturating_add(Duration::from_secs(3));

/// How long anybody may take to show who it is.
const HANDSHAKE: Duration = PATIENCE;

/// How soon it is noticed that nobody is waited for any more.
const GLANCE: Duration = Duration::from_millis(50);

/// A host with more addresses has them for other purposes.
const MOST_ADDRESSES: usize = 8;

/// An open port. Dropped, it is closed.
#[derive(Debug)]
pub struct Listening {
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Listening {
    /// Where another machine may reach it: the addresses of this one, at the port.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if the system does not tell them.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let all = getifaddrs().doing(Kind::Host, || "cannot list the interfaces".to_owned())?;
        let up = all.filter(|one| {
            let flags = one.flags;
            flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
        });
        let addresses = up.filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        });
        let far = addresses.filter(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        });
        let at_port = far.map(|address| SocketAddr::new(address, self.port));
        Ok(at_port.take(MOST_ADDRESSES).collect())
    }

    /// Which port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Opens a port for one peer, until it has come or a few seconds have passed. `met` gets the connection
/// once the peer has shown that it is the peer, and has to say something on it: the peer waits for that.
///
/// # Errors
///
/// [`Kind::Host`] if no port can be opened.
pub fn listen(
    identity: &Identity,
    peer: &PublicKey,
    met: impl FnOnce(Secured) + Send + 'static,
) -> Result<Listening> {
    let config = tls::server(identity, peer)?;
    let what = || "cannot listen for the other host".to_owned();
    let listener = bind().doing(Kind::Host, what)?;
    listener.set_nonblocking(true).doing(Kind::Host, what)?;
    let port = listener.local_addr().doing(Kind::Host, what)?.port();
    let closed = Arc::new(AtomicBool::new(false));
    let door = Arc::new(Door {
        config,
        met: Mutex::new(Some(Box::new(met))),
        closed: Arc::clone(&closed),
        strangers: Mutex::default(),
    });
    std::thread::spawn(move || door.open(&listener));
    Ok(Listening { port, closed })
}

/// On all addresses, IPv4 among them where the system has IPv6.
fn bind() -> io::Result<TcpListener> {
    let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
    let mut failure = None;
    for port in [PORT, 0] {
        for address in any {
            match TcpListener::bind((address, port)) {
                Ok(listener) => return Ok(listener),
                Err(error) => failure = Some(error),
            }
        }
    }
    Err(failure.expect("there are addresses to try"))
}

type Met = Box<dyn FnOnce(Secured) + Send>;

struct Door {
    config: Arc<ServerConfig>,
    /// Taken by the peer.
    met: Mutex<Option<Met>>,
    closed: Arc<AtomicBool>,
    strangers: Mutex<Strangers>,
}

/// Who has not shown yet who it is, the first of them first.
#[derive(Default)]
struct Strangers {
    next: u64,
    waiting: VecDeque<(u64, TcpStream)>,
}

impl Door {
    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets people in until the peer is among them, or it is closed.
    fn open(self: &Arc<Self>, listener: &TcpListener) {
        let until = Instant::now() + OPEN;
        while !self.closed.load(Ordering::Relaxed) && Instant::now() < until {
            match listener.accept() {
                Ok((socket, _)) => self.hear(socket),
                // Nobody is there, or who was there has gone again, or there is no descriptor for
                // him: accept(2).
                Err(_) => wait(listener),
            }
        }
        for (_, stranger) in self.strangers().waiting.drain(..) {
            stranger.shutdown(Shutdown::Both).ok();
        }
    }

    /// Hears who it is, in a thread of its own.
    fn hear(self: &Arc<Self>, socket: TcpStream) {
        // Accepted sockets are blocking on Linux, and their time is limited. One that is broken
        // already is dropped.
        let Ok(handle) = socket.try_clone() else {
            return;
        };
        let number = {
            let mut strangers = self.strangers();
            strangers.next += 1;
            let number = strangers.next;
            strangers.waiting.push_back((number, handle));
            if strangers.waiting.len() > MOST
                && let Some((_, oldest)) = strangers.waiting.pop_front()
            {
                oldest.shutdown(Shutdown::Both).ok();
            }
            number
        };
        let door = Arc::clone(self);
        std::thread::spawn(move || {
            let known = tls::accept(&door.config, &socket, Instant::now() + HANDSHAKE);
            door.strangers()
                .waiting
                .retain(|(other, _)| *other != number);
            // A stranger is no news, and there is nobody to tell.
            if let Ok(connection) = known {
                door.welcome(connection, socket);
            }
        });
    }

    /// It is the peer. A second connection of it is not needed.
    fn welcome(&self, connection: rustls::Connection, socket: TcpStream) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        let met = self
            .met
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(met), Ok(secured)) = (met, Secured::new(connection, socket)) {
            met(secured);
        }
    }
}

fn wait(listener: &TcpListener) {
    let glance = Timespec::try_from(GLANCE).expect("a moment fits");
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    if !matches!(poll(&mut polled, Some(&glance)), Ok(0)) {
        // There is somebody whom it cannot let in now.
        std::thread::sleep(Duration::from_millis(1));
    }
}
