use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::error::Kind;
use crate::manifest::Manifest;
use crate::names::Side;
use crate::plan::change::FileEdit;
use crate::plan::render::Sign;
use crate::plan::{Change, Draft, Fact, Level, Obstacle, Resource, Risk};
use crate::receipt::Receipt;
use crate::resource::edit;
use crate::resource::edit::fake::FakeHost;

fn manifest(serve_from: &str, cutover: &str) -> Manifest {
    serde_yaml::from_str(&format!(
        "{{version: 1, name: fc13, source: {{host: 'dir:/old'}}, target: {{host: 'dir:/new'}}, \
         serve_from: {serve_from}, cutover: {{{cutover}}}}}"
    ))
    .unwrap()
}

const BOTH: &str = "address: [192.0.2.25/24, '2001:db8::25/64'], hostname: mail.example.org";

/// Paths and texts.
type FileTexts<'a> = &'a [(&'a str, &'a str)];

/// One host for each backend, with 192.0.2.20/24 on eth0, and what is added to it.
const HOSTS_BY_BACKEND: [(&str, &str, &str); 5] = [
    (
        "/etc/network/interfaces",
        "auto eth0\niface eth0 inet static\n\taddress 192.0.2.20/24\n",
        "+    address 192.0.2.25/32",
    ),
    (
        "/etc/systemd/network/10-lan.network",
        "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.20/24\n",
        "+Address=192.0.2.25/32",
    ),
    (
        "/etc/netplan/01-lan.yaml",
        "network: {version: 2, ethernets: {eth0: {addresses: [192.0.2.20/24]}}}\n",
        "+        - \"192.0.2.25/32\"",
    ),
    (
        "/etc/NetworkManager/system-connections/lan.nmconnection",
        "[connection]\nid=lan\ninterface-name=eth0\n[ipv4]\naddress1=192.0.2.20/24\nmethod=manual\n",
        "+address2=192.0.2.25/32",
    ),
    (
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        "DEVICE=eth0\nONBOOT=yes\nIPADDR=192.0.2.20\nPREFIX=24\n",
        "+IPADDR1=192.0.2.25",
    ),
];

fn target(file: &str, text: &str) -> FakeHost {
    FakeHost::new(
        Side::Target,
        &[(file, text), ("/etc/hosts", "127.0.0.1\tlocalhost\n")],
    )
}

fn actual(target_files: &[(&str, &str)]) -> Actual {
    Actual {
        target_files: Files::of(target_files),
        hosts: Some("127.0.0.1\tlocalhost\n".to_owned()),
        ..Actual::default()
    }
}

fn edits(draft: &Draft) -> Vec<&FileEdit> {
    fn edit(change: &Change) -> &FileEdit {
        match change {
            Change::EditFile(edit) => edit,
            other => panic!("{other:?}"),
        }
    }
    draft
        .actions
        .iter()
        .map(|action| edit(&action.change))
        .collect()
}

fn problems(draft: &Draft) -> Vec<&Problem> {
    fn problem(by: &Obstacle) -> &Problem {
        match by {
            Obstacle::Address { problem } => problem,
            other => panic!("{other:?}"),
        }
    }
    draft
        .blocked
        .iter()
        .map(|blocked| problem(&blocked.by))
        .collect()
}

#[test]
fn each_backend_is_configured_in_one_run_and_then_at_rest() {
    let manifest = manifest("target", BOTH);
    let wanted = BTreeSet::from([
        Fact::AddressConfigured("192.0.2.25".into()),
        Fact::AddressConfigured("2001:db8::25".into()),
        Fact::HostnameSet("mail.example.org".into()),
    ]);
    for (file, text, line) in HOSTS_BY_BACKEND {
        let host = target(file, text);
        let mut seen = observe(&manifest, None, &host).unwrap();
        let draft = diff(&manifest, &seen, None);
        assert_eq!(draft.blocked, [], "{file}");
        let ids: Vec<_> = draft.actions.iter().map(|a| a.id.to_string()).collect();
        assert_eq!(
            ids,
            [
                "address/192.0.2.25/configure",
                "hostname/mail.example.org/set"
            ]
        );
        let given: BTreeSet<_> = draft.actions.iter().flat_map(|a| a.gives.clone()).collect();
        assert_eq!(given, wanted);
        for action in &draft.actions {
            assert_eq!(
                action.needs,
                BTreeSet::from([Fact::Authority(Side::Target)])
            );
            assert_eq!(action.risk, Risk::ServiceVisible);
        }
        assert!(
            edits(&draft)[0].diff.lines().any(|l| l == line),
            "{}",
            edits(&draft)[0].diff
        );
        for edit in edits(&draft) {
            predict(&mut seen, edit).unwrap();
            edit::perform(&host, edit).unwrap();
        }
        assert_eq!(observe(&manifest, None, &host).unwrap(), seen, "{file}");
        let again = diff(&manifest, &seen, None);
        assert_eq!((again.actions.len(), again.blocked.len()), (0, 0), "{file}");
        assert_eq!(again.settled, wanted);
    }
}

