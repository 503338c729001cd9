//! systemd-networkd: `*.network` files and their drop-ins, systemd.network(5).
//!
//! An address is added by a drop-in of ours. `/run` is left out: nothing there outlives a reboot, and
//! what netplan generates there is netplan's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::backend::{Placement, without_lines};
use super::files::{BadFile, Files, has_extension, names_in};
use super::ini::{self, Entry};
use super::interface::{Backend, Family, Interface, Origin, Selector};
use crate::error::Result;
use crate::host::ReadHost;
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::resource::edit::redact::Malformed;

/// The directories, the strongest first: a file hides those of the same name further down.
const DIRECTORIES: [&str; 3] = [
    "/etc/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
];

/// Reads the files and their drop-ins.
pub(super) fn collect(host: &dyn ReadHost, files: &mut Files) -> Result<()> {
    for dir in DIRECTORIES.map(HostPath::from) {
        files.load_dir(host, &dir, |name| has_extension(name, "network"))?;
        for name in names_in(host, &dir)? {
            if name.as_bytes().ends_with(b".network.d") {
                let dropins = dir.join(name.as_bytes());
                files.load_dir(host, &dropins, |name| has_extension(name, "conf"))?;
            }
        }
    }
    Ok(())
}

/// The interfaces, one for each `.network` file, in the order in which networkd tries them.
pub(super) fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let mut by_name: BTreeMap<String, HostPath> = BTreeMap::new();
    for dir in DIRECTORIES.map(HostPath::from) {
        for (path, name, _) in files
            .in_dir(&dir)
            .filter(|(_, name, _)| has_extension(name, "network"))
        {
            by_name
                .entry(name.to_owned())
                .or_insert_with(|| path.clone());
        }
    }
    let mut all = Vec::new();
    for (name, path) in &by_name {
        let text = files.get(path).unwrap_or_default();
        // An empty file masks the one of the same name.
        if text.trim().is_empty() {
            continue;
        }
        all.extend(read_one(files, name, path, text)?);
    }
    Ok(all)
}

fn read_one(
    files: &Files,
    name: &str,
    path: &HostPath,
    text: &str,
) -> Result<Option<Interface>, BadFile> {
    let entries = ini::parse(text).map_err(|malformed| bad(path, malformed))?;
    let matches = |key| {
        let found = entries
            .iter()
            .filter(move |e| e.section == "Match" && e.key == key);
        found
            .flat_map(|e| e.value.split_whitespace())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let names = matches("Name");
    if names.iter().all(|name| name == "lo") && !names.is_empty() {
        return Ok(None);
    }
    let negated = names.first().is_some_and(|name| name.starts_with('!'));
    let selector = if names.is_empty() || negated {
        Selector::Other(format!("whatever {name} matches"))
    } else {
        Selector::Names(names)
    };
    let mut interface = Interface::new(selector, Backend::Networkd, path.clone());
    if !path.as_path().starts_with("/etc") {
        interface.origin = Origin::Vendor;
    }
    settings(&mut interface, path, &entries)?;
    for (dropin, text) in dropins(files, name) {
        let entries = ini::parse(text).map_err(|malformed| bad(dropin, malformed))?;
        settings(&mut interface, dropin, &entries)?;
    }
    Ok(Some(interface))
}

/// The drop-ins of a `.network` file, sorted by name whichever directory they are in.
fn dropins<'a>(files: &'a Files, name: &str) -> Vec<(&'a HostPath, &'a str)> {
    let mut found: BTreeMap<&[u8], (&HostPath, &str)> = BTreeMap::new();
    for dir in DIRECTORIES {
        let dir = HostPath::from(dir).join(format!("{name}.d"));
        for (path, text) in files.range(..).filter(|(path, _)| path.parent() == dir) {
            found.entry(path.file_name()).or_insert((path, text));
        }
    }
    found.into_values().collect()
}

