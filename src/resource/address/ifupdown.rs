//! Debian's ifupdown: `/etc/network/interfaces` and what it sources, interfaces(5).
//!
//! An address is added as one more `iface` stanza of the same interface: `ifup` applies all of them.
//! It goes into a file of ours where `interfaces.d` is sourced, else into a marked block.

mod remove;

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;

use super::backend::Placement;
use super::files::{BadFile, Files, names_in};
use super::interface::{Backend, Family, Interface, glob_matches, named, parse_net};
use crate::error::Result;
use crate::host::ReadHost;
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::resource::edit::redact::Malformed;

const MAIN: &str = "/etc/network/interfaces";
const DIRECTORY: &str = "/etc/network/interfaces.d";

/// Reads the main file and everything that it sources.
pub(super) fn collect(host: &dyn ReadHost, files: &mut Files) -> Result<()> {
    let mut todo = VecDeque::from([HostPath::from(MAIN)]);
    let mut seen = BTreeSet::new();
    while let Some(path) = todo.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        files.load(host, &path)?;
        let Some(text) = files.get(&path) else {
            continue;
        };
        let parsed = parse(&path, text).map_err(|bad| bad.on(&host.label()))?;
        for source in parsed.sources {
            todo.extend(expand(host, &source)?);
        }
    }
    Ok(())
}

/// The files on the host that a `source` line means; globs can stand in any component.
fn expand(host: &dyn ReadHost, source: &Source) -> Result<Vec<HostPath>> {
    let mut found = vec![HostPath::from("/")];
    for component in source.pattern.split('/').filter(|c| !c.is_empty()) {
        let mut next = Vec::new();
        for dir in found {
            if !component.contains(['*', '?', '[', '{']) {
                next.push(dir.join(component));
                continue;
            }
            for name in names_in(host, &dir)? {
                if name
                    .as_str()
                    .is_some_and(|name| source.takes(component, name))
                {
                    next.push(dir.join(name.as_bytes()));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// The interfaces, each with all its stanzas.
pub(super) fn read(files: &Files) -> Result<Vec<Interface>, BadFile> {
    let mut all = Vec::new();
    for (path, stanzas) in stanzas(files)?.0 {
        for stanza in stanzas {
            let (name, _) = stanza.name.split_once(':').unwrap_or((stanza.name, ""));
            if name == "lo" || !matches!(stanza.family, "inet" | "inet6") {
                continue;
            }
            let family = if stanza.family == "inet" {
                Family::Ipv4
            } else {
                Family::Ipv6
            };
            let interface = named(&mut all, name, Backend::Ifupdown, &path);
            if matches!(stanza.method, "dhcp" | "auto" | "bootp" | "ppp" | "wvdial") {
                interface.dynamic.insert(family);
            }
            if stanza.method != "static" {
                continue;
            }
            if let Some((line, address)) = stanza.address {
                let net = parse_net(address, stanza.netmask);
                let net =
                    net.ok_or_else(|| bad(&path, line, "this is no address with its mask"))?;
                interface.assign(net, &path);
            }
        }
    }
    Ok(all)
}

/// The file as it is with more addresses.
pub(super) fn add(
    files: &Files,
    interface: &Interface,
    addresses: &[IpNet],
    owner: &MigrationName,
) -> Result<Placement, BadFile> {
    let own = HostPath::from(DIRECTORY).join(format!("reconcile-{}", owner.as_str()));
    let stanzas: Vec<String> = addresses
        .iter()
        .map(|net| stanza(interface, *net))
        .collect();
    let stanzas = stanzas.join("\n");
    let sourced = self::stanzas(files)?
        .1
        .iter()
        .any(|source| source.covers(&own));
    if sourced {
        let text = match files.get(&own) {
            Some(text) => format!("{}\n{stanzas}", closed(text)),
            None => format!(
                "# Written by reconcile for the migration {}.\n{stanzas}",
                owner.as_str()
            ),
        };
        return Ok(Placement {
            path: own,
            text,
            mode: 0o644,
        });
    }
    let path = HostPath::from(MAIN);
    let text = files.get(&path).unwrap_or_default();
    let begin = format!("# BEGIN reconcile {}\n", owner.as_str());
    let end = format!("# END reconcile {}\n", owner.as_str());
    let text = match (text.find(&begin), text.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}\n{stanzas}{}", &text[..to], &text[to..]),
        _ => format!("{}\n{begin}{stanzas}{end}", closed(text)),
    };
    Ok(Placement {
        path,
        text,
        mode: 0o644,
    })
}

/// The files without these addresses.
pub(super) fn remove(
    files: &Files,
    addresses: &BTreeSet<IpAddr>,
) -> Result<Vec<Placement>, BadFile> {
    let paths: Vec<HostPath> = stanzas(files)?
        .0
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let text = |path: &HostPath| files.get(path).unwrap_or_default();
    let mut left: Vec<String> = paths
        .iter()
        .flat_map(|path| remove::names(text(path)))
        .collect();
    let changed = paths.iter().map(|path| Placement {
        path: path.clone(),
        text: remove::without(text(path), addresses, &mut left),
        mode: 0o644,
    });
    Ok(changed.collect())
}

/// A hook that says an address: programs that we do not understand, which may set it.
pub(super) fn hook(files: &Files, address: IpAddr) -> Result<Option<(HostPath, usize)>, BadFile> {
    let found = stanzas(files)?.0.into_iter().find_map(|(path, _)| {
        let line = remove::hook(files.get(&path).unwrap_or_default(), address)?;
        Some((path, line))
    });
    Ok(found)
}

/// The text with a line feed at its end.
fn closed(text: &str) -> String {
    let feed = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{feed}")
}

fn stanza(interface: &Interface, net: IpNet) -> String {
    let name = &interface.selector;
    match net {
        IpNet::V4(net) => format!("iface {name} inet static\n    address {net}\n"),
        // A static inet6 stanza turns autoconfiguration off unless it says otherwise.
        IpNet::V6(net) if interface.dynamic.contains(&Family::Ipv6) => {
            format!("iface {name} inet6 static\n    address {net}\n    autoconf 1\n")
        }
        IpNet::V6(net) => format!("iface {name} inet6 static\n    address {net}\n"),
    }
}

type Stanzas<'a> = Vec<(HostPath, Vec<Stanza<'a>>)>;

/// What the main file and the sourced ones hold, and all that is sourced.
fn stanzas(files: &Files) -> Result<(Stanzas<'_>, Vec<Source>), BadFile> {
    let mut todo = VecDeque::from([HostPath::from(MAIN)]);
    let mut seen = BTreeSet::new();
    let (mut found, mut sources) = (Vec::new(), Vec::new());
    while let Some(path) = todo.pop_front() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let Some(text) = files.get(&path) else {
            continue;
        };
        let parsed = parse(&path, text)?;
        for source in &parsed.sources {
            let covered = files.range(..).filter(|(path, _)| source.covers(path));
            todo.extend(covered.map(|(path, _)| path.clone()));
        }
        sources.extend(parsed.sources);
        found.push((path, parsed.stanzas));
    }
    Ok((found, sources))
}

/// A `source` or `source-directory` line: an absolute glob.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    pattern: String,
    names: Names,
}

/// Which names a glob takes.
#[derive(Debug, PartialEq, Eq)]
enum Names {
    /// `source`: what the shell would expand.
    Shell,
    /// `source-directory`: letters, digits, `_` and `-` only.
    Plain,
}

impl Source {
    fn new(value: &str, names: Names) -> Self {
        let mut pattern = value.trim_end_matches('/').to_owned();
        if !pattern.starts_with('/') {
            pattern = format!("/etc/network/{pattern}");
        }
        if names == Names::Plain {
            pattern.push_str("/*");
        }
        Self { pattern, names }
    }

    fn takes(&self, glob: &str, name: &str) -> bool {
        let plain = |name: &str| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        };
        glob_matches(glob, name)
            && (glob.starts_with('.') || !name.starts_with('.'))
            && (self.names == Names::Shell || plain(name))
    }

    fn covers(&self, path: &HostPath) -> bool {
        let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let Ok(path) = std::str::from_utf8(path.as_bytes()) else {
            return false;
        };
        let (globs, names) = (parts(&self.pattern), parts(path));
        let last = globs.len() - 1;
        globs.len() == names.len()
            && globs
                .iter()
                .zip(&names)
                .enumerate()
                .all(|(nth, (glob, name))| {
                    if nth == last {
                        glob == name || self.takes(glob, name)
                    } else {
                        glob_matches(glob, name)
                    }
                })
    }
}

