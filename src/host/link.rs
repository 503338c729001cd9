//! An address on the network of the machine that we are on: who answers for it, taking it, letting go
//! of it, telling the neighbours, and keeping everybody but a few away from it.
//!
//! Addresses and rules are changed by the host's `ip` (iproute2), which every Linux host has. ARP and
//! neighbour discovery are spoken here ([`frame`], [`port`]), so that a host needs no `arping`. What
//! outlives a reboot is configuration, which is the business of [`crate::resource::address`].

mod closed;
mod frame;
mod ip;
mod port;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::network::{Rank, Standing};
use super::step::{Assignment, OnInterface};
use crate::error::{Error, Kind, Result};
use port::Port;

pub(crate) use closed::{close, open};

/// How often it is asked whether anybody has an address. RFC 5227, 2.1.1 asks three times within
/// seconds, for networks with sleeping devices; a server answers within a millisecond.
const PROBES: u32 = 4;

/// How long each question may go unanswered.
const PROBE_WAIT: Duration = Duration::from_millis(250);

/// How long a dead link may take to come up.
const LINK_PATIENCE: Duration = Duration::from_secs(8);

/// A switch that runs the spanning tree protocol passes nothing on for twice its forward delay of 15
/// seconds after a link came up (IEEE 802.1D), and its silence proves nothing.
const DEAF: Duration = Duration::from_secs(32);

/// After a boot the link may have come up just now.
const JUST_BOOTED: Duration = Duration::from_mins(1);

/// The pauses between announcements.
const ANNOUNCEMENTS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(300),
];

/// How long the kernel may go on looking for duplicates of an address that was there already.
const TENTATIVE_PATIENCE: Duration = Duration::from_secs(5);

/// Duplicate address detection: RFC 5227 for IPv4, RFC 4862, 5.4 for IPv6. Succeeds when nobody on the
/// interface's network has the address; whether this machine has it makes no difference.
///
/// # Errors
///
/// [`Kind::Blocked`] if another machine has it, by its MAC address; [`Kind::Host`] if nobody can be
/// asked: no such interface, no Ethernet, no carrier.
pub(crate) fn await_free(on: &OnInterface) -> Result<()> {
    let OnInterface { address, interface } = on;
    let (port, link) = Port::when_up(interface, *address, LINK_PATIENCE)?;
    let up_since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up_since = Duration::try_from(up_since).unwrap_or_default();
    let at_least = match link {
        port::Came::JustNow => DEAF,
        port::Came::Before => JUST_BOOTED.saturating_sub(up_since).min(DEAF),
    };
    let asked = Instant::now();
    let mut probes = 0;
    while probes < PROBES || asked.elapsed() < at_least {
        port.send(&frame::probe(port.mac(), *address))?;
        probes += 1;
        if let Some(mac) = port.listen(PROBE_WAIT, |said| frame::claimant(said, *address))? {
            let what = format!("{address} is held by {mac} on {interface}'s network");
            return Err(Error::new(Kind::Blocked, what).hint(format!(
                "find that machine and take {address} from it: `ip addr show` there, \
                 `ip neigh show dev {interface}` here"
            )));
        }
    }
    // What was asked into a dead wire proves nothing.
    port.must_be_up()
}

/// Takes an address, with the broadcast address of its subnet. The kernel is not to look for
/// duplicates of an IPv6 address: [`await_free`] did, and the address must answer at once.
pub(crate) fn take(assignment: &Assignment) -> Result<()> {
    let Assignment { net, interface } = assignment;
    let words = net.to_string();
    let mut argv = vec!["addr", "add", &words];
    match net {
        // A subnet of one or two addresses has no broadcast address, RFC 3021.
        IpNet::V4(v4) if v4.prefix_len() <= 30 => argv.extend(["brd", "+"]),
        IpNet::V4(_) => {}
        IpNet::V6(_) => argv.push("nodad"),
    }
    argv.extend(["dev", interface]);
    let deadline = Instant::now() + TENTATIVE_PATIENCE;
    let mut failure = None;
    loop {
        let held = ip::addresses(interface)?;
        let standing = held.iter().find(|held| held.net == *net);
        match standing.map(|held| held.standing) {
            Some(Standing::Used) => return Ok(()),
            // It was there, and the kernel found the address on another machine, which has let go of
            // it since. It never tries again.
            Some(Standing::Duplicate) => ip::change(&["addr", "del", &words, "dev", interface])?,
            Some(Standing::Tentative) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Some(Standing::Tentative) => {
                let what = format!("{net} stays tentative on {interface}");
                return Err(Error::new(Kind::Host, what).hint(format!(
                    "see whether the link works: `ip -s link show dev {interface}`"
                )));
            }
            None => match failure.take() {
                Some(failure) => return Err(failure),
                // Somebody else may have added it meanwhile, which `ip` calls a failure: look again.
                None => failure = ip::change(&argv).err(),
            },
        }
    }
}

/// Lets go of an address. Other addresses of its subnet stay, also where the kernel would delete the
/// secondary ones together with the primary one.
pub(crate) fn drop_address(assignment: &Assignment) -> Result<()> {
    let Assignment { net, interface } = assignment;
    let words = net.to_string();
    if !ip::exists(interface)? {
        return Ok(());
    }
    let all = ip::addresses(interface)?;
    let Some(held) = all.iter().find(|held| held.net == *net) else {
        return Ok(());
    };
    let follows = |other: &super::network::Held| {
        other.rank == Rank::Secondary && other.net.trunc() == net.trunc()
    };
    if held.rank == Rank::Primary && net.addr().is_ipv4() && all.iter().any(follows) {
        ip::promote_secondaries(interface)?;
    }
    let failure = ip::change(&["addr", "del", &words, "dev", interface]).err();
    match failure {
        Some(failure)
            if ip::addresses(interface)?
                .iter()
                .any(|held| held.net == *net) =>
        {
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// Tells the neighbours that this machine has the address: gratuitous ARP, both as request and as
/// reply, because some devices heed only one of them; unsolicited neighbour advertisements that
/// override, RFC 4861, 7.2.6. A few times within half a second.
///
/// # Errors
///
/// [`Kind::Host`] if this machine does not have it: that would cut the one off that does.
pub(crate) fn announce(on: &OnInterface) -> Result<()> {
    let OnInterface { address, interface } = on;
    let held = ip::addresses(interface)?;
    if !held.iter().any(|held| held.net.addr() == *address) {
        let what = format!("cannot announce {address}: {interface} does not have it");
        return Err(Error::new(Kind::Host, what));
    }
    let (port, _) = Port::when_up(interface, *address, LINK_PATIENCE)?;
    for pause in ANNOUNCEMENTS {
        std::thread::sleep(pause);
        for announcement in frame::announcements(port.mac(), *address) {
            port.send(&announcement)?;
        }
    }
    Ok(())
}

/// The option of `ip` that names the family.
fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "-4" } else { "-6" }
}
