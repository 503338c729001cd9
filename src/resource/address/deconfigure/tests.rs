//! Texts before and after; what the real programs make of both is noted beside them.

use super::*;
use crate::resource::address::Actual;
use crate::resource::address::configure::configure;
use crate::resource::address::rows::predict;

const V4: &str = "192.0.2.25/24";
const V6: &str = "2001:db8::25/64";

fn cutover(addresses: &[&str]) -> Cutover {
    let addresses = addresses.join("', '");
    serde_yaml::from_str(&format!("address: ['{addresses}']")).unwrap()
}

fn owner() -> MigrationName {
    "fc13".parse().unwrap()
}

/// The files afterwards, and what stood in the way.
fn after(addresses: &[&str], files: &[(&str, &str)]) -> (Files, Vec<String>) {
    let files = Files::of(files);
    let removal = match deconfigure(&cutover(addresses), Side::Source, &files, &owner()) {
        Ok(removal) => removal,
        Err(problems) => {
            let problems = problems.iter().map(|(_, problem)| problem.to_string());
            return (files, problems.collect());
        }
    };
    let mut actual = Actual {
        source_files: files,
        ..Actual::default()
    };
    for edit in &removal.edits {
        assert_eq!(edit.side, Side::Source);
        predict(&mut actual, edit).unwrap();
    }
    // Once is enough.
    let again = deconfigure(
        &cutover(addresses),
        Side::Source,
        &actual.source_files,
        &owner(),
    );
    assert_eq!(again.ok().unwrap().edits, []);
    (actual.source_files, Vec::new())
}

/// One file before and after.
fn becomes(path: &str, before: &str, expected: &str) {
    let (files, problems) = after(&[V4, V6], &[(path, before)]);
    assert_eq!(problems, Vec::<String>::new(), "{before}");
    assert_eq!(files.get(&path.into()), Some(expected));
}

/// One file that cannot lose the address.
fn refuses(path: &str, before: &str, expected: &str) {
    let (_, problems) = after(&[V4, V6], &[(path, before)]);
    assert!(
        !problems.is_empty() && problems[0].contains(expected),
        "{problems:?}"
    );
}

const INTERFACES: &str = "/etc/network/interfaces";

/// `ifup --no-act --all --verbose` (0.8.41) says of it that 192.0.2.20/24 alone is added to eth0, and
/// then the default route; before, it adds all four addresses.
const DEBIAN: &str = "\
# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug eth0
iface eth0 inet static
\taddress 192.0.2.25/24
\tgateway 192.0.2.1
\t# dns-* options are implemented by the resolvconf package, if installed
\tdns-nameservers 192.0.2.53

iface eth0 inet static
\taddress 192.0.2.20
\tnetmask 255.255.255.0

iface eth0 inet6 static
    address 2001:db8::25/64
";

#[test]
fn the_stanza_with_the_gateway_takes_the_address_that_stays() {
    becomes(
        INTERFACES,
        DEBIAN,
        "\
# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface
allow-hotplug eth0
iface eth0 inet static
\taddress 192.0.2.20
\tnetmask 255.255.255.0
\tgateway 192.0.2.1
\t# dns-* options are implemented by the resolvconf package, if installed
\tdns-nameservers 192.0.2.53


",
    );
}

#[test]
fn stanzas_aliases_and_hooks_of_the_address_go() {
    let stays =
        "auto eth0\niface eth0 inet static\n    address 192.0.2.20/24\n    gateway 192.0.2.1\n";
    let alias = "iface eth0:1 inet static\n    address 192.0.2.25\n    netmask 255.255.255.0\n";
    becomes(INTERFACES, &format!("{stays}auto eth0:1\n{alias}"), stays);
    becomes(
        INTERFACES,
        &format!("auto lo eth0:1 eth1\n{stays}{alias}"),
        &format!("auto lo eth1\n{stays}"),
    );
    for hook in [
        "up ip addr add 192.0.2.25/32 dev $IFACE\n",
        "post-up /sbin/ip -4 address add 192.0.2.25/24 dev eth0 || true\n",
        "    down ifconfig eth0:1 192.0.2.25 down\n",
    ] {
        becomes(INTERFACES, &format!("{stays}{hook}"), stays);
    }
    let hook = "    up /usr/local/sbin/failover 192.0.2.25\n";
    refuses(
        INTERFACES,
        &format!("{stays}{hook}"),
        "interfaces, line 5: a program",
    );
}

// `ifup --no-act eth1` with `inet manual` brings the link up and adds nothing.
#[test]
fn an_interface_for_the_address_alone_stays_without_one() {
    let lo = "iface lo inet loopback\n";
    becomes(
        INTERFACES,
        &format!("{lo}auto eth1\niface eth1 inet static\n    address 192.0.2.25/24\n"),
        &format!("{lo}auto eth1\niface eth1 inet manual\n"),
    );
    let gateway = "auto eth1\niface eth1 inet static\n address 192.0.2.25/24\n gateway 192.0.2.1\n";
    refuses(INTERFACES, gateway, "eth1 would lose more");
}

