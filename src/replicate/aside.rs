//! The aside: where a copy that may lose nothing keeps what it replaces and removes.
//!
//! It is a directory that only root can enter, `.reconcile-aside`, beside the tree, so on the same
//! file system; where the tree is a file system of its own, at its top, where no walk looks. In it
//! are the asides of one hand-over each, in those the trees by their names, and in those the entries
//! by their paths. Together with the tree this is what overlayfs makes of an upper and a lower layer
//! (the kernel's `filesystems/overlayfs.rst`, "whiteouts and opaque directories"): the upper entry
//! counts, a character device 0/0 says that there was nothing, and a directory has the owner, mode
//! and times that the tree's had. So the state before can be looked at by one `mount`, and put back by
//! rsync.
//!
//! The first word on a path is the last: what comes later to a path that has an entry here, or lies
//! beneath one that is no directory, was written by ourselves.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, futimens, linkat, makedev, mkdirat, mknodat, renameat, unlinkat,
};
use rustix::io::{self, Errno};
use rustix::process::geteuid;

use super::attributes::{Expected, disinherit, modified, present_xattrs, settle};
use super::origin::descend;
use super::report::At;
use super::scan::{Look, Type, open_beneath};
use super::{Job, Place};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::plan::change::{Extraneous, TreeKind};

/// The name of the directory of all asides.
pub const NAME: &[u8] = b".reconcile-aside";

/// The aside of one tree.
#[derive(Debug)]
pub(super) struct Aside {
    kind: TreeKind,
    /// The name of this hand-over's aside.
    label: Vec<u8>,
    /// The name of the tree's top.
    name: Vec<u8>,
    /// The directory that [`NAME`] is in.
    holder: OwnedFd,
    /// The top of a home, if it is there; the spool directory.
    tree: Option<OwnedFd>,
    /// The directory of all asides, once it is open.
    area: Option<OwnedFd>,
    /// The directory of this hand-over's aside in it.
    shelf: Option<OwnedFd>,
}

/// Where the word on a path is to be found.
enum Word {
    /// In this directory of the aside.
    In(OwnedFd),
    /// There is none: nothing of the path's directory was recorded.
    None,
    /// A directory above it was not there before.
    Above,
}

/// What became of an entry that is to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// It has moved to the aside.
    Moved,
    /// It is our own, and there still.
    Ours,
    /// It cannot be moved.
    Mounted,
}

/// Whether directories of the aside are made that are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    Make,
    Leave,
}

