//! The walk: both sides at once, depth first, the names of each directory in byte order.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::attributes::{disinherit, expect, read_xattrs, seal, settle};
use super::compare::{go_on, metadata};
use super::index;
use super::links::Links;
use super::report::{At, Oddity, Trouble, tree_name};
use super::scan::{Look, Names, Type, merge};
use super::staging::{self, Staging};
use super::tally::{OnDifference, Tally};
use super::transfer::Writer;
use super::{Copied, Depth, Job, Place, Report, Tree};
use crate::error::{Doing, Error, Kind, Result};
use crate::names::Side;
use crate::plan::change::{Difference, TreeKind};

/// How deep a tree may be: each level holds two open directories.
pub(super) const DEEPEST: usize = 200;

pub(super) fn compare(
    job: &Job<'_>,
    depth: Depth,
    on_difference: &mut OnDifference<'_>,
) -> Result<Report> {
    let mut forward = |tree, path: &[u8], differs| on_difference(tree, path, differs);
    let mut walk = Walk::new(job, Mandate::Compare, depth, &mut forward);
    walk.trees()?;
    Ok(walk.tally.finish())
}

pub(super) fn copy(job: &Job<'_>) -> Result<Copied> {
    let mut ignore = |_, _: &[u8], _| {};
    let mut walk = Walk::new(job, Mandate::Copy, Depth::Index, &mut ignore);
    walk.remember = job.index.map(index::Writer::create).transpose()?;
    walk.trees()?;
    Ok(Copied {
        index: walk.remember.map(index::Writer::finish).transpose()?,
        report: walk.tally.finish(),
    })
}

/// What is to be done about differences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mandate {
    Compare,
    Copy,
}

/// Whether anything of an entry that the source does not have stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remains {
    Nothing,
    Something,
}

/// One walk over a user's trees.
pub(super) struct Walk<'j, 'd> {
    pub(super) job: &'j Job<'j>,
    pub(super) mandate: Mandate,
    pub(super) depth: Depth,
    pub(super) tally: Tally<'d>,
    pub(super) known: Option<index::Reader>,
    pub(super) remember: Option<index::Writer>,
    // What follows is of the current tree.
    pub(super) kind: TreeKind,
    /// Relative to the top.
    pub(super) path: Vec<u8>,
    pub(super) level: usize,
    pub(super) links: Links,
    /// Writes, in a copy.
    pub(super) writer: Option<Writer<'j>>,
    /// The directory that hard links are found beneath.
    pub(super) top: Option<OwnedFd>,
}

impl<'j, 'd> Walk<'j, 'd> {
    fn new(
        job: &'j Job<'j>,
        mandate: Mandate,
        depth: Depth,
        on_difference: &'d mut OnDifference<'d>,
    ) -> Self {
        let (known, index_use) = index::Reader::open(job.index);
        let mut tally = Tally::new(job.sample, on_difference);
        tally.report.index = index_use;
        Self {
            job,
            mandate,
            depth,
            tally,
            known,
            remember: None,
            kind: TreeKind::Home,
            path: Vec::new(),
            level: 0,
            links: Links::default(),
            writer: None,
            top: None,
        }
    }

    fn trees(&mut self) -> Result<()> {
        if !self.job.trees.is_sorted_by(|a, b| a.kind < b.kind) {
            let what = "a job has at most one tree of each kind, the home first";
            return Err(Error::new(Kind::Internal, what));
        }
        for tree in self.job.trees {
            self.kind = tree.kind;
            self.path.clear();
            self.level = 0;
            self.links = Links::default();
            match tree.kind {
                TreeKind::Home => self.home(tree)?,
                TreeKind::Spool => self.spool(tree)?,
            }
            let links = std::mem::take(&mut self.links);
            for path in links.outside() {
                self.tally.oddity(
                    At {
                        tree: tree.kind,
                        path,
                    },
                    Oddity::LinkedOutside,
                );
            }
            self.writer = None;
            self.top = None;
        }
        Ok(())
    }