#[test]
fn an_address_that_only_the_service_address_puts_into_a_subnet_is_not_stranded() {
    for (path, text) in [
        (
            INTERFACES,
            "iface eth0 inet static\n address 192.0.2.25/24\niface eth0 inet static\n address 192.0.2.20/32\n",
        ),
        (
            "/etc/systemd/network/10-lan.network",
            "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.25/24\nAddress=192.0.2.20/32\n",
        ),
    ] {
        refuses(path, text, "in which subnet 192.0.2.20 of eth0 is");
    }
}

#[test]
fn networkd_loses_lines_and_sections() {
    let path = "/etc/systemd/network/10-lan.network";
    becomes(
        path,
        "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.25/24\nAddress=192.0.2.20/24\nGateway=192.0.2.1\n\n\
         [Address]\nAddress=2001:db8::25/64\nPreferredLifetime=0\n\n[Route]\nDestination=10.0.0.0/8\n",
        "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.20/24\nGateway=192.0.2.1\n\n\
         [Route]\nDestination=10.0.0.0/8\n",
    );
    let vendor = [(
        "/usr/lib/systemd/network/80-a.network",
        "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.25/24\n",
    )];
    let (_, problems) = after(&[V4], &vendor);
    assert!(
        problems[0].contains("cannot be taken out of /usr/lib/"),
        "{problems:?}"
    );
}

/// What cloud-init writes, and what is left. `netplan generate --root-dir` (0.106) makes of the second
/// `Address=192.0.2.20/24` and nothing else.
const CLOUD_INIT: &str = "\
network:
    version: 2
    ethernets:
        enp1s0:
            addresses:
            - 192.0.2.20/24
            - \"192.0.2.25/24\"
            - 2001:db8::25/64:
                label: mail
            # Of the provider.
            nameservers:
                addresses: [192.0.2.53]
            routes:
            -   to: default
                via: 192.0.2.1
";

#[test]
fn netplan_loses_items_and_nothing_else() {
    let path = "/etc/netplan/50-cloud-init.yaml";
    becomes(
        path,
        CLOUD_INIT,
        &CLOUD_INIT.replace(
            "            - \"192.0.2.25/24\"\n            - 2001:db8::25/64:\n                label: mail\n",
            "",
        ),
    );
    becomes(
        path,
        "network: {ethernets: {eth0: {addresses: [192.0.2.20/24, '192.0.2.25/24'], dhcp6: yes}}}\n",
        "network: {ethernets: {eth0: {addresses: [192.0.2.20/24], dhcp6: yes}}}\n",
    );
    becomes(
        path,
        "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      addresses:\n        - 192.0.2.25/24\n",
        "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      addresses: []\n",
    );
    // An anchor makes two lists of one: such a file is left to its admin.
    refuses(
        path,
        "network:\n  ethernets:\n    eth0:\n      addresses: &a\n        - 192.0.2.25/24\n    eth1:\n      addresses: *a\n",
        "cannot be taken out of /etc/netplan",
    );
}

const NM: &str = "/etc/NetworkManager/system-connections/lan.nmconnection";

/// As `nmcli --offline connection add type ethernet con-name lan ifname eth0 ipv4.method manual
/// ipv4.addresses 192.0.2.25/24,192.0.2.20/24,192.0.2.26/24 ipv4.gateway 192.0.2.1 ipv6.addresses
/// 2001:db8::25/64` (1.42) prints it, and as it prints what is left with other numbers.
const NMCLI: &str = "\
[connection]
id=lan
uuid=9a8e3a53-9c44-475a-a722-207c44d440a4
type=ethernet
interface-name=eth0

[ipv4]
address1=192.0.2.25/24,192.0.2.1
address2=192.0.2.20/24
address3=192.0.2.26/24
method=manual

[ipv6]
addr-gen-mode=default
address1=2001:db8::25/64
method=auto
";

#[test]
fn network_manager_keeps_the_gateway() {
    becomes(
        NM,
        NMCLI,
        &NMCLI
            .replace("address1=192.0.2.25/24,192.0.2.1\n", "")
            .replace("192.0.2.20/24", "192.0.2.20/24,192.0.2.1")
            .replace("address1=2001:db8::25/64\n", ""),
    );
    let alone = NMCLI.replace("address2=192.0.2.20/24\naddress3=192.0.2.26/24\n", "");
    refuses(NM, &alone, "eth0 would lose more");
}

const IFCFG: &str = "/etc/sysconfig/network-scripts/ifcfg-eth0";

