//! Looking at the backup, and at whom the serving host knows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::diff::question;
use super::{Actual, Says, Seen, directory, parameters, recipients};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::exposure::smtp::{self, Recipients, Refusal};
use crate::host::HostState;
use crate::host::network::parse_addresses;
use crate::host::{Probe, ReadHost};
use crate::manifest::Manifest;
use crate::names::UserName;
use crate::plan::backup::BackupAsking;
use crate::raw::HostPath;
use crate::resource::mta;
use crate::resource::mx;

/// Parameters that tell whether a Postfix can be a backup.
const LOOKED_AT: [&str; 12] = [
    "inet_interfaces",
    "maximal_queue_lifetime",
    "mydestination",
    "myhostname",
    "mynetworks",
    "recipient_delimiter",
    "relay_domains",
    "relay_recipient_maps",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// Whom nobody knows.
const NOBODY: &str = "reconcile-asks-for-nobody";

/// RFC 2606: a domain that has no mail server.
const FOREIGN: &str = "example.com";

/// The hosts that are asked.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The backup; `None` if there is none, or it is out of reach.
    pub backup: Option<&'a dyn ReadHost>,
    /// Why it is out of reach.
    pub out_of_reach: Option<&'a str>,
    /// The host whose mail counts.
    pub serving: &'a dyn ReadHost,
    /// From where the backup is asked for recipients: the first that it does not trust. Besides this
    /// machine, which comes first.
    pub from: &'a [&'a dyn ReadHost],
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("serving", &self.serving.label())
            .finish_non_exhaustive()
    }
}

/// Looks. `users`: people of the domain, of whom one is asked for.
pub fn observe(
    manifest: &Manifest,
    ask: Ask<'_>,
    zone: &mx::Actual,
    users: &[UserName],
) -> Result<Actual> {
    let mut actual = Actual {
        out_of_reach: ask.out_of_reach.map(str::to_owned),
        ..Actual::default()
    };
    let mx = manifest.mx.as_ref();
    let backup = mx.and_then(|mx| Some((mx, mx.backup.as_ref()?)));
    if let Some((mx, _)) = backup {
        actual.known = recipients::known(ask.serving, &mx.domain)?;
    }
    let Some(host) = ask.backup else {
        return Ok(actual);
    };
    let mut seen = match look(host, manifest) {
        Ok(seen) => seen,
        // Nothing else waits for it, a way back least of all.
        Err(error) if error.kind() == Kind::Host => {
            actual.out_of_reach = Some(crate::error::chain(&error));
            return Ok(actual);
        }
        Err(error) => return Err(error),
    };
    if let Some(of) = backup {
        match asked_at(zone, &seen) {
            Some(at) => talk(&mut seen, &question(of, at, users), ask.from)?,
            None => seen.silent = Some("it has no address that other machines reach".to_owned()),
        }
    }
    actual.host = Some(seen);
    Ok(actual)
}

/// Only asks, as a plan says.
///
/// # Errors
///
/// If the host is out of reach. That nothing answers is in what is returned.
pub fn ask(host: &dyn ReadHost, asking: &BackupAsking, from: &[&dyn ReadHost]) -> Result<Seen> {
    let trusted = Probe::PostfixParameters(vec!["mynetworks".to_owned()]);
    let mut seen = Seen {
        values: pairs(host, &trusted)?.unwrap_or_default(),
        ..Seen::default()
    };
    talk(&mut seen, asking, from)?;
    Ok(seen)
}

/// The hosts that can ask besides this machine.
pub fn askers<'a>(
    third: Option<&'a dyn ReadHost>,
    target: &'a dyn ReadHost,
) -> Vec<&'a dyn ReadHost> {
    let target = (target.state() == HostState::Live).then_some(target);
    third.into_iter().chain(target).collect()
}

/// Where it is asked: where senders come to it, else at an address of its own.
pub(super) fn asked_at(zone: &mx::Actual, seen: &Seen) -> Option<IpAddr> {
    mx::exchangers_at(zone, &seen.addresses).or_else(|| {
        let mut all = seen.addresses.iter().copied();
        all.clone().find(IpAddr::is_ipv4).or_else(|| all.next())
    })
}

fn look(host: &dyn ReadHost, manifest: &Manifest) -> Result<Seen> {
    let mut seen = Seen::default();
    let names = LOOKED_AT.map(str::to_owned).to_vec();
    let changed = parameters::CHANGED.map(str::to_owned).to_vec();
    if let Some(values) = pairs(host, &Probe::PostfixParameters(names))? {
        // Where these were taken for empty, what others wrote there would be written over.
        let hangs = || {
            let what = format!("postconf on {} does not answer", host.label());
            Error::new(Kind::Host, what)
        };
        seen.values = values;
        let written = Probe::PostfixWritten(changed.clone());
        seen.written = pairs(host, &written)?.ok_or_else(hangs)?;
        seen.defaults = pairs(host, &Probe::PostfixDefaults(changed))?.ok_or_else(hangs)?;
    }
    seen.addresses = addresses(host)?;
    if let Some(mx) = &manifest.mx {
        seen.local = local(host, &seen.values, &mx.domain)?;
    }
    let directory = directory(&manifest.name);
    for name in host.list(&directory)?.unwrap_or_default() {
        let Some(name) = name.as_str() else { continue };
        if let Some(content) = host.read(&directory.join(name))? {
            let text = String::from_utf8_lossy(&content).into_owned();
            seen.files.insert(name.to_owned(), text);
        }
    }
    let value = seen
        .values
        .get("relay_domains")
        .cloned()
        .unwrap_or_default();
    for word in parameters::others(&value, &directory.to_string()) {
        let listed = mta::listed_domains(host, &word)?;
        match listed {
            Some(domains) => seen.others.extend(domains),
            None => {
                seen.unlisted.insert(word);
            }
        }
    }
    Ok(seen)
}

