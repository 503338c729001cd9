//! What find told of a tree, put in the order of the walk and told again piece by piece.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::below;
use crate::error::{Error, Kind, Result};
use crate::names::Uid;
use crate::plan::change::TreeKind;
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::commands::find::Scan;
use crate::replicate::origin::scanner::{DEEPEST, PIECE, PIECE_BYTES};
use crate::replicate::origin::{Head, Item, OriginTree, Part, Refused, Seen};
use crate::replicate::report::Trouble;
use crate::replicate::scan::{Look, Moment, Type};
use crate::replicate::{Filter, staging};

/// A tree, and how much of it was told.
#[derive(Debug, Default)]
pub(super) struct Listing {
    looked: Option<Moment>,
    /// In the order of the walk, the top first.
    entries: Vec<Entry>,
    /// The device that the tree is on.
    device: Option<(u32, u32)>,
    /// Attributes of the directories that have some.
    xattrs: BTreeMap<Vec<u8>, OwnXattrs>,
    told: usize,
    /// Paths of the directories that are open.
    open: Vec<Vec<u8>>,
    next: Next,
}

#[derive(Debug)]
struct Entry {
    /// Relative to the top; empty for the top.
    path: Vec<u8>,
    seen: Seen,
    /// Why a directory could not be read.
    refused: Option<Errno>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Next {
    /// What is left of the innermost directory, or the top.
    #[default]
    Inside,
    /// The directory that was just told of.
    Enter,
}

impl Entry {
    fn look(&self) -> Option<&Look> {
        match &self.seen {
            Seen::Entry { look, .. } => Some(look),
            Seen::Changed | Seen::Unreadable(_) | Seen::Reserved => None,
        }
    }

    fn is_directory(&self) -> bool {
        self.look().is_some_and(|look| look.kind == Type::Directory)
    }

    fn is_within(&self, dir: &[u8]) -> bool {
        is_within(&self.path, dir)
    }
}

fn is_within(path: &[u8], dir: &[u8]) -> bool {
    if dir.is_empty() {
        return !path.is_empty();
    }
    let rest = path.strip_prefix(dir);
    rest.is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The last component.
fn name(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    slash.map_or(path, |slash| &path[slash + 1..])
}

/// Bytes that sort as the walk goes: in each directory what is none first. No name holds a NUL.
fn order(path: &[u8], directory: bool) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + 8);
    if path.is_empty() {
        return key;
    }
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let descends = directory || names.peek().is_some();
        key.push(u8::from(descends));
        key.extend_from_slice(name);
        if descends {
            key.push(0);
        }
    }
    key
}

impl Listing {
    /// Orders what was found. A spool's tree has to be on the device of the directory that holds it,
    /// `mount`; a home may be a file system of its own.
    pub(super) fn new(
        scan: Scan,
        tree: &OriginTree,
        filter: &Filter,
        mount: Option<(u32, u32)>,
    ) -> Result<Self> {
        let top = tree.path.as_bytes();
        let relative = |path: &[u8]| {
            let rest = path.strip_prefix(top)?;
            Some(rest.strip_prefix(b"/").unwrap_or(rest).to_vec())
        };
        let strange = |path: &[u8]| {
            let path = crate::raw::escape(path);
            Error::new(Kind::Host, format!("find tells of {path} out of order"))
        };
        let mut complaints = BTreeMap::new();
        for (path, errno) in scan.entries.complaints {
            complaints.insert(relative(&path).ok_or_else(|| strange(&path))?, errno);
        }
        let mut entries = Vec::with_capacity(scan.entries.found.len());
        for found in scan.entries.found {
            let look = found.look();
            let path = relative(&found.path).ok_or_else(|| strange(&found.path))?;
            let refused = complaints.remove(&path);
            let seen = match refused {
                Some(errno) if look.kind != Type::Directory => Seen::Unreadable(errno.into()),
                _ => Seen::Entry {
                    look,
                    text: found.link,
                },
            };
            entries.push(Entry {
                path,
                seen,
                refused,
            });
        }
        for (path, errno) in complaints {
            // What is gone since its name was read is not there.
            if errno != Errno::NOENT && !(path.is_empty() && errno == Errno::NOTDIR) {
                entries.push(Entry {
                    path,
                    seen: Seen::Unreadable(errno.into()),
                    refused: None,
                });
            }
        }
        entries.sort_by_cached_key(|entry| order(&entry.path, entry.is_directory()));
        entries.dedup_by(|one, other| one.path == other.path);
        let mut listing = Self {
            looked: Some(scan.looked),
            device: mount.or_else(|| Some(entries.first()?.look()?.device)),
            ..Self::default()
        };
        listing.take_part(entries, tree.kind, filter, &strange)?;
        Ok(listing)
    }

