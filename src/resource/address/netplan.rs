//! netplan: `/etc/netplan/*.yaml`, netplan-yaml(5).
//!
//! Netplan merges lists of addresses across files, so an address is added by a file of ours that says
//! nothing else of the device. Files in `/run` and `/usr/lib` hold no addresses that last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_yaml::{Mapping, Value};

use super::backend::Placement;
use super::files::{BadFile, Files, has_extension};
use super::interface::{Assigned, Backend, Family, Interface, Selector};
use crate::error::Result;
use crate::host::ReadHost;
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::resource::edit::redact::Malformed;

const DIRECTORY: &str = "/etc/netplan";

/// Reads the files.
pub(super) fn collect(host: &dyn ReadHost, files: &mut Files) -> Result<()> {
    files.load_dir(host, &HostPath::from(DIRECTORY), |name| {
        has_extension(name, "yaml")
    })
}

/// The devices of all files, merged by type and id.
pub(super) fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let mut all = Vec::new();
    let dir = HostPath::from(DIRECTORY);
    for (path, _, text) in files.in_dir(&dir) {
        let value: Value = serde_yaml::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |at| at.line());
            bad(path, line, "this is no valid YAML")
        })?;
        let wrong = |what: &str| bad(path, 1, &format!("{what} is no mapping"));
        let Some(network) = entry(&value, "network", wrong)? else {
            continue;
        };
        for (kind, devices) in network {
            let devices = match devices {
                Value::Mapping(devices) => devices,
                Value::Sequence(_) => return Err(wrong("a list under `network`")),
                // `version: 2`, `renderer: networkd`, or a type without devices.
                _ => continue,
            };
            let Some(kind) = kind.as_str() else {
                continue;
            };
            // Settings of the switch itself, not devices by name.
            if kind == "openvswitch" {
                continue;
            }
            for (id, device) in devices.iter().filter(|(id, _)| id.as_str() != Some("lo")) {
                let (Some(id), Value::Mapping(device)) = (id.as_str(), device) else {
                    return Err(wrong(&format!("a device under `{kind}`")));
                };
                merge(
                    &mut all,
                    &Found {
                        path,
                        text,
                        kind,
                        id,
                    },
                    device,
                )?;
            }
        }
    }
    Ok(all)
}

/// The mapping at a key; `None` if the key is absent or empty.
fn entry<'a>(
    value: &'a Value,
    key: &str,
    wrong: impl Fn(&str) -> BadFile,
) -> Result<Option<&'a Mapping>, BadFile> {
    match value {
        Value::Null => Ok(None),
        Value::Mapping(map) => match map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Mapping(inner)) => Ok(Some(inner)),
            Some(_) => Err(wrong(&format!("`{key}`"))),
        },
        _ => Err(wrong("the file")),
    }
}

/// A device's definition in one file.
struct Found<'a> {
    path: &'a HostPath,
    text: &'a str,
    kind: &'a str,
    id: &'a str,
}

fn merge(all: &mut Vec<Interface>, found: &Found<'_>, device: &Mapping) -> Result<(), BadFile> {
    let at = all
        .iter()
        .position(|i: &Interface| i.device_type == found.kind && id(i) == found.id);
    let at = at.unwrap_or_else(|| {
        let selector = Selector::Names(vec![found.id.to_owned()]);
        let mut interface = Interface::new(selector, Backend::Netplan, found.path.clone());
        found.kind.clone_into(&mut interface.device_type);
        all.push(interface);
        all.len() - 1
    });
    let interface = &mut all[at];
    let matched = device.get("match").and_then(|m| m.get("name"));
    for name in [device.get("set-name"), matched].into_iter().flatten() {
        if let (Selector::Names(names), Some(name)) = (&mut interface.selector, name.as_str()) {
            names.push(name.to_owned());
        }
    }
    for (key, family) in [
        ("dhcp4", Family::Ipv4),
        ("dhcp6", Family::Ipv6),
        ("accept-ra", Family::Ipv6),
    ] {
        if device.get(key).is_some_and(is_true) {
            interface.dynamic.insert(family);
        }
    }
    let addresses = match device.get("addresses") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Sequence(addresses)) => addresses,
        Some(_) => {
            return Err(bad(
                found.path,
                line_of(found.text, "addresses"),
                "`addresses` is no list",
            ));
        }
    };
    for address in addresses {
        // An address with options (`lifetime`, `label`) is the one key of a mapping.
        let text = match address {
            Value::Mapping(options) => options.keys().next().and_then(Value::as_str),
            other => other.as_str(),
        };
        let text = text.unwrap_or_default();
        let net: IpNet = text.parse().map_err(|_| {
            let line = line_of(found.text, if text.is_empty() { "addresses" } else { text });
            bad(found.path, line, "an address needs the form ADDRESS/PREFIX")
        })?;
        interface.assign(net, found.path);
    }
    Ok(())
}

