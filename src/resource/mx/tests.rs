use std::net::IpAddr;

use super::*;
use crate::dns::Found;
use crate::manifest::{Manifest, load};
use crate::plan::{Draft, Level};
use crate::resource::mta;

const OLD: &str = "192.0.2.10";
const NEW: &str = "192.0.2.20";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn found<T>(records: T) -> Answered<T> {
    Answered::Found(Found {
        records,
        ttl: 60,
        authoritative: true,
    })
}

fn manifest(rest: &str) -> Manifest {
    let text = format!(
        "version: 1\nname: office\nsource: {{ host: ssh://root@old }}\n\
         target: {{ host: ssh://root@new }}\nserve_from: target\n\
         cutover: {{ address: [192.0.2.25/24] }}\nmx: {{ domain: example.org{rest} }}\n"
    );
    load::parse("m.yaml", &text).unwrap()
}

fn exchanger(preference: u16, name: &str) -> Exchanger {
    let name = name.to_owned();
    Exchanger { preference, name }
}

fn at(addresses: &[&str]) -> Name {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
    Name {
        alias: Answered::Nothing,
        addresses: [found(addresses), Answered::Nothing],
    }
}

/// Two exchangers, the address that moves first.
fn good() -> Actual {
    let hosts = [
        ("mail.example.org", at(&["192.0.2.25"])),
        ("mx2.example.org", at(&["198.51.100.7"])),
    ];
    Actual {
        zone: Some(Zone {
            exchangers: found(vec![
                exchanger(10, "mail.example.org"),
                exchanger(20, "mx2.example.org"),
            ]),
            hosts: hosts.map(|(name, host)| (name.to_owned(), host)).into(),
            own: [Answered::Nothing, Answered::Nothing],
            pointers: [(ip("192.0.2.25"), found(vec!["mail.example.org".to_owned()]))].into(),
            texts: Answered::Nothing,
            selectors: BTreeMap::new(),
        }),
        senders: [
            (Side::Source, [ip(OLD)].into()),
            (Side::Target, [ip(NEW)].into()),
        ]
        .into(),
        signing: BTreeMap::new(),
    }
}

fn drafted(actual: &Actual) -> Draft {
    diff(&manifest(""), actual, &mta::Actual::default(), Side::Source)
}

fn warnings(draft: &Draft) -> Vec<&str> {
    let warnings = draft
        .notes
        .iter()
        .filter(|note| note.level == Level::Warning);
    warnings.map(|note| note.text.as_str()).collect()
}

#[test]
fn a_sound_zone_blocks_nothing_and_warns_of_nothing() {
    let draft = drafted(&good());
    assert!(draft.blocked.is_empty(), "{:?}", draft.blocked);
    assert_eq!(warnings(&draft), [] as [&str; 0]);
    assert_eq!(alone(&manifest(""), &good()), None);
}

#[test]
fn without_another_exchanger_the_freeze_keeps_to_what_is_accepted() {
    let mut actual = good();
    if let Some(zone) = &mut actual.zone {
        zone.exchangers = found(vec![exchanger(10, "mail.example.org")]);
    }
    let seconds = |rest: &str| alone(&manifest(rest), &actual).map(|alone| alone.seconds);
    assert_eq!(seconds(""), Some(60));
    assert_eq!(seconds(", without_backup: 10m"), Some(600));
    let record = alone(&manifest(""), &actual).map(|alone| alone.record);
    assert_eq!(
        record.as_deref(),
        Some("example.org. MX 20 mx2.example.org.")
    );
    // Where it is not known, nobody says that there is none.
    if let Some(zone) = &mut actual.zone {
        zone.exchangers = Answered::Unknown("no name server answered in time".to_owned());
    }
    assert_eq!(alone(&manifest(""), &actual), None);
}

#[test]
fn records_that_keep_the_old_host_or_leave_the_new_one_out_are_named() {
    let mut actual = good();
    let zone = actual.zone.as_mut().unwrap();
    zone.texts = found(vec!["v=spf1 ip4:192.0.2.10 mx -all".to_owned()]);
    zone.pointers.insert(ip(NEW), Answered::NoName);
    zone.pointers
        .insert(ip("192.0.2.25"), found(vec!["old.example.org".to_owned()]));
    zone.selectors.insert("s1".to_owned(), Answered::NoName);
    actual
        .signing
        .insert(Side::Source, ["s1".to_owned()].into());
    let mtas = serde_json::from_str(
        r#"{"source": {"kind": "postfix", "hostname": "old.example.org",
            "delivery": {"procmail": "there"}, "spool": "/var/mail"}}"#,
    );
    let mtas: mta::Actual = mtas.unwrap();
    let draft = diff(&manifest(""), &actual, &mtas, Side::Source);
    let said: Vec<&str> = draft.notes.iter().map(|note| note.text.as_str()).collect();
    for expected in [
        "PTR: 192.0.2.20 has no name",
        "PTR: the name of 192.0.2.25 is old.example.org, the source's own",
        "SPF does not let the target send from 192.0.2.20: add `ip4:192.0.2.20`",
        "SPF names the source (ip4:192.0.2.10)",
        "DKIM: there is no key at s1._domainkey.example.org",
        "DKIM: the source signs with the selector `s1`, and the target's opendkim does not",
    ] {
        assert!(
            said.iter().any(|text| text.starts_with(expected)),
            "{expected}: {said:#?}"
        );
    }
    assert!(draft.blocked.is_empty(), "{:?}", draft.blocked);
}

#[test]
fn what_a_cache_counts_down_is_no_difference() {
    let (mut one, mut other) = (good(), good());
    if let Some(zone) = &mut other.zone
        && let Answered::Found(exchangers) = &mut zone.exchangers
    {
        exchangers.ttl = 7;
    }
    assert_ne!(one, other);
    one.forget_times();
    other.forget_times();
    assert_eq!(one, other);
}
