use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// In the form in which the installer of `CentOS` 7 writes a static address.
const ANACONDA: &str = "\
TYPE=\"Ethernet\"
PROXY_METHOD=\"none\"
BROWSER_ONLY=\"no\"
BOOTPROTO=\"none\"
DEFROUTE=\"yes\"
IPV4_FAILURE_FATAL=\"no\"
IPV6INIT=\"yes\"
IPV6_AUTOCONF=\"yes\"
NAME=\"eth0\"
UUID=\"0f1c7c33-9a73-4d1f-9bd5-5c0e2c2b6d5a\"
DEVICE=\"eth0\"
ONBOOT=\"yes\"
IPADDR=\"192.0.2.20\"
PREFIX=\"24\"
GATEWAY=\"192.0.2.1\"
";

/// In the form of Fedora 13.
const FEDORA: &str = "\
# Intel Corporation 82540EM Gigabit Ethernet Controller
DEVICE=eth0
HWADDR=08:00:27:12:34:56
ONBOOT=yes
BOOTPROTO=static
IPADDR=192.0.2.20
NETMASK=255.255.255.0
GATEWAY=192.0.2.1
";
const FILE: &str = "/etc/sysconfig/network-scripts/ifcfg-eth0";

fn add_to(text: &str, addresses: &[&str]) -> String {
    let files = Files::of(&[(FILE, text)]);
    let interface = &read(&files).unwrap()[0];
    let addresses: Vec<IpNet> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    add(&files, interface, &addresses).text
}

#[test]
fn files_and_their_aliases_are_read() {
    let files = Files::of(&[
        (FILE, FEDORA),
        (
            "/etc/sysconfig/network-scripts/ifcfg-eth0:1",
            "DEVICE=eth0:1\nIPADDR=192.0.2.25\nNETMASK=255.255.255.255\n",
        ),
        (
            "/etc/sysconfig/network-scripts/ifcfg-eth1",
            "DEVICE=eth1\nONBOOT=no\n",
        ),
    ]);
    let all = read(&files).unwrap();
    assert_eq!(all.len(), 1);
    let found: Vec<_> = all[0].addresses.iter().map(|a| a.net.to_string()).collect();
    assert_eq!(found, ["192.0.2.20/24", "192.0.2.25/32"]);
    let modern = &read(&Files::of(&[(FILE, ANACONDA)])).unwrap()[0];
    assert_eq!(modern.addresses[0].net.to_string(), "192.0.2.20/24");
    assert_eq!(modern.dynamic, BTreeSet::from([Family::Ipv6]));
}

// Names of the variables: nm-settings-ifcfg-rh(5), sysconfig.txt of initscripts.
#[test]
fn addresses_are_added_under_the_next_number() {
    assert_eq!(
        add_to(
            ANACONDA,
            &["192.0.2.25/32", "192.0.2.26/32", "2001:db8::25/64"]
        ),
        format!(
            "{ANACONDA}IPADDR1=192.0.2.25\nPREFIX1=32\nIPADDR2=192.0.2.26\nPREFIX2=32\n\
             IPV6ADDR_SECONDARIES=\"2001:db8::25/64\"\n"
        )
    );
    let more =
        format!("{FEDORA}IPADDR3=192.0.2.30\nPREFIX3=32\nIPV6ADDR_SECONDARIES=\"2001:db8::1/64\"");
    assert_eq!(
        add_to(&more, &["192.0.2.25/32", "2001:db8::25/128"]),
        format!(
            "{FEDORA}IPADDR3=192.0.2.30\nPREFIX3=32\n\
             IPV6ADDR_SECONDARIES=\"2001:db8::1/64 2001:db8::25/128\"\nIPADDR4=192.0.2.25\nPREFIX4=32\n"
        )
    );
    assert!(
        add_to(FEDORA, &["2001:db8::25/64"])
            .ends_with("IPV6INIT=yes\nIPV6ADDR_SECONDARIES=\"2001:db8::25/64\"\n")
    );
}

#[test]
fn malformed_files_are_named_with_the_line() {
    for (text, line) in [("DEVICE=eth0\nIPADDR=192.0.2\n", 2), ("\neth0 up\n", 2)] {
        let bad = read(&Files::of(&[(FILE, text)])).unwrap_err();
        assert_eq!(bad.malformed.line, line, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "(IPADDR|PREFIX|NETMASK1|DEVICE|['\"=0-9./:]|\n|\\PC){0,30}") {
        drop(read(&Files::of(&[(FILE, &text)])));
    }
}
