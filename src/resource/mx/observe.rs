//! Asking name servers, and the hosts for what they send mail as.
//!
//! A cache tells for how long it will remember, and not what the zone says: of that its own servers are asked
//! where they can be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Actual, Exchanger, Name, Zone, dkim, spf};
use crate::dns::{Answered, Asker, Question, Record};
use crate::error::Result;
use crate::host::{HostState, ReadHost};
use crate::manifest::{Manifest, Mx};
use crate::names::Side;

/// Places far out, by which a host tells from which address it reaches them: a root name server, RFC 5855.
const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30)),
];

/// Asks; nothing for a migration without `mx`. `hosts` are those that can be looked at; `true` for one
/// that tells from where it reaches others.
pub fn observe(manifest: &Manifest, hosts: &[(&dyn ReadHost, bool)]) -> Result<Actual> {
    let Some(mx) = &manifest.mx else {
        return Ok(Actual::default());
    };
    let mut actual = Actual::default();
    for &(host, tells) in hosts {
        let selectors = dkim::selectors(host, &mx.domain)?;
        if !selectors.is_empty() {
            actual.signing.insert(host.side(), selectors);
        }
        if tells && host.state() == HostState::Live {
            let mut senders = BTreeSet::new();
            for far in FAR {
                senders.extend(host.address_towards(far)?);
            }
            actual.senders.insert(host.side(), senders);
        }
    }
    actual.zone = Some(zone(manifest, mx, &actual)?);
    Ok(actual)
}

fn zone(manifest: &Manifest, mx: &Mx, actual: &Actual) -> Result<Zone> {
    let servers: Vec<IpAddr> = mx.nameservers.iter().map(|address| address.0).collect();
    let asker = Asker::new(&servers)?;
    let domain = || mx.domain.clone();
    let service = manifest.cutover.iter().flat_map(|cutover| &cutover.address);
    let service = service.map(|net| net.0.addr());
    let senders = actual.senders.get(&Side::Target).into_iter().flatten();
    let addresses: BTreeSet<IpAddr> = service.chain(senders.copied()).collect();
    let signing = actual.signing.values().flatten().cloned();
    let selectors: BTreeSet<String> = signing.chain(mx.dkim.iter().cloned()).collect();
    let mut questions = vec![
        Question::Exchangers(domain()),
        Question::V4(domain()),
        Question::V6(domain()),
        Question::Texts(domain()),
    ];
    questions.extend(addresses.iter().copied().map(Question::Pointers));
    let at = |selector: &String| format!("{selector}._domainkey.{}", mx.domain);
    questions.extend(
        selectors
            .iter()
            .map(|selector| Question::Texts(at(selector))),
    );
    let mut answers = asker.ask(&questions).into_iter();
    let mut next = || answers.next().expect("every question has an answer");
    let mut exchangers = next().map(exchangers);
    let own = [next(), next()].map(|answer| answer.map(ips));
    let texts = next().map(|records| {
        let texts = texts(records).into_iter();
        texts.filter(|text| spf::is_one(text)).collect()
    });
    let pointers = addresses
        .into_iter()
        .map(|address| (address, next().map(names)));
    let pointers = pointers.collect();
    let selectors = selectors
        .into_iter()
        .map(|name| (name, next().map(self::texts)));
    let selectors = selectors.collect();
    let mut hosts = hosts(&asker, &exchangers);
    times(&asker, &mx.domain, &mut exchangers, &mut hosts)?;
    Ok(Zone {
        exchangers,
        hosts,
        own,
        pointers,
        texts,
        selectors,
    })
}

/// Asks the zones' own servers for how long what caches said may be remembered.
fn times(
    asker: &Asker,
    domain: &str,
    exchangers: &mut Answered<Vec<Exchanger>>,
    hosts: &mut BTreeMap<String, Name>,
) -> Result<()> {
    if is_of_a_cache(exchangers) {
        let Some(zone) = asker.of_zone(domain)? else {
            return Ok(());
        };
        let mut answers = zone.ask(&[Question::Exchangers(domain.to_owned())]);
        let answer = answers.pop().map(|answer| answer.map(self::exchangers));
        if !is_told(exchangers, answer) {
            return Ok(());
        }
    }
    for (name, host) in hosts {
        if !host.addresses.iter().any(is_of_a_cache) {
            continue;
        }
        let Some(zone) = asker.of_zone(name)? else {
            return Ok(());
        };
        let answers = zone.ask(&[Question::V4(name.clone()), Question::V6(name.clone())]);
        for (seen, answer) in host.addresses.iter_mut().zip(answers) {
            if is_of_a_cache(seen) && !is_told(seen, Some(answer.map(ips))) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_of_a_cache<T>(answered: &Answered<T>) -> bool {
    matches!(answered, Answered::Found(found) if !found.authoritative)
}

/// Takes the time from a server of the zone that says the same; whether it could be reached.
fn is_told<T: PartialEq>(seen: &mut Answered<T>, answer: Option<Answered<T>>) -> bool {
    match (seen, answer) {
        (_, Some(Answered::Unknown(_)) | None) => false,
        (Answered::Found(seen), Some(Answered::Found(told))) => {
            if told.authoritative && told.records == seen.records {
                *seen = told;
            }
            true
        }
        _ => true,
    }
}

/// What is known of each exchanger's name.
fn hosts(asker: &Asker, exchangers: &Answered<Vec<Exchanger>>) -> BTreeMap<String, Name> {
    let named = exchangers.found().into_iter().flatten();
    let names: BTreeSet<String> = named
        .map(|exchanger| exchanger.name.clone())
        .filter(|name| !name.is_empty())
        .collect();
    let questions = names.iter().flat_map(|name| {
        [
            Question::Alias(name.clone()),
            Question::V4(name.clone()),
            Question::V6(name.clone()),
        ]
    });
    let questions: Vec<Question> = questions.collect();
    let mut answers = asker.ask(&questions).into_iter();
    let mut next = || answers.next().expect("every question has an answer");
    let known = names.into_iter().map(|name| {
        let known = Name {
            alias: next().map(self::names),
            addresses: [next(), next()].map(|answer| answer.map(ips)),
        };
        (name, known)
    });
    known.collect()
}

fn exchangers(records: Vec<Record>) -> Vec<Exchanger> {
    let of = |record| match record {
        Record::Exchanger(preference, name) => Some(Exchanger { preference, name }),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
}

fn ips(records: Vec<Record>) -> Vec<IpAddr> {
    let of = |record| match record {
        Record::Address(address) => Some(address),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
}

fn names(records: Vec<Record>) -> Vec<String> {
    let of = |record| match record {
        Record::Name(name) => Some(name),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
}

fn texts(records: Vec<Record>) -> Vec<String> {
    let of = |record| match record {
        Record::Text(text) => Some(text),
        _ => None,
    };
    records.into_iter().filter_map(of).collect()
}