/// Its own addresses, and those by which it is reached, without those that only itself can use.
pub(super) fn addresses(host: &dyn ReadHost) -> Result<BTreeSet<IpAddr>> {
    let mut addresses: BTreeSet<IpAddr> = host.reached_at().into_iter().collect();
    if let Some(answer) = host.probe(&Probe::Addresses)? {
        let all = parse_addresses(&answer.stdout).doing(Kind::Malformed, || {
            format!("cannot read the network of {}", host.label())
        })?;
        addresses.extend(all.into_iter().map(|(_, held)| held.net.addr()));
    }
    addresses.retain(|address| others_reach(*address));
    Ok(addresses)
}

/// The parameters in whose tables the domain stands.
fn local(
    host: &dyn ReadHost,
    values: &BTreeMap<String, String>,
    domain: &str,
) -> Result<BTreeSet<String>> {
    let domain = domain.to_ascii_lowercase();
    let mut local = BTreeSet::new();
    for parameter in parameters::LOCAL {
        let value = values.get(parameter).map_or("", String::as_str);
        for word in parameters::words(value) {
            let listed = mta::listed_domains(host, &word)?;
            if listed.is_some_and(|domains| domains.contains(&domain)) {
                local.insert(parameter.to_owned());
            }
        }
    }
    Ok(local)
}

/// Whether an address is one that other machines reach.
fn others_reach(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// `name = value` lines; `None` where postconf is not there, or hangs.
pub(super) fn pairs(
    host: &dyn ReadHost,
    probe: &Probe,
) -> Result<Option<BTreeMap<String, String>>> {
    let Some(answer) = host.probe(probe)? else {
        return Ok(None);
    };
    if answer.status != Some(0) {
        return Err(answer.refusal("`postconf`", &host.label()));
    }
    let text = String::from_utf8_lossy(&answer.stdout);
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let pairs = lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    Ok(Some(pairs.collect()))
}

/// Asks for recipients, from where the backup does not trust whoever asks.
fn talk(seen: &mut Seen, asking: &BackupAsking, from: &[&dyn ReadHost]) -> Result<()> {
    let address = asking.at;
    let trusted = seen.values.get("mynetworks").map_or("", String::as_str);
    // Whoever trusts everybody is asked from anywhere: that is what has to be found.
    let some = |net: &IpNet| net.prefix_len() > 0;
    let trusts = |from: IpAddr| {
        networks(trusted)
            .filter(some)
            .any(|net| net.contains(&from))
    };
    let here = crate::host::address_towards(address)?;
    let place: Option<Option<&dyn ReadHost>> = if here.is_some_and(|here| !trusts(here)) {
        Some(None)
    } else {
        let mut found = None;
        for host in from {
            if host
                .address_towards(address)?
                .is_some_and(|from| !trusts(from))
            {
                found = Some(Some(*host));
                break;
            }
        }
        found
    };
    let Some(place) = place else {
        return Ok(());
    };
    let code = |user: UserName, domain: &str| -> Result<u16> {
        let query = Recipients {
            address,
            users: vec![user],
            domain: domain.to_owned(),
        };
        let refused = match place {
            None => smtp::recipients(&query)?,
            Some(host) => host.recipients(&query)?,
        };
        Ok(match refused.first() {
            Some((_, Refusal::Said { code, .. })) => *code,
            Some((_, Refusal::Unsayable)) => 553,
            None => 250,
        })
    };
    let asked = code(asking.known.clone(), &asking.domain).and_then(|known| {
        Ok(Says {
            known,
            unknown: code(NOBODY.into(), &asking.domain)?,
            foreign: code(NOBODY.into(), FOREIGN)?,
        })
    });
    match asked {
        Ok(says) => seen.says = Some(says),
        Err(error) => seen.silent = Some(crate::error::chain(&error)),
    }
    Ok(())
}

/// `mynetworks`: `127.0.0.0/8 [::1]/128`, an address alone is one host.
fn networks(list: &str) -> impl Iterator<Item = IpNet> {
    let words = list.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.filter_map(|word| {
        let word = word.replace(['[', ']'], "");
        word.parse()
            .ok()
            .or_else(|| word.parse().ok().map(|one: IpAddr| IpNet::from(one)))
    })
}

/// The file that says that Postfix was not told yet to read its configuration again.
pub(crate) fn unread(directory: &HostPath) -> HostPath {
    directory.join(UNREAD)
}

/// Its name.
pub(super) const UNREAD: &str = "not-reloaded";
