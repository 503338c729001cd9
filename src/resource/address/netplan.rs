//! netplan: `/etc/netplan/*.yaml`, netplan-yaml(5).
//!
//! Netplan merges lists of addresses across files, so an address is added by a file of ours that says
//! nothing else of the device. Files in `/run` and `/usr/lib` hold no addresses that last.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_yaml::{Mapping, Value};

use super::backend::Placement;
use super::files::{BadFile, Files, has_extension};
use super::interface::{Backend, Family, Interface, Selector};
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
    let path = HostPath::from(DIRECTORY).join(format!("90-reconcile-{}.yaml", owner.as_str()));
    let mut devices: BTreeMap<(String, String), Vec<IpNet>> = BTreeMap::new();
    let all = read(files)?;
    let own = all
        .iter()
        .flat_map(|i| i.addresses.iter().map(move |a| (i, a)));
    let own = own.filter(|(_, a)| a.file == path).map(|(i, a)| (i, a.net));
    for (device, net) in own.chain(addresses.iter().map(|net| (interface, *net))) {
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
    Ok(Placement {
        path,
        text,
        mode: 0o600,
    })
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