    /// Keeps what takes part.
    fn take_part(
        &mut self,
        entries: Vec<Entry>,
        kind: TreeKind,
        filter: &Filter,
        strange: &dyn Fn(&[u8]) -> Error,
    ) -> Result<()> {
        let mut within: Vec<Vec<u8>> = Vec::new();
        let mut passed: Option<Vec<u8>> = None;
        for mut entry in entries {
            if passed.as_ref().is_some_and(|dir| entry.is_within(dir)) {
                continue;
            }
            while within.last().is_some_and(|dir| !entry.is_within(dir)) {
                within.pop();
            }
            let known = match within.last() {
                Some(dir) => below(dir, name(&entry.path)) == entry.path,
                None => entry.path.is_empty(),
            };
            if !known {
                return Err(strange(&entry.path));
            }
            let reserved = kind == TreeKind::Home && staging::is_reserved(&entry.path);
            if reserved || !filter.takes(kind, &entry.path) {
                passed = entry.is_directory().then(|| entry.path.clone());
                if !reserved {
                    continue;
                }
                entry.seen = Seen::Reserved;
            } else if entry.is_directory() {
                within.push(entry.path.clone());
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// The next piece.
    pub(super) fn part(&mut self) -> Part {
        if std::mem::take(&mut self.next) == Next::Enter {
            return self.enter();
        }
        let within = self.open.last();
        let here = |entry: &Entry| within.is_none_or(|dir| entry.is_within(dir));
        let Some(entry) = self.entries.get(self.told).filter(|entry| here(entry)) else {
            return match self.open.pop() {
                Some(_) => Part::Leave,
                None => Part::End,
            };
        };
        if entry.is_directory() {
            self.next = Next::Enter;
            return Part::Directory(item(entry));
        }
        self.files()
    }

    fn files(&mut self) -> Part {
        let within = self.open.last();
        let rest = self.entries.get(self.told..).unwrap_or_default();
        let (mut items, mut bytes) = (Vec::new(), 0);
        for entry in rest {
            let here = within.is_none_or(|dir| entry.is_within(dir));
            if !here || entry.is_directory() || items.len() == PIECE || bytes >= PIECE_BYTES {
                break;
            }
            let item = item(entry);
            bytes += item.name.len();
            if let Seen::Entry { text, .. } = &item.seen {
                bytes += text.len();
            }
            items.push(item);
        }
        self.told += items.len();
        let looked = self.looked.unwrap_or(Moment {
            seconds: i64::MIN,
            nanos: 0,
        });
        Part::Files { looked, items }
    }

    /// The directory that was just told of.
    fn enter(&mut self) -> Part {
        let entry = &self.entries[self.told];
        let device = self.device;
        let refused = match (entry.look(), entry.refused) {
            _ if self.open.len() > DEEPEST => Some(Refused::TooDeep),
            (Some(look), _) if Some(look.device) != device => {
                Some(Refused::Opening(Errno::XDEV.into()))
            }
            (Some(_), Some(errno @ Errno::IO)) => Some(Refused::Reading(errno.into())),
            (Some(_), Some(errno)) => Some(Refused::Opening(errno.into())),
            (None, _) => Some(Refused::Opening(Errno::NOENT.into())),
            (Some(_), None) => None,
        };
        let path = entry.path.clone();
        if let (None, Some(&look)) = (refused, entry.look()) {
            let xattrs = self.xattrs.remove(&path).unwrap_or_default();
            self.told += 1;
            self.open.push(path);
            return Part::Enter(Head { look, xattrs });
        }
        let rest = &self.entries[self.told + 1..];
        self.told += 1 + rest.partition_point(|entry| entry.is_within(&path));
        Part::Refused(refused.unwrap_or(Refused::Opening(Errno::NOENT.into())))
    }

    /// The directories that can be entered, with what was seen of them.
    pub(super) fn directories(&self) -> Vec<(Vec<u8>, Look)> {
        let entries = self.entries.iter().filter(|entry| entry.refused.is_none());
        let looks = entries.filter_map(|entry| Some((entry, *entry.look()?)));
        let here = looks
            .filter(|(_, look)| look.kind == Type::Directory && Some(look.device) == self.device);
        here.map(|(entry, look)| (entry.path.clone(), look))
            .collect()
    }

    /// Takes in what was told of a directory's attributes, or why they could not be.
    pub(super) fn attributes(&mut self, path: &[u8], told: Result<OwnXattrs, Errno>) {
        match told {
            Ok(xattrs) if xattrs == OwnXattrs::default() => {}
            Ok(xattrs) => {
                self.xattrs.insert(path.to_vec(), xattrs);
            }
            Err(errno) => {
                if let Some(at) = self.find(path, true) {
                    self.entries[at].refused = Some(errno);
                }
            }
        }
    }

    /// What was seen of a file.
    pub(super) fn look(&self, path: &[u8]) -> Option<&Look> {
        self.entries[self.find(path, false)?].look()
    }

    fn find(&self, path: &[u8], directory: bool) -> Option<usize> {
        let key = order(path, directory);
        let found = self
            .entries
            .binary_search_by(|entry| order(&entry.path, entry.is_directory()).cmp(&key));
        found.ok()
    }

    /// Whether what is at the path of a file now may be read: the file that was seen, or another of
    /// the user's own.
    pub(super) fn admit(&self, path: &[u8], now: &Look, owner: Uid) -> Result<(), Trouble> {
        let seen = self.look(path).ok_or(Trouble::Changed)?;
        if Some(now.device) != self.device {
            return Err(Trouble::OtherFileSystem);
        }
        let own = now.uid == owner;
        let same = now.stamp.ino == seen.stamp.ino && now.nlink == 1;
        if now.kind == Type::File && (own || same) {
            Ok(())
        } else {
            Err(Trouble::Changed)
        }
    }
}

fn item(entry: &Entry) -> Item {
    Item {
        name: name(&entry.path).to_vec(),
        seen: entry.seen.clone(),
    }
}