    /// A home's top decides everything: without one on the source nothing is to be removed, because
    /// its file system may merely not be mounted.
    fn home(&mut self, tree: &Tree<'_>) -> Result<()> {
        let unreadable = |side| move || format!("{side} home: cannot be looked at");
        let source = match tree.source {
            Some(place) => place
                .look()
                .doing(Kind::Host, unreadable(Side::Source))?
                .zip(Some(place)),
            None => None,
        };
        let Some((look, source)) = source else {
            self.oddity(Oddity::SourceAbsent);
            return Ok(());
        };
        if look.kind != Type::Directory {
            return Err(Error::new(Kind::Host, "source home is not a directory"));
        }
        let from = source
            .open_top()
            .doing(Kind::Host, || "source home: cannot be opened".to_owned())?;
        let present = tree
            .target
            .look()
            .doing(Kind::Host, unreadable(Side::Target))?;
        let target = match present {
            Some(look) if look.kind != Type::Directory => {
                return Err(Error::new(Kind::Blocked, "target home is not a directory")
                    .hint("move away what has its name"));
            }
            Some(_) => Some(
                tree.target
                    .open_top()
                    .doing(Kind::Host, || "target home: cannot be opened".to_owned())?,
            ),
            None => {
                self.differ(&[Difference::Missing], &look, 0);
                self.make_home(tree.target)?
            }
        };
        if let Some(target) = &target {
            self.begin(&from, target, target, staging::NAME)?;
        }
        self.tally.source(0);
        self.inside(&from, target.as_ref(), present.is_none())
    }

    fn make_home(&self, target: Place<'_>) -> Result<Option<OwnedFd>> {
        if self.mandate == Mandate::Compare {
            return Ok(None);
        }
        let made = mkdirat(target.dir, target.name, Mode::RWXU)
            .and_then(|()| target.open_top())
            .and_then(|fd| disinherit(fd.as_fd()).map(|()| fd))
            .map_err(|e| self.at().refused("make the home", e))?;
        Ok(Some(made))
    }

