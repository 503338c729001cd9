//! Red Hat's `ifcfg-*` files, as network-scripts and `NetworkManager`'s ifcfg-rh plugin read them.
//!
//! IPv4 addresses are added as the next `IPADDRn` and `PREFIXn`, IPv6 ones to `IPV6ADDR_SECONDARIES`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::backend::Placement;
use super::files::{BadFile, Files};
use super::interface::{Backend, Family, Interface, named, parse_net};
use crate::error::Result;
use crate::host::ReadHost;
use crate::raw::HostPath;
use crate::resource::edit::redact::Malformed;

const DIRECTORY: &str = "/etc/sysconfig/network-scripts";

/// Reads the files; backups and loopback stay out, as in the network scripts.
pub(super) fn collect(host: &dyn ReadHost, files: &mut Files) -> Result<()> {
    files.load_dir(host, &HostPath::from(DIRECTORY), |name| {
        let backup = [
            "~", ".bak", ".orig", ".rpmnew", ".rpmorig", ".rpmsave", ".augnew", ".augtmp",
        ];
        name.starts_with("ifcfg-")
            && name != "ifcfg-lo"
            && !backup.iter().any(|end| name.ends_with(end))
    })
}

/// The interfaces that come up at boot; alias files (`ifcfg-eth0:1`) count as their interface's.
pub(super) fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let dir = HostPath::from(DIRECTORY);
    let mut all = Vec::new();
    for (path, name, text) in files.in_dir(&dir) {
        let values = Values::parse(text).map_err(|malformed| bad(path, malformed))?;
        let device = values
            .get("DEVICE")
            .unwrap_or(name.trim_start_matches("ifcfg-"));
        let (device, _) = device.split_once(':').unwrap_or((device, ""));
        if values.is("ONBOOT", false)
            || values.get("MASTER").is_some()
            || values.get("BRIDGE").is_some()
        {
            continue;
        }
        let interface = named(&mut all, device, Backend::Ifcfg, path);
        if matches!(values.get("BOOTPROTO"), Some("dhcp" | "bootp")) {
            interface.dynamic.insert(Family::Ipv4);
        }
        if values.is("IPV6_AUTOCONF", true) || values.is("DHCPV6C", true) {
            interface.dynamic.insert(Family::Ipv6);
        }
        if values.is("IPV6INIT", false) {
            interface.off.insert(Family::Ipv6);
        }
        for (line, net) in values.addresses() {
            let net = net.ok_or_else(|| bad(path, Malformed::at(line, "this is no address")))?;
            interface.assign(net, path);
        }
    }
    Ok(all)
}

/// The interface's file with more addresses.
pub(super) fn add(files: &Files, interface: &Interface, addresses: &[IpNet]) -> Placement {
    let path = interface.file.clone();
    let mut text = files.get(&path).unwrap_or_default().to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let numbers = text
        .lines()
        .filter_map(|line| number(line.split_once('=')?.0));
    let first = numbers.max().map_or(1, |last| last + 1);
    let is_v4 = |net: &&IpNet| net.addr().is_ipv4();
    let numbered = (first..).zip(addresses.iter().filter(is_v4));
    text.extend(
        numbered
            .map(|(n, net)| format!("IPADDR{n}={}\nPREFIX{n}={}\n", net.addr(), net.prefix_len())),
    );
    let v6: Vec<String> = addresses
        .iter()
        .filter(|net| !is_v4(net))
        .map(ToString::to_string)
        .collect();
    if !v6.is_empty() {
        text = with_secondaries(&text, &v6.join(" "));
    }
    Placement {
        path,
        text,
        mode: 0o644,
    }
}

fn with_secondaries(text: &str, more: &str) -> String {
    const KEY: &str = "IPV6ADDR_SECONDARIES";
    let value =
        |line: &str| Some(unquoted(line.trim().strip_prefix(KEY)?.strip_prefix('=')?).to_owned());
    if text.lines().any(|line| value(line).is_some()) {
        let line = |line: &str| match value(line) {
            Some(old) => format!("{KEY}=\"{}\"\n", format!("{old} {more}").trim()),
            None => line.to_owned(),
        };
        return text.split_inclusive('\n').map(line).collect();
    }
    let init = text.lines().any(|line| line.starts_with("IPV6INIT="));
    let init = if init { "" } else { "IPV6INIT=yes\n" };
    format!("{text}{init}{KEY}=\"{more}\"\n")
}

/// The files without these addresses. The network scripts stop at the first number that is missing, so
/// those that stay move up; where the first one goes, the next takes its place. An alias file
/// (`ifcfg-eth0:1`) whose address goes is kept from coming up.
pub(super) fn remove(files: &Files, addresses: &BTreeSet<IpAddr>) -> Vec<Placement> {
    let dir = HostPath::from(DIRECTORY);
    let mut changed = Vec::new();
    for (path, name, text) in files.in_dir(&dir) {
        let is_alias = name.contains(':');
        let text = without_v6(&without_v4(text, addresses, is_alias), addresses);
        changed.push(Placement {
            path: path.clone(),
            text,
            mode: 0o644,
        });
    }
    changed
}

/// What belongs to one address, with its number.
const NUMBERED: [&str; 5] = ["IPADDR", "PREFIX", "NETMASK", "BROADCAST", "NETWORK"];

/// A line that belongs to a numbered address: which setting, and the number as it is written.
fn numbered(line: &str) -> Option<(&'static str, &str, &str)> {
    let (key, value) = line.trim_start().split_once('=')?;
    NUMBERED.iter().find_map(|setting| {
        let number = key.strip_prefix(setting)?;
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        digits.then_some((*setting, number, value))
    })
}