#[test]
fn ifcfg_files_are_numbered_without_gaps() {
    becomes(
        IFCFG,
        "DEVICE=eth0\nONBOOT=yes\nIPADDR=\"192.0.2.25\"\nPREFIX=\"24\"\nGATEWAY=192.0.2.1\n\
         IPADDR1=192.0.2.20\nPREFIX1=24\nIPADDR2=192.0.2.26\nNETMASK2=255.255.255.0\n\
         IPV6ADDR=2001:db8::25/64\nIPV6ADDR_SECONDARIES=\"2001:db8::26/64 2001:db8::27/64\"\n",
        "DEVICE=eth0\nONBOOT=yes\nGATEWAY=192.0.2.1\n\
         IPADDR=192.0.2.20\nPREFIX=24\nIPADDR1=192.0.2.26\nNETMASK1=255.255.255.0\n\
         IPV6ADDR=\"2001:db8::26/64\"\nIPV6ADDR_SECONDARIES=\"2001:db8::27/64\"\n",
    );
    refuses(
        IFCFG,
        "DEVICE=eth0\nIPADDR=192.0.2.25\nPREFIX=24\n",
        "eth0 would lose more",
    );
    let main = (IFCFG, "DEVICE=eth0\nIPADDR=192.0.2.20\nPREFIX=24\n");
    let alias = "/etc/sysconfig/network-scripts/ifcfg-eth0:1";
    let text = "DEVICE=eth0:1\nONPARENT=yes\nIPADDR=192.0.2.25\nNETMASK=255.255.255.0\n";
    let (files, _) = after(&[V4], &[main, (alias, text)]);
    let expected =
        "DEVICE=eth0:1\nIPADDR=192.0.2.25\nNETMASK=255.255.255.0\nONBOOT=no\nONPARENT=no\n";
    assert_eq!(files.get(&alias.into()), Some(expected));
    assert_eq!(files.get(&IFCFG.into()), Some(main.1));
}

#[test]
fn what_we_gave_a_host_it_loses_again_and_can_get_again() {
    for (path, text) in [
        (
            INTERFACES,
            "auto eth0\niface eth0 inet static\n\taddress 192.0.2.20/24\n",
        ),
        (
            INTERFACES,
            "source interfaces.d/*\niface eth0 inet static\n\taddress 192.0.2.20/24\n",
        ),
        (
            "/etc/systemd/network/10-lan.network",
            "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.20/24\n",
        ),
        (
            "/etc/netplan/01-lan.yaml",
            "network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.20/24]}}}\n",
        ),
        (
            NM,
            "[connection]\nid=lan\ninterface-name=eth0\n[ipv4]\naddress1=192.0.2.20/24\nmethod=manual\n",
        ),
        (
            IFCFG,
            "DEVICE=eth0\nONBOOT=yes\nIPADDR=192.0.2.20\nPREFIX=24\n",
        ),
    ] {
        let cutover = cutover(&[V4, V6]);
        let mut actual = Actual {
            target_files: Files::of(&[(path, text)]),
            ..Actual::default()
        };
        for _ in 0..2 {
            let outcome = configure(&cutover, Side::Target, &actual.target_files, &owner());
            assert!(
                outcome.problems.is_empty() && !outcome.actions.is_empty(),
                "{path}"
            );
            for action in &outcome.actions {
                let crate::plan::Change::EditFile(edit) = &action.change else {
                    panic!("{action:?}");
                };
                predict(&mut actual, edit).unwrap();
            }
            let held = |actual: &Actual| {
                let all = backend::read(&actual.target_files).unwrap();
                let all = all
                    .iter()
                    .flat_map(|i| i.addresses.iter().map(|a| a.net.addr()));
                all.collect::<BTreeSet<_>>()
            };
            assert_eq!(held(&actual).len(), 3, "{path}");
            let removal = deconfigure(&cutover, Side::Target, &actual.target_files, &owner());
            let removal = removal.ok().unwrap();
            assert_eq!(removal.unconfigured, Vec::<IpAddr>::new());
            for edit in &removal.edits {
                predict(&mut actual, edit).unwrap();
            }
            assert_eq!(
                held(&actual),
                BTreeSet::from(["192.0.2.20".parse().unwrap()]),
                "{path}"
            );
        }
    }
}

#[test]
fn what_no_file_gives_is_told() {
    let files = Files::of(&[(
        INTERFACES,
        "iface eth0 inet static\n address 192.0.2.25/24\niface eth0 inet static\n address 192.0.2.20/24\n",
    )]);
    let removal = deconfigure(&cutover(&[V4, V6]), Side::Source, &files, &owner());
    let expected: Vec<IpAddr> = vec!["2001:db8::25".parse().unwrap()];
    assert_eq!(removal.ok().unwrap().unconfigured, expected);
}
