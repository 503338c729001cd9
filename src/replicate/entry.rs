//! One file or symbolic link: judging it, and making the target's equal to it.

use std::os::fd::AsFd;

use rustix::fs::readlinkat;
use rustix::io::Errno;

use super::attributes::{Adjusted, Expected, Vouch, Xattrs, expect, present_xattrs};
use super::compare::metadata;
use super::links::Linkage;
use super::moved::Moved;
use super::origin::Want;
use super::report::{End, Oddity, Trouble};
use super::scan::{Look, Moment, Stamp, Type};
use super::transfer::{Writer, is_large};
use super::walk::{Remains, Walk};
use super::{Depth, Place};
use crate::error::Result;
use crate::plan::change::Difference;

/// Whether a file needs no reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// The index vouches for it.
    Equal,
    /// The target may have it under another name.
    Moved(Moved),
    /// Nothing is known.
    Not,
}

/// What was found out about a file.
struct Verdict {
    differences: Vec<Difference>,
    /// It has a capability, which is dropped.
    capability: bool,
    /// Whether the index may vouch for it.
    vouch: Vouch,
    /// Its attributes in the target's terms, where it was opened.
    xattrs: Option<Xattrs>,
}

/// What the index is told of a file: the stamps of both sides, and the moment before the look at the
/// source.
pub(super) struct Equal {
    pub(super) source: Stamp,
    pub(super) target: Stamp,
    pub(super) looked: Moment,
    pub(super) vouch: Vouch,
}

impl Walk<'_, '_> {
    /// Notes what of an entry's metadata could not be kept.
    pub(super) fn adjusted(&mut self, source: &Look, adjusted: Adjusted) {
        let unknown = &mut self.tally.report.oddities;
        unknown.unknown_uids.extend(adjusted.unknown_uid);
        unknown.unknown_gids.extend(adjusted.unknown_gid);
        if adjusted.unknown_uid.is_some() || adjusted.unknown_gid.is_some() {
            self.oddity(Oddity::UnknownOwner);
        }
        if adjusted.set_id_dropped {
            debug_assert!(source.kind == Type::File);
            self.oddity(Oddity::SetIdDropped);
        }
    }

    /// Foresees what of a file will be needed from the source, and asks for it ahead. Files must come
    /// in the order of the walk.
    pub(super) fn foresee(&mut self, s: &Look, t: Option<&Look>) -> Known {
        if s.kind != Type::File {
            return Known::Not;
        }
        let same_size = t.is_some_and(|t| t.kind == Type::File && t.stamp.size == s.stamp.size);
        let known = match t {
            Some(t) if same_size => self.vouched(s, t),
            Some(_) => Known::Not,
            None => self.moved(s).map_or(Known::Not, Known::Moved),
        };
        // A file with more names may turn out to need nothing.
        if s.nlink == 1 && known != Known::Equal && self.wished.is_none() {
            if same_size || matches!(known, Known::Moved(_)) {
                self.source.wish(&self.path, Want::Compare, s.stamp.size);
            } else if self.writer.is_some() {
                let want = if t.is_some_and(is_large) {
                    Want::Update
                } else {
                    Want::Copy
                };
                self.source.wish(&self.path, want, s.stamp.size);
            }
        }
        known
    }

