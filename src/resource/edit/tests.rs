use proptest::prelude::*;

use super::fake::FakeHost;
use super::*;
use crate::names::Side;

const HOSTS: &str = "/etc/hosts";

fn path() -> HostPath {
    HostPath::from(HOSTS)
}

fn text_of_lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![Just("a"), Just("b"), Just(""), Just("é c"), Just("a\rb")];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
    let last = prop_oneof![Just(""), Just("tail"), Just("a\r")];
    (prop::collection::vec((line, end), 0..12), last).prop_map(|(lines, last)| {
        let mut text: String = lines.iter().flat_map(|(l, e)| [*l, *e]).collect();
        text.push_str(last);
        text
    })
}

proptest! {
    #[test]
    fn an_edit_turns_one_text_exactly_into_the_other(a in text_of_lines(), b in text_of_lines()) {
        let edit = between(&path(), Some(&a), &b, 0o644);
        prop_assert_eq!(apply(&edit, Some(&a)).unwrap(), &b[..]);
        prop_assert_eq!(edit.edits.is_empty(), a == b);
        let new = between(&path(), None, &b, 0o644);
        prop_assert_eq!(apply(&new, None).unwrap(), &b[..]);
    }

    #[test]
    fn an_edit_survives_being_saved(a in text_of_lines(), b in text_of_lines()) {
        let edit = between(&path(), Some(&a), &b, 0o644);
        let saved = serde_json::to_string(&edit).unwrap();
        prop_assert_eq!(serde_json::from_str::<FileEdit>(&saved).unwrap(), edit);
    }

    #[test]
    fn edits_from_a_tampered_plan_never_panic(
        after in 0..9_usize, delete in any::<usize>(), a in text_of_lines(),
    ) {
        let mut edit = between(&path(), Some(&a), "x\n", 0o644);
        edit.edits = vec![LineEdit { after, delete, insert: vec![] }];
        let applied = apply(&edit, Some(&a));
        prop_assert!(applied.is_err());
    }
}

#[test]
fn the_diff_is_the_one_that_diff_u_prints() {
    let before = "1\n2\n3\n4\n5\n6\n7\n8\n";
    let after = "1\n2\n3\n4\nfive\n6\n7\n8\n";
    // diff -u --label /etc/hosts --label /etc/hosts a b
    let expected =
        "--- /etc/hosts\n+++ /etc/hosts\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
    assert_eq!(between(&path(), Some(before), after, 0o644).diff, expected);
    let new = between(&path(), None, "a\nb", 0o644).diff;
    assert_eq!(
        new,
        "--- /dev/null\n+++ /etc/hosts\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n"
    );
}

#[test]
fn a_text_that_changed_since_the_plan_is_refused() {
    let edit = between(&path(), Some("a\n"), "b\n", 0o644);
    for other in [None, Some("c\n"), Some("")] {
        assert_eq!(apply(&edit, other).unwrap_err().kind(), Kind::Stale);
    }
    let new = between(&path(), None, "b\n", 0o644);
    assert_eq!(apply(&new, Some("")).unwrap_err().kind(), Kind::Stale);
}

#[test]
fn performing_twice_writes_once() {
    let host = FakeHost::new(Side::Target, &[(HOSTS, "a\r\nb")]);
    let edit = between(&path(), Some("a\r\nb"), "a\r\nc\n", 0o644);
    perform(&host, &edit).unwrap();
    perform(&host, &edit).unwrap();
    assert_eq!(host.get(HOSTS).unwrap(), "a\r\nc\n");
    assert_eq!(*host.log.lock().unwrap(), ["replace /etc/hosts 644"]);
}

#[test]
fn performing_on_a_changed_file_writes_nothing() {
    let host = FakeHost::new(Side::Target, &[(HOSTS, "somebody was here\n")]);
    let edit = between(&path(), Some("a\n"), "b\n", 0o644);
    let error = perform(&host, &edit).unwrap_err();
    assert_eq!(error.kind(), Kind::Stale);
    assert!(error.to_string().contains(HOSTS));
    assert!(host.log.lock().unwrap().is_empty());
}

#[test]
fn a_new_file_gets_its_directory_and_mode() {
    let host = FakeHost::new(Side::Target, &[]);
    let file = HostPath::from("/etc/netplan/90-x.yaml");
    perform(&host, &between(&file, None, "network: {}\n", 0o600)).unwrap();
    let log = host.log.lock().unwrap();
    assert_eq!(
        *log,
        [
            "make_dirs /etc/netplan 755",
            "replace /etc/netplan/90-x.yaml 600"
        ]
    );
}

#[test]
fn an_edit_of_a_file_with_secrets_keeps_them_and_never_shows_them() {
    const FILE: &str = "/etc/NetworkManager/system-connections/w.nmconnection";
    let real = "[wifi-security]\npsk=hunter2\n[ipv4]\nmethod=auto\n";
    let host = FakeHost::new(Side::Target, &[(FILE, real)]);
    let seen = redact::redact(Redaction::Keyfile, real).unwrap();
    let after = seen
        .as_str()
        .replace("[ipv4]\n", "[ipv4]\naddress1=192.0.2.25/24\n");
    let edit = between_redacted(&FILE.into(), Redaction::Keyfile, Some(&seen), &after, 0o600);
    let shown = serde_json::to_string(&edit).unwrap();
    assert!(
        !shown.contains("hunter2") && edit.diff.contains(" psk=<hidden>"),
        "{shown}"
    );
    perform(&host, &edit).unwrap();
    perform(&host, &edit).unwrap();
    assert_eq!(
        host.get(FILE).unwrap(),
        "[wifi-security]\npsk=hunter2\n[ipv4]\naddress1=192.0.2.25/24\nmethod=auto\n"
    );
}

#[test]
fn a_password_changed_since_the_plan_does_not_matter() {
    const FILE: &str = "/etc/network/interfaces";
    let before = redact::redact(Redaction::Words, "iface w inet dhcp\n wpa-psk old\n").unwrap();
    let after = format!("{}# end\n", before.as_str());
    let edit = between_redacted(&FILE.into(), Redaction::Words, Some(&before), &after, 0o644);
    let host = FakeHost::new(Side::Target, &[(FILE, "iface w inet dhcp\n wpa-psk new\n")]);
    perform(&host, &edit).unwrap();
    assert_eq!(
        host.get(FILE).unwrap(),
        "iface w inet dhcp\n wpa-psk new\n# end\n"
    );
}

#[test]
fn configuration_that_is_not_utf8_is_named() {
    let host = FakeHost::new(Side::Target, &[]);
    host.put(HOSTS, b"127.0.0.1 localhost\n# caf\xe9\n");
    let error = text(&host, &path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(
        error.to_string(),
        "/etc/hosts on target (dir:/fake), line 2: not UTF-8"
    );
}

#[test]
fn a_plan_that_would_overwrite_a_secret_with_its_mark_is_refused() {
    const FILE: &str = "/etc/network/interfaces";
    let before = redact::redact(Redaction::Words, "wpa-psk a\n").unwrap();
    let after = format!("{}\n", before.as_str());
    let mut edit = between_redacted(&FILE.into(), Redaction::Words, Some(&before), &after, 0o644);
    edit.edits = vec![LineEdit {
        after: 0,
        delete: 1,
        insert: vec![before.as_str().to_owned(), "\n".to_owned()],
    }];
    let host = FakeHost::new(Side::Target, &[(FILE, "wpa-psk a\n")]);
    assert_eq!(perform(&host, &edit).unwrap_err().kind(), Kind::Stale);
    assert_eq!(host.get(FILE).unwrap(), "wpa-psk a\n");
}
