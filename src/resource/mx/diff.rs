//! What DNS says, against what the manifest needs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::spf::{self, Verdict};
use super::{Actual, Exchanger, Problem, Zone};
use crate::dns::Answered;
use crate::manifest::{Manifest, Mx};
use crate::names::Side;
use crate::plan::hand_over::Alone;
use crate::plan::{Draft, Level, Obstacle, Resource};
use crate::planner::budget;
use crate::resource::mta;

/// What is wrong is in the way of a cutover, and a warning at other times: a way back waits for nobody. `mtas`: under which names
/// the hosts send.
pub fn diff(manifest: &Manifest, actual: &Actual, mtas: &mta::Actual, authority: Side) -> Draft {
    let mut draft = Draft::default();
    let Some(mx) = &manifest.mx else {
        return draft;
    };
    let resource = || Resource::Mx(mx.domain.clone());
    for problem in problems(manifest, mx, actual) {
        if is_cutover(manifest, authority) {
            draft.block(resource(), Obstacle::Mx { problem });
        } else {
            draft.note(resource(), Level::Warning, problem.to_string());
        }
    }
    if let Some(zone) = &actual.zone {
        let mut note = |level, text: String| draft.note(resource(), level, text);
        summary(zone, &mut note);
        times(manifest, mx, zone, &mut note);
        if alone(manifest, actual).is_some() {
            let text = format!(
                "no other exchanger takes mail while it stands still: senders keep it and try again. One \
                 more host that queues meanwhile would be in the zone as `{}`",
                backup_record(mx, zone)
            );
            note(Level::Info, text);
        }
        believed(manifest, mx, (actual, zone), mtas, &mut note);
    }
    draft
}

/// Whether the mail is about to move to the target.
pub(crate) fn is_cutover(manifest: &Manifest, authority: Side) -> bool {
    manifest.serve_from == Side::Target && authority == Side::Source
}

/// What a freeze has to keep to when no other exchanger takes mail meanwhile; `None` if one does.
pub fn alone(manifest: &Manifest, actual: &Actual) -> Option<Alone> {
    let (mx, zone) = (manifest.mx.as_ref()?, actual.zone.as_ref()?);
    let exchangers = named(zone);
    let unclear = |exchanger: &Exchanger| {
        let host = zone.hosts.get(&exchanger.name);
        host.is_some_and(|host| host.addresses.iter().any(|seen| seen.unknown().is_some()))
    };
    if zone.exchangers.unknown().is_some() || exchangers.iter().any(unclear) {
        return None; // That is in the way itself.
    }
    let moves = moves(manifest);
    let stands = |exchanger: &&Exchanger| {
        let host = zone.hosts.get(&exchanger.name);
        let addresses: Vec<IpAddr> = host.into_iter().flat_map(super::Name::all).collect();
        !addresses.is_empty() && !addresses.iter().any(|address| moves.contains(address))
    };
    // Where nothing says which is the primary, it is one of them.
    let primaries = usize::from(moves.is_empty());
    if exchangers.iter().filter(stands).count() > primaries {
        return None;
    }
    Some(Alone {
        seconds: mx
            .without_backup
            .map_or_else(|| budget(manifest), |span| span.seconds),
        record: backup_record(mx, zone),
    })
}

/// The record of one more exchanger.
fn backup_record(mx: &Mx, zone: &Zone) -> String {
    let last = named(zone).iter().map(|one| one.preference).max();
    format!(
        "{domain}. MX {} mx2.{domain}.",
        last.unwrap_or(10).saturating_add(10),
        domain = mx.domain
    )
}

fn moves(manifest: &Manifest) -> BTreeSet<IpAddr> {
    let cutover = manifest.cutover.iter();
    let nets = cutover.flat_map(|cutover| &cutover.address);
    nets.map(|net| net.0.addr()).collect()
}

/// The exchangers that have a name.
fn named(zone: &Zone) -> Vec<Exchanger> {
    let all = zone.exchangers.found().into_iter().flatten();
    all.filter(|one| !one.name.is_empty()).cloned().collect()
}

fn problems(manifest: &Manifest, mx: &Mx, actual: &Actual) -> Vec<Problem> {
    let Some(zone) = &actual.zone else {
        return vec![Problem::NotAsked];
    };
    let domain = mx.domain.clone();
    let mut problems = Vec::new();
    match &zone.exchangers {
        Answered::Unknown(why) => problems.push(Problem::Unknown {
            asked: format!("the mail exchangers of {domain}"),
            why: why.clone(),
        }),
        Answered::NoName => problems.push(Problem::NoDomain { domain }),
        Answered::Nothing => problems.extend(by_itself(manifest, domain, zone)),
        Answered::Found(_) => problems.extend(of_exchangers(manifest, domain, zone)),
    }
    problems
}

