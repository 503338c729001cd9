//! Looking at the hosts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::backend;
use super::files::Files;
use super::hand_over::answers;
use super::live::service;
use super::{Actual, HOSTS};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::network::{Held, Network};
use crate::host::{HostState, Probe, ReadHost};
use crate::manifest::{Cutover, Manifest};
use crate::parallel;
use crate::resource::edit;

/// Reads what `diff` needs; nothing for a migration without `cutover`. A file of the target that is
/// not what its format says is an error that names it.
pub fn observe(
    manifest: &Manifest,
    source: Option<&dyn ReadHost>,
    target: &dyn ReadHost,
) -> Result<Actual> {
    let Some(cutover) = &manifest.cutover else {
        return Ok(Actual::default());
    };
    let look = |host| Ok((read(host)?, network(host, cutover)?));
    let (on_source, on_target) = parallel::both(|| source.map(look), || look(target));
    let (source_files, source_network) = on_source.transpose()?.unwrap_or_default();
    let (target_files, target_network) = on_target?;
    Ok(Actual {
        target_files,
        target_network,
        hosts: edit::text(target, &HOSTS.into())?,
        source_files,
        source_network,
    })
}

/// The service addresses that a host has now; one that does not run has none.
pub fn held(host: &dyn ReadHost, cutover: &Cutover) -> Result<BTreeSet<IpAddr>> {
    let Some(network) = network(host, cutover)? else {
        return Ok(BTreeSet::new());
    };
    let has = |address: &IpAddr| network.holders(*address).any(|holder| answers(&holder));
    Ok(service(cutover).into_iter().filter(has).collect())
}

/// What of a running host's network has to do with the service addresses: interfaces that come and go
/// with containers do not. `None` if the host does not run, or has no `ip`.
fn network(host: &dyn ReadHost, cutover: &Cutover) -> Result<Option<Network>> {
    if host.state() == HostState::Offline {
        return Ok(None);
    }
    let mut said = Vec::new();
    for probe in [Probe::Links, Probe::Addresses, Probe::Routes] {
        match host.probe(&probe)? {
            Some(answer) if answer.status == Some(0) => said.push(answer.stdout),
            Some(answer) => {
                let what = format!("`{}` failed on {}", probe.argv().join(" "), host.label());
                let cause = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
                return Err(Error::caused(Kind::Host, what, cause));
            }
            None => return Ok(None),
        }
    }
    let mut network = Network::parse(&said[0], &said[1], &said[2])
        .doing(Kind::Malformed, || {
            format!("cannot read the network of {}", host.label())
        })?;
    network.interfaces.retain(|name, link| {
        let near = |held: &Held| {
            let mut nets = cutover.address.iter();
            nets.any(|net| net.0.contains(&held.net.addr()))
        };
        cutover.interface.as_ref() == Some(name) || link.addresses.iter().any(near)
    });
    let interfaces = &network.interfaces;
    let near = |name: &String| interfaces.contains_key(name);
    network
        .routes
        .retain(|route| route.through.iter().any(near));
    Ok(Some(network))
}

fn read(host: &dyn ReadHost) -> Result<Files> {
    let files = backend::collect(host)?;
    backend::read(&files).map_err(|bad| bad.on(&host.label()))?;
    Ok(files)
}
