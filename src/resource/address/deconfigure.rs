//! Taking the service addresses out of a host's configuration, so that it does not have them when it
//! boots.
//!
//! Each backend takes them out of one text ([`backend::remove`]); that they are out of all of them, and
//! that nothing else is, is proven here by reading what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::configure::address;
use super::files::{Files, redaction_of};
use super::interface::{Assigned, Interface};
use super::live::service;
use super::{Problem, backend, ifupdown};
use crate::manifest::{Cutover, MigrationName};
use crate::names::Side;
use crate::plan::Resource;
use crate::plan::change::FileEdit;
use crate::raw::HostPath;
use crate::resource::edit;

/// What comes of it.
pub(super) struct Removal {
    /// One for each file that changes.
    pub(super) edits: Vec<FileEdit>,
    /// Addresses that no configuration gives.
    pub(super) unconfigured: Vec<IpAddr>,
}

/// Looks at every file of the host.
pub(super) fn deconfigure(
    cutover: &Cutover,
    side: Side,
    files: &Files,
    owner: &MigrationName,
) -> Result<Removal, Vec<(Resource, Problem)>> {
    let service = service(cutover);
    let of_first = |problem: Problem| {
        let first = service.first().copied();
        first
            .map(|first| (address(first), problem))
            .into_iter()
            .collect::<Vec<_>>()
    };
    let before = backend::read(files).map_err(|bad| of_first(bad.into()))?;
    let mut after = files.clone();
    let mut changed = BTreeMap::new();
    let found = backend::remove(files, &service, owner).map_err(|bad| of_first(bad.into()))?;
    for place in found {
        after
            .insert(place.path.clone(), &place.text)
            .map_err(|bad| of_first(bad.into()))?;
        changed.insert(place.path, place.mode);
    }
    let read = backend::read(&after).map_err(|bad| of_first(bad.into()))?;
    let mut problems = wrong(&before, &read, &changed.keys().collect(), &service);
    for leaving in &service {
        let hook = ifupdown::hook(&after, *leaving).map_err(|bad| of_first(bad.into()))?;
        problems.extend(hook.map(|(file, line)| {
            let problem = Problem::InHook {
                address: *leaving,
                file,
                line,
            };
            (address(*leaving), problem)
        }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let edit = |(path, mode): (HostPath, u32)| {
        let text = after.get(&path).unwrap_or_default();
        let edit = edit::between_redacted(
            &path,
            redaction_of(&path),
            files.redacted(&path),
            text,
            mode,
        );
        FileEdit { side, ..edit }
    };
    let configured = |address: &IpAddr| before.iter().any(|i| i.holds(*address).is_some());
    Ok(Removal {
        // Also what only an `up` line of ifupdown said is edited and so explained.
        unconfigured: service
            .iter()
            .filter(|a| !configured(a) && !mentioned(files, &changed, **a))
            .copied()
            .collect(),
        edits: changed.into_iter().map(edit).collect(),
    })
}

fn mentioned(files: &Files, changed: &BTreeMap<HostPath, u32>, address: IpAddr) -> bool {
    let mut texts = changed.keys().filter_map(|path| files.get(path));
    texts.any(|text| text.lines().any(|line| backend::has_word(line, address)))
}

/// Whatever is not as it was but for the service addresses.
fn wrong(
    before: &[Interface],
    after: &[Interface],
    changed: &BTreeSet<&HostPath>,
    service: &BTreeSet<IpAddr>,
) -> Vec<(Resource, Problem)> {
    let mut problems = Vec::new();
    for (interface, assigned) in before
        .iter()
        .flat_map(|i| i.addresses.iter().map(move |a| (i, a)))
    {
        let leaving = assigned.net.addr();
        if !service.contains(&leaving) {
            continue;
        }
        if after.iter().any(|i| i.addresses.contains(assigned)) || !changed.contains(&assigned.file)
        {
            let problem = Problem::NotRemovable {
                address: leaving,
                interface: interface.selector.to_string(),
                file: assigned.file.clone(),
            };
            problems.push((address(leaving), problem));
        } else if let Some(other) = stranded(interface, assigned, after, service) {
            let problem = Problem::Stranded {
                address: leaving,
                interface: interface.selector.to_string(),
                other,
                file: assigned.file.clone(),
            };
            problems.push((address(leaving), problem));
        }
    }
    let others = |all: &[Interface]| {
        let all = all
            .iter()
            .flat_map(|i| i.addresses.iter().map(|a| a.net.addr()));
        all.filter(|a| !service.contains(a))
            .collect::<BTreeSet<_>>()
    };
    if let Some(lost) = others(before).difference(&others(after)).next()
        && problems.is_empty()
    {
        let at = before.iter().flat_map(|i| &i.addresses);
        let mut at = at.filter(|a| service.contains(&a.net.addr()));
        if let Some(assigned) = at.next() {
            let problem = Problem::NotRemovable {
                address: assigned.net.addr(),
                interface: format!("the interface with {lost}"),
                file: assigned.file.clone(),
            };
            problems.push((address(assigned.net.addr()), problem));
        }
    }
    problems
}

/// An address that would be alone: it was configured as a host beside the service address, whose prefix
/// was what said that there is a subnet.
fn stranded(
    interface: &Interface,
    leaving: &Assigned,
    after: &[Interface],
    service: &BTreeSet<IpAddr>,
) -> Option<IpAddr> {
    let net = leaving.net;
    if net.prefix_len() == net.max_prefix_len() {
        return None;
    }
    let now = after.iter().find(|i| i.selector == interface.selector)?;
    let beside = now.addresses.iter().map(|a| a.net);
    let mut beside: Vec<_> = beside
        .filter(|one| net.contains(&one.addr()) && !service.contains(&one.addr()))
        .collect();
    let has_subnet = beside
        .iter()
        .any(|one| one.prefix_len() < one.max_prefix_len());
    if has_subnet {
        return None;
    }
    beside.pop().map(|one| one.addr())
}

#[cfg(test)]
mod tests;