/// The id comes first among the names that a device can have.
fn id(interface: &Interface) -> &str {
    match &interface.selector {
        Selector::Names(names) => names.first().map_or("", String::as_str),
        Selector::Other(_) => "",
    }
}

fn is_true(value: &Value) -> bool {
    // YAML 1.1, which netplan reads, has more words for it than YAML 1.2.
    match value {
        Value::Bool(value) => *value,
        Value::String(text) => matches!(
            text.to_ascii_lowercase().as_str(),
            "yes" | "on" | "y" | "true"
        ),
        _ => false,
    }
}

fn line_of(text: &str, needle: &str) -> usize {
    text.lines()
        .position(|line| line.contains(needle))
        .map_or(1, |at| at + 1)
}

/// Our file with more addresses; what it says of other devices stays.
pub(super) fn add(
    files: &Files,
    interface: &Interface,
    addresses: &[IpNet],
    owner: &MigrationName,
) -> Result<Placement, BadFile> {
    let path = own_file(owner);
    let all = read(files)?;
    let own = all
        .iter()
        .flat_map(|i| i.addresses.iter().map(move |a| (i, a)));
    let own = own.filter(|(_, a)| a.file == path).map(|(i, a)| (i, a.net));
    let text = own_text(
        own.chain(addresses.iter().map(|net| (interface, *net))),
        owner,
    );
    Ok(Placement {
        path,
        text,
        mode: 0o600,
    })
}

fn own_file(owner: &MigrationName) -> HostPath {
    HostPath::from(DIRECTORY).join(format!("90-reconcile-{}.yaml", owner.as_str()))
}

/// What our file says when devices have these addresses by it.
fn own_text<'a>(
    addresses: impl Iterator<Item = (&'a Interface, IpNet)>,
    owner: &MigrationName,
) -> String {
    let mut devices: BTreeMap<(String, String), Vec<IpNet>> = BTreeMap::new();
    for (device, net) in addresses {
        let key = (device.device_type.clone(), id(device).to_owned());
        devices.entry(key).or_default().push(net);
    }
    let mut text = format!(
        "# Written by reconcile for the migration {}.\n",
        owner.as_str()
    );
    text.push_str("network:\n  version: 2\n");
    let mut open = "";
    for ((kind, id), nets) in &devices {
        if open != kind {
            text.extend(["  ", kind, ":\n"]);
            open = kind;
        }
        text.extend(["    ", &quoted(id), ":\n      addresses:\n"]);
        text.extend(nets.iter().map(|net| format!("        - \"{net}\"\n")));
    }
    text
}

/// The files without these addresses. Ours is written anew; of the admin's only lines change, and only
/// if what is left means exactly what it meant without them.
pub(super) fn remove(
    files: &Files,
    addresses: &BTreeSet<IpAddr>,
    owner: &MigrationName,
) -> Result<Vec<Placement>, BadFile> {
    let dir = HostPath::from(DIRECTORY);
    let own = own_file(owner);
    let all = read(files)?;
    let mut changed = Vec::new();
    for (path, _, text) in files.in_dir(&dir) {
        let text = if *path == own {
            let assigned = all
                .iter()
                .flat_map(|i| i.addresses.iter().map(move |a| (i, a)));
            let stays = |(_, a): &(&Interface, &Assigned)| {
                a.file == own && !addresses.contains(&a.net.addr())
            };
            let stays = assigned.filter(stays).map(|(i, a)| (i, a.net));
            own_text(stays, owner)
        } else {
            without(text, addresses)
        };
        changed.push(Placement {
            path: path.clone(),
            text,
            mode: 0o600,
        });
    }
    Ok(changed)
}

