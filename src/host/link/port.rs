//! An interface as something that frames are sent to and heard from.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::LinkAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::frame::{ARP, IPV6, Mac};
use crate::error::{Doing as _, Error, Kind, Result};

/// Ethernet, and whatever looks like it: `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

/// No frame of ours or for us is longer.
const LONGEST: usize = 2048;

/// An Ethernet interface that is up.
pub(super) struct Port {
    socket: OwnedFd,
    name: String,
    mac: Mac,
    /// This machine's own: another interface of it in the same network answers too.
    own: Vec<Mac>,
}

/// When the link of a port came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came {
    /// Before we looked.
    Before,
    /// While we waited.
    JustNow,
}

/// An interface as the kernel tells it.
struct Seen {
    link: LinkAddr,
    mac: Option<Mac>,
    flags: InterfaceFlags,
}

impl Port {
    /// The interface, for frames about this address, when it is up and has a carrier.
    pub(super) fn when_up(name: &str, address: IpAddr, patience: Duration) -> Result<(Self, Came)> {
        let deadline = Instant::now() + patience;
        let mut came = Came::Before;
        loop {
            let seen = interfaces()?;
            let found = seen.iter().find(|(found, _)| found == name);
            let dead = match found {
                None => no_interface(name),
                Some((_, seen)) if !is_up(seen.flags) => no_carrier(name, seen.flags),
                Some((_, one)) => {
                    let own = seen.iter().filter_map(|(_, seen)| seen.mac).collect();
                    return Ok((Self::open(name, one, own, address)?, came));
                }
            };
            if Instant::now() > deadline {
                return Err(dead);
            }
            came = Came::JustNow;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn open(name: &str, seen: &Seen, own: Vec<Mac>, address: IpAddr) -> Result<Self> {
        let speaks_arp = !seen.flags.contains(InterfaceFlags::IFF_NOARP);
        let mac = seen
            .mac
            .filter(|_| seen.link.hatype() == ETHERNET && speaks_arp);
        let Some(mac) = mac else {
            let what = format!("{name} is no Ethernet interface, so nobody there can be asked");
            return Err(Error::new(Kind::Host, what)
                .hint("set cutover.interface to the interface whose network has the address"));
        };
        let fail = || format!("cannot listen on {name}");
        let protocol = if address.is_ipv4() { ARP } else { IPV6 };
        let protocol = u32::from(protocol.to_be());
        let protocol = NonZeroU32::new(protocol).expect("neither is 0");
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(Protocol::from_raw(protocol)),
        )
        .doing(Kind::Host, fail)?;
        nix::sys::socket::bind(socket.as_raw_fd(), &seen.link).doing(Kind::Host, fail)?;
        let port = Self {
            socket,
            name: name.to_owned(),
            mac,
            own,
        };
        // Until it was bound it heard every interface.
        while port.receive(&mut [0; LONGEST])?.is_some() {}
        Ok(port)
    }

    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        match send(&self.socket, frame, SendFlags::empty()) {
            Ok(_) => Ok(()),
            Err(errno) => Err(self.failed("speak", errno)),
        }
    }

    /// The first machine other than this one of which `claimant` says that it speaks in a frame, if
    /// there is one within this time.
    pub(super) fn listen(
        &self,
        within: Duration,
        claimant: impl Fn(&[u8]) -> Option<Mac>,
    ) -> Result<Option<Mac>> {
        let deadline = Instant::now() + within;
        let mut frame = [0; LONGEST];
        loop {
            while let Some(length) = self.receive(&mut frame)? {
                match claimant(&frame[..length]) {
                    Some(mac) if !self.own.contains(&mac) => return Ok(Some(mac)),
                    _ => {}
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(
                &mut [PollFd::new(&self.socket, PollFlags::IN)],
                Some(&timeout),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("listen", errno)),
            }
        }
    }

    /// Fails if the interface is down, or its wire is dead.
    pub(super) fn must_be_up(&self) -> Result<()> {
        let seen = interfaces()?;
        match seen.iter().find(|(name, _)| *name == self.name) {
            None => Err(no_interface(&self.name)),
            Some((_, seen)) if !is_up(seen.flags) => Err(no_carrier(&self.name, seen.flags)),
            Some(_) => Ok(()),
        }
    }

    /// The length of a frame that was there already.
    fn receive(&self, frame: &mut [u8; LONGEST]) -> Result<Option<usize>> {
        loop {
            match recv(&self.socket, &mut frame[..], RecvFlags::empty()) {
                Ok((length, _)) => return Ok(Some(length)),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("listen", errno)),
            }
        }
    }

    fn failed(&self, doing: &str, errno: Errno) -> Error {
        let what = format!("cannot {doing} on {}", self.name);
        Error::caused(Kind::Host, what, io::Error::from(errno))
    }
}

/// All interfaces by name.
fn interfaces() -> Result<Vec<(String, Seen)>> {
    let all = getifaddrs().doing(Kind::Host, || "cannot list the interfaces".to_owned())?;
    let links = all.filter_map(|one| {
        let link = *one.address?.as_link_addr()?;
        let mac = link.addr().map(Mac);
        let flags = one.flags;
        Some((one.interface_name, Seen { link, mac, flags }))
    });
    Ok(links.collect())
}

/// netdevice(7): brought up, and operational.
fn is_up(flags: InterfaceFlags) -> bool {
    flags.contains(
        InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING | InterfaceFlags::IFF_LOWER_UP,
    )
}

fn no_interface(name: &str) -> Error {
    Error::new(Kind::Host, format!("there is no interface {name}"))
        .hint("see which there are: `ip link show`")
}

fn no_carrier(name: &str, flags: InterfaceFlags) -> Error {
    if flags.contains(InterfaceFlags::IFF_UP) {
        Error::new(Kind::Host, format!("{name} has no carrier")).hint(format!(
            "check its cable and switch: `ip link show dev {name}`"
        ))
    } else {
        Error::new(Kind::Host, format!("{name} is down"))
            .hint(format!("bring it up: `ip link set dev {name} up`"))
    }
}
