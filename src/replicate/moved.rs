//! Files that have another name on the source than at the last copy.
//!
//! Maildirs rename a message whenever a flag of it changes. The index knows the file by its inode; the
//! target's is renamed once both ends have the same digest, and no content is sent.

use std::os::fd::AsFd;

use rustix::fs::{RenameFlags, renameat_with};

use super::attributes::{expect, settle};
use super::entry::Equal;
use super::origin::Want;
use super::report::Trouble;
use super::scan::{Look, Stamp, Type, open_beneath};
use super::walk::Walk;
use super::{Depth, Place};
use crate::failpoint;

/// A smaller file is sent as soon as its digest.
const LEAST: u64 = 256;

/// A file of the target that stands for one of the source which is not there under its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moved {
    /// Where it was at the last copy, within the tree.
    path: Vec<u8>,
    stamp: Stamp,
}

impl Walk<'_, '_> {
    /// What the index knows of a file that the target does not have under its name.
    pub(super) fn moved(&mut self, s: &Look) -> Option<Moved> {
        // What a reverse replaces it keeps where it is.
        let renames = self.writer.is_some() && self.aside.is_none() && self.depth == Depth::Index;
        if !renames || s.nlink != 1 || s.stamp.size < LEAST {
            return None;
        }
        let (path, source, stamp) = self.known.as_mut()?.inode(s.stamp.ino)?;
        // A rename moves the ctime.
        let same = (source.size, source.mtime) == (s.stamp.size, s.stamp.mtime);
        same.then_some(Moved { path, stamp })
    }

    /// Gives the target's file its new name; `None` if it is not what the source has.
    pub(super) fn rename(
        &mut self,
        moved: &Moved,
        target: Place<'_>,
        s: &Look,
        looked: super::scan::Moment,
    ) -> Result<Option<Equal>, Trouble> {
        let Some(top) = &self.top else {
            return Ok(None);
        };
        let path = self.job.below_top(&moved.path);
        let (holder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => {
                let opened = open_beneath(top.as_fd(), &path[..slash], Type::Directory);
                let Ok(holder) = opened else {
                    return Ok(None);
                };
                (Some(holder), &path[slash + 1..])
            }
            None => (None, path.as_slice()),
        };
        let old = Place {
            dir: holder.as_ref().unwrap_or(top).as_fd(),
            name,
        };
        let Ok(file) = old.open(Type::File) else {
            return Ok(None);
        };
        let is_it = |look: Look| look.stamp == moved.stamp && look.nlink == 1;
        if !Look::of(&file).is_ok_and(is_it) {
            return Ok(None);
        }
        let content = self.source.open(&self.path, Want::Compare)?;
        if content.look().stamp != s.stamp || !content.same_as(&file, self.job)? {
            return Ok(None);
        }
        let xattrs = content.xattrs(self.job.ids)?;
        let at = self.job.at(&self.path);
        let (expected, _) = expect(s, self.job.owner, self.job.ids);
        settle(file.as_fd(), &expected, &xattrs.kept)
            .map_err(|e| at.refused("set owner, mode, attributes and times", e))?;
        failpoint::hit("copy:staged");
        let flags = RenameFlags::NOREPLACE;
        if renameat_with(old.dir, old.name, target.dir, target.name, flags).is_err() {
            // It is copied then.
            return Ok(None);
        }
        failpoint::hit("copy:placed");
        let now = target
            .look()
            .map_err(|e| at.refused("look at the new file", e))?;
        // Another file may have had the name by then; it is replaced.
        let now = now.filter(|now| now.stamp.ino == moved.stamp.ino);
        Ok(now.map(|now| Equal {
            source: s.stamp,
            target: now.stamp,
            looked,
            vouch: xattrs.vouch,
        }))
    }
}