/// Without exchangers mail goes to the domain's own address.
fn by_itself(manifest: &Manifest, domain: String, zone: &Zone) -> Option<Problem> {
    if let Some(why) = zone.own.iter().find_map(Answered::unknown) {
        return Some(Problem::Unknown {
            asked: format!("the addresses of {domain}"),
            why: why.to_owned(),
        });
    }
    let found = zone.own.iter().filter_map(Answered::found);
    let addresses: BTreeSet<IpAddr> = found.flatten().copied().collect();
    if addresses.is_empty() {
        return Some(Problem::Nowhere { domain });
    }
    let moves = moves(manifest);
    (!moves.is_empty() && moves.is_disjoint(&addresses)).then(|| Problem::Elsewhere {
        exchanger: domain.clone(),
        domain,
        moves,
        addresses,
    })
}

fn of_exchangers(manifest: &Manifest, domain: String, zone: &Zone) -> Vec<Problem> {
    let exchangers = named(zone);
    if exchangers.is_empty() {
        return vec![Problem::Null { domain }];
    }
    let mut problems: Vec<Problem> = exchangers
        .iter()
        .filter_map(|exchanger| of_name(&exchanger.name, zone))
        .collect();
    let unclear = problems
        .iter()
        .any(|problem| matches!(problem, Problem::Unknown { .. }));
    let moves = moves(manifest);
    let has = |exchanger: &&Exchanger| {
        let host = zone.hosts.get(&exchanger.name);
        host.is_some_and(|host| host.all().any(|address| moves.contains(&address)))
    };
    let primary = exchangers.iter().find(has);
    match primary {
        Some(primary) => {
            let others = exchangers.iter().filter(|one| !has(one));
            let early = others.filter(|one| one.preference <= primary.preference);
            problems.extend(early.map(|exchanger| Problem::Before {
                exchanger: exchanger.name.clone(),
                preference: exchanger.preference,
                primary: primary.name.clone(),
                than: primary.preference,
            }));
        }
        None if moves.is_empty() || unclear => {}
        None => {
            let first = &exchangers[0];
            let host = zone.hosts.get(&first.name);
            problems.push(Problem::Elsewhere {
                domain,
                moves,
                exchanger: first.name.clone(),
                addresses: host.into_iter().flat_map(super::Name::all).collect(),
            });
        }
    }
    problems
}

/// What is wrong with an exchanger's name.
fn of_name(name: &str, zone: &Zone) -> Option<Problem> {
    let exchanger = name.to_owned();
    if name.parse::<IpAddr>().is_ok() {
        return Some(Problem::IsAddress { exchanger });
    }
    let host = zone.hosts.get(name)?;
    if let Some(of) = host.alias.found().and_then(|names| names.first()) {
        let of = of.clone();
        return Some(Problem::IsAlias { exchanger, of });
    }
    if host.all().next().is_some() {
        return None;
    }
    let mut answers = host.addresses.iter();
    Some(match answers.clone().find_map(Answered::unknown) {
        Some(why) => Problem::Unknown {
            asked: format!("the addresses of {exchanger}"),
            why: why.to_owned(),
        },
        None => Problem::NoAddress {
            named: !answers.all(|answer| *answer == Answered::NoName),
            exchanger,
        },
    })
}

/// Where mail goes.
fn summary(zone: &Zone, note: &mut impl FnMut(Level, String)) {
    let one = |exchanger: &Exchanger| {
        let host = zone.hosts.get(&exchanger.name);
        let addresses: Vec<String> = host
            .into_iter()
            .flat_map(super::Name::all)
            .map(|address| address.to_string())
            .collect();
        let at = if addresses.is_empty() {
            String::new()
        } else {
            format!(" at {}", addresses.join(" and "))
        };
        format!("{} {}{at}", exchanger.preference, exchanger.name)
    };
    let all: Vec<String> = named(zone).iter().map(one).collect();
    if !all.is_empty() {
        note(
            Level::Info,
            format!("mail exchangers, preferred ones first: {}", all.join(", ")),
        );
    } else if zone.exchangers == Answered::Nothing
        && zone.own.iter().any(|own| own.found().is_some())
    {
        let text = "no mail exchanger is in the zone, so mail goes to the domain's own address";
        note(Level::Info, text.to_owned());
    }
}