    pub(super) fn file(
        &mut self,
        target: Option<Place<'_>>,
        s: &Look,
        t: Option<&Look>,
        known: &Known,
        looked: Moment,
    ) -> Result<()> {
        if s.nlink > 1 && s.uid != self.job.owner {
            self.oddity(Oddity::ForeignHardLink);
            return Ok(());
        }
        let (expected, adjusted) = expect(s, self.job.owner, self.job.ids);
        self.adjusted(s, adjusted);
        let linkage = self.meet(s, t);
        let bytes = if self.links.counted(s) { 0 } else { s.bytes() };
        self.tally.source(bytes);
        let verdict = match self.judge(target, s, t, &expected, linkage, known) {
            Ok(verdict) => verdict,
            Err(trouble) => return self.trouble(trouble),
        };
        if verdict.capability {
            self.oddity(Oddity::CapabilityDropped);
        }
        // What has to be kept as it was is never changed in place.
        let written = if rewritten(&verdict.differences) || self.aside.is_some() {
            bytes
        } else {
            0
        };
        self.differ(&verdict.differences, s, written);
        if let (Some(t), false) = (t, verdict.differences.is_empty()) {
            self.by_hand(t)?;
        }
        let (Some(target), true) = (target, self.writer.is_some()) else {
            return Ok(());
        };
        let placed = if verdict.differences.is_empty() {
            t.map(|t| Equal {
                source: s.stamp,
                target: t.stamp,
                looked,
                vouch: verdict.vouch,
            })
        } else {
            if !self.clear_the_way(target, t)? {
                return Ok(());
            }
            let t = t.filter(|t| t.kind != Type::Directory);
            let moved = match (known, t) {
                (Known::Moved(moved), None) => self.rename(moved, target, s, looked),
                _ => Ok(None),
            };
            let placed = match moved {
                Ok(None) => self
                    .put(target, s, t, &expected, &verdict, looked)
                    .map(Some),
                moved => moved,
            };
            match placed {
                Ok(placed) => placed,
                Err(trouble) => return self.trouble(trouble),
            }
        };
        if let (Some(remember), Some(equal)) = (&mut self.remember, placed)
            && equal.vouch == Vouch::May
            // The ctime of a file with many names moves again with each of them.
            && s.nlink == 1
        {
            remember.file(&self.path, equal.source, equal.target, equal.looked)?;
        }
        Ok(())
    }

    fn meet(&mut self, s: &Look, t: Option<&Look>) -> Linkage {
        let same = t.filter(|t| t.kind == s.kind);
        self.links.meet(&self.path, s, same)
    }

    /// How a file differs, the gravest first.
    fn judge(
        &mut self,
        target: Option<Place<'_>>,
        s: &Look,
        t: Option<&Look>,
        expected: &Expected,
        linkage: Linkage,
        known: &Known,
    ) -> Result<Verdict, Trouble> {
        let mut verdict = Verdict {
            differences: Vec::new(),
            capability: false,
            vouch: Vouch::May,
            xattrs: None,
        };
        let (Some(target), Some(t)) = (target, t) else {
            verdict.differences.push(Difference::Missing);
            return Ok(verdict);
        };
        if t.kind != Type::File {
            verdict.differences.push(Difference::Kind);
            return Ok(verdict);
        }
        let mut xattrs_differ = false;
        let mut content_differs = s.stamp.size != t.stamp.size;
        if !content_differs && *known != Known::Equal {
            let content = self.source.open(&self.path, Want::Compare)?;
            let to = target
                .open(Type::File)
                .map_err(|e| Trouble::opening(End::Copy, e))?;
            let wanted = content.xattrs(self.job.ids)?;
            let present = present_xattrs(to.as_fd()).map_err(|e| Trouble::Read(End::Copy, e))?;
            verdict.capability = wanted.capability;
            verdict.vouch = wanted.vouch;
            xattrs_differ = wanted.kept != present;
            verdict.xattrs = Some(wanted.kept);
            // One that was swapped or written since the look is another one.
            content_differs = content.look().stamp != s.stamp || !content.same_as(&to, self.job)?;
        }
        if content_differs {
            verdict.differences.push(Difference::Content);
        }
        if linkage == Linkage::Different {
            verdict.differences.push(Difference::HardLinks);
        }
        verdict.differences.extend(metadata(expected, t));
        if xattrs_differ {
            verdict.differences.push(Difference::Xattrs);
        }
        Ok(verdict)
    }

    /// Whether the index says that a file was equal and neither side changed since.
    fn vouched(&mut self, s: &Look, t: &Look) -> Known {
        let known = match (self.depth, &mut self.known) {
            (Depth::Index, Some(known)) => known.file(&self.path),
            _ => None,
        };
        if known == Some((s.stamp, t.stamp)) {
            Known::Equal
        } else {
            Known::Not
        }
    }

