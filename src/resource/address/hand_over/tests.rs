use super::*;
use crate::host::network::{Carrier, Link, Rank, Route};
use crate::resource::address::drift;
use crate::resource::address::files::Files;

const INTERFACES: &str = "/etc/network/interfaces";
const OLD: &str = "\
auto eth0
iface eth0 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
iface eth0 inet static
    address 192.0.2.25/24
iface eth0 inet6 static
    address 2001:db8::25/64
";
const NEW: &str = "auto host0\niface host0 inet static\n    address 192.0.2.20/24\n";

fn cutover(more: &str) -> Cutover {
    let text = format!("{{address: [192.0.2.25/24, '2001:db8::25/64']{more}}}");
    serde_yaml::from_str(&text).unwrap()
}

fn name() -> MigrationName {
    "fc13".parse().unwrap()
}

fn held(net: &str) -> Held {
    Held {
        net: net.parse().unwrap(),
        standing: Standing::Used,
        rank: Rank::Primary,
        lease: Lease::None,
    }
}

fn network(interface: &str, nets: &[&str]) -> Network {
    let link = Link {
        carrier: Carrier::Up,
        addresses: nets.iter().map(|net| held(net)).collect(),
    };
    let route = Route {
        to: "default".to_owned(),
        through: vec![interface.to_owned()],
        from: None,
    };
    Network {
        interfaces: [(interface.to_owned(), link)].into(),
        routes: vec![route],
    }
}

/// The source has both addresses on eth0, the target will have them on host0.
fn actual() -> Actual {
    Actual {
        source_files: Files::of(&[(INTERFACES, OLD)]),
        source_network: Some(network(
            "eth0",
            &["192.0.2.10/24", "192.0.2.25/24", "2001:db8::25/64"],
        )),
        target_files: Files::of(&[(INTERFACES, NEW)]),
        target_network: Some(network("host0", &["192.0.2.20/24", "2001:db8::20/64"])),
        ..Actual::default()
    }
}

