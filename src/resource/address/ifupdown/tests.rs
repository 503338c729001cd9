use proptest::prelude::*;

use super::*;

/// In the form in which the installer of Debian 12 writes it.
const DEBIAN: &str = "\
# This file describes the network interfaces available on your system
# and how to activate them. For more information, see interfaces(5).

source /etc/network/interfaces.d/*

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug ens3
iface ens3 inet static
\taddress 192.0.2.20/24
\tgateway 192.0.2.1
\t# dns-* options are implemented by the resolvconf package, if installed
\tdns-nameservers 192.0.2.53
# This is an autoconfigured IPv6 interface
iface ens3 inet6 auto
";

/// In the form in which the installer of Debian 5 wrote it.
const OLD: &str = "\
auto lo eth0
iface lo inet loopback
iface eth0 inet static
    address 192.0.2.20
    netmask 255.255.255.0
    network 192.0.2.0
    broadcast 192.0.2.255
    gateway 192.0.2.1";

fn owner() -> MigrationName {
    "fc13".parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn stanzas_of_one_interface_are_one_interface() {
    let files = Files::of(&[
        (MAIN, DEBIAN),
        (
            "/etc/network/interfaces.d/more",
            "iface ens3:1 inet static\n  address 192.0.2.30/32\n",
        ),
        (
            "/etc/network/interfaces.d/.hidden",
            "iface ens4 inet dhcp\n",
        ),
    ]);
    let all = read(&files).unwrap();
    assert_eq!(all.len(), 1);
    assert!(all[0].selector.names("ens3"));
    assert_eq!(all[0].dynamic, BTreeSet::from([Family::Ipv6]));
    let found: Vec<_> = all[0].addresses.iter().map(|a| a.net.to_string()).collect();
    assert_eq!(found, ["192.0.2.20/24", "192.0.2.30/32"]);
    assert_eq!(
        all[0].addresses[1].file,
        HostPath::from("/etc/network/interfaces.d/more")
    );
}

#[test]
fn masks_are_read_as_ifup_reads_them() {
    // `ifup -n -v` of ifupdown 0.8.41 on these: /255.255.255.0, /255.0.0.0.
    for (stanza, expected) in [
        ("address 192.0.2.20\nnetmask 255.255.255.0", "192.0.2.20/24"),
        ("address 192.0.2.20\nnetmask 25", "192.0.2.20/25"),
        ("address 198.51.100.20", "198.51.100.20/24"),
        ("address 10.1.2.3", "10.1.2.3/8"),
    ] {
        let text = format!("iface eth0 inet static\n{stanza}\n");
        let all = read(&Files::of(&[(MAIN, &text)])).unwrap();
        assert_eq!(all[0].addresses[0].net.to_string(), expected);
    }
}

// Both forms of the result were run through `ifup -n -v` of ifupdown 0.8.41: it adds every address,
// and `autoconf 1` keeps the autoconfiguration that a static inet6 stanza would turn off.
#[test]
fn an_address_goes_into_a_file_of_ours_where_the_directory_is_sourced() {
    let files = Files::of(&[(MAIN, DEBIAN)]);
    let interface = &read(&files).unwrap()[0];
    let addresses = nets(&["192.0.2.25/32", "2001:db8::25/64"]);
    let placement = add(&files, interface, &addresses, &owner()).unwrap();
    assert_eq!(
        placement.path,
        "/etc/network/interfaces.d/reconcile-fc13".into()
    );
    assert_eq!(
        placement.text,
        "\
# Written by reconcile for the migration fc13.
iface ens3 inet static
    address 192.0.2.25/32

iface ens3 inet6 static
    address 2001:db8::25/64
    autoconf 1
"
    );
}

#[test]
fn without_a_sourced_directory_a_marked_block_is_appended_and_extended() {
    let files = Files::of(&[(MAIN, OLD)]);
    let interface = &read(&files).unwrap()[0];
    let first = add(&files, interface, &nets(&["192.0.2.25/32"]), &owner()).unwrap();
    let block = "
# BEGIN reconcile fc13
iface eth0 inet static
    address 192.0.2.25/32
# END reconcile fc13
";
    assert_eq!(first.text, format!("{OLD}\n{block}"));
    let files = Files::of(&[(MAIN, &first.text)]);
    let second = add(&files, interface, &nets(&["192.0.2.26/32"]), &owner()).unwrap();
    assert!(second.text.ends_with(
        "192.0.2.25/32\n\niface eth0 inet static\n    address 192.0.2.26/32\n# END reconcile fc13\n"
    ));
}

#[test]
fn a_directory_that_does_not_source_our_name_is_not_used() {
    for (line, sourced) in [
        ("source /etc/network/interfaces.d/*.cfg", false),
        ("source-directory /etc/network/interfaces.d", true),
        ("source-directory interfaces.d/", true),
        ("source interfaces.d/*", true),
        ("source /etc/network/*/*", true),
        ("#source /etc/network/interfaces.d/*", false),
    ] {
        let text = format!("{line}\niface eth0 inet dhcp\n");
        let files = Files::of(&[(MAIN, &text)]);
        let interface = &read(&files).unwrap()[0];
        let placement = add(&files, interface, &nets(&["192.0.2.25/24"]), &owner()).unwrap();
        assert_eq!(placement.path != MAIN.into(), sourced, "{line}");
    }
}

#[test]
fn malformed_files_are_named_with_the_line() {
    for (text, line) in [
        ("auto eth0\naddress 192.0.2.20/24\n", 2),
        ("iface eth0\n", 1),
        ("iface eth0 inet static\n\taddress 192.0.2.999\n", 2),
    ] {
        let bad = read(&Files::of(&[(MAIN, text)])).unwrap_err();
        assert_eq!(
            (bad.path, bad.malformed.line),
            (MAIN.into(), line),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(
        words in prop::collection::vec(
            prop_oneof![
                Just("iface"), Just("inet"), Just("static"), Just("address"), Just("source"),
                Just("source-directory"), Just("[*"), Just("/"), Just("\\"), Just("\n"), Just("é"),
            ],
            0..30,
        ),
    ) {
        drop(read(&Files::of(&[(MAIN, &words.join(" "))])));
    }
}
