//! Random trees changed at random: a copy always ends with both sides equal.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;

use super::bench::{Bench, Way, write};

#[derive(Clone, Debug)]
pub(super) enum Step {
    File(u8, usize),
    Append(u8),
    Flip(u8),
    Rename(u8, u8),
    Link(u8, u8),
    Symlink(u8),
    Directory(u8),
    Remove(u8),
    Mode(u8, u32),
    Truncate(u8),
    Copy,
}

/// Twelve names, some within others, so that kinds collide, and some that only bytes can say.
pub(super) fn name(n: u8) -> OsString {
    let dir = ["", "a/", "a/b/", "c.d/"][usize::from(n % 4)];
    let name: &[u8] = [&b"x"[..], b"b", b"-z'\n\xe9: \\n"][usize::from(n / 4 % 3)];
    OsString::from_vec([dir.as_bytes(), name].concat())
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let n = || 0_u8..12;
    prop_oneof![
        (n(), 0_usize..5000).prop_map(|(n, size)| Step::File(n, size)),
        n().prop_map(Step::Append),
        n().prop_map(Step::Flip),
        (n(), n()).prop_map(|(a, b)| Step::Rename(a, b)),
        (n(), n()).prop_map(|(a, b)| Step::Link(a, b)),
        n().prop_map(Step::Symlink),
        n().prop_map(Step::Directory),
        n().prop_map(Step::Remove),
        (n(), prop_oneof![Just(0o600), Just(0o755), Just(0o440)])
            .prop_map(|(n, mode)| Step::Mode(n, mode)),
        n().prop_map(Step::Truncate),
        Just(Step::Copy),
    ]
}

/// Does a step to a tree, where it can be done.
pub(super) fn apply(root: &Path, step: &Step) -> std::io::Result<()> {
    let at = |n: &u8| root.join(name(*n));
    let is_file = |n: &u8| fs::symlink_metadata(at(n)).is_ok_and(|m| m.is_file());
    match step {
        Step::File(n, size) => {
            fs::create_dir_all(at(n).parent().unwrap())?;
            fs::write(at(n), vec![*n; *size])
        }
        Step::Append(n) if is_file(n) => OpenOptions::new()
            .append(true)
            .open(at(n))?
            .write_all(b"more"),
        Step::Flip(n) if is_file(n) => {
            let before = fs::metadata(at(n))?;
            let mut content = fs::read(at(n))?;
            if let Some(byte) = content.last_mut() {
                *byte ^= 1;
            }
            fs::write(at(n), content)?;
            OpenOptions::new()
                .write(true)
                .open(at(n))?
                .set_modified(before.modified()?)
        }
        Step::Rename(a, b) => fs::rename(at(a), at(b)),
        Step::Link(a, b) => fs::hard_link(at(a), at(b)),
        Step::Symlink(n) => symlink("../x", at(n)),
        Step::Directory(n) => fs::create_dir_all(at(n)),
        Step::Remove(n) => fs::remove_file(at(n)).or_else(|_| fs::remove_dir_all(at(n))),
        Step::Mode(n, mode) if is_file(n) => {
            fs::set_permissions(at(n), fs::Permissions::from_mode(*mode))
        }
        Step::Truncate(n) if is_file(n) => OpenOptions::new().write(true).open(at(n))?.set_len(3),
        _ => Ok(()),
    }
}

pub(super) type Tree = BTreeMap<String, (u32, u32, i64, i64, Vec<u8>, usize)>;

/// A tree as std sees it; names of one inode share a number.
fn tree(root: &Path, dir: &Path, inodes: &mut Vec<u64>, out: &mut Tree) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else if meta.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            Vec::new()
        };
        let number = inodes
            .iter()
            .position(|&i| i == meta.ino())
            .unwrap_or_else(|| {
                inodes.push(meta.ino());
                inodes.len() - 1
            });
        let key = path.strip_prefix(root).unwrap().display().to_string();
        let value = (
            meta.mode(),
            meta.uid(),
            meta.mtime(),
            meta.mtime_nsec(),
            content,
            number,
        );
        out.insert(key, value);
        if meta.is_dir() {
            tree(root, &path, inodes, out);
        }
    }
}

pub(super) fn whole(root: &Path) -> Tree {
    let mut out = Tree::new();
    tree(root, root, &mut Vec::new(), &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_always_converges(
        source in prop::collection::vec(step(), 1..25),
        target in prop::collection::vec(step(), 0..8),
        later in prop::collection::vec(step(), 0..15),
        way in prop_oneof![2 => Just(Way::Here), 2 => Just(Way::Wire), 1 => Just(Way::Programs)],
    ) {
        let mut bench = Bench::new();
        bench.way = way;
        write(bench.source.join("mail/alice"), "mbox");
        fs::create_dir(bench.there()).unwrap();
        for step in &target {
            let _impossible = apply(&bench.there(), step);
        }
        for step in source.iter().chain(&later) {
            let _impossible = apply(&bench.home(), step);
            if matches!(step, Step::Copy) {
                bench.copy();
            }
        }
        bench.converge();
        prop_assert_eq!(whole(&bench.home()), whole(&bench.there()));
    }
}