#[test]
fn what_somebody_removed_after_the_cutover_is_put_back() {
    let manifest = manifest("target", BOTH);
    let mut receipt = Receipt::new(manifest.name.clone(), Timestamp::UNIX_EPOCH);
    receipt.authority = Side::Target;
    for (file, text, _) in HOSTS_BY_BACKEND {
        let mut seen = actual(&[(file, text)]);
        let first = diff(&manifest, &seen, Some(&receipt));
        for edit in edits(&first) {
            predict(&mut seen, edit).unwrap();
        }
        let path = edits(&first)[0].path.clone();
        let without_v6: String = seen
            .target_files
            .get(&path)
            .unwrap()
            .split_inclusive('\n')
            .filter(|line| !line.contains("2001:db8::25"))
            .collect();
        seen.target_files.insert(path.clone(), &without_v6).unwrap();
        seen.hosts = Some("127.0.0.1\tlocalhost\n192.0.2.25 mail.example.org\n".to_owned());
        let second = diff(&manifest, &seen, Some(&receipt));
        let ids: Vec<_> = second.actions.iter().map(|a| a.id.to_string()).collect();
        assert_eq!(
            ids,
            [
                "address/2001:db8::25/configure",
                "hostname/mail.example.org/set"
            ]
        );
        assert_eq!(edits(&second)[0].path, path);
        for edit in edits(&second) {
            predict(&mut seen, edit).unwrap();
        }
        assert!(
            diff(&manifest, &seen, Some(&receipt)).actions.is_empty(),
            "{file}"
        );
    }
}

#[test]
fn while_the_source_serves_nothing_is_done_and_problems_are_warnings() {
    let (file, text, _) = HOSTS_BY_BACKEND[0];
    let manifest = manifest("source", BOTH);
    let draft = diff(&manifest, &actual(&[(file, text)]), None);
    assert!(draft.actions.is_empty() && draft.blocked.is_empty() && draft.settled.is_empty());
    let notes: Vec<_> = draft
        .notes
        .iter()
        .map(|n| (n.level, n.text.as_str()))
        .collect();
    let moves = notes
        .iter()
        .filter(|n| **n == (Level::Info, "moves at the cutover"));
    assert_eq!(moves.count(), 2);
    let draft = diff(&manifest, &actual(&[]), None);
    assert!(draft.blocked.is_empty());
    assert!(draft.notes.iter().any(|n| {
        n.level == Level::Warning
            && n.resource == Resource::Address("192.0.2.25".into())
            && n.text
                .starts_with("at the cutover: no interface of the target")
    }));
}

#[test]
fn the_prefix_is_the_manifests_where_no_primary_is_beside() {
    let manifest = manifest("target", "address: [192.0.2.25/24]");
    let seen = actual(&[("/etc/network/interfaces", "iface eth0 inet dhcp\n")]);
    let draft = diff(&manifest, &seen, None);
    assert!(
        edits(&draft)[0]
            .diff
            .contains("+    address 192.0.2.25/24\n")
    );
    assert!(
        draft.notes[0]
            .text
            .starts_with("eth0 is the only interface"),
        "{:?}",
        draft.notes
    );
}

#[test]
fn two_interfaces_are_one_action_where_their_addresses_go_into_one_file() {
    const NM: &str = "/etc/NetworkManager/system-connections";
    let ifupdown = "iface eth0 inet static\n address 192.0.2.20/24\niface eth1 inet6 static\n address 2001:db8::20/64\n";
    let netplan = "network: {ethernets: {eth0: {addresses: [192.0.2.20/24]}, eth1: {addresses: ['2001:db8::20/64']}}}\n";
    let eth0 = "[connection]\ninterface-name=eth0\n[ipv4]\naddress1=192.0.2.20/24\n";
    let eth1 = "[connection]\ninterface-name=eth1\n[ipv6]\naddress1=2001:db8::20/64\n";
    let one = vec!["address/192.0.2.25/configure"];
    let two = vec![
        "address/192.0.2.25/configure",
        "address/2001:db8::25/configure",
    ];
    let manifest = manifest("target", "address: [192.0.2.25/24, '2001:db8::25/64']");
    for (mut seen, expected) in [
        (
            actual(&[("/etc/network/interfaces", ifupdown)]),
            one.clone(),
        ),
        (actual(&[("/etc/netplan/a.yaml", netplan)]), one),
        (
            actual(&[(&format!("{NM}/a"), eth0), (&format!("{NM}/b"), eth1)]),
            two,
        ),
    ] {
        let draft = diff(&manifest, &seen, None);
        let ids: Vec<_> = draft.actions.iter().map(|a| a.id.to_string()).collect();
        assert_eq!(ids, expected);
        for edit in edits(&draft) {
            predict(&mut seen, edit).unwrap();
        }
        assert_eq!(diff(&manifest, &seen, None).settled.len(), 2);
    }
}

