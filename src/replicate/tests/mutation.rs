//! What people, mail servers and administrators do to a tree, drawn at random.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{CWD, FallocateFlags, RenameFlags, XattrFlags};

use super::bench::write;

/// One change. What it is done to is a number of [`name`]; where it cannot be done, nothing is.
#[derive(Clone, Debug)]
pub(super) enum Mutation {
    Write(u8, usize),
    Append(u8),
    Truncate(u8),
    /// One byte, with the times as they were.
    Flip(u8),
    /// The first block.
    Punch(u8),
    Rename(u8, u8),
    Swap(u8, u8),
    Link(u8, u8),
    /// A file of its own under the name, with the same content and times.
    Unlink(u8),
    Symlink(u8),
    Directory(u8),
    /// A directory in place of a file, or a file in place of a directory.
    Replace(u8),
    Remove(u8),
    Mode(u8, u32),
    Owner(u8, u32),
    /// With a name in it, or none at all.
    Acl(u8, &'static str, Option<u32>),
    /// An extended attribute of that length, or none.
    Note(u8, Option<usize>),
}

/// An account with another number on each host; see [`super::random`].
pub(super) const RENUMBERED: u32 = 500;

/// Sixteen names, some within others, so that kinds collide, and some that only bytes can say.
pub(super) fn name(n: u8) -> OsString {
    let dir = ["", "a/", "a/b/", "c.d/"][usize::from(n % 4)];
    let name: &[u8] = [&b"x"[..], b"b", b"-z'\n\xe9: \\n", b"a"][usize::from(n / 4 % 4)];
    OsString::from_vec([dir.as_bytes(), name].concat())
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation::{
        Acl, Append, Directory, Flip, Link, Mode, Note, Owner, Punch, Remove, Rename, Replace,
        Swap, Symlink, Truncate, Unlink, Write,
    };
    let n = || 0_u8..16;
    let mode = prop::sample::select(vec![0o600, 0o755, 0o440, 0o3770]);
    let owner = || prop::sample::select(vec![0, RENUMBERED, 501]);
    let acl = prop::sample::select(vec!["access", "default"]);
    prop_oneof![
        3 => (n(), 0_usize..12_000).prop_map(|(n, size)| Write(n, size)),
        1 => n().prop_map(Append),
        1 => n().prop_map(Truncate),
        2 => n().prop_map(Flip),
        1 => n().prop_map(Punch),
        2 => (n(), n()).prop_map(|(a, b)| Rename(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Swap(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Link(a, b)),
        1 => n().prop_map(Unlink),
        1 => n().prop_map(Symlink),
        1 => n().prop_map(Directory),
        1 => n().prop_map(Replace),
        1 => n().prop_map(Remove),
        1 => (n(), mode).prop_map(|(n, mode)| Mode(n, mode)),
        1 => (n(), owner()).prop_map(|(n, owner)| Owner(n, owner)),
        1 => (n(), acl, prop::option::of(owner())).prop_map(|(n, acl, whose)| Acl(n, acl, whose)),
        1 => (n(), prop::option::of(0_usize..200)).prop_map(|(n, size)| Note(n, size)),
    ]
}

/// Does what can be done of it to a tree.
pub(super) fn mutate<'a>(root: &Path, mutations: impl IntoIterator<Item = &'a Mutation>) {
    for mutation in mutations {
        let _impossible = mutation.apply(root);
    }
}

impl Mutation {
    fn apply(&self, root: &Path) -> io::Result<()> {
        let at = |n: u8| root.join(name(n));
        match *self {
            Self::Write(n, size) => {
                fs::create_dir_all(at(n).parent().unwrap())?;
                fs::write(no_link(at(n))?, vec![n; size])
            }
            Self::Append(n) => {
                let file = open(&at(n))?;
                file.write_all_at(b"more", file.metadata()?.len())
            }
            Self::Truncate(n) => open(&at(n))?.set_len(3),
            Self::Flip(n) => flip(&open(&at(n))?),
            Self::Punch(n) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                Ok(rustix::fs::fallocate(open(&at(n))?, flags, 0, 4096)?)
            }
            Self::Rename(a, b) => fs::rename(at(a), at(b)),
            Self::Swap(a, b) => {
                let flags = RenameFlags::EXCHANGE;
                Ok(rustix::fs::renameat_with(CWD, at(a), CWD, at(b), flags)?)
            }
            Self::Link(a, b) => fs::hard_link(at(a), at(b)),
            Self::Unlink(n) => unlink(root, &at(n)),
            Self::Symlink(n) => symlink("../x", at(n)),
            Self::Directory(n) => fs::create_dir_all(at(n)),
            Self::Replace(n) if fs::symlink_metadata(at(n))?.is_dir() => {
                fs::remove_dir_all(at(n))?;
                fs::write(at(n), "a file now")
            }
            Self::Replace(n) => {
                fs::remove_file(at(n))?;
                write(at(n).join("b"), "a directory now");
                Ok(())
            }
            Self::Remove(n) => fs::remove_file(at(n)).or_else(|_| fs::remove_dir_all(at(n))),
            Self::Mode(n, mode) => {
                let path = no_link(at(n))?;
                // A program of somebody else does not keep these.
                let bits = if path.is_dir() { 0o7777 } else { 0o1777 };
                fs::set_permissions(path, Permissions::from_mode(mode & bits))
            }
            Self::Owner(n, owner) => lchown(at(n), Some(owner), Some(owner)),
            Self::Acl(n, sort, whose) => {
                let name = format!("system.posix_acl_{sort}");
                set(&no_link(at(n))?, &name, whose.map(acl))
            }
            Self::Note(n, size) => set(
                &no_link(at(n))?,
                "user.note",
                size.map(|size| vec![n; size]),
            ),
        }
    }
}

/// A path that does not lead anywhere else.
fn no_link(path: PathBuf) -> io::Result<PathBuf> {
    if path.is_symlink() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(path)
}

fn open(path: &Path) -> io::Result<File> {
    let path = no_link(path.to_owned())?;
    OpenOptions::new().read(true).write(true).open(path)
}

/// As Dovecot does it when it notes in an mbox that a letter was read, within the same second.
fn flip(file: &File) -> io::Result<()> {
    let before = file.metadata()?;
    let last = before
        .len()
        .checked_sub(1)
        .ok_or(io::ErrorKind::WriteZero)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    file.write_all_at(&[byte[0] ^ 1], last)?;
    file.set_modified(before.modified()?)
}

fn unlink(root: &Path, path: &Path) -> io::Result<()> {
    let before = fs::metadata(no_link(path.to_owned())?)?;
    let alone = root.join("alone");
    fs::copy(path, &alone)?;
    File::open(&alone)?.set_modified(before.modified()?)?;
    fs::rename(alone, path)
}

/// Sets an extended attribute, or takes it away.
fn set(path: &Path, name: &str, value: Option<Vec<u8>>) -> io::Result<()> {
    match value {
        Some(value) => rustix::fs::setxattr(path, name, &value, XattrFlags::empty())?,
        None => rustix::fs::removexattr(path, name)?,
    }
    Ok(())
}

/// An ACL as the kernel takes it (`linux/posix_acl_xattr.h`): a version, then tag, permissions and id
/// of each entry. Somebody may read beside the owner.
fn acl(whose: u32) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, nobody),
        (0x02, 4, whose),
        (0x04, 5, nobody),
        (0x10, 5, nobody),
        (0x20, 0, nobody),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}
