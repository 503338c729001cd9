//! Red Hat's `ifcfg-*` files, as network-scripts and `NetworkManager`'s ifcfg-rh plugin read them.
//!
//! IPv4 addresses are added as the next `IPADDRn` and `PREFIXn`, IPv6 ones to `IPV6ADDR_SECONDARIES`.

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
