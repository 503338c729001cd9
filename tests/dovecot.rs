//! Our reader of `dovecot.conf` against the real one: what doveconf 2.3 and 2.4 printed for each tree
//! in `tests/dovecot/cases` (recorded by `tests/dovecot/record`), and what we say about broken ones.

#![expect(
    clippy::disallowed_methods,
    reason = "the expected answers are read from this repository, not from a host"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test may die of what it did not expect"
)]

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use reconcile::error::Kind;
use reconcile::error::Result;
use reconcile::host::DirHost;
use reconcile::names::Side;
use reconcile::resource::dovecot::config::files::Files;
use reconcile::resource::dovecot::config::include;
use reconcile::resource::dovecot::config::syntax::unquote;
use reconcile::resource::dovecot::config::tree::Tree;
use reconcile::resource::dovecot::config::{Assignment, Scope};
use reconcile::resource::dovecot::settings::{self, Found, Views};
use reconcile::resource::dovecot::{Actual, Around, Effect, ReadBy, Version, drop_in};
use reconcile::uidl::Syntax;

/// Looks at a host without users.
fn observe(target: &DirHost) -> Result<Actual> {
    let around = Around {
        source_spool: &"/var/mail".into(),
        target_spool: &"/var/mail".into(),
        users: &std::collections::BTreeMap::new(),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    reconcile::resource::dovecot::observe(None, target, &around)
}

fn folders(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/dovecot")
        .join(name);
    let mut folders: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 8, "the corpus is not where it should be");
    folders
}

#[test]
fn own_reader_agrees_with_doveconf() {
    for case in folders("cases") {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let recorded = fs::read_to_string(case.join("doveconf.txt")).unwrap();
        let (version, value) = recorded.trim_end_matches('\n').split_once('\n').unwrap();
        let generation = if version.starts_with("2.3.") {
            Version::V2_3
        } else {
            Version::V2_4
        };
        assert!(
            name.starts_with(&version[..3]),
            "{name} was recorded with {version}"
        );

        let root = DirHost::open(Side::Target, &case).unwrap();
        let dovecot = observe(&root)
            .unwrap_or_else(|e| panic!("{name}: {e}"))
            .target;
        assert_eq!(dovecot.read_by, ReadBy::OwnReader, "{name}");
        assert_eq!(dovecot.version, generation, "{name}");
        assert_eq!(dovecot.uidl_format, Some(unquote(value)), "{name}");
    }
}

/// What doveconf prints, and what our own reader finds in the same files, mean the same; what that is
/// stands in `settings.yaml`, which a person has read. `RECONCILE_BLESS=1` writes it.
#[test]
fn settings_are_read_by_meaning_whoever_reads_them() {
    for case in folders("settings") {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let printed = |protocol: &str| {
            let text = fs::read_to_string(case.join(format!("{protocol}.txt"))).unwrap();
            assert!(text.starts_with(&format!("# {}", &name[..3])), "{name}");
            Tree::from_doveconf(&text).unwrap()
        };
        let (version, syntax) = match &name[..3] {
            "2.3" => (Version::V2_3, Syntax::V2_3),
            _ => (Version::V2_4, Syntax::V2_4),
        };
        let root = DirHost::open(Side::Target, &case).unwrap();
        let main = "/etc/dovecot/dovecot.conf".into();
        let reading = include::read(&Files::of(&root), &main, None, &[]).unwrap();
        let own = |protocol: &str| Tree::of_reading(&reading, protocol, syntax);
        let (imap, pop3) = (printed("imap"), printed("pop3"));
        let (own_imap, own_pop3) = (own("imap"), own("pop3"));
        let views = |doveconf, own| Views { doveconf, own };
        let by_doveconf = settings::read(&Found {
            version,
            imap: views(Some(&imap), &own_imap),
            pop3: views(Some(&pop3), &own_pop3),
        });
        let by_us = settings::read(&Found {
            version,
            imap: views(None, &own_imap),
            pop3: views(None, &own_pop3),
        });
        assert_eq!(by_doveconf, by_us, "{name}");
        assert!(by_us.1.is_empty(), "{name}: {:?}", by_us.1);
        let expected = case.join("settings.yaml");
        let actual = serde_yaml::to_string(&by_us.0).unwrap();
        if std::env::var_os("RECONCILE_BLESS").is_some() {
            fs::write(&expected, &actual).unwrap();
        }
        assert_eq!(fs::read_to_string(expected).unwrap(), actual, "{name}");
    }
}

#[test]
fn broken_files_are_named_with_their_line() {
    for case in folders("malformed") {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let expected = fs::read_to_string(case.join("error.txt")).unwrap();
        let root = DirHost::open(Side::Target, &case).unwrap();
        let error = observe(&root).expect_err(&name);
        let mut said = error.to_string().replace(case.to_str().unwrap(), "ROOT");
        if let Some(cause) = error.source() {
            said = format!("{said}: {cause}");
        }
        assert_eq!(said, expected.trim_end(), "{name}");
        assert_eq!(error.kind(), Kind::Malformed, "{name}");
    }
}

