//! Random trees changed at random, runs that die and indexes that are not what they were: the copy
//! that follows always ends with both sides equal.
//!
//! Whether they are is seen by std and by the kernel's own calls.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use proptest::prelude::*;

use super::bench::{Bench, Way, write};
#[cfg(feature = "failpoints")]
use super::killed;
use super::mutation::{Mutation, RENUMBERED, mutate, mutation};
use crate::names::{Gid, Uid};

/// What happens until a copy, and to it.
#[derive(Clone, Debug)]
struct Round {
    here: Vec<Mutation>,
    /// On the side that is written.
    there: Vec<Mutation>,
    index: Index,
    settled: Settled,
    /// Which of the failpoints that it comes to is its end, from 1.
    killed: Option<u64>,
}

/// Whether what is copied changed long enough ago for the index to vouch for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Settled {
    Yes,
    No,
}

/// What a copy finds as the index.
#[derive(Clone, Copy, Debug)]
enum Index {
    OfTheLastCopy,
    /// From a backup.
    OfTheFirstCopy,
    OfTheSpool,
    /// The same changes elsewhere.
    OfAnotherTree,
    /// One bit of it, somewhere.
    Damaged(usize),
    CutShort(usize),
    Lost,
}

fn round() -> impl Strategy<Value = Round> {
    let index = prop_oneof![
        6 => Just(Index::OfTheLastCopy),
        1 => Just(Index::OfTheFirstCopy),
        1 => Just(Index::OfTheSpool),
        1 => Just(Index::OfAnotherTree),
        1 => any::<usize>().prop_map(Index::Damaged),
        1 => any::<usize>().prop_map(Index::CutShort),
        1 => Just(Index::Lost),
    ];
    (
        prop::collection::vec(mutation(), 0..12),
        prop::collection::vec(mutation(), 0..3),
        index,
        prop_oneof![3 => Just(Settled::Yes), 1 => Just(Settled::No)],
        prop::option::weighted(0.3, 1_u64..40),
    )
        .prop_map(|(here, there, index, settled, killed)| Round {
            here,
            there,
            index,
            settled,
            killed,
        })
}

impl Round {
    /// `sofar` is how the home came to be what it is.
    fn play(&self, bench: &Bench, sofar: &[&Mutation]) {
        if !self.there.is_empty() {
            // No later than a change by hand could be seen on kernels with a slow clock.
            sleep(Duration::from_millis(20));
        }
        mutate(&bench.there(), &self.there);
        mutate(&bench.home(), &self.here);
        self.index.put(bench, sofar);
        if self.settled == Settled::Yes {
            sleep(Duration::from_millis(70));
        }
        match self.killed {
            #[cfg(feature = "failpoints")]
            Some(nth) => {
                killed::copy(bench, &format!("*#{nth}"));
            }
            _ => {
                bench.copy();
            }
        }
        let first = bench.dir.path().join("first-index");
        if !first.exists() {
            let _died_before = fs::copy(bench.index.join("home"), first);
        }
    }
}

impl Index {
    /// Puts it where the next copy looks for it.
    fn put(self, bench: &Bench, sofar: &[&Mutation]) {
        let path = bench.index.join("home");
        let from = |other: PathBuf| {
            let _none_yet = fs::copy(other, &path);
        };
        match self {
            Self::OfTheLastCopy => {}
            Self::OfTheFirstCopy => from(bench.dir.path().join("first-index")),
            Self::OfTheSpool => from(bench.index.join("spool")),
            Self::OfAnotherTree => {
                let other = Bench::new();
                mutate(&other.home(), sofar.iter().copied());
                sleep(Duration::from_millis(70));
                other.copy();
                from(other.index.join("home"));
            }
            Self::Damaged(at) => edit(&path, |bytes| {
                let at = at % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (at % 8);
                }
            }),
            Self::CutShort(at) => edit(&path, |bytes| bytes.truncate(at % bytes.len().max(1))),
            Self::Lost => {
                let _none_yet = fs::remove_file(&path);
            }
        }
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    if let Ok(mut bytes) = fs::read(path) {
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

#[derive(PartialEq, Eq, Debug)]
pub(super) struct Entry {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    content: Vec<u8>,
    inode: u64,
    links: u64,
    xattrs: BTreeMap<String, Vec<u8>>,
}

pub(super) type Entries = BTreeMap<PathBuf, Entry>;

/// A tree as std sees it.
struct Tree<'a> {
    root: &'a Path,
    /// What a number of an account or a group is in the copy.
    id: fn(u32) -> u32,
    entries: Entries,
}

impl<'a> Tree<'a> {
    fn read(root: &'a Path, id: fn(u32) -> u32) -> Entries {
        let mut tree = Self {
            root,
            id,
            entries: Entries::new(),
        };
        tree.walk(root);
        tree.entries
    }

