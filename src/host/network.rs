//! The network of a running host: its interfaces, their addresses, and the ways that lead out of it, as
//! `ip` of iproute2 tells them.
//!
//! It has told this in the same words since the last century; `-j` is younger than the hosts that
//! people move away from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network of a running host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The interfaces by name.
    pub interfaces: BTreeMap<String, Link>,
    /// The IPv4 routes that the kernel did not make by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// A way that leads out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where it leads: `default`, or a subnet.
    pub to: String,
    /// Through which interfaces.
    pub through: Vec<String>,
    /// The address that what is sent there comes from, if the route says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub lease: Lease,
}

impl Held {
    /// An address that was just taken.
    pub fn taken(net: IpNet) -> Self {
        Self {
            net,
            standing: Standing::default(),
            rank: Rank::default(),
            lease: Lease::default(),
        }
    }
}

/// For how long an interface has an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lease {
    /// Until somebody takes it away.
    #[default]
    None,
    /// Until it ends, unless DHCP or a router prolongs it: `dynamic`.
    Dynamic,
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
    /// From what `ip -o link show`, `ip -o addr show` and `ip -o -4 route show` say.
    pub fn parse(links: &[u8], addresses: &[u8], routes: &[u8]) -> Result<Self, BadLine> {
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
        let routes = String::from_utf8_lossy(routes);
        network.routes = routes.lines().filter_map(route).collect();
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
    let (mut standing, mut rank, mut lease) = (Standing::Used, Rank::Primary, Lease::None);
    while let Some(word) = words.next() {
        match word {
            // Of a point-to-point address the prefix is the peer's.
            "peer" => {
                let peer = parse_net(words.next()?)?;
                net = IpNet::new(net.addr(), peer.prefix_len()).ok()?;
            }
            "tentative" if standing == Standing::Used => standing = Standing::Tentative,
            "dadfailed" => standing = Standing::Duplicate,
            "dynamic" => lease = Lease::Dynamic,
            "secondary" if net.addr().is_ipv4() => rank = Rank::Secondary,
            _ => {}
        }
    }
    Some(Held {
        net,
        standing,
        rank,
        lease,
    })
}

/// `default via 192.0.2.1 dev eth0 proto static src 192.0.2.25`. `None` for what the kernel makes by
/// itself with an address, and for what leads nowhere.
fn route(line: &str) -> Option<Route> {
    let words: Vec<&str> = line
        .split([' ', '\t', '\\'])
        .filter(|w| !w.is_empty())
        .collect();
    let after = |key: &'static str| {
        let pairs = words.windows(2).filter(move |pair| pair[0] == key);
        pairs.map(|pair| pair[1])
    };
    if after("proto").any(|by| by == "kernel") {
        return None;
    }
    let through: Vec<String> = after("dev").map(str::to_owned).collect();
    (!through.is_empty()).then(|| Route {
        to: words[0].to_owned(),
        through,
        from: after("src").find_map(|from| from.parse().ok()),
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