    /// Empties a directory of the target that stands where something else should be. `false` if
    /// something in it has to stay.
    fn clear_the_way(&mut self, target: Place<'_>, t: Option<&Look>) -> Result<bool> {
        let Some(t) = t.filter(|t| t.kind == Type::Directory) else {
            return Ok(true);
        };
        if self.extraneous(target, t)? == Remains::Something {
            self.trouble(Trouble::Read(End::Copy, Errno::NOTEMPTY))?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Makes the target's file equal to the source's.
    fn put(
        &mut self,
        target: Place<'_>,
        s: &Look,
        t: Option<&Look>,
        expected: &Expected,
        verdict: &Verdict,
        looked: Moment,
    ) -> Result<Equal, Trouble> {
        if self.writer.is_some() {
            self.keep(target, t)?;
        }
        let in_place = self.aside.is_none();
        let at = self.job.at(&self.path);
        let Some(writer) = &mut self.writer else {
            return Err(Trouble::Changed);
        };
        let differences = &verdict.differences;
        let same = t.filter(|t| t.kind == Type::File);
        if rewritten(differences) || differences.contains(&Difference::HardLinks) {
            if let (Some(group), Some(top)) = (self.links.earlier(&self.path, s), &self.top)
                && same.map(|t| t.stamp.ino) != group.target
                && let Some(look) = writer.link(at, top.as_fd(), group, target, t)?
            {
                return Ok(Equal {
                    source: s.stamp,
                    target: look.stamp,
                    looked,
                    // It has more than one name.
                    vouch: Vouch::MayNot,
                });
            }
        } else if let (Some(t), Some(xattrs)) =
            (same.filter(|t| in_place && t.nlink == 1), &verdict.xattrs)
            && let Some(stamp) = Writer::touch(at, target, t, expected, xattrs)?
        {
            return Ok(Equal {
                source: s.stamp,
                target: stamp,
                looked,
                vouch: verdict.vouch,
            });
        }
        let placed = writer.file(at, self.source, target, t)?;
        self.links
            .placed(&self.path, placed.source.stamp.ino, placed.target.stamp.ino);
        Ok(Equal {
            source: placed.source.stamp,
            target: placed.target.stamp,
            looked: placed.looked,
            vouch: placed.vouch,
        })
    }

    pub(super) fn symlink(
        &mut self,
        target: Option<Place<'_>>,
        s: &Look,
        text: &[u8],
        t: Option<&Look>,
    ) -> Result<()> {
        let (expected, adjusted) = expect(s, self.job.owner, self.job.ids);
        self.adjusted(s, adjusted);
        self.tally.source(0);
        let linkage = self.meet(s, t);
        let mut differences = Vec::new();
        match (target, t) {
            (Some(target), Some(t)) if t.kind == Type::Symlink => {
                match readlinkat(target.dir, target.name, Vec::new()) {
                    Ok(present) if present.as_bytes() == text => {}
                    Ok(_) | Err(Errno::INVAL | Errno::NOENT) => {
                        differences.push(Difference::Content);
                    }
                    Err(e) => return self.trouble(Trouble::Read(End::Copy, e)),
                }
                if linkage == Linkage::Different {
                    differences.push(Difference::HardLinks);
                }
                differences.extend(metadata(&expected, t));
            }
            (_, Some(_)) => differences.push(Difference::Kind),
            (_, None) => differences.push(Difference::Missing),
        }
        self.differ(&differences, s, 0);
        if let (Some(t), false) = (t, differences.is_empty()) {
            self.by_hand(t)?;
        }
        let (Some(target), true) = (target, self.writer.is_some()) else {
            return Ok(());
        };
        if differences.is_empty() || !self.clear_the_way(target, t)? {
            return Ok(());
        }
        let t = t.filter(|t| t.kind != Type::Directory);
        self.put_symlink(target, s, t, &expected, text)
    }

    fn put_symlink(
        &mut self,
        target: Place<'_>,
        s: &Look,
        t: Option<&Look>,
        expected: &Expected,
        text: &[u8],
    ) -> Result<()> {
        if self.writer.is_some() {
            self.keep(target, t)?;
        }
        let at = self.job.at(&self.path);
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        if let (Some(group), Some(top)) = (self.links.earlier(&self.path, s), &self.top)
            && t.filter(|t| t.kind == Type::Symlink).map(|t| t.stamp.ino) != group.target
            && writer.link(at, top.as_fd(), group, target, t)?.is_some()
        {
            return Ok(());
        }
        writer.symlink(at, text, expected, target, t)?;
        if let Some(look) = target
            .look()
            .map_err(|e| at.refused("look at the new link", e))?
        {
            self.links.placed(&self.path, s.stamp.ino, look.stamp.ino);
        }
        Ok(())
    }
}

/// Whether the bytes of a file have to be written anew.
fn rewritten(differences: &[Difference]) -> bool {
    let grave = [Difference::Missing, Difference::Kind, Difference::Content];
    differences.iter().any(|d| grave.contains(d))
}
