//! The network of a running host: its interfaces and their addresses, as `ip` of iproute2 tells them.
//!
//! Both `ip -o link show` and `ip -o addr show` have told this in the same words since the last
//! century; `-j` is younger than the hosts that people move away from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The interfaces of a running host, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Network {
    /// Loopback included.
    pub interfaces: BTreeMap<String, Link>,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Whether it can carry anything now.
    pub carrier: Carrier,
    /// Its addresses, in the order in which the kernel has them.
    #[serde(default)]
    pub addresses: Vec<Held>,
}

/// Whether an interface can carry anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// It is up, and so is the wire.
    Up,
    /// It was not brought up.
    Down,
    /// It was brought up, but there is nothing at the other end of the wire.
    NoWire,
}

/// An address that an interface has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Address and prefix.
    pub net: IpNet,
    /// Whether it is used.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub standing: Standing,
    /// Whether it goes with another one.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub rank: Rank,
}

/// How far the kernel is with an address, ip-address(8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It answers.
    #[default]
    Used,
    /// Duplicate address detection goes on, RFC 4862.
    Tentative,
    /// Duplicate address detection found another host that has it; this one never answers.
    Duplicate,
}

/// What becomes of an IPv4 address when another one of its subnet is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Nothing.
    #[default]
    Primary,
    /// It is deleted together with the primary one, unless `promote_secondaries` is set.
    Secondary,
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A line that is not what iproute2 says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// The line.
    pub line: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not what ip of iproute2 says", self.line)
    }
}

impl std::error::Error for BadLine {}

impl Network {
    /// From what `ip -o link show` and `ip -o addr show` say.
    pub fn parse(links: &[u8], addresses: &[u8]) -> Result<Self, BadLine> {
        let mut network = Self::default();
        for line in String::from_utf8_lossy(links).lines() {
            let (name, carrier) = link(line).ok_or_else(|| bad(line))?;
            let addresses = Vec::new();
            let link = Link { carrier, addresses };
            network.interfaces.insert(name.to_owned(), link);
        }
        for (name, held) in parse_addresses(addresses)? {
            // One that came up between the two answers is seen next time.
            if let Some(link) = network.interfaces.get_mut(&name) {
                link.addresses.push(held);
            }
        }
        Ok(network)
    }

    /// The interfaces that have an address, with what they have.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = (&str, &Link, &Held)> {
        self.interfaces.iter().flat_map(move |(name, link)| {
            let held = link.addresses.iter();
            held.filter(move |held| held.net.addr() == address)
                .map(move |held| (name.as_str(), link, held))
        })
    }
}

/// What `ip -o addr show` says: each address with its interface.
pub fn parse_addresses(said: &[u8]) -> Result<Vec<(String, Held)>, BadLine> {
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(said).lines() {
        let mut words = line.split_whitespace().skip(1);
        let name = words.next().ok_or_else(|| bad(line))?;
        // Old ones say the link itself first: `2: eth0: <BROADCAST,...>`.
        if name.ends_with(':') {
            continue;
        }
        let family = words.next();
        if !matches!(family, Some("inet" | "inet6")) {
            continue;
        }
        let held = held(words).ok_or_else(|| bad(line))?;
        found.push((plain(name).to_owned(), held));
    }
    Ok(found)
}

fn held<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Held> {
    let address = words.next()?;
    let mut net = parse_net(address)?;
    let (mut standing, mut rank) = (Standing::Used, Rank::Primary);
    while let Some(word) = words.next() {
        match word {
            // Of a point-to-point address the prefix is the peer's.
            "peer" => {
                let peer = parse_net(words.next()?)?;
                net = IpNet::new(net.addr(), peer.prefix_len()).ok()?;
            }
            "tentative" if standing == Standing::Used => standing = Standing::Tentative,
            "dadfailed" => standing = Standing::Duplicate,
            "secondary" if net.addr().is_ipv4() => rank = Rank::Secondary,
            _ => {}
        }
    }
    Some(Held {
        net,
        standing,
        rank,
    })
}

fn parse_net(text: &str) -> Option<IpNet> {
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(alone)
}

/// `2: host0@if31: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 ...`
fn link(line: &str) -> Option<(&str, Carrier)> {
    let mut words = line.split_whitespace().skip(1);
    let name = plain(words.next()?.strip_suffix(':')?);
    let flags = words.next()?.strip_prefix('<')?.strip_suffix('>')?;
    let has = |flag| flags.split(',').any(|one| one == flag);
    let carrier = match (has("UP"), has("LOWER_UP")) {
        (false, _) => Carrier::Down,
        (true, false) => Carrier::NoWire,
        (true, true) => Carrier::Up,
    };
    Some((name, carrier))
}

/// The name without what it is stacked on: `eth0.5@eth0`.
fn plain(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn bad(line: &str) -> BadLine {
    let line = line.to_owned();
    BadLine { line }
}

#[cfg(test)]
mod tests;