/// The text without these addresses, or as it is where that cannot be done line by line.
fn without(text: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let mut out: Vec<String> = Vec::new();
    // The indentation of an address whose options, on the next lines, go with it.
    let mut options_of = None;
    // The line with `addresses:`, and how many of its items were met and how many stay.
    let mut list: Option<(usize, usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if options_of.is_some_and(|of| indent > of && !trimmed.is_empty()) {
            continue;
        }
        options_of = None;
        if let Some(item) = trimmed.strip_prefix("- ")
            && let Some((_, met, stay)) = &mut list
        {
            *met += 1;
            if addresses.contains(&item_address(item).unwrap_or(IpAddr::from([0; 4]))) {
                options_of = Some(indent);
                continue;
            }
            *stay += 1;
        } else if !trimmed.is_empty() && !trimmed.starts_with('#') {
            close_list(&mut out, list.take());
            if trimmed.trim_end() == "addresses:" {
                list = Some((out.len(), 0, 0));
            }
        }
        out.push(without_elements(line, addresses));
    }
    close_list(&mut out, list);
    let out = out.concat();
    if meaning(text, addresses).is_some_and(|wanted| meaning(&out, addresses) == Some(wanted))
        && !out.is_empty()
    {
        out
    } else {
        text.to_owned()
    }
}

/// A list that lost all its items is an empty one.
fn close_list(out: &mut [String], list: Option<(usize, usize, usize)>) {
    if let Some((at, met, 0)) = list
        && met > 0
    {
        out[at] = out[at].replacen("addresses:", "addresses: []", 1);
    }
}

/// The address of a list's item: `192.0.2.25/24`, in quotes or not, with options or without.
fn item_address(item: &str) -> Option<IpAddr> {
    let item = item.split(" #").next()?.trim().trim_end_matches(':');
    let item = item.trim_matches(['"', '\'']);
    Some(item.parse::<IpNet>().ok()?.addr())
}

/// The line without these addresses in lists that are written in it: `[192.0.2.20/24, 192.0.2.25/24]`.
fn without_elements(line: &str, addresses: &BTreeSet<IpAddr>) -> String {
    let Some((before, rest)) = line.split_once('[') else {
        return line.to_owned();
    };
    let Some((list, after)) = rest.split_once(']') else {
        return line.to_owned();
    };
    let goes = |item: &str| item_address(item).is_some_and(|one| addresses.contains(&one));
    let after = without_elements(after, addresses);
    if before.trim_end().ends_with("addresses:") && list.split(',').any(goes) {
        let stay: Vec<&str> = list.split(',').filter(|item| !goes(item)).collect();
        format!("{before}[{}]{after}", stay.join(",").trim())
    } else {
        format!("{before}[{list}]{after}")
    }
}

/// What a file says, these addresses of devices left out.
fn meaning(text: &str, addresses: &BTreeSet<IpAddr>) -> Option<Value> {
    let mut value: Value = serde_yaml::from_str(text).ok()?;
    let Some(Value::Mapping(network)) = value.get_mut("network") else {
        return Some(value);
    };
    for (_, devices) in network.iter_mut() {
        let Value::Mapping(devices) = devices else {
            continue;
        };
        for (_, device) in devices.iter_mut() {
            let Some(Value::Sequence(all)) = device.get_mut("addresses") else {
                continue;
            };
            all.retain(|one| {
                let text = match one {
                    Value::Mapping(options) => options.keys().next().and_then(Value::as_str),
                    other => other.as_str(),
                };
                let net = text.and_then(|text| text.parse::<IpNet>().ok());
                !net.is_some_and(|net| addresses.contains(&net.addr()))
            });
        }
    }
    Some(value)
}

/// A device id as a YAML key. Ids are plain words as a rule.
fn quoted(id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) && id.chars().all(plain) {
        id.to_owned()
    } else {
        format!("\"{}\"", id.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

fn bad(path: &HostPath, line: usize, what: &str) -> BadFile {
    BadFile {
        path: path.clone(),
        malformed: Malformed::at(line, what),
    }
}

#[cfg(test)]
mod tests;