/// Who remembers what the zone says may do so for longer than mail stands still.
fn times(manifest: &Manifest, mx: &Mx, zone: &Zone, note: &mut impl FnMut(Level, String)) {
    let window = window(manifest);
    let exchangers = match &zone.exchangers {
        Answered::Found(found) => Some((mx.domain.clone(), "MX", found.ttl, found.authoritative)),
        _ => None,
    };
    let addresses = zone.hosts.iter().flat_map(|(name, host)| {
        let answers = host.addresses.iter().zip(["A", "AAAA"]);
        answers.filter_map(move |(answer, kind)| match answer {
            Answered::Found(found) => Some((name.clone(), kind, found.ttl, found.authoritative)),
            _ => None,
        })
    });
    let all: Vec<_> = exchangers.into_iter().chain(addresses).collect();
    if let Some((name, kind, ttl, authoritative)) = all
        .iter()
        .rev() // Of equal ones the first is named.
        .filter(|(_, _, ttl, _)| u64::from(*ttl) > window)
        .max_by_key(|(_, _, ttl, _)| *ttl)
    {
        let more = if *authoritative { "" } else { " or longer" };
        note(
            Level::Warning,
            format!(
                "senders may remember the {kind} record of {name} for {}{more} (its TTL), and mail stands \
                 still for at most {}: what is changed in the zone meanwhile is not seen by all of them. \
                 Before the zone is changed, set the TTL to {} and wait until the old one has passed",
                span(u64::from(*ttl)),
                span(window),
                span(window)
            ),
        );
    } else if !all.is_empty() && !all.iter().all(|(_, _, _, authoritative)| *authoritative) {
        let text = "a cache was asked, and the zone's own servers cannot be, or say something else, so its own \
                    TTL is not known; name one of them in mx.nameservers to have it checked";
        note(Level::Info, text.to_owned());
    }
}

/// An address of an exchanger that is one of these.
pub fn exchangers_at(actual: &Actual, addresses: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let zone = actual.zone.as_ref()?;
    let mut all = zone.hosts.values().flat_map(super::Name::all);
    all.find(|address| addresses.contains(address))
}

/// The record that is missing where no exchanger is a host with these addresses; `None` also where it
/// is not known which exchangers there are, which is in the way itself.
pub fn missing_record(
    manifest: &Manifest,
    actual: &Actual,
    addresses: &BTreeSet<IpAddr>,
) -> Option<String> {
    let (mx, zone) = (manifest.mx.as_ref()?, actual.zone.as_ref()?);
    let unclear = zone.hosts.values().any(|host| {
        let mut answers = host.addresses.iter();
        answers.any(|answer| answer.unknown().is_some())
    });
    if unclear || zone.exchangers.unknown().is_some() {
        return None;
    }
    exchangers_at(actual, addresses)
        .is_none()
        .then(|| backup_record(mx, zone))
}

/// How long mail may stand still, in seconds.
pub fn window(manifest: &Manifest) -> u64 {
    let freeze = manifest.freeze.clone().unwrap_or_default();
    match (freeze.not_before, freeze.not_after) {
        (Some(from), Some(until)) => {
            u64::try_from(until.as_second() - from.as_second()).unwrap_or_default()
        }
        _ => budget(manifest),
    }
}

/// Seconds as a manifest has them.
fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let fits = |(_, unit): &(&str, u64)| seconds >= *unit && seconds.is_multiple_of(*unit);
    let unit = units.into_iter().find(fits);
    unit.map_or_else(
        || format!("{seconds}s"),
        |(name, unit)| format!("{}{name}", seconds / unit),
    )
}

