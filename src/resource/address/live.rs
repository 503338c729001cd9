//! Which interface of a running host takes a service address now, and with which prefix.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Problem;
use super::configure::wanted;
use crate::host::network::{Carrier, Link, Network};
use crate::host::step::Assignment;
use crate::manifest::Cutover;
use crate::names::Side;

/// The service addresses without their prefixes.
pub(super) fn service(cutover: &Cutover) -> BTreeSet<IpAddr> {
    cutover.address.iter().map(|net| net.0.addr()).collect()
}

/// Where an address goes on a host that does not have it: the interface that the manifest names, or the
/// one with another address in the subnet. Beside an address of the same subnet it is a host of its
/// own, so that losing the other does not take it along (FACTS 6).
pub(super) fn place(
    cutover: &Cutover,
    side: Side,
    network: &Network,
    net: IpNet,
) -> Result<Assignment, Problem> {
    let service = service(cutover);
    let beside = |link: &Link| {
        link.addresses.iter().any(|held| {
            !service.contains(&held.net.addr())
                && held.net.prefix_len() < held.net.max_prefix_len()
                && net.contains(&held.net.addr())
        })
    };
    let (interface, link) = if let Some(name) = wanted(cutover, side) {
        let interface = name.to_owned();
        let found = network.interfaces.get_key_value(name);
        found.ok_or(Problem::NotThere { side, interface })?
    } else {
        let near = network.interfaces.iter().filter(|(_, link)| beside(link));
        only(side, net.addr(), near.collect())?
    };
    if link.carrier != Carrier::Up {
        return Err(Problem::LinkDown {
            side,
            interface: interface.clone(),
            carrier: link.carrier,
        });
    }
    Ok(Assignment {
        net: if beside(link) {
            IpNet::from(net.addr())
        } else {
            net
        },
        interface: interface.clone(),
    })
}

/// The one of several interfaces that can be meant; those whose link is dead count only when all are.
fn only<'a>(
    side: Side,
    address: IpAddr,
    mut near: Vec<(&'a String, &'a Link)>,
) -> Result<(&'a String, &'a Link), Problem> {
    if near.iter().any(|(_, link)| link.carrier == Carrier::Up) {
        near.retain(|(_, link)| link.carrier == Carrier::Up);
    }
    match near.as_slice() {
        [one] => Ok(*one),
        [] => Err(Problem::NotInSubnet { side, address }),
        several => Err(Problem::SeveralInSubnet {
            side,
            address,
            interfaces: several.iter().map(|(name, _)| (*name).clone()).collect(),
        }),
    }
}
