//! Our reader of `dovecot.conf` against the real one: what doveconf 2.3 and 2.4 printed for each tree
//! in `tests/dovecot/cases` (recorded by `tests/dovecot/record`), and what we say about broken ones.

#![expect(
    clippy::disallowed_methods,
    reason = "the expected answers are read from this repository, not from a host"
)]

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use reconcile::error::Kind;
use reconcile::host::DirHost;
use reconcile::names::Side;
use reconcile::resource::dovecot::config::syntax::unquote;
use reconcile::resource::dovecot::{ReadBy, Version, observe};

fn folders(name: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/dovecot")
        .join(name);
    let mut folders: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 20, "the corpus is not where it should be");
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
        let dovecot = observe(None, &root)
            .unwrap_or_else(|e| panic!("{name}: {e}"))
            .target;
        assert_eq!(dovecot.read_by, ReadBy::OwnReader, "{name}");
        assert_eq!(dovecot.version, generation, "{name}");
        assert_eq!(dovecot.uidl_format, Some(unquote(value)), "{name}");
    }
}

#[test]
fn broken_files_are_named_with_their_line() {
    for case in folders("malformed") {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let expected = fs::read_to_string(case.join("error.txt")).unwrap();
        let root = DirHost::open(Side::Target, &case).unwrap();
        let error = observe(None, &root).expect_err(&name);
        let mut said = error.to_string().replace(case.to_str().unwrap(), "ROOT");
        if let Some(cause) = error.source() {
            said = format!("{said}: {cause}");
        }
        assert_eq!(said, expected.trim_end(), "{name}");
        assert_eq!(error.kind(), Kind::Malformed, "{name}");
    }
}
