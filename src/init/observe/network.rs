//! The addresses in a host's persistent network configuration, by the readers of
//! [`crate::resource::address`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::{Result, chain};
use crate::host::ReadHost;
use crate::init::findings::{Network, StaticAddress};
use crate::manifest::Cidr;
use crate::raw::HostPath;
use crate::resource::address::interface::{Interface, Origin};
use crate::resource::address::{backend, hosts};

/// Reads them. A file that is not what its format says is a finding: nothing else depends on it.
pub(super) fn look(host: &dyn ReadHost) -> Result<Network> {
    let files = match backend::collect(host) {
        Ok(files) => files,
        Err(error) if error.kind() == crate::error::Kind::Malformed => {
            return Ok(unread(chain(&error)));
        }
        Err(error) => return Err(error),
    };
    let interfaces = match backend::read(&files) {
        Ok(interfaces) => interfaces,
        Err(bad) => return Ok(unread(chain(&bad.on(&host.label())))),
    };
    let names = host
        .read(&HostPath::from("/etc/hosts"))?
        .unwrap_or_default();
    let names = String::from_utf8_lossy(&names);
    Ok(network(&interfaces, &names))
}

fn unread(why: String) -> Network {
    Network {
        unread: Some(why),
        ..Network::default()
    }
}

fn network(interfaces: &[Interface], hosts_file: &str) -> Network {
    let mut network = Network::default();
    let mut seen: BTreeSet<IpAddr> = BTreeSet::new();
    for interface in interfaces.iter().filter(|i| i.origin == Origin::Admin) {
        let name = interface.selector.to_string();
        if !interface.dynamic.is_empty() {
            network.dynamic.insert(name.clone());
        }
        for assigned in &interface.addresses {
            if !leads_to_a_host(assigned.net) || !seen.insert(assigned.net.addr()) {
                continue;
            }
            network.addresses.push(StaticAddress {
                net: Cidr(assigned.net),
                interface: name.clone(),
                names: hosts::names_of(hosts_file, assigned.net.addr()),
            });
        }
    }
    network
}

/// Whether clients could connect to it.
fn leads_to_a_host(net: IpNet) -> bool {
    let link_local = match net.addr() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let address = net.addr();
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
        && net.prefix_len() > 0
}
