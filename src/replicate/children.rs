//! Inside a directory: each entry of the source with what has its name on the target, then what only
//! the target has, then the directory itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Place;
use super::attributes::{Expected, Xattrs, expect, present_xattrs, seal, settle};
use super::compare::{go_on, metadata};
use super::entry::Known;
use super::origin::{Head, Item, Part, Refused, Seen, descend};
use super::report::{End, Oddity, Trouble};
use super::scan::{Look, Moment, Names, Type};
use super::staging;
use super::walk::{Mandate, Remains, Walk, out_of_order};
use crate::error::Result;
use crate::plan::change::{Difference, TreeKind};

/// The names of a directory of the target, and which of them the source has too.
#[derive(Default)]
pub(super) struct Roll {
    names: Names,
    met: Vec<bool>,
}

impl Roll {
    fn new(names: Names) -> Self {
        let met = vec![false; names.len()];
        Self { names, met }
    }

    fn meet(&mut self, name: &[u8]) {
        if let Some(at) = self.names.find(name) {
            self.met[at] = true;
        }
    }

    fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().zip(&self.met);
        names.filter(|(_, met)| !**met).map(|(name, _)| name)
    }
}

impl<'j> Walk<'j, '_> {
    /// The place of an entry on the target; the tree's top has no name.
    fn place<'a>(&self, to: Option<BorrowedFd<'a>>, name: &'a [u8]) -> Option<Place<'a>>
    where
        'j: 'a,
    {
        let name = if name.is_empty() {
            self.job.target.name
        } else {
            name
        };
        to.map(|dir| Place { dir, name })
    }

    /// Entries of the source that are no directories, with what has their names on the target. What
    /// is passed over on the source is left alone on the target.
    pub(super) fn files(
        &mut self,
        looked: Moment,
        items: Vec<Item>,
        to: Option<BorrowedFd<'_>>,
        roll: &mut Roll,
    ) -> Result<()> {
        let mut ahead = Vec::with_capacity(items.len());
        for item in items {
            roll.meet(&item.name);
            let here = self.path.len();
            descend(&mut self.path, &item.name);
            let present = self.place(to, &item.name).map(|place| place.look());
            let present = present.transpose().map(Option::flatten);
            let known = match (&item.seen, &present) {
                (Seen::Entry { look, .. }, Ok(t)) => self.foresee(look, t.as_ref()),
                _ => Known::Not,
            };
            self.path.truncate(here);
            ahead.push((item, present, known));
        }
        for (item, present, known) in ahead {
            let here = self.path.len();
            self.descend(&item.name);
            let place = self.place(to, &item.name);
            let done = self.item(&item.seen, place, present, &known, looked);
            self.ascend(here);
            done?;
        }
        Ok(())
    }

    /// One entry of the source that is no directory.
    fn item(
        &mut self,
        seen: &Seen,
        target: Option<Place<'_>>,
        present: Result<Option<Look>, Errno>,
        known: &Known,
        looked: Moment,
    ) -> Result<()> {
        go_on(self.job)?;
        let Some((s, text)) = self.seen(seen)? else {
            return Ok(());
        };
        let again = |look: Option<Look>| match (look, target) {
            // Another name of it may have been replaced since.
            (Some(look), Some(place)) if look.nlink > 1 => place.look(),
            _ => Ok(look),
        };
        let t = match present.and_then(again) {
            Ok(t) => t,
            Err(errno) => return self.trouble(Trouble::Read(End::Copy, errno)),
        };
        self.job.progress.files.fetch_add(1, Ordering::Relaxed);
        match s.kind {
            Type::File => self.file(target, s, t.as_ref(), known, looked),
            Type::Symlink => self.symlink(target, s, text, t.as_ref()),
            Type::Fifo | Type::Socket | Type::Device => {
                self.oddity(match s.kind {
                    Type::Fifo => Oddity::Fifo,
                    Type::Socket => Oddity::Socket,
                    _ => Oddity::Device,
                });
                Ok(())
            }
            Type::Directory => Err(out_of_order()),
        }
    }

    /// What was seen of an entry, or the note of why it is passed over.
    fn seen<'a>(&mut self, seen: &'a Seen) -> Result<Option<(&'a Look, &'a [u8])>> {
        match seen {
            Seen::Entry { look, text } => return Ok(Some((look, text))),
            Seen::Changed => self.trouble(Trouble::Changed)?,
            Seen::Unreadable(code) => {
                self.trouble(Trouble::Read(End::Origin, (*code).into()))?;
            }
            Seen::Reserved => self.oddity(Oddity::ReservedName),
        }
        Ok(None)
    }

    /// What only the target has under a name.
    pub(super) fn only_there(&mut self, place: Place<'_>) -> Result<Remains> {
        match place.look() {
            Ok(Some(look)) => self.extraneous(place, &look),
            Ok(None) => Ok(Remains::Nothing),
            Err(e) => {
                self.trouble(Trouble::Read(End::Copy, e))?;
                Ok(Remains::Something)
            }
        }
    }

    /// A directory of the source.
    pub(super) fn directory(
        &mut self,
        item: &Item,
        to: Option<BorrowedFd<'_>>,
        roll: &mut Roll,
    ) -> Result<()> {
        go_on(self.job)?;
        roll.meet(&item.name);
        let here = self.path.len();
        self.descend(&item.name);
        let place = self.place(to, &item.name);
        let done = match self.seen(&item.seen) {
            Ok(Some((look, _))) => self.enter(look, place),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.ascend(here);
        done
    }

    fn enter(&mut self, s: &Look, target: Option<Place<'_>>) -> Result<()> {
        self.job.progress.files.fetch_add(1, Ordering::Relaxed);
        let head = match self.source.part()? {
            Part::Enter(head) => head,
            Part::Same => return self.pass_by(s, target),
            Part::Refused(Refused::TooDeep) => {
                self.fail(End::Origin, "is nested too deeply", Errno::NAMETOOLONG);
                return Ok(());
            }
            Part::Refused(Refused::Opening(code)) => {
                return self.trouble(Trouble::opening(End::Origin, code.into()));
            }
            Part::Refused(Refused::Reading(code)) => {
                return self.trouble(Trouble::Read(End::Origin, code.into()));
            }
            _ => return Err(out_of_order()),
        };
        self.tally.source(0);
        let t = match target.map(|place| place.look()).transpose() {
            Ok(t) => t.flatten(),
            Err(e) => return self.pass_over(Trouble::Read(End::Copy, e)),
        };
        if let (Some(target), Some(Type::Directory)) = (target, t.map(|t| t.kind)) {
            return match target.open(Type::Directory) {
                Ok(to) => self.inside(head, Some(&to), false),
                Err(e) => self.pass_over(Trouble::opening(End::Copy, e)),
            };
        }
        let differs = if t.is_some() {
            Difference::Kind
        } else {
            Difference::Missing
        };
        self.differ(&[differs], s, 0);
        let made = self.make_directory(target, t.as_ref())?;
        self.inside(head, made.as_ref(), true)
    }

    /// Makes a directory in the place of what is there.
    fn make_directory(
        &mut self,
        target: Option<Place<'_>>,
        t: Option<&Look>,
    ) -> Result<Option<OwnedFd>> {
        if let Some(t) = t {
            self.by_hand(t)?;
        }
        let (Some(target), true) = (target, self.writer.is_some()) else {
            return Ok(None);
        };
        self.keep(target, t)?;
        let at = self.job.at(&self.path);
        let writer = self.writer.as_mut();
        writer
            .map(|writer| writer.directory(at, target, t))
            .transpose()
    }

    /// A directory of the target by itself: the names in it, and how it differs.
    fn compare_directory(
        &mut self,
        to: &OwnedFd,
        expected: &Expected,
        xattrs: &Xattrs,
    ) -> Result<(Roll, Vec<Difference>), Trouble> {
        let read = Look::of(to)
            .and_then(|now| Ok((now, present_xattrs(to.as_fd())?)))
            .and_then(|(now, present)| Ok((now, present, Names::read(to.as_fd())?)));
        let (now, present, names) = read.map_err(|e| Trouble::Read(End::Copy, e))?;
        let mut differences = metadata(expected, &now);
        if present != *xattrs {
            differences.push(Difference::Xattrs);
        }
        if !differences.is_empty() {
            self.by_hand(&now)?;
        }
        Ok((Roll::new(names), differences))
    }

    /// Notes a trouble with the directory that was just entered, and goes past all that is in it.
    fn pass_over(&mut self, trouble: Trouble) -> Result<()> {
        self.trouble(trouble)?;
        let mut open = 1;
        while open > 0 {
            match self.source.part()? {
                Part::Enter(_) => open += 1,
                Part::Leave => open -= 1,
                Part::End => return Err(out_of_order()),
                Part::Refused(_) | Part::Same | Part::Files { .. } | Part::Directory(_) => {}
            }
        }
        Ok(())
    }

    /// A directory in which nothing has changed on the source since both sides were equal. What the target
    /// has is looked at from outside only: should somebody have written there, whoever asked for this has
    /// to look again, at everything.
    fn pass_by(&mut self, s: &Look, target: Option<Place<'_>>) -> Result<()> {
        self.tally.source(0);
        let t = match target.map(|place| place.look()).transpose() {
            Ok(t) => t.flatten(),
            Err(e) => return self.trouble(Trouble::Read(End::Copy, e)),
        };
        let (expected, _) = expect(s, self.job.owner, self.job.ids);
        let differences = match t {
            Some(t) if t.kind == Type::Directory => metadata(&expected, &t),
            Some(_) => vec![Difference::Kind],
            None => vec![Difference::Missing],
        };
        self.differ(&differences, s, 0);
        let (Some(known), Some(remember)) = (&mut self.known, &mut self.remember) else {
            return Ok(());
        };
        while let Some((path, source, target)) = known.beneath(&self.path) {
            remember.still(path, source, target)?;
        }
        Ok(())
    }

    /// What is in a directory of the source, and then the directory itself: its mtime moves with
    /// what is done in it.
    pub(super) fn inside(&mut self, head: Head, to: Option<&OwnedFd>, made: bool) -> Result<()> {
        let look = head.look;
        let xattrs = match head.xattrs.translated(Some(self.job.ids)) {
            Ok(xattrs) => xattrs.kept,
            Err(e) => return self.pass_over(Trouble::Read(End::Origin, e)),
        };
        let (expected, adjusted) = expect(&look, self.job.owner, self.job.ids);
        self.adjusted(&look, adjusted);
        let here = to.map(|to| self.compare_directory(to, &expected, &xattrs));
        let (mut roll, differences) = match here.transpose() {
            Ok(here) => here.unwrap_or_default(),
            Err(trouble) => return self.pass_over(trouble),
        };
        if !made {
            self.differ(&differences, &look, 0);
        }
        let only_mtime = differences.iter().all(|d| *d == Difference::Mtime);
        let writable = to.filter(|_| self.mandate == Mandate::Copy);
        if writable.is_some() && !made && !differences.is_empty() {
            self.keep_directory()?;
        }
        let at = self.job.at(&self.path);
        if let Some(to) = writable
            && !only_mtime
        {
            seal(to.as_fd()).map_err(|e| at.refused("close the directory to others", e))?;
        }
        // Where nothing is known, nothing can turn out to have moved here.
        let whole = made && writable.is_some() && self.wished.is_none() && self.known.is_none();
        if whole {
            self.source.wish_all(&self.path);
            self.wished = Some(self.level);
        }
        let done = self.children(to, &mut roll);
        if whole {
            self.wished = None;
        }
        done?;
        let Some(to) = writable else {
            return Ok(());
        };
        if self.level == 0 && self.job.kind == TreeKind::Home {
            self.close_staging()?;
        }
        let refused = |e| {
            self.at()
                .refused("set owner, mode, attributes and times", e)
        };
        let now = Look::of(to).map_err(refused)?;
        if !only_mtime || !metadata(&expected, &now).is_empty() {
            settle(to.as_fd(), &expected, &xattrs).map_err(refused)?;
        }
        Ok(())
    }

    fn children(&mut self, to: Option<&OwnedFd>, roll: &mut Roll) -> Result<()> {
        let dir = to.map(AsFd::as_fd);
        loop {
            match self.source.part()? {
                Part::Files { looked, items } => self.files(looked, items, dir, roll)?,
                Part::Directory(item) => self.directory(&item, dir, roll)?,
                Part::Leave => break,
                Part::Enter(_) | Part::Refused(_) | Part::Same | Part::End => {
                    return Err(out_of_order());
                }
            }
        }
        for name in roll.rest() {
            let here = self.path.len();
            self.descend(name);
            let reserved =
                self.level == 1 && self.job.kind == TreeKind::Home && staging::is_reserved(name);
            let takes = !reserved && self.job.filter.takes(self.job.kind, &self.path);
            let done = match dir {
                Some(dir) if takes => self.only_there(Place { dir, name }).map(drop),
                _ => Ok(()),
            };
            self.ascend(here);
            done?;
        }
        Ok(())
    }

    pub(super) fn descend(&mut self, name: &[u8]) {
        if !name.is_empty() {
            descend(&mut self.path, name);
            self.level += 1;
        }
    }

    pub(super) fn ascend(&mut self, here: usize) {
        if self.path.len() > here {
            self.path.truncate(here);
            self.level -= 1;
        }
    }
}
