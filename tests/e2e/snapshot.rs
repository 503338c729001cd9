//! All that can be seen of a tree at one moment, and what differs between two moments.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// How many differences a failed assertion shows.
const SHOWN: usize = 30;

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A file, by the BLAKE3 of its content.
    File(blake3::Hash),
    Directory,
    /// A link, and where it points.
    Symlink(Vec<u8>),
    /// A fifo, socket or device, and its number.
    Special(String, u64),
}

/// Everything about one path but its access time, which looking at it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
    pub(crate) inode: u64,
    /// 512-byte blocks on disk.
    pub(crate) blocks: u64,
    /// The first name of the same file, if that is another one.
    pub(crate) same_file_as: Option<Vec<u8>>,
    /// Extended attributes, POSIX ACLs among them.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// How closely two snapshots are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closeness {
    /// In everything, change times and inodes included: nothing was touched.
    Untouched,
    /// In what users see; times only of what a copy carries.
    Equal,
}

/// A tree at one moment, by path relative to its top, in byte order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<Vec<u8>, Entry>);

impl Snapshot {
    /// Looks at a whole tree; other file systems below it included.
    #[track_caller]
    pub(crate) fn of(top: &Path) -> Self {
        let mut snapshot = Self::default();
        let mut first_names = HashMap::new();
        snapshot.walk(top, b"", &mut first_names);
        snapshot
    }

    fn walk(&mut self, top: &Path, path: &[u8], first_names: &mut HashMap<(u64, u64), Vec<u8>>) {
        let here = top.join(OsStr::from_bytes(path));
        let meta = fs::symlink_metadata(&here)
            .unwrap_or_else(|error| panic!("{}: {error}", here.display()));
        let mut entry = entry(&here, &meta);
        if !meta.is_dir() && meta.nlink() > 1 {
            let identity = (meta.dev(), meta.ino());
            match first_names.get(&identity) {
                Some(first) => entry.same_file_as = Some(first.clone()),
                None => {
                    first_names.insert(identity, path.to_vec());
                }
            }
        }
        self.0.insert(path.to_vec(), entry);
        if !meta.is_dir() {
            return;
        }
        let mut names: Vec<_> = fs::read_dir(&here)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.walk(top, &[path, slash, name.as_bytes()].concat(), first_names);
        }
    }

    /// This snapshot without what is at or below some paths.
    pub(crate) fn without(mut self, prefixes: &[&str]) -> Self {
        self.0.retain(|path, _| {
            !prefixes
                .iter()
                .any(|prefix| is_at_or_below(path, prefix.as_bytes()))
        });
        self
    }

    /// Only what is at or below a path.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        self.0
            .retain(|path, _| is_at_or_below(path, prefix.as_bytes()));
        self
    }

    /// One line for each difference.
    pub(crate) fn differences(&self, other: &Self, closeness: Closeness) -> Vec<String> {
        let mut paths: Vec<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let mut lines = Vec::new();
        for path in paths {
            let shown = path.escape_ascii();
            match (self.0.get(path), other.0.get(path)) {
                (Some(_), None) => lines.push(format!("gone: {shown}")),
                (None, Some(_)) => lines.push(format!("new:  {shown}")),
                (Some(old), Some(new)) => {
                    let what = what_differs(path, old, new, closeness);
                    if !what.is_empty() {
                        lines.push(format!("{shown}:{what}"));
                    }
                }
                (None, None) => {}
            }
        }
        lines
    }

    /// Fails if anything differs.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, closeness: Closeness, when: &str) {
        let lines = self.differences(other, closeness);
        let shown = &lines[..lines.len().min(SHOWN)];
        assert!(
            lines.is_empty(),
            "{when}: {} differences\n{}",
            lines.len(),
            shown.join("\n")
        );
    }
}

fn is_at_or_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn entry(path: &Path, meta: &Metadata) -> Entry {
    let file_type = meta.file_type();
    let kind = if file_type.is_file() {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path).unwrap()).unwrap();
        Kind::File(hasher.finalize())
    } else if file_type.is_dir() {
        Kind::Directory
    } else if file_type.is_symlink() {
        Kind::Symlink(
            fs::read_link(path)
                .unwrap()
                .into_os_string()
                .as_bytes()
                .to_vec(),
        )
    } else {
        let name = if file_type.is_fifo() {
            "fifo"
        } else if file_type.is_socket() {
            "socket"
        } else {
            "device"
        };
        Kind::Special(name.to_owned(), meta.rdev())
    };
    // A directory's size and blocks are the file system's business.
    let (size, blocks) = if meta.is_dir() {
        (0, 0)
    } else {
        (meta.size(), meta.blocks())
    };
    Entry {
        kind,
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        size,
        mtime: (meta.mtime(), meta.mtime_nsec()),
        ctime: (meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        blocks,
        same_file_as: None,
        attributes: attributes(path),
    }
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// Whether a copy carries the times of this path: everything of a user, and nothing else.
fn is_mail(path: &[u8]) -> bool {
    [b"home/".as_slice(), b"var/mail/"]
        .iter()
        .any(|top| path.strip_prefix(*top).is_some_and(|rest| !rest.is_empty()))
}

fn what_differs(path: &[u8], old: &Entry, new: &Entry, closeness: Closeness) -> String {
    let mut what = String::new();
    let mut aspect = |name: &str, old: &dyn std::fmt::Debug, new: &dyn std::fmt::Debug| {
        let [old, new] = [format!("{old:?}"), format!("{new:?}")];
        if old != new {
            write!(what, " {name} {old} -> {new}").unwrap();
        }
    };
    aspect("kind", &old.kind, &new.kind);
    aspect(
        "mode",
        &format_args!("{:o}", old.mode),
        &format_args!("{:o}", new.mode),
    );
    aspect("owner", &(old.uid, old.gid), &(new.uid, new.gid));
    aspect("size", &old.size, &new.size);
    aspect("link", &old.same_file_as, &new.same_file_as);
    aspect("attributes", &old.attributes, &new.attributes);
    let untouched = closeness == Closeness::Untouched;
    if untouched || is_mail(path) {
        aspect("mtime", &old.mtime, &new.mtime);
    }
    if untouched {
        aspect("ctime", &old.ctime, &new.ctime);
        aspect("inode", &old.inode, &new.inode);
        aspect("blocks", &old.blocks, &new.blocks);
    }
    what
}