fn without_v4(text: &str, addresses: &BTreeSet<IpAddr>, is_alias: bool) -> String {
    let mut numbers: Vec<&str> = Vec::new();
    let mut going = BTreeSet::new();
    for (setting, number, value) in text.lines().filter_map(numbered) {
        if setting != "IPADDR" {
            continue;
        }
        numbers.push(number);
        if unquoted(value)
            .parse()
            .is_ok_and(|one| addresses.contains(&one))
        {
            going.insert(number);
        }
    }
    if going.is_empty() {
        return text.to_owned();
    }
    numbers.sort_by_key(|number| number.parse::<u32>().map_or(0, |n| n + 1));
    let staying: Vec<&str> = numbers
        .iter()
        .filter(|n| !going.contains(*n))
        .copied()
        .collect();
    if staying.is_empty() && is_alias {
        let off = |line: &&str| {
            let key = line.split('=').next().unwrap_or_default().trim();
            !matches!(key, "ONBOOT" | "ONPARENT")
        };
        let kept: String = text.split_inclusive('\n').filter(off).collect();
        let feed = if kept.ends_with('\n') { "" } else { "\n" };
        return format!("{kept}{feed}ONBOOT=no\nONPARENT=no\n");
    }
    // With no other address the interface would come up without any, and its gateway out of reach.
    if staying.is_empty() && going.contains("") {
        return text.to_owned();
    }
    let line = |line: &str| match numbered(line) {
        Some((_, number, _)) if going.contains(number) => String::new(),
        Some((setting, number, value)) => match staying.iter().position(|one| *one == number) {
            Some(at) => {
                let end = if line.ends_with('\n') { "\n" } else { "" };
                format!("{setting}{}={}{end}", numbers[at], value.trim_end())
            }
            None => line.to_owned(),
        },
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// `IPV6ADDR` is the first one, `IPV6ADDR_SECONDARIES` are all others.
fn without_v6(text: &str, addresses: &BTreeSet<IpAddr>) -> String {
    const KEYS: [&str; 2] = ["IPV6ADDR", "IPV6ADDR_SECONDARIES"];
    let key = |line: &str| {
        let (key, value) = line.trim().split_once('=')?;
        Some((
            KEYS.iter().position(|one| *one == key)?,
            unquoted(value).to_owned(),
        ))
    };
    let goes = |one: &str| {
        let address = one.split('/').next().unwrap_or_default().parse();
        address.is_ok_and(|address| addresses.contains(&address))
    };
    let mut values = [Vec::new(), Vec::new()];
    for (at, value) in text.lines().filter_map(key) {
        values[at] = value.split_whitespace().map(str::to_owned).collect();
    }
    if !values.iter().flatten().any(|one| goes(one)) {
        return text.to_owned();
    }
    for values in &mut values {
        values.retain(|one| !goes(one));
    }
    let has_first = text.lines().filter_map(key).any(|(at, _)| at == 0);
    if has_first && values[0].is_empty() && !values[1].is_empty() {
        let next = values[1].remove(0);
        values[0].push(next);
    }
    let line = |line: &str| match key(line) {
        Some((at, _)) if values[at].is_empty() => String::new(),
        Some((at, _)) => format!("{}=\"{}\"\n", KEYS[at], values[at].join(" ")),
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// The number of `IPADDRn`; 0 where there is none.
fn number(key: &str) -> Option<u32> {
    let rest = key.trim().strip_prefix("IPADDR")?;
    if rest.is_empty() {
        Some(0)
    } else {
        rest.parse().ok()
    }
}

/// Assignments, with the line of each.
struct Values<'a>(Vec<(usize, &'a str, &'a str)>);

impl<'a> Values<'a> {
    fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut values = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            // Secrets that go on over several lines leave only this behind.
            if text.is_empty() || text.starts_with('#') || text == crate::resource::edit::HIDDEN {
                continue;
            }
            let text = text.strip_prefix("export ").unwrap_or(text);
            let Some((key, value)) = text.split_once('=') else {
                return Err(Malformed::at(line, "expected KEY=VALUE"));
            };
            values.push((line, key, unquoted(value)));
        }
        Ok(Self(values))
    }

    fn find(&self, key: &str) -> Option<(usize, &'a str)> {
        let found = self.0.iter().rev().find(|(_, k, _)| *k == key);
        found.map(|(line, _, value)| (*line, *value))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.find(key).map(|(_, value)| value)
    }

    fn is(&self, key: &str, wanted: bool) -> bool {
        let words: &[&str] = if wanted {
            &["yes", "true", "1"]
        } else {
            &["no", "false", "0"]
        };
        self.get(key)
            .is_some_and(|value| words.contains(&value.to_ascii_lowercase().as_str()))
    }

    fn addresses(&self) -> Vec<(usize, Option<IpNet>)> {
        let mut found = Vec::new();
        for (line, key, value) in &self.0 {
            if value.is_empty() {
                continue;
            }
            if number(key).is_some() {
                let n = &key["IPADDR".len()..];
                let mask = self
                    .get(&format!("PREFIX{n}"))
                    .or_else(|| self.get(&format!("NETMASK{n}")));
                found.push((*line, parse_net(value, mask)));
            } else if matches!(*key, "IPV6ADDR" | "IPV6ADDR_SECONDARIES") {
                found.extend(
                    value
                        .split_whitespace()
                        .map(|one| (*line, parse_net(one, None))),
                );
            }
        }
        found
    }
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or(rest);
        }
    }
    value.split([' ', '\t', '#']).next().unwrap_or(value)
}

fn bad(path: &HostPath, malformed: Malformed) -> BadFile {
    BadFile {
        path: path.clone(),
        malformed,
    }
}

#[cfg(test)]
mod tests;