impl Aside {
    /// The aside that a job has its tree keep, not opened yet. `tree` is the open top of a home, `None`
    /// if there is none, or the spool directory.
    pub(super) fn of(job: &Job<'_>, tree: Option<&OwnedFd>) -> Result<Option<Self>> {
        let Extraneous::SetAside(label) = job.extraneous else {
            return Ok(None);
        };
        if label.is_empty() || label.starts_with('.') || label.contains(['/', '\0']) {
            let what = format!("{label:?} is no name for what is set aside");
            return Err(Error::new(Kind::Internal, what));
        }
        let refused = |e| job.at(&[]).refused("find a place for what is set aside", e);
        let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|_| refused(Errno::MFILE));
        // A home that is a file system of its own is not entered from the directory that holds it.
        let beside = match (job.kind, tree) {
            (TreeKind::Home, Some(_)) => match job.target.open(Type::Directory) {
                Ok(_) => true,
                Err(Errno::XDEV) => false,
                Err(e) => return Err(refused(e)),
            },
            _ => true,
        };
        let holder = match tree {
            Some(top) if !beside => top.as_fd(),
            _ => job.target.dir,
        };
        Ok(Some(Self {
            kind: job.kind,
            label: label.as_bytes().to_vec(),
            name: job.target.name.to_vec(),
            holder: own(holder)?,
            tree: tree.map(|tree| own(tree.as_fd())).transpose()?,
            area: None,
            shelf: None,
        }))
    }

    /// Keeps an entry that is about to be replaced by a rename: the name does not vanish meanwhile.
    pub(super) fn replaced(&mut self, at: At<'_>, place: Place<'_>) -> Result<()> {
        self.keep_linked(at.path, place).map_err(|e| refused(at, e))
    }

    /// Keeps an entry that is no directory and is about to be removed. What is mounted stays where it
    /// is.
    pub(super) fn removed(&mut self, at: At<'_>, place: Place<'_>) -> Result<Kept> {
        match self.keep_moved(at.path, place) {
            Err(Errno::BUSY | Errno::XDEV) => Ok(Kept::Mounted),
            kept => kept.map_err(|e| refused(at, e)),
        }
    }

    /// Records that there is nothing at a path, where something is about to be made.
    pub(super) fn absent(&mut self, at: At<'_>) -> Result<()> {
        self.keep_absence(at.path).map_err(|e| refused(at, e))
    }

    /// Records a directory, which is about to change or to go.
    pub(super) fn directory(&mut self, at: At<'_>) -> Result<()> {
        let kept = self.word(Some(at.path), Missing::Make).map(drop);
        kept.map_err(|e| refused(at, e))
    }

    /// Whether what is at a path now was put there by us.
    pub(super) fn has_word_on(&mut self, at: At<'_>) -> Result<bool> {
        let word = self
            .word(parent(at.path), Missing::Leave)
            .and_then(|word| match word {
                Word::Above => Ok(true),
                Word::None => Ok(false),
                Word::In(dir) => Ok(self.entry(&dir, at.path).look()?.is_some()),
            });
        word.map_err(|e| refused(at, e))
    }

    fn keep_linked(&mut self, path: &[u8], place: Place<'_>) -> io::Result<()> {
        let Word::In(dir) = self.word(parent(path), Missing::Make)? else {
            return Ok(());
        };
        let to = self.entry(&dir, path);
        if to.look()?.is_some() {
            return Ok(());
        }
        quietly(&dir, || {
            match linkat(place.dir, place.name, to.dir, to.name, AtFlags::empty()) {
                // It has too many names, or there are no hard links here.
                Err(Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    renameat(place.dir, place.name, to.dir, to.name)
                }
                Err(Errno::NOENT) => Ok(()),
                linked => linked,
            }
        })?;
        failpoint::hit("aside:linked");
        Ok(())
    }

    fn keep_moved(&mut self, path: &[u8], place: Place<'_>) -> io::Result<Kept> {
        let Word::In(dir) = self.word(parent(path), Missing::Make)? else {
            return Ok(Kept::Ours);
        };
        let to = self.entry(&dir, path);
        if to.look()?.is_some() {
            return Ok(Kept::Ours);
        }
        quietly(&dir, || {
            match renameat(place.dir, place.name, to.dir, to.name) {
                Err(Errno::NOENT) => Ok(()),
                moved => moved,
            }
        })?;
        failpoint::hit("aside:moved");
        Ok(Kept::Moved)
    }

    fn keep_absence(&mut self, path: &[u8]) -> io::Result<()> {
        let Word::In(dir) = self.word(parent(path), Missing::Make)? else {
            return Ok(());
        };
        let to = self.entry(&dir, path);
        if to.look()?.is_some() {
            return Ok(());
        }
        quietly(&dir, || {
            let make = |kind| mknodat(to.dir, to.name, kind, Mode::empty(), makedev(0, 0));
            match make(FileType::CharacterDevice) {
                // Before 5.8 a container's root may make none: a fifo that nobody may open is no less
                // plain to a person.
                Err(Errno::PERM) => make(FileType::Fifo),
                made => made,
            }
        })?;
        failpoint::hit("aside:absent");
        Ok(())
    }

    /// The entry for a path, in the directory of the aside that is the path's own.
    fn entry<'a>(&'a self, dir: &'a OwnedFd, path: &'a [u8]) -> Place<'a> {
        let name = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => &path[slash + 1..],
            None if path.is_empty() => &self.name,
            None => path,
        };
        Place {
            dir: dir.as_fd(),
            name,
        }
    }

    /// The aside's own directory for a directory of the tree; `None` for the one that holds the top.
    fn word(&mut self, directory: Option<&[u8]>, missing: Missing) -> io::Result<Word> {
        let Some(shelf) = self.shelf(missing)? else {
            return Ok(Word::None);
        };
        let Some(directory) = directory else {
            return Ok(Word::In(shelf));
        };
        let mut whole = self.name.clone();
        descend(&mut whole, directory);
        match open_beneath(shelf.as_fd(), &whole, Type::Directory) {
            Ok(found) => Ok(Word::In(found)),
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(Word::Above),
            Err(Errno::NOENT) => self.descend(shelf, directory, missing),
            Err(e) => Err(e),
        }
    }

    /// The same name by name, each directory made with what the tree's is at this moment.
    fn descend(&self, shelf: OwnedFd, directory: &[u8], missing: Missing) -> io::Result<Word> {
        let mut held = shelf;
        let mut done = Vec::new();
        let components = directory.split(|&byte| byte == b'/');
        let below = components.filter(|name| !name.is_empty());
        let names = std::iter::once(&self.name[..]).chain(below);
        for (level, name) in names.enumerate() {
            if level > 0 {
                descend(&mut done, name);
            }
            let place = Place {
                dir: held.as_fd(),
                name,
            };
            let next = match (place.open(Type::Directory), missing) {
                (Ok(next), _) => next,
                (Err(Errno::NOTDIR | Errno::LOOP), _) => return Ok(Word::Above),
                (Err(Errno::NOENT), Missing::Make) => self.mirror(place, &done)?,
                (Err(Errno::NOENT), Missing::Leave) => return Ok(Word::None),
                (Err(e), _) => return Err(e),
            };
            held = next;
        }
        Ok(Word::In(held))
    }

    /// The open directory of this hand-over's aside; `None` if it is not there and not to be made.
    fn shelf(&mut self, missing: Missing) -> io::Result<Option<OwnedFd>> {
        if let Some(shelf) = &self.shelf {
            return clone(shelf).map(Some);
        }
        // Making the first directory within a home moves the home's own times.
        let before = match (self.kind, &self.tree, missing) {
            (TreeKind::Home, Some(top), Missing::Make) => Some(Metadata::of(top.as_fd())?),
            _ => None,
        };
        let Some(area) = private(self.holder.as_fd(), NAME, missing)? else {
            return Ok(None);
        };
        let Some(shelf) = private(area.as_fd(), &self.label, missing)? else {
            return Ok(None);
        };
        self.shelf = Some(clone(&shelf)?);
        self.area = Some(area);
        if missing == Missing::Make {
            self.forget_fresh()?;
        }
        if let Some(before) = before {
            let place = Place {
                dir: shelf.as_fd(),
                name: &self.name,
            };
            if place.look()?.is_none() {
                self.make(place, &before)?;
            }
        }
        Ok(Some(shelf))
    }

    /// Makes a directory in the aside for one of the tree.
    fn mirror(&self, place: Place<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        let tree = self.tree.as_ref().ok_or(Errno::NOENT)?;
        let mut whole = match self.kind {
            TreeKind::Home => Vec::new(),
            TreeKind::Spool => self.name.clone(),
        };
        descend(&mut whole, path);
        let original = if whole.is_empty() {
            clone(tree)?
        } else {
            open_beneath(tree.as_fd(), &whole, Type::Directory)?
        };
        self.make(place, &Metadata::of(original.as_fd())?)
    }

    /// The name under which a directory is made whole, beside all asides: no other tree has it.
    fn fresh(&self) -> String {
        let tree = [&self.label[..], b"/", &self.name].concat();
        format!(".new.{}", blake3::hash(&tree).to_hex())
    }

    /// Removes what a killed run left under that name.
    fn forget_fresh(&self) -> io::Result<()> {
        let area = self.area.as_ref().ok_or(Errno::BADF)?;
        match unlinkat(area, self.fresh(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Makes a directory whole before it gets its name.
    fn make(&self, place: Place<'_>, like: &Metadata) -> io::Result<OwnedFd> {
        let area = self.area.as_ref().ok_or(Errno::BADF)?;
        let fresh = self.fresh();
        self.forget_fresh()?;
        mkdirat(area, fresh.as_str(), Mode::RWXU)?;
        let made = Place {
            dir: area.as_fd(),
            name: fresh.as_bytes(),
        }
        .open(Type::Directory)?;
        settle(made.as_fd(), &like.expected, &like.xattrs)?;
        failpoint::hit("aside:directory");
        quietly(&place.dir, || {
            renameat(area, fresh.as_str(), place.dir, place.name)
        })?;
        Ok(made)
    }
}

/// What a directory of the aside takes over from the tree's.
struct Metadata {
    expected: Expected,
    xattrs: super::attributes::Xattrs,
}

impl Metadata {
    fn of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let look = Look::of(directory)?;
        Ok(Self {
            expected: Expected {
                uid: look.uid,
                gid: look.gid,
                mode: look.mode,
                mtime: look.stamp.mtime,
            },
            xattrs: present_xattrs(directory)?,
        })
    }
}

/// The directory that holds a path's entry; `None` for the tree's top.
fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => Some(&path[..slash]),
        None if path.is_empty() => None,
        None => Some(b""),
    }
}

