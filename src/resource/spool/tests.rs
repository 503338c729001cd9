use super::*;
use crate::resource::edit::fake::FakeHost;

fn manifest(spool: &str) -> Manifest {
    serde_yaml::from_str(&format!(
        "{{version: 1, name: t, source: {{host: 'dir:/s'}}, target: {{host: 'dir:/t'}}, \
         serve_from: source, {spool}}}"
    ))
    .unwrap()
}

fn sizes(sizes: &[(&str, u64)]) -> Actual {
    Actual {
        side: Side::Source,
        sizes: sizes
            .iter()
            .map(|(user, size)| (UserName::from(*user), *size))
            .collect(),
        old: None,
        timer: None,
    }
}

fn texts(draft: &Draft) -> Vec<String> {
    let line = |n: &crate::plan::Note| format!("{:?} {}: {}", n.level, n.resource, n.text);
    draft.notes.iter().map(line).collect()
}

#[test]
fn a_maildir_in_the_spool_is_no_spool_file() {
    let host = FakeHost::new(
        Side::Source,
        &[
            ("/var/mail/alice", "12345"),
            ("/var/mail/bob/cur/1", "x"),
            ("/var/mail/eve", ""),
        ],
    );
    let users = ["alice", "bob", "carol"].map(UserName::from);
    let actual = observe(&host, &HostPath::from("/var/mail"), users.iter()).unwrap();
    assert_eq!(actual, sizes(&[("alice", 5)]));
}

#[test]
fn nothing_is_said_unless_the_manifest_asks() {
    let draft = diff(&manifest(""), &sizes(&[("alice", 5)]), Side::Source);
    assert_eq!(texts(&draft), Vec::<String>::new());
}

#[test]
fn total_and_largest_are_shown_in_decimal_units() {
    let actual = sizes(&[
        ("alice", 700_000_000),
        ("bob", 500_000_000),
        ("carol", 3_000_000_000),
    ]);
    let draft = diff(
        &manifest("spool: {warn: 500MB, limit: 2GB}"),
        &actual,
        Side::Source,
    );
    assert_eq!(
        texts(&draft),
        [
            "Info migration: spool on the source: 4.2 GB in 3 files, the largest 3.0 GB (carol)",
            "Warning spool/carol: 3.0 GB is above spool.limit (2.0 GB)",
            "Warning spool/alice: 700.0 MB is above spool.warn (500.0 MB)",
        ]
    );
    assert!(draft.blocked.is_empty());
}

#[test]
fn more_than_ten_are_counted() {
    let users: Vec<String> = (0..13).map(|n| format!("u{n:02}")).collect();
    let all: Vec<(&str, u64)> = users.iter().map(|u| (u.as_str(), 2000)).collect();
    let draft = diff(&manifest("spool: {warn: 1kB}"), &sizes(&all), Side::Source);
    let texts = texts(&draft);
    assert_eq!(texts.len(), 12);
    assert_eq!(
        texts[1],
        "Warning spool/u00: 2.0 kB is above spool.warn (1.0 kB)"
    );
    assert_eq!(
        texts[11],
        "Warning migration: 3 more spool files are above spool.warn or spool.limit"
    );
}
