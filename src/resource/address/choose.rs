//! Which interface takes a service address, and with which prefix.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Problem;
use super::interface::{Backend, Family, Interface, Origin, Selector};
use crate::names::Side;

/// How an interface was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// The manifest names it, it is in the subnet, or it has the address already.
    Sure,
    /// It is the only one, and gets its addresses from elsewhere: nothing here proves the subnet.
    OnlyOne,
}

/// The interface for an address.
///
/// In this order: the one that the manifest names; the one that has the address already; the one with
/// another persistent address in its subnet; the only one that there is, if it has no static address
/// of that family.
pub fn choose<'a>(
    side: Side,
    all: &'a [Interface],
    wanted: Option<&str>,
    net: IpNet,
    service: &BTreeSet<IpAddr>,
) -> Result<(&'a Interface, Found), Problem> {
    let (chosen, found) = match wanted {
        Some(name) => (by_name(side, all, name, net.addr())?, Found::Sure),
        None => by_subnet(side, all, net, service)?,
    };
    match rival(all, chosen) {
        None => Ok((chosen, found)),
        Some((interface, rival)) => Err(Problem::TwoBackends {
            interface,
            one: (chosen.backend, chosen.file.clone()),
            other: (rival.backend, rival.file.clone()),
        }),
    }
}

/// The address as it is configured: as a host beside a primary address of the same subnet, so that
/// losing the primary does not take it along (FACTS 6), else with the manifest's prefix.
pub fn prefixed(interface: &Interface, net: IpNet, service: &BTreeSet<IpAddr>) -> IpNet {
    let beside = interface.addresses.iter().any(|a| {
        !service.contains(&a.net.addr())
            && a.net.prefix_len() < net.max_prefix_len()
            && a.net.contains(&net.addr())
    });
    if beside { IpNet::from(net.addr()) } else { net }
}

fn by_name<'a>(
    side: Side,
    all: &'a [Interface],
    name: &str,
    address: IpAddr,
) -> Result<&'a Interface, Problem> {
    let named = |origin| {
        let found = all
            .iter()
            .filter(move |i| i.origin == origin && i.selector.names(name));
        found.collect::<Vec<_>>()
    };
    let mut found = named(Origin::Admin);
    if found.is_empty() {
        found = named(Origin::Vendor);
    }
    if found.is_empty() {
        let other =
            |i: &&Interface| matches!(i.selector, Selector::Other(_)) && i.origin == Origin::Admin;
        found = all.iter().filter(other).collect();
    }
    let same_backend = found.iter().all(|i| i.backend == found[0].backend);
    match found.as_slice() {
        [] => Err(Problem::NotConfigured {
            side,
            interface: name.to_owned(),
            candidates: names(all),
        }),
        [one] => Ok(one),
        // networkd takes the first file that matches.
        [first, ..] if same_backend && first.backend == Backend::Networkd => Ok(first),
        [one, rest @ ..] => match rest.iter().find(|i| i.backend != one.backend) {
            Some(other) => Err(Problem::TwoBackends {
                interface: name.to_owned(),
                one: (one.backend, one.file.clone()),
                other: (other.backend, other.file.clone()),
            }),
            None => Err(ambiguous(side, address, &found)),
        },
    }
}

fn by_subnet<'a>(
    side: Side,
    all: &'a [Interface],
    net: IpNet,
    service: &BTreeSet<IpAddr>,
) -> Result<(&'a Interface, Found), Problem> {
    let admin: Vec<&Interface> = all.iter().filter(|i| i.origin == Origin::Admin).collect();
    if let Some(holder) = admin.iter().find(|i| i.holds(net.addr()).is_some()) {
        return Ok((holder, Found::Sure));
    }
    let neighbour = |i: &&&Interface| {
        i.addresses
            .iter()
            .any(|a| !service.contains(&a.net.addr()) && net.contains(&a.net.addr()))
    };
    let family = Family::of(net.addr());
    let near: Vec<&Interface> = admin.iter().filter(neighbour).copied().collect();
    match (near.as_slice(), admin.as_slice()) {
        ([one], _) => Ok((one, Found::Sure)),
        ([], [only]) if !has_static(only, family, service) => Ok((only, Found::OnlyOne)),
        ([], _) => Err(Problem::NoInterface {
            side,
            address: net.addr(),
            candidates: names(all),
        }),
        ([one, ..], _) => match rival(all, one) {
            Some(_) => Ok((one, Found::Sure)),
            None => Err(ambiguous(side, net.addr(), &near)),
        },
    }
}

fn has_static(interface: &Interface, family: Family, service: &BTreeSet<IpAddr>) -> bool {
    let addresses = interface.addresses.iter().map(|a| a.net.addr());
    addresses
        .filter(|a| !service.contains(a))
        .any(|a| Family::of(a) == family)
}

/// Another backend that the admin told to configure the same interface, and that interface's name.
fn rival<'a>(all: &'a [Interface], chosen: &Interface) -> Option<(String, &'a Interface)> {
    all.iter()
        .filter(|i| i.backend != chosen.backend && i.origin == Origin::Admin)
        .find_map(|other| Some((shared(&chosen.selector, &other.selector)?, other)))
}

/// A name on one side that the other side's names or globs take too.
fn shared(one: &Selector, other: &Selector) -> Option<String> {
    let taken = |from: &Selector, by: &Selector| match from {
        Selector::Names(names) => names.iter().find(|name| by.names(name)).cloned(),
        Selector::Other(_) => None,
    };
    taken(one, other).or_else(|| taken(other, one))
}

fn ambiguous(side: Side, address: IpAddr, found: &[&Interface]) -> Problem {
    let candidates = found
        .iter()
        .map(|i| format!("{} ({})", i.selector, i.file))
        .collect();
    Problem::Ambiguous {
        side,
        address,
        candidates,
    }
}

fn names(all: &[Interface]) -> Vec<String> {
    all.iter().map(|i| i.selector.to_string()).collect()
}
