//! `NetworkManager`: keyfiles in `/etc/NetworkManager/system-connections`, nm-settings-keyfile(5).
//!
//! An address is added as the next `addressN=` of the connection, as `nmcli` writes it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::backend::Placement;
use super::files::{BadFile, Files};
use super::ini::{self, Entry};
use super::interface::{Backend, Family, Interface, Selector, parse_net};
use crate::error::Result;
use crate::host::ReadHost;
use crate::raw::HostPath;
use crate::resource::edit::redact::Malformed;

const DIRECTORY: &str = "/etc/NetworkManager/system-connections";
const FAMILIES: [(&str, Family); 2] = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];

/// Reads the keyfiles. `NetworkManager` takes every name but those of backups.
pub(super) fn collect(host: &dyn ReadHost, files: &mut Files) -> Result<()> {
    files.load_dir(host, &HostPath::from(DIRECTORY), |name| {
        let backup = ["~", ".bak", ".rpmsave", ".rpmorig", ".rpmnew", ".swp"];
        !name.starts_with('.') && !backup.iter().any(|end| name.ends_with(end))
    })
}

/// The connections that come up by themselves.
pub(super) fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let dir = HostPath::from(DIRECTORY);
    let mut all = Vec::new();
    for (path, _, text) in files.in_dir(&dir) {
        let entries = ini::parse(text).map_err(|malformed| bad(path, malformed))?;
        let value = |section, key| {
            let mut found = entries
                .iter()
                .rev()
                .filter(|e| e.section == section && e.key == key);
            found.next().map(|e| e.value)
        };
        if !entries.iter().any(|e| e.section == "connection") {
            return Err(bad(
                path,
                Malformed::at(1, "the [connection] section is missing"),
            ));
        }
        let port = ["master", "controller", "slave-type", "port-type"];
        if value("connection", "autoconnect") == Some("false")
            || port.iter().any(|key| value("connection", key).is_some())
            || value("connection", "type") == Some("loopback")
            || value("connection", "interface-name") == Some("lo")
        {
            continue;
        }
        let selector = match value("connection", "interface-name") {
            Some(name) => Selector::Names(vec![name.to_owned()]),
            None => Selector::Other(format!(
                "whatever the connection {} takes",
                value("connection", "id").unwrap_or_default()
            )),
        };
        let mut interface = Interface::new(selector, Backend::NetworkManager, path.clone());
        for (section, family) in FAMILIES {
            match value(section, "method") {
                None | Some("auto" | "dhcp") => interface.dynamic.insert(family),
                Some("manual") => false,
                Some(_) => interface.off.insert(family),
            };
        }
        for entry in addresses(&entries) {
            let mut parts = entry.value.split([',', ';', '/']);
            let net = parse_net(parts.next().unwrap_or_default(), parts.next());
            let net =
                net.ok_or_else(|| bad(path, Malformed::at(entry.line, "this is no address")))?;
            interface.assign(net, path);
        }
        all.push(interface);
    }
    Ok(all)
}

fn addresses<'a>(entries: &'a [Entry<'a>]) -> impl Iterator<Item = &'a Entry<'a>> {
    entries.iter().filter(|e| {
        FAMILIES.iter().any(|(section, _)| *section == e.section) && number(e.key).is_some()
    })
}

/// The number of `addressN`; 0 where there is none.
fn number(key: &str) -> Option<u32> {
    let rest = key.strip_prefix("address")?;
    let rest = rest.strip_prefix("es").unwrap_or(rest);
    if rest.is_empty() {
        Some(0)
    } else {
        rest.parse().ok()
    }
}

/// The connection's keyfile with more addresses.
pub(super) fn add(
    files: &Files,
    interface: &Interface,
    addresses: &[IpNet],
) -> Result<Placement, BadFile> {
    let path = interface.file.clone();
    let mut text = files.get(&path).unwrap_or_default().to_owned();
    for (section, family) in FAMILIES {
        let family: Vec<_> = addresses
            .iter()
            .filter(|n| Family::of(n.addr()) == family)
            .collect();
        for net in family {
            text = insert(&text, section, *net).map_err(|malformed| bad(&path, malformed))?;
        }
    }
    Ok(Placement {
        path,
        text,
        mode: 0o600,
    })
}

