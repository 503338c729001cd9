use proptest::prelude::*;

use super::*;

/// As `nmcli --offline connection add type ethernet con-name lan ifname eth0 ipv4.method manual
/// ipv4.addresses 198.51.100.20/24 ipv4.gateway 198.51.100.1 ipv4.dns 198.51.100.53` (1.42) prints it.
const NMCLI: &str = "\
[connection]
id=lan
uuid=9a8e3a53-9c44-475a-a722-207c44d440a4
type=ethernet
interface-name=eth0

[ethernet]

[ipv4]
address1=198.51.100.20/24,198.51.100.1
dns=198.51.100.53;
method=manual

[ipv6]
addr-gen-mode=default
method=auto

[proxy]
";
const FILE: &str = "/etc/NetworkManager/system-connections/lan.nmconnection";

fn add_to(text: &str, addresses: &[&str]) -> String {
    let files = Files::of(&[(FILE, text)]);
    let interface = &read(&files).unwrap()[0];
    let addresses: Vec<IpNet> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    add(&files, interface, &addresses).unwrap().text
}

#[test]
fn a_connection_is_read() {
    let all = read(&Files::of(&[(FILE, NMCLI)])).unwrap();
    assert_eq!(all.len(), 1);
    assert!(all[0].selector.names("eth0"));
    assert_eq!(all[0].dynamic, BTreeSet::from([Family::Ipv6]));
    assert_eq!(all[0].addresses[0].net.to_string(), "198.51.100.20/24");
}

// With `ipv4.addresses 198.51.100.20/24,198.51.100.25/32` nmcli 1.42 prints the same two lines, and
// with `ipv4.method auto ipv4.addresses 198.51.100.25/32` it prints `address1=` before `method=auto`.
#[test]
fn addresses_are_added_as_nmcli_writes_them() {
    assert_eq!(
        add_to(NMCLI, &["198.51.100.25/32", "2001:db8::25/64"]),
        NMCLI
            .replace(
                ",198.51.100.1\n",
                ",198.51.100.1\naddress2=198.51.100.25/32\n"
            )
            .replace("[ipv6]\n", "[ipv6]\naddress1=2001:db8::25/64\n")
    );
}

#[test]
fn a_missing_section_is_added_with_the_method_that_it_had() {
    let text = "[connection]\nid=lan\ninterface-name=eth0";
    assert_eq!(
        add_to(text, &["198.51.100.25/24"]),
        format!("{text}\n\n[ipv4]\naddress1=198.51.100.25/24\nmethod=auto\n")
    );
    let text = "[connection]\nid=lan\n[ipv4]";
    assert_eq!(
        add_to(text, &["198.51.100.25/24"]),
        format!("{text}\naddress1=198.51.100.25/24\n")
    );
}

#[test]
fn profiles_that_do_not_come_up_or_have_no_addresses_of_their_own_do_not_count() {
    for line in [
        "autoconnect=false",
        "master=br0",
        "controller=br0",
        "type=loopback",
    ] {
        let text = format!("[connection]\nid=x\n{line}\n");
        assert!(
            read(&Files::of(&[(FILE, &text)])).unwrap().is_empty(),
            "{line}"
        );
    }
    let off = "[connection]\nid=x\n[ipv6]\nmethod=disabled\n";
    assert_eq!(
        read(&Files::of(&[(FILE, off)])).unwrap()[0].off,
        BTreeSet::from([Family::Ipv6])
    );
}

#[test]
fn malformed_files_are_named_with_the_line() {
    for (text, line) in [
        ("[ipv4]\nmethod=auto\n", 1),
        ("[connection]\nid=x\n[ipv4]\naddress1=192.0.2.300/24\n", 4),
        ("[connection]\nid\n", 2),
    ] {
        let bad = read(&Files::of(&[(FILE, text)])).unwrap_err();
        assert_eq!(bad.malformed.line, line, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "(\\[connection\\]|\\[ipv4\\]|address|[0-9=,;/]|\n|\\PC){0,30}") {
        drop(read(&Files::of(&[(FILE, &text)])));
    }
}