/// What receivers look at: PTR, SPF and DKIM.
fn believed(
    manifest: &Manifest,
    mx: &Mx,
    (actual, zone): (&Actual, &Zone),
    mtas: &mta::Actual,
    note: &mut impl FnMut(Level, String),
) {
    let of = |side: Side| actual.senders.get(&side).into_iter().flatten().copied();
    let moves = moves(manifest);
    let old: Vec<IpAddr> = of(Side::Source)
        .filter(|address| !moves.contains(address) && !of(Side::Target).any(|new| new == *address))
        .collect();
    let hostname = mtas
        .of(Side::Source)
        .map_or("", |mta| mta.hostname.as_str());
    let kept = manifest
        .cutover
        .as_ref()
        .and_then(|cutover| cutover.hostname.as_deref());
    // A name that moves along is not the old host's.
    let old_name = if Some(hostname) == kept { "" } else { hostname };
    if !old_name.is_empty() && named(zone).iter().any(|one| one.name == old_name) {
        note(
            Level::Warning,
            format!(
                "the exchanger {old_name} is the source's own name: keep it for as long as the MX record \
                 names it, or write a name that stays"
            ),
        );
    }
    pointers(zone, old_name, note);
    sender_policy(
        zone,
        &of(Side::Target).collect::<Vec<_>>(),
        &old,
        old_name,
        note,
    );
    selectors(mx, actual, zone, note);
}

fn pointers(zone: &Zone, old_name: &str, note: &mut impl FnMut(Level, String)) {
    for (address, names) in &zone.pointers {
        match names {
            Answered::Found(found) => {
                if !old_name.is_empty() && found.records.iter().any(|name| name == old_name) {
                    note(
                        Level::Warning,
                        format!(
                            "PTR: the name of {address} is {old_name}, the source's own: ask who gives out \
                             the address to change it"
                        ),
                    );
                }
            }
            Answered::Unknown(why) => note(
                Level::Info,
                format!("PTR: the name of {address} could not be known: {why}"),
            ),
            Answered::Nothing | Answered::NoName if is_private(*address) => {}
            Answered::Nothing | Answered::NoName => note(
                Level::Warning,
                format!(
                    "PTR: {address} has no name, and many receivers refuse mail from there: ask who gives \
                     out the address to name it"
                ),
            ),
        }
    }
}

/// Addresses that nobody outside sees.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

fn sender_policy(
    zone: &Zone,
    new: &[IpAddr],
    old: &[IpAddr],
    old_name: &str,
    note: &mut impl FnMut(Level, String),
) {
    let texts = match &zone.texts {
        Answered::Unknown(why) => {
            note(Level::Info, format!("SPF could not be known: {why}"));
            return;
        }
        other => other.found().map_or(&[][..], Vec::as_slice),
    };
    let text = match texts {
        [] => return,
        [one] => one,
        several => {
            let text = format!(
                "SPF: the domain has {} records, and receivers then take none (RFC 7208, 4.5): leave one",
                several.len()
            );
            note(Level::Warning, text);
            return;
        }
    };
    let own = zone.own.iter().filter_map(Answered::found).flatten();
    let own: Vec<IpAddr> = own.copied().collect();
    let exchangers: Vec<IpAddr> = zone.hosts.values().flat_map(super::Name::all).collect();
    for address in new.iter().filter(|address| !is_private(**address)) {
        match spf::verdict(text, *address, &own, &exchangers) {
            Verdict::Passes => {}
            Verdict::Fails => note(
                Level::Warning,
                format!(
                    "SPF does not let the target send from {address}: add `ip{}:{address}` to `{text}`",
                    if address.is_ipv4() { 4 } else { 6 }
                ),
            ),
            Verdict::Elsewhere => note(
                Level::Info,
                format!(
                    "SPF: whether the target may send from {address} stands in other records than `{text}`, \
                     which were not asked for"
                ),
            ),
        }
    }
    let named = spf::names(text, old, old_name);
    if !named.is_empty() {
        note(
            Level::Info,
            format!(
                "SPF names the source ({}): take that out once it sends no more",
                named.join(", ")
            ),
        );
    }
}

fn selectors(mx: &Mx, actual: &Actual, zone: &Zone, note: &mut impl FnMut(Level, String)) {
    for (selector, seen) in &zone.selectors {
        let at = format!("{selector}._domainkey.{}", mx.domain);
        match seen {
            Answered::Found(_) => {}
            Answered::Nothing | Answered::NoName => note(
                Level::Warning,
                format!(
                    "DKIM: there is no key at {at}, so signatures with `{selector}` fail: publish it"
                ),
            ),
            Answered::Unknown(why) => note(
                Level::Info,
                format!("DKIM: what is at {at} could not be known: {why}"),
            ),
        }
    }
    let of = |side| actual.signing.get(&side).cloned().unwrap_or_default();
    for selector in of(Side::Source).difference(&of(Side::Target)) {
        note(
            Level::Warning,
            format!(
                "DKIM: the source signs with the selector `{selector}`, and the target's opendkim does not: \
                 bring key and configuration over, or sign with another one and publish its key first"
            ),
        );
    }
}