    fn spool(&mut self, tree: &Tree<'_>) -> Result<()> {
        let holder = |fd: std::os::fd::BorrowedFd<'_>| {
            fd.try_clone_to_owned().doing(Kind::Host, || {
                "cannot hold the spool directory open".to_owned()
            })
        };
        let to = holder(tree.target.dir)?;
        let from = match tree.source {
            Some(place) => holder(place.dir)?,
            None => holder(tree.target.dir)?,
        };
        let staging = staging::name_for(tree.target.name);
        self.begin(&from, &to, &to, &staging)?;
        if self.mandate == Mandate::Compare {
            self.left_over(tree.target.dir, staging)?;
        }
        self.entry(tree.source, Some(tree.target))?;
        self.close_staging()
    }

    /// A killed run may leave its staging directory beside a mailbox that is complete, and then
    /// nothing else would call for the copy that removes it. Beside a home's files it shows in the
    /// time of the home.
    fn left_over(&mut self, dir: BorrowedFd<'_>, name: Vec<u8>) -> Result<()> {
        let place = Place { dir, name: &name };
        let look = place.look().doing(Kind::Host, || {
            "the target's spool directory cannot be looked at".to_owned()
        })?;
        let us = rustix::process::geteuid().as_raw();
        if let Some(look) = look.filter(|l| l.kind == Type::Directory && l.uid.0 == us) {
            self.path = name;
            self.differ(&[Difference::Extraneous], &look, 0);
            self.path.clear();
        }
        Ok(())
    }

    /// Prepares to work on a tree: its part of the index, the staging directory in `holder`.
    fn begin(&mut self, from: &OwnedFd, to: &OwnedFd, holder: &OwnedFd, name: &[u8]) -> Result<()> {
        let look = |fd: &OwnedFd| {
            Look::of(fd).doing(Kind::Host, || {
                format!("{}: its top cannot be looked at", tree_name(self.kind))
            })
        };
        let (from, top) = (
            index::Identity::from(&look(from)?),
            index::Identity::from(&look(to)?),
        );
        if let Some(known) = &mut self.known {
            known.tree(self.kind, from, top);
        }
        if let Some(remember) = &mut self.remember {
            remember.tree(self.kind, from, top)?;
        }
        if self.mandate == Mandate::Copy {
            let refused = |e| self.at().refused("prepare the staging directory", e);
            let staging = Staging::recover(holder.as_fd(), name).map_err(refused)?;
            let top = to
                .try_clone()
                .doing(Kind::Host, || "cannot hold the tree open".to_owned())?;
            self.writer = Some(Writer {
                job: self.job,
                staging,
            });
            self.top = Some(top);
        }
        Ok(())
    }

    fn close_staging(&mut self) -> Result<()> {
        let at = At {
            tree: self.kind,
            path: &self.path,
        };
        match &mut self.writer {
            Some(writer) => writer
                .staging
                .close()
                .map_err(|e| at.refused("remove the staging directory", e)),
            None => Ok(()),
        }
    }

    pub(super) fn at(&self) -> At<'_> {
        At {
            tree: self.kind,
            path: &self.path,
        }
    }

    pub(super) fn oddity(&mut self, oddity: Oddity) {
        self.tally.oddity(
            At {
                tree: self.kind,
                path: &self.path,
            },
            oddity,
        );
    }

    pub(super) fn differ(&mut self, differences: &[Difference], look: &Look, bytes: u64) {
        let at = At {
            tree: self.kind,
            path: &self.path,
        };
        self.tally.differ(at, differences, look, bytes);
    }

    pub(super) fn fail(&mut self, side: Side, what: &str, errno: Errno) {
        let at = At {
            tree: self.kind,
            path: &self.path,
        };
        self.tally.fail(side, at, format!("{what}: {errno}"));
    }

    /// Notes why an entry is passed over, on both sides.
    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Read(side, errno) => self.fail(side, "cannot be read", errno),
            Trouble::Changed => self.oddity(Oddity::ChangedWhileRead),
            Trouble::OtherFileSystem => self.oddity(Oddity::OtherFileSystem),
            Trouble::Fatal(error) => return Err(error),
        }
        Ok(())
    }

    /// One name on both sides. What is passed over on the source is left alone on the target.
    fn entry(&mut self, source: Option<Place<'_>>, target: Option<Place<'_>>) -> Result<()> {
        go_on(self.job)?;
        let looked = index::now();
        let look = |place: Option<Place<'_>>, side| match place {
            Some(place) => place.look().map_err(|e| Trouble::Read(side, e)),
            None => Ok(None),
        };
        let both =
            look(source, Side::Source).and_then(|s| look(target, Side::Target).map(|t| (s, t)));
        let (s, t) = match both {
            Ok(both) => both,
            Err(trouble) => return self.trouble(trouble),
        };
        match (source.zip(s), target.zip(t)) {
            (None, None) => Ok(()),
            (None, Some((target, look))) => self.extraneous(target, &look).map(drop),
            (Some((source, s)), _) => {
                self.job.progress.files.fetch_add(1, Ordering::Relaxed);
                match s.kind {
                    Type::Directory => self.directory(source, target, &s, t.as_ref()),
                    Type::File => self.file(source, target, &s, t.as_ref(), looked),
                    Type::Symlink => self.symlink(source, target, &s, t.as_ref()),
                    Type::Fifo => {
                        self.oddity(Oddity::Fifo);
                        Ok(())
                    }
                    Type::Socket => {
                        self.oddity(Oddity::Socket);
                        Ok(())
                    }
                    Type::Device => {
                        self.oddity(Oddity::Device);
                        Ok(())
                    }
                }
            }
        }
    }

    fn directory(
        &mut self,
        source: Place<'_>,
        target: Option<Place<'_>>,
        s: &Look,
        t: Option<&Look>,
    ) -> Result<()> {
        if self.level >= DEEPEST {
            self.fail(Side::Source, "is nested too deeply", Errno::NAMETOOLONG);
            return Ok(());
        }
        let from = match source.open(Type::Directory) {
            Ok(fd) => fd,
            Err(e) => return self.trouble(Trouble::opening(Side::Source, e)),
        };
        self.tally.source(0);
        let present = t.filter(|t| t.kind == Type::Directory);
        if let (Some(target), Some(_)) = (target, present) {
            return match target.open(Type::Directory) {
                Ok(to) => self.inside(&from, Some(&to), false),
                Err(e) => self.trouble(Trouble::opening(Side::Target, e)),
            };
        }
        let differs = if t.is_some() {
            Difference::Kind
        } else {
            Difference::Missing
        };
        self.differ(&[differs], s, 0);
        let at = At {
            tree: self.kind,
            path: &self.path,
        };
        let made = match (&mut self.writer, target) {
            (Some(writer), Some(target)) => Some(writer.directory(at, target, t)?),
            _ => None,
        };
        self.inside(&from, made.as_ref(), true)
    }

    /// What is in a directory of the source, and then the directory itself: its mtime moves with
    /// what is done in it.
    fn inside(&mut self, from: &OwnedFd, to: Option<&OwnedFd>, made: bool) -> Result<()> {
        let read = Look::of(from)
            .and_then(|look| Ok((look, read_xattrs(from.as_fd(), Some(self.job.ids))?)))
            .and_then(|(look, xattrs)| Ok((look, xattrs, Names::read(from.as_fd())?)));
        let (look, xattrs, names) = match read {
            Ok(read) => read,
            Err(e) => return self.trouble(Trouble::Read(Side::Source, e)),
        };
        let (expected, adjusted) = expect(&look, self.job.owner, self.job.ids);
        self.adjusted(&look, adjusted);
        let mut there = Names::default();
        let mut differences = Vec::new();
        if let Some(to) = to {
            let read = Look::of(to)
                .and_then(|now| Ok((now, read_xattrs(to.as_fd(), None)?.kept)))
                .and_then(|(now, xattrs)| Ok((now, xattrs, Names::read(to.as_fd())?)));
            let (now, present, names) = match read {
                Ok(read) => read,
                Err(e) => return self.trouble(Trouble::Read(Side::Target, e)),
            };
            there = names;
            differences = metadata(&expected, &now);
            if present != xattrs.kept {
                differences.push(Difference::Xattrs);
            }
        }
        if !made {
            self.differ(&differences, &look, 0);
        }
        let only_mtime = differences.iter().all(|d| *d == Difference::Mtime);
        let at = At {
            tree: self.kind,
            path: &self.path,
        };
        let writable = to.filter(|_| self.mandate == Mandate::Copy);
        if let Some(to) = writable
            && !only_mtime
        {
            seal(to.as_fd()).map_err(|e| at.refused("close the directory to others", e))?;
        }
        self.children(from, &names, to, &there)?;
        let Some(to) = writable else {
            return Ok(());
        };
        if self.level == 0 && self.kind == TreeKind::Home {
            self.close_staging()?;
        }
        let refused = |e| {
            self.at()
                .refused("set owner, mode, attributes and times", e)
        };
        let now = Look::of(to).map_err(refused)?;
        if !only_mtime || !metadata(&expected, &now).is_empty() {
            settle(to.as_fd(), &expected, &xattrs.kept).map_err(refused)?;
        }
        Ok(())
    }

    fn children(
        &mut self,
        from: &OwnedFd,
        names: &Names,
        to: Option<&OwnedFd>,
        there: &Names,
    ) -> Result<()> {
        merge(names, there, |name| {
            let here = self.path.len();
            self.descend(name);
            let reserved = self.level == 1 && self.kind == TreeKind::Home && name == staging::NAME;
            let result = if reserved {
                let source = Place {
                    dir: from.as_fd(),
                    name,
                };
                if matches!(source.look(), Ok(Some(_))) {
                    self.oddity(Oddity::ReservedName);
                }
                Ok(())
            } else if self.job.filter.takes(self.kind, &self.path) {
                let source = Place {
                    dir: from.as_fd(),
                    name,
                };
                let target = to.map(|to| Place {
                    dir: to.as_fd(),
                    name,
                });
                self.entry(Some(source), target)
            } else {
                Ok(())
            };
            self.ascend(here);
            result
        })
    }

    pub(super) fn descend(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.level += 1;
    }

    pub(super) fn ascend(&mut self, here: usize) {
        self.path.truncate(here);
        self.level -= 1;
    }
}