struct Stanza<'a> {
    name: &'a str,
    family: &'a str,
    method: &'a str,
    address: Option<(usize, &'a str)>,
    netmask: Option<&'a str>,
}

#[derive(Default)]
struct Parsed<'a> {
    stanzas: Vec<Stanza<'a>>,
    sources: Vec<Source>,
}

/// What the lines after a keyword belong to.
#[derive(PartialEq)]
enum Within {
    Nothing,
    Iface,
    Other,
}

fn parse<'a>(path: &HostPath, text: &'a str) -> Result<Parsed<'a>, BadFile> {
    let mut parsed = Parsed::default();
    let mut within = Within::Nothing;
    let mut carried = false;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if std::mem::replace(&mut carried, text.ends_with('\\')) {
            continue;
        }
        if text.is_empty() || text.starts_with('#') {
            carried = false;
            continue;
        }
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let value = value.trim_end_matches('\\').trim();
        match key {
            "iface" => {
                parsed.stanzas.push(iface(value).ok_or_else(|| {
                    bad(path, line, "`iface` needs a name, a family and a method")
                })?);
                within = Within::Iface;
            }
            "mapping" | "template" => within = Within::Other,
            "source" => parsed.sources.push(Source::new(value, Names::Shell)),
            "source-directory" => parsed.sources.push(Source::new(value, Names::Plain)),
            "auto" | "no-auto-down" | "no-scripts" | "rename" => within = Within::Nothing,
            key if key.starts_with("allow-") => within = Within::Nothing,
            _ if within == Within::Nothing => {
                return Err(bad(path, line, "an option outside of a stanza"));
            }
            "address" | "netmask" if within == Within::Iface => {
                let stanza = parsed.stanzas.last_mut();
                let stanza = stanza.expect("within a stanza there is one");
                match key {
                    "address" => stanza.address = Some((line, value)),
                    _ => stanza.netmask = Some(value),
                }
            }
            _ => {}
        }
    }
    Ok(parsed)
}

fn iface(value: &str) -> Option<Stanza<'_>> {
    let mut words = value.split_whitespace();
    let name = words.next()?;
    let (family, method) = match (words.next(), words.next()) {
        (Some("inherits"), Some(_)) => ("", ""),
        (Some(family), Some(method)) => (family, method),
        _ => return None,
    };
    Some(Stanza {
        name,
        family,
        method,
        address: None,
        netmask: None,
    })
}

fn bad(path: &HostPath, line: usize, what: &str) -> BadFile {
    BadFile {
        path: path.clone(),
        malformed: Malformed::at(line, what),
    }
}

#[cfg(test)]
mod tests;
