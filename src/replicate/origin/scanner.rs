//! Telling what a tree holds, piece by piece.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::readlinkat;
use rustix::io::Errno;

use super::{Head, Item, Part, Refused, Seen};
use crate::plan::change::TreeKind;
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::index::now;
use crate::replicate::scan::{Look, Names, Type};
use crate::replicate::track::{self, Met, Standing};
use crate::replicate::{Filter, Place, staging};

/// How deep a tree may be: each level holds an open directory.
pub(in crate::replicate) const DEEPEST: usize = 200;

/// Entries in one piece: enough to spread its cost, few enough to hold at every level.
pub(super) const PIECE: usize = 1024;

/// Bytes of names and links in one piece; one entry may exceed it.
pub(super) const PIECE_BYTES: usize = 128 * 1024;

/// A walk over one tree that looks and tells.
#[derive(Debug)]
pub(super) struct Scanner {
    kind: TreeKind,
    filter: Filter,
    levels: Vec<Level>,
    /// Relative to the top; empty for the top.
    path: Vec<u8>,
    next: Next,
    /// Registers what is looked at, and knows what need not be.
    track: Option<track::Look>,
}

#[derive(Debug)]
struct Level {
    directory: OwnedFd,
    files: Names,
    told: usize,
    directories: Names,
    entered: usize,
    /// Length of the path of the directory that holds this one.
    above: usize,
    standing: Option<Standing>,
}

#[derive(Debug)]
enum Next {
    /// The top itself.
    Top,
    /// The directory of this name that was just told of, and what it looked like.
    Enter(Vec<u8>, Look),
    /// What is left of the innermost directory.
    Inside,
}

impl Scanner {
    pub(super) fn new(kind: TreeKind, filter: Filter) -> Self {
        Self {
            kind,
            filter,
            levels: Vec::new(),
            path: Vec::new(),
            next: Next::Top,
            track: None,
        }
    }

    pub(super) fn tracked(self, look: track::Look) -> Self {
        let track = Some(look);
        Self { track, ..self }
    }

    /// The open top of a home, once it was entered.
    pub(super) fn top(&self) -> Option<&OwnedFd> {
        self.levels.first().map(|level| &level.directory)
    }

    /// The next piece; `top` is the place of the tree, `None` if the directory that would hold it is
    /// not there.
    pub(super) fn part(&mut self, top: Option<Place<'_>>) -> Part {
        match std::mem::replace(&mut self.next, Next::Inside) {
            Next::Top => self.top_part(top),
            Next::Enter(name, look) => self.meet(&name, &look, top),
            Next::Inside => self.inside(),
        }
    }

    fn top_part(&mut self, top: Option<Place<'_>>) -> Part {
        let looked = now();
        let seen = match top.map(|place| see(place, None)) {
            None | Some(None) => return Part::End,
            Some(Some(seen)) => seen,
        };
        let name = Vec::new();
        if let Some(look) = directory(&seen) {
            self.next = Next::Enter(Vec::new(), look);
            return Part::Directory(Item { name, seen });
        }
        let items = vec![Item { name, seen }];
        Part::Files { looked, items }
    }

    /// A directory that was told of: it is entered, unless it is known that nothing in it has changed.
    fn meet(&mut self, name: &[u8], look: &Look, top: Option<Place<'_>>) -> Part {
        let above = self.levels.last().and_then(|level| level.standing.as_ref());
        let met = self
            .track
            .as_ref()
            .map(|track| track.meet(above, name, look));
        let standing = match met {
            Some(Met::Same) => return Part::Same,
            Some(Met::Enter(standing)) => Some(standing),
            None => None,
        };
        let part = self.enter(name, top, standing);
        if let (Part::Refused(_), Some(track)) = (&part, &self.track) {
            track.refused();
        }
        part
    }

    fn enter(&mut self, name: &[u8], top: Option<Place<'_>>, standing: Option<Standing>) -> Part {
        if self.levels.len() > DEEPEST {
            return Part::Refused(Refused::TooDeep);
        }
        let opened = match (self.levels.last(), top) {
            (Some(level), _) => Place {
                dir: level.directory.as_fd(),
                name,
            }
            .open(Type::Directory),
            // A home may be a file system of its own.
            (None, Some(top)) if self.kind == TreeKind::Home => top.open_top(),
            (None, Some(top)) => top.open(Type::Directory),
            (None, None) => Err(Errno::NOENT),
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(errno) => return Part::Refused(Refused::Opening(errno.into())),
        };
        let read = Look::of(&directory).and_then(|look| {
            let xattrs = OwnXattrs::of(directory.as_fd())?;
            Ok((Head { look, xattrs }, Names::read_apart(directory.as_fd())?))
        });
        let (head, (files, directories)) = match read {
            Ok(read) => read,
            Err(errno) => return Part::Refused(Refused::Reading(errno.into())),
        };
        let above = self.path.len();
        descend(&mut self.path, name);
        self.levels.push(Level {
            directory,
            files,
            told: 0,
            directories,
            entered: 0,
            above,
            standing,
        });
        Part::Enter(head)
    }