fn shown(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn problems(result: Result<HostChange, Problems>) -> Vec<String> {
    let problems = result.unwrap_err();
    problems
        .iter()
        .map(|(resource, problem)| format!("{resource}: {problem}"))
        .collect()
}

#[test]
fn the_source_lets_go_live_and_for_good_and_takes_back_what_nobody_has() {
    let change = leave(&cutover(""), Side::Source, &actual(), &name()).unwrap();
    assert_eq!(
        shown(&change.steps),
        [
            "ip addr del 192.0.2.25/24 dev eth0",
            "ip addr del 2001:db8::25/64 dev eth0",
        ]
    );
    // From the last to the first.
    let undone: Vec<_> = change.undo.iter().rev().cloned().collect();
    assert_eq!(
        shown(&undone),
        [
            "wait until nobody on eth0 answers for 2001:db8::25",
            "wait until nobody on eth0 answers for 192.0.2.25",
            "ip addr add 2001:db8::25/64 dev eth0",
            "ip addr add 192.0.2.25/24 dev eth0",
            "announce 2001:db8::25 on eth0",
            "announce 192.0.2.25 on eth0",
        ]
    );
    assert_eq!(change.edits.len(), 1);
    assert_eq!(change.edits[0].side, Side::Source);
    let removed = change.edits[0]
        .diff
        .lines()
        .filter(|line| line.starts_with("-  "));
    let removed: Vec<_> = removed.collect();
    assert_eq!(
        removed,
        ["-    address 192.0.2.25/24", "-    address 2001:db8::25/64"]
    );
}

#[test]
fn the_target_takes_them_closed_and_opens_them_once_its_mail_counts() {
    let friends = ["192.0.2.7".parse().unwrap()];
    let change = arrive(&cutover(""), Side::Target, &actual(), &friends).unwrap();
    assert_eq!(
        shown(&change.steps),
        [
            "wait until nobody on host0 answers for 192.0.2.25",
            "wait until nobody on host0 answers for 2001:db8::25",
            "let nobody reach 192.0.2.25 but 192.0.2.7",
            "let nobody reach 2001:db8::25 but 192.0.2.7",
            "ip addr add 192.0.2.25/32 dev host0",
            "ip addr add 2001:db8::25/128 dev host0",
            "announce 192.0.2.25 on host0",
            "announce 2001:db8::25 on host0",
        ]
    );
    let undone: Vec<_> = change.undo.iter().rev().cloned().collect();
    assert_eq!(
        shown(&undone),
        [
            "ip addr del 2001:db8::25/128 dev host0",
            "ip addr del 192.0.2.25/32 dev host0",
            "let everybody reach 2001:db8::25",
            "let everybody reach 192.0.2.25",
        ]
    );
    assert_eq!(
        shown(&commit(&change)),
        [
            "let everybody reach 192.0.2.25",
            "let everybody reach 2001:db8::25",
            "announce 192.0.2.25 on host0",
            "announce 2001:db8::25 on host0",
        ]
    );
    assert_eq!(change.edits, []);
}

#[test]
fn the_other_direction_is_the_same() {
    let mut actual = actual();
    actual.source_network = Some(network("eth0", &["192.0.2.10/24", "2001:db8::10/64"]));
    let target = [
        "192.0.2.20/24",
        "192.0.2.25/32",
        "2001:db8::20/64",
        "2001:db8::25/128",
    ];
    actual.target_network = Some(network("host0", &target));
    let own = "iface host0 inet static\n    address 192.0.2.25/32\n";
    actual.target_files = Files::of(&[(INTERFACES, &format!("{NEW}{own}"))]);
    // What is in no configuration of the target yet is no riddle: we put it there.
    let change = leave(
        &cutover(", interface: host0"),
        Side::Target,
        &actual,
        &name(),
    )
    .unwrap();
    assert_eq!(
        shown(&change.steps),
        [
            "ip addr del 192.0.2.25/32 dev host0",
            "ip addr del 2001:db8::25/128 dev host0",
        ]
    );
    // The manifest's interface is one of the target's.
    let change = arrive(&cutover(", interface: host0"), Side::Source, &actual, &[]).unwrap();
    assert!(shown(&change.steps).contains(&"ip addr add 192.0.2.25/32 dev eth0".to_owned()));
}

#[test]
fn every_address_goes_wherever_and_however_often_it_is() {
    let mut actual = actual();
    let nets = [
        "192.0.2.10/24",
        "192.0.2.25/24",
        "192.0.2.25/32",
        "2001:db8::25/64",
    ];
    actual.source_network = Some(network("eth0", &nets));
    let other = network("eth1", &["192.0.2.25/32"]);
    let source = actual.source_network.as_mut().unwrap();
    source.interfaces.extend(other.interfaces);
    let change = leave(&cutover(""), Side::Source, &actual, &name()).unwrap();
    assert_eq!(
        shown(&change.steps),
        [
            "ip addr del 192.0.2.25/24 dev eth0",
            "ip addr del 192.0.2.25/32 dev eth0",
            "ip addr del 192.0.2.25/32 dev eth1",
            "ip addr del 2001:db8::25/64 dev eth0",
        ]
    );
}

type Spoil = fn(&mut Actual);

fn source(actual: &mut Actual) -> &mut Link {
    let network = actual.source_network.as_mut().unwrap();
    network.interfaces.get_mut("eth0").unwrap()
}

fn target(actual: &mut Actual) -> &mut Link {
    let network = actual.target_network.as_mut().unwrap();
    network.interfaces.get_mut("host0").unwrap()
}

#[test]
fn what_keeps_the_source_from_letting_go_is_said_beforehand() {
    let cases: [(Spoil, &str); 7] = [
        (
            |actual| {
                let addresses = &mut source(actual).addresses;
                addresses.retain(|held| held.net.addr().is_ipv6());
            },
            "address/192.0.2.25: no interface of the source has 192.0.2.25",
        ),
        (
            |actual| source(actual).addresses[1].standing = Standing::Duplicate,
            "address/192.0.2.25: no interface of the source has 192.0.2.25",
        ),
        (
            |actual| source(actual).addresses[1].lease = Lease::Dynamic,
            "address/192.0.2.25: eth0 of the source has 192.0.2.25 from DHCP",
        ),
        (
            |actual| source(actual).addresses = source(actual).addresses.split_off(1),
            "address/192.0.2.25: the source would lose its routes to default",
        ),
        (
            |actual| {
                let network = actual.source_network.as_mut().unwrap();
                network.routes[0].from = Some("192.0.2.25".parse().unwrap());
            },
            "address/192.0.2.25: the source would lose its routes to default",
        ),
        (
            |actual| {
                actual.source_files =
                    Files::of(&[(INTERFACES, OLD.split("iface eth0 inet6").next().unwrap())]);
            },
            "address/2001:db8::25: nothing in the network configuration of the source gives it",
        ),
        (
            |actual| actual.source_network = None,
            "address/192.0.2.25: the network of the source cannot be looked at",
        ),
    ];
    for (spoil, expected) in cases {
        let mut actual = actual();
        spoil(&mut actual);
        let problems = problems(leave(&cutover(""), Side::Source, &actual, &name()));
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
}

#[test]
fn what_keeps_the_target_from_taking_it_is_said_beforehand() {
    let cases: [(&str, Spoil, &str); 8] = [
        (
            "",
            |actual| target(actual).addresses.push(held("192.0.2.25/32")),
            "address/192.0.2.25: host0 of the target has 192.0.2.25 already",
        ),
        (
            "",
            |actual| target(actual).carrier = Carrier::NoWire,
            "address/192.0.2.25: host0 of the target has no carrier",
        ),
        (
            "",
            |actual| target(actual).carrier = Carrier::Down,
            "address/192.0.2.25: host0 of the target is down",
        ),
        (
            "",
            |actual| target(actual).addresses[0] = held("198.51.100.20/24"),
            "address/192.0.2.25: no interface of the target has an address in the subnet",
        ),
        (
            "",
            |actual| {
                let other = network("eth1", &["192.0.2.30/24"]);
                let network = actual.target_network.as_mut().unwrap();
                network.interfaces.extend(other.interfaces);
            },
            "address/192.0.2.25: several interfaces of the target are in the subnet of 192.0.2.25 \
             now: eth1, host0",
        ),
        (
            ", interface: eth7",
            |_| {},
            "address/192.0.2.25: the target has no interface eth7",
        ),
        (
            "",
            |actual| {
                let text = NEW.replace("host0", "eth9");
                actual.target_files = Files::of(&[(INTERFACES, &text)]);
            },
            "address/192.0.2.25: 192.0.2.25 would be on host0 of the target now, and after a reboot \
             on eth9",
        ),
        (
            "",
            |actual| actual.target_files = Files::default(),
            "address/192.0.2.25: no interface of the target has a persistent address",
        ),
    ];
    for (more, spoil, expected) in cases {
        let mut actual = actual();
        spoil(&mut actual);
        let problems = problems(arrive(&cutover(more), Side::Target, &actual, &[]));
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
}

#[test]
fn a_duplicate_that_the_kernel_found_is_taken() {
    let mut actual = actual();
    let mut duplicate = held("2001:db8::25/128");
    duplicate.standing = Standing::Duplicate;
    target(&mut actual).addresses.push(duplicate);
    let change = arrive(&cutover(""), Side::Target, &actual, &[]).unwrap();
    assert!(shown(&change.steps).contains(&"ip addr add 2001:db8::25/128 dev host0".to_owned()));
}

#[test]
fn the_host_that_serves_gets_back_what_it_lost() {
    let mut actual = actual();
    target(&mut actual).addresses.push(held("192.0.2.25/32"));
    let change = drift(&cutover(""), Side::Target, &actual).unwrap().unwrap();
    assert_eq!(
        shown(&change.steps),
        [
            "wait until nobody on host0 answers for 2001:db8::25",
            "ip addr add 2001:db8::25/128 dev host0",
            "announce 2001:db8::25 on host0",
        ]
    );
    target(&mut actual).addresses.push(held("2001:db8::25/128"));
    assert_eq!(drift(&cutover(""), Side::Target, &actual), Ok(None));
    target(&mut actual).carrier = Carrier::Down;
    target(&mut actual).addresses.pop();
    let problems = drift(&cutover(""), Side::Target, &actual).unwrap_err();
    assert!(problems[0].1.to_string().contains("is down"));
    actual.target_network = None;
    assert_eq!(drift(&cutover(""), Side::Target, &actual), Ok(None));
}