#[test]
fn what_cannot_be_decided_blocks_with_its_remedy() {
    const INTERFACES: &str = "/etc/network/interfaces";
    const NETWORKD: &str = "/etc/systemd/network/10-a.network";
    const NM: &str = "/etc/NetworkManager/system-connections/a.nmconnection";
    let eth0 = "iface eth0 inet static\n address 192.0.2.20/24\n";
    let two = format!("{eth0}iface eth1 inet static\n address 192.0.2.21/24\n");
    let other = "iface eth0 inet static\n address 198.51.100.20/24\n";
    let holds = format!("{two}iface eth1 inet static\n address 192.0.2.25/32\n");
    let off = "[connection]\ninterface-name=eth0\n[ipv4]\nmethod=disabled\n";
    let networkd = "[Match]\nName=eth*\n[Network]\nDHCP=yes\n";
    let glob = "[Match]\nName=eth*\n[Network]\nAddress=192.0.2.20/24\n";
    let dhcp = "iface eth0 inet dhcp\n";
    let cases: [(&str, FileTexts<'_>, &str); 9] = [
        (
            "",
            &[(NETWORKD, glob), (INTERFACES, dhcp)],
            "both systemd-networkd (/etc/systemd/network/10-a.network) and ifupdown \
             (/etc/network/interfaces) configure eth0; remove",
        ),
        ("", &[], "no interface is configured at all"),
        (
            "",
            &[(INTERFACES, other)],
            "no interface of the target has a persistent address",
        ),
        (
            "",
            &[(INTERFACES, &two)],
            "several configurations on the target could take 192.0.2.25: eth0",
        ),
        (
            ", interface: eth7",
            &[(INTERFACES, eth0)],
            "nothing on the target configures eth7 at boot (configured: eth0)",
        ),
        (
            "",
            &[(INTERFACES, eth0), (NETWORKD, networkd)],
            "both ifupdown (/etc/network/interfaces) and systemd-networkd",
        ),
        (
            ", interface: eth0",
            &[(INTERFACES, eth0), (NETWORKD, networkd)],
            "both ifupdown (/etc/network/interfaces) and systemd-networkd",
        ),
        (
            ", interface: eth0",
            &[(INTERFACES, &holds)],
            "192.0.2.25 is configured on eth1 (/etc/network/interfaces), not on eth0",
        ),
        (
            ", interface: eth0",
            &[(NM, off)],
            "IPv4 is turned off on eth0",
        ),
    ];
    for (more, files, expected) in cases {
        let manifest = manifest("target", &format!("address: [192.0.2.25/24]{more}"));
        let draft = diff(&manifest, &actual(files), None);
        let texts: Vec<_> = problems(&draft).iter().map(ToString::to_string).collect();
        assert!(texts.len() == 1 && texts[0].contains(expected), "{texts:?}");
        assert!(draft.actions.is_empty());
    }
}

#[test]
fn vendor_files_are_a_fallback_and_no_rival() {
    const VENDOR: &str = "/usr/lib/systemd/network/80-container-host0.network";
    let text = "[Match]\nKind=veth\nName=host0\nVirtualization=container\n[Network]\nDHCP=yes\n";
    let eth = "iface host0 inet static\n address 192.0.2.20/24\n";
    let manifest = manifest("target", "address: [192.0.2.25/24], interface: host0");
    let both = actual(&[(VENDOR, text), ("/etc/network/interfaces", eth)]);
    assert_eq!(
        edits(&diff(&manifest, &both, None))[0].path,
        "/etc/network/interfaces".into()
    );
    let alone = actual(&[(VENDOR, text)]);
    assert_eq!(
        edits(&diff(&manifest, &alone, None))[0].path,
        "/etc/systemd/network/80-container-host0.network.d/50-reconcile-fc13.conf".into()
    );
}

#[test]
fn what_is_no_file_is_no_configuration_and_a_masked_file_hides_the_vendors() {
    const NAME: &str = "80-container-host0.network";
    let text = "[Match]\nName=host0\n[Network]\nDHCP=yes\n";
    let host = target(&format!("/usr/lib/systemd/network/{NAME}"), text);
    host.put(
        "/etc/network/interfaces",
        b"source interfaces.d/*\nsource /etc/network/*/*\n",
    );
    host.put("/etc/network/interfaces.d/directory/file", b"iface\n");
    host.put("/etc/systemd/network/README", b"none\n");
    let manifest = manifest("target", "address: [192.0.2.25/24], interface: host0");
    let vendor = observe(&manifest, None, &host).unwrap();
    assert!(diff(&manifest, &vendor, None).blocked.is_empty());
    host.mask(&format!("/etc/systemd/network/{NAME}"));
    let masked = observe(&manifest, None, &host).unwrap();
    let draft = diff(&manifest, &masked, None);
    assert!(matches!(problems(&draft)[0], Problem::NotConfigured { .. }));
}

#[test]
fn an_offline_source_that_still_has_the_address_is_mentioned_and_not_edited() {
    const OLD: &str = "/etc/sysconfig/network-scripts/ifcfg-eth0";
    let (file, text, _) = HOSTS_BY_BACKEND[0];
    let mut seen = actual(&[(file, text)]);
    seen.source_files = Files::of(&[(OLD, "DEVICE=eth0\nIPADDR=192.0.2.25\nPREFIX=24\n")]);
    let draft = diff(&manifest("target", BOTH), &seen, None);
    let text = format!(
        "an offline source is never written: do not boot the old server on this network, it still \
         configures 192.0.2.25 in {OLD}"
    );
    assert!(
        draft.notes.iter().any(|note| note.text == text),
        "{:?}",
        draft.notes
    );
    assert!(edits(&draft).iter().all(|edit| edit.path != OLD.into()));
}

#[test]
fn a_malformed_file_is_an_error_that_names_host_file_and_line() {
    let manifest = manifest("target", BOTH);
    let file = "/etc/netplan/01-lan.yaml";
    for text in [
        "network:\n  ethernets: [\n",
        "network:\n  ethernets:\n\teth0: {}\n",
    ] {
        let host = target(file, text);
        let error = observe(&manifest, None, &host).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        let message = error.to_string();
        assert!(message.starts_with("/etc/netplan/01-lan.yaml on target (dir:/fake), line "));
        assert!(host.log.lock().unwrap().is_empty());
    }
    let host = target("/etc/network/interfaces", "iface eth0\n");
    let source = FakeHost::new(Side::Source, &[("/etc/network/interfaces", "iface eth0\n")]);
    assert!(observe(&manifest, None, &host).is_err());
    let message = observe(&manifest, Some(&source), &target("/x", "")).unwrap_err();
    assert!(message.to_string().contains("on source"));
}

#[test]
fn an_observation_is_written_by_hand_and_has_no_secrets() {
    let text = "\
target_files:
  /etc/network/interfaces: |
    iface wlan0 inet static
        address 192.0.2.20/24
        wpa-psk hunter2
hosts: |
  127.0.0.1 localhost
";
    let seen: Actual = serde_yaml::from_str(text).unwrap();
    let draft = diff(&manifest("target", BOTH), &seen, None);
    assert_eq!(draft.actions.len(), 2);
    let shown = format!(
        "{seen:?}{}{}",
        serde_yaml::to_string(&seen).unwrap(),
        serde_json::to_string(&draft.actions).unwrap()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let saved = serde_yaml::to_string(&seen).unwrap();
    assert_eq!(serde_yaml::from_str::<Actual>(&saved).unwrap(), seen);
}

#[test]
fn a_migration_without_cutover_looks_at_nothing() {
    let mut manifest = manifest("target", BOTH);
    manifest.cutover = None;
    let host = target("/etc/network/interfaces", "iface\n");
    let seen = observe(&manifest, None, &host).unwrap();
    assert_eq!(seen, Actual::default());
    let draft = diff(&manifest, &seen, None);
    assert!(draft.actions.is_empty() && draft.notes.is_empty());
}

#[test]
fn rows_show_the_unified_diff_once() {
    let (file, text, _) = HOSTS_BY_BACKEND[0];
    let draft = diff(
        &manifest("target", BOTH),
        &actual(&[(file, &text.replace("auto", "#\x1b[2J\nauto"))]),
        None,
    );
    let action = &draft.actions[0];
    let rows = rows(action, edits(&draft)[0]);
    let resources: Vec<_> = rows.iter().map(|row| row.resource.to_string()).collect();
    assert_eq!(resources, ["address/192.0.2.25", "address/2001:db8::25"]);
    assert_eq!(rows[0].sign, Sign::Update);
    assert_eq!(rows[0].title, "/etc/network/interfaces");
    assert_eq!(rows[0].details[0], "--- /etc/network/interfaces");
    assert!(
        rows[0]
            .details
            .contains(&" \taddress 192.0.2.20/24".to_owned())
    );
    assert!(
        rows.iter()
            .flat_map(|r| &r.details)
            .all(|line| !line.contains('\x1b'))
    );
    assert!(rows[1].details.is_empty());
}