fn settings(
    interface: &mut Interface,
    path: &HostPath,
    entries: &[Entry<'_>],
) -> Result<(), BadFile> {
    for Entry {
        section,
        key,
        value,
        line,
    } in entries.iter().copied()
    {
        match (section, key) {
            ("Network" | "Address", "Address") if !value.is_empty() => {
                let net = value
                    .parse()
                    .or_else(|_| value.parse::<IpAddr>().map(IpNet::from));
                let net = net.map_err(|_| bad(path, Malformed::at(line, "this is no address")))?;
                interface.assign(net, path);
            }
            ("Network", "DHCP") => {
                let families: &[Family] = match value.to_ascii_lowercase().as_str() {
                    "yes" | "true" | "1" | "on" | "both" => &[Family::Ipv4, Family::Ipv6],
                    "ipv4" | "v4" => &[Family::Ipv4],
                    "ipv6" | "v6" => &[Family::Ipv6],
                    _ => &[],
                };
                interface.dynamic.extend(families);
            }
            ("Network", "IPv6AcceptRA") if matches!(value, "yes" | "true" | "1" | "on") => {
                interface.dynamic.insert(Family::Ipv6);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Our drop-in with more addresses.
pub(super) fn add(
    files: &Files,
    interface: &Interface,
    addresses: &[IpNet],
    owner: &MigrationName,
) -> Placement {
    let name = interface.file.file_name();
    let path = HostPath::from(DIRECTORIES[0])
        .join([name, b".d".as_slice()].concat())
        .join(format!("50-reconcile-{}.conf", owner.as_str()));
    let mut text = match files.get(&path) {
        Some(text) => text.to_owned(),
        None => format!(
            "# Written by reconcile for the migration {}.\n[Network]\n",
            owner.as_str()
        ),
    };
    text.extend(addresses.iter().map(|net| format!("Address={net}\n")));
    Placement {
        path,
        text,
        mode: 0o644,
    }
}

/// The files in `/etc` without these addresses. What the distribution has in `/usr/lib` is not ours to
/// edit.
pub(super) fn remove(
    files: &Files,
    addresses: &BTreeSet<IpAddr>,
) -> Result<Vec<Placement>, BadFile> {
    let mut changed = Vec::new();
    for (path, text) in files.range(..) {
        let ours = path.as_path().starts_with(DIRECTORIES[0]);
        let name = path.as_path();
        let is_one = has_extension(&name.to_string_lossy(), "network")
            || has_extension(&name.to_string_lossy(), "conf");
        if !ours || !is_one {
            continue;
        }
        let text = without(text, addresses).map_err(|malformed| bad(path, malformed))?;
        changed.push(Placement {
            path: path.clone(),
            text,
            mode: 0o644,
        });
    }
    Ok(changed)
}

/// `Address=` of `[Network]` is a line; an `[Address]` section goes as a whole, because its other
/// settings are the address's.
fn without(text: &str, addresses: &BTreeSet<IpAddr>) -> Result<String, Malformed> {
    let entries = ini::parse(text)?;
    let goes = |entry: &&Entry<'_>| {
        let address = entry.value.split('/').next().unwrap_or_default();
        let address = address.trim().parse::<IpAddr>();
        entry.key == "Address" && address.is_ok_and(|address| addresses.contains(&address))
    };
    let headers: Vec<usize> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.trim_start().starts_with('['))
        .map(|(number, _)| number)
        .collect();
    let mut lines = BTreeSet::new();
    for entry in entries.iter().filter(goes) {
        if entry.section == "Network" {
            lines.insert(entry.line);
        } else if entry.section == "Address" {
            let from = headers.iter().rfind(|&&header| header < entry.line);
            let to = headers.iter().find(|&&header| header > entry.line);
            let from = from.copied().unwrap_or(entry.line);
            lines.extend(from..to.copied().unwrap_or(text.lines().count() + 1));
        }
    }
    Ok(without_lines(text, &lines))
}

fn bad(path: &HostPath, malformed: Malformed) -> BadFile {
    BadFile {
        path: path.clone(),
        malformed,
    }
}

#[cfg(test)]
mod tests;
