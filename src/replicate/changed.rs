//! What of a tree changed since a moment, told by change times alone: no content is read, and nothing
//! is compared with another side.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rustix::io::Errno;

use super::origin::{Origin, Part, Refused, Seen, descend};
use super::report::{End, Trouble};
use super::scan::{Look, Moment};
use super::walk::out_of_order;
use crate::error::{Error, Kind, Result};
use crate::raw::{HostPath, escape};

/// Tells every entry of a tree whose status changed later than `since`, directories included, with its
/// path within the tree (empty for the top), until it is told to stop. What does not take part in a
/// copy is passed over here as well; a tree that is not there has nothing to tell.
///
/// # Errors
///
/// [`Kind::Host`] for anything that cannot be looked at: it might have changed.
pub fn changed_since(
    tree: &mut Origin,
    since: Timestamp,
    tell: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let mut walk = Walk {
        since: Moment {
            seconds: since.as_second(),
            nanos: u32::try_from(since.subsec_nanosecond()).unwrap_or(0),
        },
        path: Vec::new(),
        above: Vec::new(),
        told: Told::No,
        tell,
    };
    loop {
        let part = tree.part()?;
        if matches!(part, Part::End) || walk.part(part)?.is_break() {
            return Ok(());
        }
    }
}

/// Whether the directory at hand was told of already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

struct Walk<'a> {
    since: Moment,
    /// Of the directory at hand, or of the one that was met last.
    path: Vec<u8>,
    /// Lengths of the paths of the directories that are open, the top's parent first.
    above: Vec<usize>,
    told: Told,
    tell: &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>,
}

impl Walk<'_> {
    fn part(&mut self, part: Part) -> Result<ControlFlow<()>> {
        match part {
            Part::Files { items, .. } => {
                for item in items {
                    let length = self.path.len();
                    descend(&mut self.path, &item.name);
                    let told = self.entry(&item.seen)?;
                    self.path.truncate(length);
                    if told.is_break() {
                        return Ok(told);
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Part::Directory(item) => {
                self.above.push(self.path.len());
                descend(&mut self.path, &item.name);
                self.told = Told::No;
                let flow = self.entry(&item.seen)?;
                // What is no directory any more, or not ours to enter, is not entered.
                if !matches!(item.seen, Seen::Entry { .. }) {
                    self.leave();
                }
                Ok(flow)
            }
            // Between the look at its name and its opening it may have changed.
            Part::Enter(head) if self.told == Told::No => Ok(self.look(&head.look)),
            Part::Enter(_) | Part::End => Ok(ControlFlow::Continue(())),
            Part::Refused(refused) => {
                let flow = self.refused(refused)?;
                self.leave();
                Ok(flow)
            }
            Part::Leave => {
                self.leave();
                Ok(ControlFlow::Continue(()))
            }
            // A proof that nothing moves passes over nothing.
            Part::Same => Err(out_of_order()),
        }
    }

    fn leave(&mut self) {
        let length = self.above.pop();
        self.path.truncate(length.unwrap_or(0));
    }

    fn entry(&mut self, seen: &Seen) -> Result<ControlFlow<()>> {
        match seen {
            Seen::Entry { look, .. } => Ok(self.look(look)),
            Seen::Changed => Ok(self.say()),
            Seen::Unreadable(code) => Err(self.error("be looked at", (*code).into())),
            Seen::Reserved => Ok(ControlFlow::Continue(())),
        }
    }

    fn look(&mut self, look: &Look) -> ControlFlow<()> {
        if look.stamp.ctime > self.since {
            self.say()
        } else {
            ControlFlow::Continue(())
        }
    }

    fn say(&mut self) -> ControlFlow<()> {
        self.told = Told::Yes;
        (self.tell)(&self.path)
    }

    fn refused(&mut self, refused: Refused) -> Result<ControlFlow<()>> {
        match refused {
            Refused::Opening(code) => match Trouble::opening(End::Origin, code.into()) {
                // It was swapped for something else, or removed.
                Trouble::Changed if self.told == Told::No => Ok(self.say()),
                Trouble::Changed | Trouble::OtherFileSystem => Ok(ControlFlow::Continue(())),
                Trouble::Read(_, errno) => Err(self.error("be opened", errno)),
                Trouble::Fatal(error) => Err(error),
            },
            Refused::Reading(code) => Err(self.error("be read", code.into())),
            Refused::TooDeep => {
                let what = format!("{} is nested too deeply to be looked at", self.name());
                Err(Error::new(Kind::Host, what))
            }
        }
    }

    fn error(&self, what: &str, errno: Errno) -> Error {
        Error::caused(Kind::Host, format!("{} cannot {what}", self.name()), errno)
    }

    fn name(&self) -> String {
        if self.path.is_empty() {
            "its top".to_owned()
        } else {
            escape(&self.path)
        }
    }
}

/// The path on the host of an entry that [`changed_since`] told.
pub fn path_of(top: &HostPath, within: &[u8]) -> HostPath {
    if within.is_empty() {
        top.clone()
    } else {
        top.join(within)
    }
}
