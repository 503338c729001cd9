use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// After example 1 of systemd.network(5).
const STATIC: &str = "\
[Match]
Name=ens3

[Network]
Address=192.0.2.20/24
Gateway=192.0.2.1
DNS=192.0.2.53

[Address]
Address=2001:db8::20/64
PreferredLifetime=forever
";

/// The beginning of what Debian 12's systemd 252 ships.
const VENDOR: &str = "\
[Match]
Virtualization=container
Name=host0

[Network]
DHCP=yes
LinkLocalAddressing=yes
";

fn owner() -> MigrationName {
    "fc13".parse().unwrap()
}

#[test]
fn addresses_come_from_the_file_and_its_dropins() {
    let files = Files::of(&[
        ("/etc/systemd/network/10-lan.network", STATIC),
        (
            "/etc/systemd/network/10-lan.network.d/20-more.conf",
            "[Network]\nAddress=192.0.2.30/32\n",
        ),
    ]);
    let all = read(&files).unwrap();
    let found: Vec<_> = all[0].addresses.iter().map(|a| a.net.to_string()).collect();
    assert_eq!(found, ["192.0.2.20/24", "2001:db8::20/64", "192.0.2.30/32"]);
}

#[test]
fn the_admins_file_hides_the_vendors_and_an_empty_one_masks_it() {
    const NAME: &str = "/usr/lib/systemd/network/80-container-host0.network";
    let vendor = read(&Files::of(&[(NAME, VENDOR)])).unwrap();
    assert_eq!(vendor[0].origin, Origin::Vendor);
    assert_eq!(
        vendor[0].dynamic,
        BTreeSet::from([Family::Ipv4, Family::Ipv6])
    );
    let own = "/etc/systemd/network/80-container-host0.network";
    let hidden = read(&Files::of(&[(NAME, VENDOR), (own, STATIC)])).unwrap();
    assert_eq!((hidden.len(), hidden[0].origin), (1, Origin::Admin));
    assert!(
        read(&Files::of(&[(NAME, VENDOR), (own, "")]))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn files_are_tried_in_the_order_of_their_names() {
    let files = Files::of(&[
        (
            "/etc/systemd/network/20-any.network",
            "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n",
        ),
        (
            "/usr/lib/systemd/network/10-first.network",
            "[Match]\nName=ens3\n",
        ),
        (
            "/etc/systemd/network/30-mac.network",
            "[Match]\nMACAddress=52:54:00:00:00:01\n",
        ),
    ]);
    let all = read(&files).unwrap();
    let names: Vec<_> = all.iter().map(|i| i.selector.to_string()).collect();
    assert_eq!(
        names,
        ["ens3", "en* eth*", "whatever 30-mac.network matches"]
    );
    assert!(all[1].selector.names("enp1s0") && !all[1].selector.names("wlan0"));
}

// systemd-networkd 252, started in a network namespace of its own on these two files, gave the
// interface every address; a running one adds them at `networkctl reload` (FACTS 6).
#[test]
fn an_address_is_added_by_a_dropin_of_ours() {
    let files = Files::of(&[("/etc/systemd/network/10-lan.network", STATIC)]);
    let interface = &read(&files).unwrap()[0];
    let v4 = add(
        &files,
        interface,
        &["192.0.2.25/32".parse().unwrap()],
        &owner(),
    );
    assert_eq!(
        v4.path,
        "/etc/systemd/network/10-lan.network.d/50-reconcile-fc13.conf".into()
    );
    let text = "# Written by reconcile for the migration fc13.\n[Network]\nAddress=192.0.2.25/32\n";
    assert_eq!(v4.text, text);
    let mut files = files;
    files.insert(v4.path, &v4.text).unwrap();
    let v6 = add(
        &files,
        interface,
        &["2001:db8::25/128".parse().unwrap()],
        &owner(),
    );
    assert_eq!(v6.text, format!("{text}Address=2001:db8::25/128\n"));
}

#[test]
fn malformed_files_are_named_with_the_line() {
    for (text, line) in [
        ("[Match\nName=eth0\n", 1),
        ("Name=eth0\n", 1),
        ("[Network]\n\nAddress=192.0.2\n", 3),
        ("[Network]\nDHCP\n", 2),
    ] {
        let bad = read(&Files::of(&[("/etc/systemd/network/a.network", text)])).unwrap_err();
        assert_eq!(bad.malformed.line, line, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "(\\[(Match|Network)\\]|Name=|Address=|[!*=\\\\]|\n|\\PC){0,30}") {
        drop(read(&Files::of(&[("/etc/systemd/network/a.network", &text)])));
    }
}