    fn inside(&mut self) -> Part {
        let depth = self.levels.len();
        let Some(level) = self.levels.last_mut() else {
            return Part::End;
        };
        let watch = Watch {
            kind: self.kind,
            filter: &self.filter,
            depth,
            path: &self.path,
        };
        let files = match &self.track {
            Some(track) => track.files(|| level.files(&watch), |files| looks(files.as_ref())),
            None => level.files(&watch),
        };
        if let Some(files) = files {
            return files;
        }
        if let Some(item) = level.directory(&watch) {
            if let Some(look) = directory(&item.seen) {
                self.next = Next::Enter(item.name.clone(), look);
            }
            return Part::Directory(item);
        }
        self.path.truncate(level.above);
        self.levels.pop();
        Part::Leave
    }
}

/// What decides whether an entry takes part.
struct Watch<'a> {
    kind: TreeKind,
    filter: &'a Filter,
    /// Levels that are open; 1 at the top.
    depth: usize,
    /// Of the directory at hand.
    path: &'a [u8],
}

impl Watch<'_> {
    fn takes(&self, name: &[u8]) -> bool {
        let mut path = self.path.to_vec();
        descend(&mut path, name);
        self.filter.takes(self.kind, &path)
    }

    fn is_reserved(&self, name: &[u8]) -> bool {
        self.depth == 1 && self.kind == TreeKind::Home && staging::is_reserved(name)
    }
}

impl Level {
    /// The next files, if there are any.
    fn files(&mut self, watch: &Watch<'_>) -> Option<Part> {
        let looked = now();
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(name) = self.files.get(self.told)
            && items.len() < PIECE
            && bytes < PIECE_BYTES
        {
            self.told += 1;
            if let Some(item) = look_at(self.directory.as_fd(), name, watch, Sort::NoDirectory) {
                bytes += item.name.len();
                if let Seen::Entry { text, .. } = &item.seen {
                    bytes += text.len();
                }
                items.push(item);
            }
        }
        (!items.is_empty()).then_some(Part::Files { looked, items })
    }

    /// The next directory, if there is one.
    fn directory(&mut self, watch: &Watch<'_>) -> Option<Item> {
        while let Some(name) = self.directories.get(self.entered) {
            self.entered += 1;
            let item = look_at(self.directory.as_fd(), name, watch, Sort::Directory);
            if item.is_some() {
                return item;
            }
        }
        None
    }
}

/// What a name was when the directory was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Directory,
    NoDirectory,
}

/// Looks at an entry that takes part; `None` if it does not, or is gone.
fn look_at(dir: BorrowedFd<'_>, name: &[u8], watch: &Watch<'_>, sort: Sort) -> Option<Item> {
    let seen = if watch.is_reserved(name) {
        Seen::Reserved
    } else if watch.takes(name) {
        see(Place { dir, name }, Some(sort))?
    } else {
        return None;
    };
    Some(Item {
        name: name.to_vec(),
        seen,
    })
}

fn see(place: Place<'_>, sort: Option<Sort>) -> Option<Seen> {
    let look = match place.look() {
        Ok(look) => look?,
        Err(errno) => return Some(Seen::Unreadable(errno.into())),
    };
    let is = if look.kind == Type::Directory {
        Sort::Directory
    } else {
        Sort::NoDirectory
    };
    if sort.is_some_and(|was| was != is) {
        return Some(Seen::Changed);
    }
    let text = match look.kind {
        Type::Symlink => match readlinkat(place.dir, place.name, Vec::new()) {
            Ok(text) => text.into_bytes(),
            Err(Errno::INVAL | Errno::NOENT) => return Some(Seen::Changed),
            Err(errno) => return Some(Seen::Unreadable(errno.into())),
        },
        _ => Vec::new(),
    };
    Some(Seen::Entry { look, text })
}

fn directory(seen: &Seen) -> Option<Look> {
    match seen {
        Seen::Entry { look, .. } if look.kind == Type::Directory => Some(*look),
        _ => None,
    }
}

/// The looks at what a piece tells of.
fn looks(files: Option<&Part>) -> Vec<Look> {
    let items = match files {
        Some(Part::Files { items, .. }) => items.as_slice(),
        _ => &[],
    };
    let look = |item: &Item| match item.seen {
        Seen::Entry { look, .. } => Some(look),
        _ => None,
    };
    items.iter().filter_map(look).collect()
}

/// Adds a component to a path.
pub(in crate::replicate) fn descend(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