/// Does something in a directory of the aside, whose mtime is that of the tree's.
fn quietly(directory: &impl AsFd, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let before = Look::of(directory)?;
    let done = work();
    futimens(directory, &modified(before.stamp.mtime))?;
    done
}

/// A directory that only root can enter. `EEXIST` if something that is not ours has the name.
fn private(holder: BorrowedFd<'_>, name: &[u8], missing: Missing) -> io::Result<Option<OwnedFd>> {
    let place = Place { dir: holder, name };
    if place.look()?.is_none() {
        if missing == Missing::Leave {
            return Ok(None);
        }
        match mkdirat(holder, name, Mode::RWXU) {
            // That of another tree, made at this moment.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    let directory = place.open(Type::Directory).map_err(|e| match e {
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Errno::EXIST,
        e => e,
    })?;
    if Look::of(&directory)?.uid.0 != geteuid().as_raw() {
        return Err(Errno::EXIST);
    }
    if missing == Missing::Make {
        // The directory that holds it may pass on a group or an ACL.
        disinherit(directory.as_fd())?;
    }
    Ok(Some(directory))
}

fn clone(fd: &OwnedFd) -> io::Result<OwnedFd> {
    fd.try_clone().map_err(|_| Errno::MFILE)
}

fn refused(at: At<'_>, errno: Errno) -> Error {
    let error = at.refused("set aside what is there", errno);
    match errno {
        Errno::EXIST => error.hint(
            "something that is not ours has the name .reconcile-aside beside the tree: move it away",
        ),
        _ => error,
    }
}