/// A host's root with these files.
fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, DirHost) {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let host = DirHost::open(Side::Target, dir.path()).unwrap();
    (dir, host)
}

const MAIN: &str = "etc/dovecot/dovecot.conf";
const OURS: &str = "etc/dovecot/conf.d/zz-reconcile-uidl.conf";
const INCLUDES: &str = "!include_try conf.d/*.conf\n!include_try local.conf\n";

#[test]
fn a_drop_in_is_effective_where_it_is_included_and_nothing_beats_it() {
    for (files, expected) in [
        (vec![(MAIN, INCLUDES)], Effect::Effective),
        (
            vec![
                (MAIN, INCLUDES),
                ("etc/dovecot/conf.d/zzz.conf", "pop3_uidl_format = %u\n"),
                ("etc/dovecot/local.conf", "pop3_uidl_format = %u\n"),
            ],
            Effect::Effective,
        ),
        (
            vec![(MAIN, "protocols = pop3\n")],
            Effect::NotIncluded {
                main: "/etc/dovecot/dovecot.conf".into(),
            },
        ),
        (
            vec![
                (MAIN, INCLUDES),
                (
                    "etc/dovecot/local.conf",
                    "#\nprotocol pop3 {\n  pop3_uidl_format = %u\n}\n",
                ),
            ],
            Effect::Beaten {
                by: Assignment {
                    file: "/etc/dovecot/local.conf".into(),
                    line: 3,
                    scope: Scope::Pop3("protocol pop3".to_owned()),
                    value: "%u".to_owned(),
                },
            },
        ),
    ] {
        let (_dir, host) = root(&files);
        assert_eq!(
            observe(&host).unwrap().drop_in.effect,
            expected,
            "{files:?}"
        );
    }
}

#[test]
fn our_drop_in_is_read_back() {
    let text = drop_in::render("%v-%u");
    let (_dir, host) = root(&[(MAIN, INCLUDES), (OURS, &text)]);
    let actual = observe(&host).unwrap();
    assert_eq!(actual.target.uidl_format.as_deref(), Some("%v-%u"));
    assert_eq!(actual.drop_in.content, Some(text));
}

#[test]
fn formats_for_some_sessions_are_doubts() {
    let text = "remote 10.0.0.0/8 {\n  protocol pop3 {\n    pop3_uidl_format = %f\n  }\n}\n";
    let (_dir, host) = root(&[(MAIN, text)]);
    let dovecot = observe(&host).unwrap().target;
    assert_eq!(dovecot.uidl_format.as_deref(), Some("%08Xu%08Xv"));
    let [doubt] = &dovecot.doubts[..] else {
        panic!("one doubt is expected: {:?}", dovecot.doubts)
    };
    assert!(
        doubt.contains("`%f` (/etc/dovecot/dovecot.conf:3)"),
        "{doubt}"
    );
}

#[test]
fn packages_beat_the_configuration_in_telling_the_version() {
    let status = |status: &str, version: &str| {
        format!("Package: dovecot-core\nStatus: {status}\nVersion: {version}\n")
    };
    let old = status("install ok installed", "1:2.3.19.1+dfsg1-2.1");
    let new = status("install ok installed", "1:2.4.1+dfsg1-6");
    let removed = status("deinstall ok config-files", "1:2.3.19.1+dfsg1-2.1");
    for (dpkg, main, version, doubts) in [
        (&old, "", Version::V2_3, 0),
        (&new, "dovecot_config_version = 2.4.0\n", Version::V2_4, 0),
        (&new, "", Version::V2_4, 1),
        (&removed, "", Version::Absent, 0),
    ] {
        let (_dir, host) = root(&[("var/lib/dpkg/status", dpkg), (MAIN, main)]);
        let dovecot = observe(&host).unwrap().target;
        assert_eq!(
            (dovecot.version, dovecot.doubts.len()),
            (version, doubts),
            "{dpkg}{main}"
        );
    }
}

#[test]
fn dovecot_1_kept_its_configuration_elsewhere() {
    let old = "protocol pop3 {\n  pop3_uidl_format = %v-%u\n}\n";
    let (_dir, host) = root(&[("etc/dovecot.conf", old)]);
    let dovecot = observe(&host).unwrap().target;
    assert_eq!(dovecot.version, Version::V2_3);
    assert_eq!(dovecot.uidl_format.as_deref(), Some("%v-%u"));
}

#[test]
fn a_host_without_dovecot_is_an_answer() {
    let (_dir, host) = root(&[("etc/hostname", "x\n")]);
    assert_eq!(observe(&host).unwrap().target.version, Version::Absent);
}
