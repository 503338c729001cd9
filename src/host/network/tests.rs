use super::*;

/// `ip -o link show` of iproute2 6.15 (Debian 13), of 2.6.x (Fedora 13) and of a bond's member.
const LINKS: &str = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000\\    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: host0@if31: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:00:00:02 brd ff:ff:ff:ff:ff:ff link-netnsid 0
3: eth1: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc pfifo_fast state DOWN qlen 1000\\    link/ether 52:54:00:00:00:03 brd ff:ff:ff:ff:ff:ff
4: eth2: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000\\    link/ether 52:54:00:00:00:04 brd ff:ff:ff:ff:ff:ff
";

const ADDRESSES: &str = "\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
1: lo    inet6 ::1/128 scope host noprefixroute \\       valid_lft forever preferred_lft forever
2: host0    inet 198.51.100.20/24 brd 198.51.100.255 scope global host0\\       valid_lft forever preferred_lft forever
2: host0    inet 198.51.100.25/24 brd 198.51.100.255 scope global secondary host0:1\\       valid_lft forever preferred_lft forever
2: host0    inet 198.51.100.26/32 scope global host0\\       valid_lft forever preferred_lft forever
2: host0    inet6 2001:db8::25/64 scope global tentative dadfailed \\       valid_lft forever preferred_lft forever
2: host0    inet6 2001:db8::26/64 scope global dadfailed tentative \\       valid_lft forever preferred_lft forever
2: host0    inet6 fe80::5054:ff:fe00:2/64 scope link tentative \\       valid_lft forever preferred_lft forever
";

fn held(net: &str, standing: Standing, rank: Rank) -> Held {
    Held {
        net: net.parse().unwrap(),
        standing,
        rank,
        lease: Lease::None,
    }
}

/// `ip -o -4 route show`, the last line of two equal ways out.
const ROUTES: &str = "\
default via 198.51.100.1 dev host0 proto dhcp src 198.51.100.25 metric 1024 
198.51.100.0/24 dev host0 proto kernel scope link src 198.51.100.20 
blackhole 10.0.0.0/8 
10.9.0.0/16 proto static \\\tnexthop via 198.51.100.7 dev host0 weight 1 \\\tnexthop via 192.0.2.7 dev eth1 weight 1 
";

#[test]
fn ways_out_are_known_with_the_address_that_they_are_for() {
    let network = Network::parse(LINKS.as_bytes(), b"", ROUTES.as_bytes()).unwrap();
    let route = |to: &str, through: &[&str], from: Option<&str>| Route {
        to: to.to_owned(),
        through: through.iter().map(|&name| name.to_owned()).collect(),
        from: from.map(|from| from.parse().unwrap()),
    };
    let expected = [
        route("default", &["host0"], Some("198.51.100.25")),
        route("10.9.0.0/16", &["host0", "eth1"], None),
    ];
    assert_eq!(network.routes, expected);
}

#[test]
fn a_leased_address_is_known() {
    let said = b"2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global dynamic noprefixroute eth0\\       valid_lft 86000sec preferred_lft 86000sec\n";
    let found = parse_addresses(said).unwrap();
    assert_eq!(found[0].1.lease, Lease::Dynamic);
}

#[test]
fn interfaces_are_known_with_their_carrier_and_addresses() {
    let network = Network::parse(LINKS.as_bytes(), ADDRESSES.as_bytes(), b"").unwrap();
    let carriers: Vec<_> = network
        .interfaces
        .iter()
        .map(|(name, link)| (name.as_str(), link.carrier))
        .collect();
    let expected = [
        ("eth1", Carrier::NoWire),
        ("eth2", Carrier::Down),
        ("host0", Carrier::Up),
        ("lo", Carrier::Up),
    ];
    assert_eq!(carriers, expected);
    let expected = [
        held("198.51.100.20/24", Standing::Used, Rank::Primary),
        held("198.51.100.25/24", Standing::Used, Rank::Secondary),
        held("198.51.100.26/32", Standing::Used, Rank::Primary),
        held("2001:db8::25/64", Standing::Duplicate, Rank::Primary),
        held("2001:db8::26/64", Standing::Duplicate, Rank::Primary),
        held(
            "fe80::5054:ff:fe00:2/64",
            Standing::Tentative,
            Rank::Primary,
        ),
    ];
    assert_eq!(network.interfaces["host0"].addresses, expected);
    let address = "198.51.100.25".parse().unwrap();
    let holders: Vec<_> = network.holders(address).map(|(name, ..)| name).collect();
    assert_eq!(holders, ["host0"]);
}

#[test]
fn old_and_odd_lines_are_understood() {
    // iproute2 of 2010 repeats the link in `ip -o addr show`; a tunnel's prefix is its peer's.
    let said = "\
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP qlen 1000\\    link/ether 52:54:00:00:00:02 brd ff:ff:ff:ff:ff:ff
2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0
9: tun0    inet 10.8.0.1 peer 10.8.0.2/32 scope global tun0
9: eth0.5@eth0    inet 10.9.0.1/30 brd 10.9.0.3 scope global eth0.5
";
    let found = parse_addresses(said.as_bytes()).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|(name, held)| format!("{name} {}", held.net))
        .collect();
    assert_eq!(
        shown,
        [
            "eth0 192.0.2.10/24",
            "tun0 10.8.0.1/32",
            "eth0.5 10.9.0.1/30"
        ]
    );
}

#[test]
fn what_ip_does_not_say_is_an_error_that_shows_it() {
    let error = parse_addresses(b"2: eth0    inet bogus scope global eth0\n").unwrap_err();
    assert!(error.to_string().contains("inet bogus"), "{error}");
    assert!(Network::parse(b"Device \"x\" does not exist.\n", b"", b"").is_err());
}
