use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// In the form in which cloud-init writes a static address.
const CLOUD_INIT: &str = "\
# This file is generated from information provided by the datasource.  Changes
# to it will not persist across an instance reboot.
network:
    version: 2
    ethernets:
        enp1s0:
            addresses:
            - 198.51.100.20/24
            - 2001:db8::20/64
            match:
                macaddress: 52:54:00:12:34:56
            nameservers:
                addresses: [198.51.100.53]
            routes:
            -   to: default
                via: 198.51.100.1
            set-name: lan0
";
const FILE: &str = "/etc/netplan/50-cloud-init.yaml";

fn owner() -> MigrationName {
    "fc13".parse().unwrap()
}

#[test]
fn a_device_is_known_by_its_id_and_its_name() {
    let all = read(&Files::of(&[(FILE, CLOUD_INIT)])).unwrap();
    assert_eq!(all.len(), 1);
    assert!(all[0].selector.names("enp1s0") && all[0].selector.names("lan0"));
    assert_eq!(all[0].device_type, "ethernets");
    assert!(all[0].dynamic.is_empty());
    assert_eq!(
        all[0].holds("198.51.100.20".parse().unwrap()),
        Some(&FILE.into())
    );
}

#[test]
fn files_are_merged() {
    let files = Files::of(&[
        (FILE, CLOUD_INIT),
        (
            "/etc/netplan/60-more.yaml",
            "network: {ethernets: {enp1s0: {dhcp6: yes, addresses: [{198.51.100.30/32: {label: a}}]}}, bridges: {br0: {dhcp4: true}}}\n",
        ),
    ]);
    let all = read(&files).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].addresses.len(), 3);
    assert_eq!(all[0].dynamic, BTreeSet::from([Family::Ipv6]));
    assert_eq!(
        (all[1].device_type.as_str(), all[1].dynamic.len()),
        ("bridges", 1)
    );
}

// `netplan generate --root-dir` (0.106) made of CLOUD_INIT and of this text one
// .network file with all four Address= lines.
#[test]
fn an_address_is_added_by_a_file_of_ours_with_nothing_else() {
    let files = Files::of(&[(FILE, CLOUD_INIT)]);
    let interface = &read(&files).unwrap()[0];
    let addresses = [
        "198.51.100.25/32".parse().unwrap(),
        "2001:db8::25/128".parse().unwrap(),
    ];
    let placement = add(&files, interface, &addresses, &owner()).unwrap();
    assert_eq!(placement.path, "/etc/netplan/90-reconcile-fc13.yaml".into());
    assert_eq!(placement.mode, 0o600);
    assert_eq!(
        placement.text,
        "\
# Written by reconcile for the migration fc13.
network:
  version: 2
  ethernets:
    enp1s0:
      addresses:
        - \"198.51.100.25/32\"
        - \"2001:db8::25/128\"
"
    );
}

#[test]
fn malformed_files_are_named_with_the_line() {
    for (text, line) in [
        (
            "network:\n  ethernets:\n    eth0:\n      addresses: [192.0.2.20]\n",
            4,
        ),
        (
            "network:\n  ethernets:\n    eth0:\n      addresses: yes\n",
            4,
        ),
        ("network: 5\n", 1),
        ("- a\n", 1),
        ("network:\n  ethernets: {eth0: 5}\n", 1),
    ] {
        let bad = read(&Files::of(&[(FILE, text)])).unwrap_err();
        assert_eq!(bad.malformed.line, line, "{text}");
    }
    let broken = Files::default().insert(FILE.into(), "network:\n\tethernets: {}\n");
    assert_eq!(broken.unwrap_err().malformed.line, 2);
    assert!(read(&Files::of(&[(FILE, "")])).unwrap().is_empty());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "(network|ethernets|eth0|addresses|: |\\{|\\}|- |\\[|\\]|\n|  |\\PC){0,30}") {
        let mut files = Files::default();
        if files.insert(FILE.into(), &text).is_ok() {
            drop(read(&files));
        }
    }
}
