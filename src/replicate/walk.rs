//! The walk: the source's stream, and beside each piece of it what the target has.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use super::aside::Aside;
use super::attributes::disinherit;
use super::children::Roll;
use super::index;
use super::links::Links;
use super::origin::{Head, Item, Part, Refused, Seen};
use super::report::{At, End, Oddity, Trouble, tree_name};
use super::scan::{Look, Moment, Type};
use super::staging::{self, Staging};
use super::tally::{OnDifference, Tally};
use super::transfer::Writer;
use super::{Copied, Depth, Job, Origin, Place, Report};
use crate::error::{Doing, Error, Kind, Result};
use crate::plan::change::{Difference, TreeKind};

pub(super) fn compare(
    job: &Job<'_>,
    source: &mut Origin,
    depth: Depth,
    on_difference: &mut OnDifference<'_>,
) -> Result<Report> {
    let mut forward = |path: &[u8], differs| on_difference(path, differs);
    let mut walk = Walk::new(job, source, Mandate::Compare, depth, &mut forward);
    walk.tree()?;
    Ok(walk.tally.finish())
}

pub(super) fn copy(job: &Job<'_>, source: &mut Origin) -> Result<Copied> {
    let mut ignore = |_: &[u8], _| {};
    let mut walk = Walk::new(job, source, Mandate::Copy, Depth::Index, &mut ignore);
    let remember = job
        .index
        .map(|place| index::Writer::create(job.onto, place));
    walk.remember = remember.transpose()?;
    walk.tree()?;
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

/// One walk over a tree.
pub(super) struct Walk<'j, 'd> {
    pub(super) job: &'j Job<'j>,
    pub(super) source: &'j mut Origin,
    pub(super) mandate: Mandate,
    pub(super) depth: Depth,
    pub(super) tally: Tally<'d>,
    pub(super) known: Option<index::Reader>,
    pub(super) remember: Option<index::Writer>,
    /// Relative to the top.
    pub(super) path: Vec<u8>,
    pub(super) level: usize,
    /// The level of the directory, all of which was wished for.
    pub(super) wished: Option<usize>,
    pub(super) links: Links,
    /// Keeps what goes, where that is asked for.
    pub(super) aside: Option<Aside>,
    /// Writes, in a copy.
    pub(super) writer: Option<Writer<'j>>,
    /// The directory that hard links are found beneath.
    pub(super) top: Option<OwnedFd>,
}

impl<'j, 'd> Walk<'j, 'd> {
    fn new(
        job: &'j Job<'j>,
        source: &'j mut Origin,
        mandate: Mandate,
        depth: Depth,
        on_difference: &'d mut OnDifference<'d>,
    ) -> Self {
        let (known, index_use) = index::Reader::open(job.index);
        let mut tally = Tally::new(job.sample, on_difference);
        tally.report.index = index_use;
        Self {
            job,
            source,
            mandate,
            depth,
            tally,
            known,
            remember: None,
            path: Vec::new(),
            level: 0,
            wished: None,
            links: Links::default(),
            aside: None,
            writer: None,
            top: None,
        }
    }

    fn tree(&mut self) -> Result<()> {
        match self.job.kind {
            TreeKind::Home => self.home()?,
            TreeKind::Spool => self.spool()?,
        }
        for path in self.links.outside() {
            let at = self.job.at(path);
            self.tally.oddity(at, Oddity::LinkedOutside);
        }
        Ok(())
    }

    /// A home's top decides everything: without one on the source nothing is to be removed, because
    /// its file system may merely not be mounted.
    fn home(&mut self) -> Result<()> {
        let Some(head) = self.home_of_source()? else {
            return Ok(());
        };
        let (place, onto) = (self.job.target, self.job.onto);
        let present = place
            .look()
            .doing(Kind::Host, || format!("{onto} home: cannot be looked at"))?;
        let target = match present {
            Some(look) if look.kind != Type::Directory => {
                let what = format!("{onto} home is not a directory");
                return Err(Error::new(Kind::Blocked, what).hint("move away what has its name"));
            }
            Some(_) => Some(
                place
                    .open_top()
                    .doing(Kind::Host, || format!("{onto} home: cannot be opened"))?,
            ),
            None => None,
        };
        self.aside = Aside::of(self.job, target.as_ref())?;
        let target = if target.is_some() {
            target
        } else {
            self.differ(&[Difference::Missing], &head.look, 0);
            self.make_home(place)?
        };
        if let Some(target) = &target {
            let from = index::Identity::from(&head.look);
            self.begin(from, target, target, staging::NAME)?;
        }
        self.tally.source(0);
        self.inside(head, target.as_ref(), present.is_none())
    }

    /// The home on the source, opened; `None` if it has none, or if it cannot be read.
    fn home_of_source(&mut self) -> Result<Option<Head>> {
        let from = self.job.onto.other();
        let unreadable = |what: &str, code| {
            Error::caused(
                Kind::Host,
                format!("{from} home: {what}"),
                Errno::from(code),
            )
        };
        let seen = match self.source.part()? {
            Part::End => {
                self.oddity(Oddity::SourceAbsent);
                return Ok(None);
            }
            Part::Directory(Item { seen, .. }) => seen,
            Part::Files { mut items, .. } => match items.pop() {
                Some(Item { seen, .. }) => seen,
                None => return Err(out_of_order()),
            },
            _ => return Err(out_of_order()),
        };
        match seen {
            Seen::Entry { look, .. } if look.kind == Type::Directory => {}
            Seen::Unreadable(code) => {
                return Err(unreadable("cannot be looked at", code));
            }
            _ => {
                let what = format!("{from} home is not a directory");
                return Err(Error::new(Kind::Host, what));
            }
        }
        match self.source.part()? {
            Part::Enter(head) => Ok(Some(head)),
            Part::Refused(Refused::Opening(code)) => Err(unreadable("cannot be opened", code)),
            Part::Refused(Refused::Reading(code)) => {
                self.trouble(Trouble::Read(End::Origin, code.into()))?;
                Ok(None)
            }
            _ => Err(out_of_order()),
        }
    }

    fn make_home(&mut self, target: Place<'_>) -> Result<Option<OwnedFd>> {
        if self.mandate == Mandate::Compare {
            return Ok(None);
        }
        self.keep(target, None)?;
        let made = mkdirat(target.dir, target.name, Mode::RWXU)
            .and_then(|()| target.open_top())
            .and_then(|fd| disinherit(fd.as_fd()).map(|()| fd))
            .map_err(|e| self.at().refused("make the home", e))?;
        Ok(Some(made))
    }

    fn spool(&mut self) -> Result<()> {
        let place = self.job.target;
        let to = place.dir.try_clone_to_owned().doing(Kind::Host, || {
            "cannot hold the spool directory open".to_owned()
        })?;
        self.aside = Aside::of(self.job, Some(&to))?;
        let from = self.source.holder();
        let from = from.map_or(index::Identity::NONE, index::Identity::from);
        let staging = staging::name_for(place.name);
        self.begin(from, &to, &to, &staging)?;
        if self.mandate == Mandate::Compare {
            self.left_over(place.dir, staging)?;
        }
        let mut roll = Roll::default();
        match self.source.part()? {
            Part::End => self.only_there(place).map(drop)?,
            Part::Files { looked, items } => {
                self.files(looked, items, Some(place.dir), &mut roll)?;
            }
            Part::Directory(item) => self.directory(&item, Some(place.dir), &mut roll)?,
            _ => return Err(out_of_order()),
        }
        self.close_staging()
    }

    /// A killed run may leave its staging directory beside a mailbox that is complete, and then
    /// nothing else would call for the copy that removes it. Beside a home's files it shows in the
    /// time of the home.
    fn left_over(&mut self, dir: BorrowedFd<'_>, name: Vec<u8>) -> Result<()> {
        let place = Place { dir, name: &name };
        let look = place.look().doing(Kind::Host, || {
            let onto = self.job.onto;
            format!("the {onto}'s spool directory cannot be looked at")
        })?;
        let us = rustix::process::geteuid().as_raw();
        if let Some(look) = look.filter(|l| l.kind == Type::Directory && l.uid.0 == us) {
            self.path = name;
            self.differ(&[Difference::Extraneous], &look, 0);
            self.path.clear();
        }
        Ok(())
    }

    /// Prepares to work on the tree: its part of the index, the staging directory in `holder`.
    pub(super) fn begin(
        &mut self,
        from: index::Identity,
        to: &OwnedFd,
        holder: &OwnedFd,
        name: &[u8],
    ) -> Result<()> {
        let kind = self.job.kind;
        let top = Look::of(to).doing(Kind::Host, || {
            format!("{}: its top cannot be looked at", tree_name(kind))
        })?;
        let top = index::Identity::from(&top);
        if let Some(known) = &mut self.known {
            known.tree(kind, from, top);
        }
        if let Some(remember) = &mut self.remember {
            remember.tree(kind, from, top)?;
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

    pub(super) fn close_staging(&mut self) -> Result<()> {
        let at = self.job.at(&self.path);
        match &mut self.writer {
            Some(writer) => writer
                .staging
                .close()
                .map_err(|e| at.refused("remove the staging directory", e)),
            None => Ok(()),
        }
    }

    /// Keeps what a rename is about to replace, or the fact that there is nothing.
    pub(super) fn keep(&mut self, place: Place<'_>, present: Option<&Look>) -> Result<()> {
        let at = self.job.at(&self.path);
        match (&mut self.aside, present) {
            (Some(aside), Some(_)) => aside.replaced(at, place),
            (Some(aside), None) => aside.absent(at),
            (None, _) => Ok(()),
        }
    }

    /// Keeps a directory's owner, mode and times before they change.
    pub(super) fn keep_directory(&mut self) -> Result<()> {
        let at = self.job.at(&self.path);
        self.aside
            .as_mut()
            .map_or(Ok(()), |aside| aside.directory(at))
    }

    /// Notes that an entry of the target which differs was changed by hand.
    pub(super) fn by_hand(&mut self, present: &Look) -> Result<()> {
        let (Some(sealed), Mandate::Compare) = (self.job.sealed, self.mandate) else {
            return Ok(());
        };
        let stamp = &present.stamp;
        // Setting aside one of its names moves the ctime of a file that has more of them.
        let linked = present.kind != Type::Directory && present.nlink > 1;
        let changed = if linked { stamp.mtime } else { stamp.ctime };
        if changed <= Moment::from(sealed) {
            return Ok(());
        }
        let at = self.job.at(&self.path);
        let ours = match &mut self.aside {
            Some(aside) => aside.has_word_on(at)?,
            None => false,
        };
        if !ours {
            self.oddity(Oddity::ChangedByHand);
        }
        Ok(())
    }

    pub(super) fn at(&self) -> At<'_> {
        self.job.at(&self.path)
    }

    pub(super) fn oddity(&mut self, oddity: Oddity) {
        self.tally.oddity(self.job.at(&self.path), oddity);
    }

    pub(super) fn differ(&mut self, differences: &[Difference], look: &Look, bytes: u64) {
        let at = self.job.at(&self.path);
        self.tally.differ(at, differences, look, bytes);
    }

    pub(super) fn fail(&mut self, end: End, what: &str, errno: Errno) {
        let at = self.job.at(&self.path);
        let side = self.job.side(end);
        self.tally.fail(side, at, format!("{what}: {errno}"));
    }

    /// Notes why an entry is passed over, on both sides.
    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Read(end, errno) => self.fail(end, "cannot be read", errno),
            Trouble::Changed => self.oddity(Oddity::ChangedWhileRead),
            Trouble::OtherFileSystem => self.oddity(Oddity::OtherFileSystem),
            Trouble::Fatal(error) => return Err(error),
        }
        Ok(())
    }
}

/// The stream is not what it should be: a defect, or a damaged wire.
pub(super) fn out_of_order() -> Error {
    Error::new(Kind::Internal, "a tree is told out of order")
}
