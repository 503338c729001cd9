//! The service addresses: that a host can hold them, and that they lead to no host by themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::look::{Found, Look};
use crate::manifest::problem::{Place, Problem, Problems};
use crate::manifest::scalar::quote;
use crate::manifest::{Cidr, HostAddress};

pub(super) fn check(look: &Look<'_>, problems: &mut Problems) {
    let mut seen: BTreeMap<IpAddr, Place> = BTreeMap::new();
    for address in look
        .texts(&["cutover", "address"])
        .filter_map(Found::parse::<Cidr>)
    {
        let Cidr(net) = address.value;
        if let Some((label, help)) = unusable(net) {
            problems.push(
                Problem::new(format!(
                    "{} cannot be a service address",
                    quote(address.text)
                ))
                .at(address.place, label)
                .help(help),
            );
        }
        match seen.get(&net.addr()) {
            Some(first) => problems.push(
                Problem::new(format!("address {} given twice", net.addr()))
                    .at(address.place, "given again here")
                    .at(*first, "first given here")
                    .help("keep the one with the prefix of the subnet"),
            ),
            None => {
                seen.insert(net.addr(), address.place);
            }
        }
    }
    for side in ["source", "target"] {
        let Some(host) = look.value::<HostAddress>(&[side, "host"]) else {
            continue;
        };
        let HostAddress::Ssh { host: name, .. } = &host.value else {
            continue;
        };
        let Ok(ip) = name.parse::<IpAddr>() else {
            continue; // A name: where it leads is for the resolver to say.
        };
        if let Some(moving) = seen.get(&ip) {
            problems.push(
                Problem::new(format!("the {side} is reached by an address that moves"))
                    .at(host.place, "leads to another machine after the cutover")
                    .at(*moving, "this address moves")
                    .help("use an address that the host keeps, or add one"),
            );
        }
    }
}

/// Why no host can serve at the address, and what to do.
fn unusable(net: IpNet) -> Option<(&'static str, String)> {
    let host = "write the address that the clients connect to".to_owned();
    let ip = net.addr();
    if ip.is_unspecified() {
        return Some(("this is no address, but any", host));
    }
    if ip.is_loopback() {
        return Some(("never leaves the machine (loopback)", host));
    }
    if ip.is_multicast() {
        return Some(("a multicast group", host));
    }
    if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some(("the broadcast address", host));
    }
    if net.prefix_len() == 0 {
        let help = "write the prefix that `ip addr` shows for it".to_owned();
        return Some(("a /0 is everything, not a subnet", help));
    }
    // With one bit or none for hosts there is no network or broadcast address (RFC 3021, 6164).
    if net.max_prefix_len() - net.prefix_len() < 2 {
        return None;
    }
    if ip == net.network() {
        let example = net.hosts().nth(24).or_else(|| net.hosts().next());
        let example = example.map_or_else(String::new, |ip| {
            format!(", as in {ip}/{}", net.prefix_len())
        });
        return Some((
            "the subnet itself, not a host in it",
            format!("{host}{example}"),
        ));
    }
    if ip.is_ipv4() && ip == net.broadcast() {
        return Some(("the broadcast address of its subnet", host));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_hosts_can_serve() {
        let usable = |text: &str| unusable(text.parse().unwrap()).is_none();
        for good in [
            "192.0.2.25/24",
            "192.0.2.0/31",
            "192.0.2.255/32",
            "10.0.0.255/8",
            "2001:db8::25/64",
            "2001:db8::/127",
            "2001:db8::ffff:ffff:ffff:ffff/64",
        ] {
            assert!(usable(good), "{good}");
        }
        for wrong in [
            "192.0.2.0/24",
            "192.0.2.255/24",
            "255.255.255.255/32",
            "127.0.0.2/8",
            "::1/128",
            "0.0.0.0/8",
            "::/0",
            "224.0.0.1/4",
            "ff02::1/64",
            "2001:db8::/64",
            "192.0.2.25/0",
        ] {
            assert!(!usable(wrong), "{wrong}");
        }
    }
}