    fn walk(&mut self, dir: &Path) {
        let entries = fs::read_dir(dir).unwrap();
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let entry = self.entry(&path);
            let name = path.strip_prefix(self.root).unwrap().to_owned();
            self.entries.insert(name, entry);
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                self.walk(&path);
            }
        }
    }

    fn entry(&self, path: &Path) -> Entry {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = if meta.is_file() {
            fs::read(path).unwrap()
        } else if meta.is_symlink() {
            let text = fs::read_link(path).unwrap();
            text.into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        Entry {
            mode: meta.mode(),
            owner: ((self.id)(meta.uid()), (self.id)(meta.gid())),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            content,
            inode: meta.ino(),
            links: meta.nlink(),
            xattrs: self.xattrs(path),
        }
    }

    /// Those that are a user's.
    fn xattrs(&self, path: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut buffer = [0; 4096];
        let length = rustix::fs::llistxattr(path, &mut buffer).unwrap();
        let names = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let names = names.split_terminator('\0');
        names
            .filter(|name| !name.starts_with("security."))
            .map(|name| {
                let length = rustix::fs::lgetxattr(path, name, &mut buffer).unwrap();
                let mut value = buffer[..length].to_vec();
                if name.starts_with("system.posix_acl_") {
                    self.translate(&mut value);
                }
                (name.to_owned(), value)
            })
            .collect()
    }

    /// Ids are the last four of each eight bytes, past the version.
    fn translate(&self, acl: &mut [u8]) {
        for entry in acl[4..].chunks_exact_mut(8) {
            let id = u32::from_le_bytes(entry[4..].try_into().unwrap());
            entry[4..].copy_from_slice(&(self.id)(id).to_le_bytes());
        }
    }
}

/// Files that are not copied, by design: linked, and not the user's own. Whatever the copy has there
/// stays.
fn passed_over(source: &Entries) -> Vec<PathBuf> {
    let own = rustix::process::geteuid().as_raw();
    let foreign = |entry: &Entry| entry.mode & 0o170_000 == 0o100_000 && entry.owner.0 != own;
    let foreign = source
        .iter()
        .filter(|(_, entry)| entry.links > 1 && foreign(entry));
    foreign.map(|(path, _)| path.clone()).collect()
}

/// The rest, with numbers that two trees can have in common for inodes.
fn comparable(mut entries: Entries, passed_over: &[PathBuf]) -> Entries {
    entries.retain(|path, _| !passed_over.iter().any(|top| path.starts_with(top)));
    let mut inodes = BTreeMap::new();
    for entry in entries.values_mut() {
        let fresh = inodes.len() as u64;
        entry.inode = *inodes.entry(entry.inode).or_insert(fresh);
        entry.links = 0;
    }
    entries
}

/// Two trees that should be alike; `id` is what a number of the first one is in the second.
pub(super) fn both(source: &Path, target: &Path, id: fn(u32) -> u32) -> (Entries, Entries) {
    let source = Tree::read(source, id);
    let target = Tree::read(target, |id| id);
    let passed_over = passed_over(&source);
    (
        comparable(source, &passed_over),
        comparable(target, &passed_over),
    )
}

fn renumbered(id: u32) -> u32 {
    if id == RENUMBERED { 1500 } else { id }
}

proptest! {
    #![proptest_config(super::cases(100))]

    #[test]
    fn a_copy_always_converges(
        here in prop::collection::vec(mutation(), 1..30),
        there in prop::collection::vec(mutation(), 0..8),
        rounds in prop::collection::vec(round(), 0..4),
        way in prop_oneof![2 => Just(Way::Here), 2 => Just(Way::Wire), 1 => Just(Way::Programs)],
    ) {
        let mut bench = Bench::by(way);
        bench.ids.uids = [(Uid(RENUMBERED), Uid(1500))].into();
        bench.ids.gids = [(Gid(RENUMBERED), Gid(1500))].into();
        write(bench.source.join("mail/alice"), "mbox");
        fs::create_dir(bench.there()).unwrap();
        mutate(&bench.there(), &there);
        mutate(&bench.home(), &here);
        let mut sofar: Vec<_> = here.iter().collect();
        for round in &rounds {
            sofar.extend(&round.here);
            round.play(&bench, &sofar);
        }
        bench.converge();
        for dir in ["home", "mail"] {
            let (source, target) = (bench.source.join(dir), bench.target.join(dir));
            let (source, target) = both(&source, &target, renumbered);
            prop_assert_eq!(source, target);
        }
    }
}