/// One more address: after the last one of the section, else at the section's top, else in a new
/// section. Without `method` `NetworkManager` takes `auto`, and so the new section says it.
fn insert(text: &str, section: &str, net: IpNet) -> Result<String, Malformed> {
    let entries = ini::parse(text)?;
    let ours: Vec<_> = self::addresses(&entries)
        .filter(|e| e.section == section)
        .collect();
    let taken: BTreeSet<u32> = ours.iter().filter_map(|e| number(e.key)).collect();
    let number = taken.last().map_or(1, |last| last + 1);
    let address = format!("address{number}={net}\n");
    let header = format!("[{section}]");
    let after = ours.last().map(|e| e.line);
    let after = after.or_else(|| {
        text.lines()
            .position(|l| l.trim() == header)
            .map(|at| at + 1)
    });
    let feed = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Ok(match after {
        Some(line) => {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (above, below) = lines.split_at(line);
            let feed = if below.is_empty() { feed } else { "" };
            format!("{}{feed}{address}{}", above.concat(), below.concat())
        }
        None => format!("{text}{feed}\n{header}\n{address}method=auto\n"),
    })
}

/// The keyfiles without these addresses.
pub(super) fn remove(
    files: &Files,
    addresses: &BTreeSet<IpAddr>,
) -> Result<Vec<Placement>, BadFile> {
    let dir = HostPath::from(DIRECTORY);
    let mut changed = Vec::new();
    for (path, _, text) in files.in_dir(&dir) {
        let mut text = text.to_owned();
        for (section, _) in FAMILIES {
            let without = without(&text, section, addresses);
            text = without.map_err(|malformed| bad(path, malformed))?;
        }
        changed.push(Placement {
            path: path.clone(),
            text,
            mode: 0o600,
        });
    }
    Ok(changed)
}

/// A section without these addresses. A gateway that stands at one of them goes to the first that
/// stays. A connection with `method=manual` needs an address and keeps what would be its last.
fn without(text: &str, section: &str, addresses: &BTreeSet<IpAddr>) -> Result<String, Malformed> {
    let entries = ini::parse(text)?;
    let all: Vec<_> = self::addresses(&entries)
        .filter(|e| e.section == section)
        .collect();
    let parts = |entry: &Entry<'_>| {
        let mut parts = entry.value.split(',');
        let address = parts.next().unwrap_or_default();
        let address = address.split(['/', ';']).next().unwrap_or_default();
        let gateway = parts.next().map(|gateway| gateway.trim().to_owned());
        (
            address.trim().parse::<IpAddr>().ok(),
            gateway.filter(|gateway| !gateway.is_empty()),
        )
    };
    let goes = |entry: &&&Entry<'_>| parts(entry).0.is_some_and(|a| addresses.contains(&a));
    let going: Vec<_> = all.iter().filter(goes).collect();
    let staying: Vec<_> = all.iter().filter(|entry| !goes(entry)).collect();
    let manual = entries
        .iter()
        .any(|e| e.section == section && e.key == "method" && e.value == "manual");
    // The old form, `addressesN=ADDRESS;PREFIX;GATEWAY;`, is not taken apart.
    let old = going.iter().any(|entry| entry.value.contains(';'));
    if going.is_empty() || old || (manual && staying.is_empty()) {
        return Ok(text.to_owned());
    }
    let gateway = going.iter().find_map(|entry| parts(entry).1);
    let heir = staying.first().filter(|entry| parts(entry).1.is_none());
    let lines: BTreeSet<usize> = going.iter().map(|entry| entry.line).collect();
    let mut out = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if lines.contains(&number) {
            continue;
        }
        match (&gateway, heir) {
            (Some(gateway), Some(heir)) if heir.line == number => {
                let line = line.trim_end().trim_end_matches(',');
                out.push_str(&format!("{line},{gateway}\n"));
            }
            _ => out.push_str(line),
        }
    }
    Ok(out)
}

fn bad(path: &HostPath, malformed: Malformed) -> BadFile {
    BadFile {
        path: path.clone(),
        malformed,
    }
}

#[cfg(test)]
mod tests;
