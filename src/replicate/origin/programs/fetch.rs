//! Content of files, and attributes of directories: archives, and the looks that show that what they
//! hold stood still.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Read as _};

use rustix::io::Errno;

use super::{ByPrograms, unreadable};
use crate::error::{Error, Kind, Result};
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::commands::archive::{Archive, Header, Member};
use crate::replicate::commands::find::{self, Entries};
use crate::replicate::commands::{
    Finished, Output, STDERR_KEPT, broken, buffered, complaint, moment,
};
use crate::replicate::origin::Want;
use crate::replicate::origin::session::{ANSWER, Body, Extents, Opened};
use crate::replicate::report::{End, Trouble};
use crate::replicate::scan::{Look, Moment, Stamp};

/// Files and bytes of one archive that is read ahead.
const FILES: usize = 256;
const BYTES: u64 = 4 << 20;

/// A file up to this size is answered whole.
const SMALL: u64 = ANSWER as u64;

/// Directories whose attributes are asked for at once.
const DIRECTORIES: usize = 4096;

/// The grain in which holes are told from data.
const GRAIN: usize = 4096;

/// A file that will be asked for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) path: Vec<u8>,
    pub(super) want: Want,
}

/// A file that was read ahead.
pub(super) struct Ready {
    wish: Wish,
    pub(super) opened: Result<Opened, Trouble>,
}

impl Ready {
    pub(super) fn is(&self, path: &[u8], want: Want) -> bool {
        self.wish.path == path && self.wish.want == want
    }
}

type Stdout = BufReader<Box<dyn Output>>;

/// A large file that is read piece by piece.
#[derive(Debug)]
pub(in crate::replicate::origin) struct Stream {
    path: Vec<u8>,
    look: Look,
    offset: u64,
    state: State,
}

enum State {
    NotBegun,
    Within(Archive<Stdout>, Header),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotBegun => "NotBegun",
            Self::Within(..) => "Within",
        })
    }
}

impl Stream {
    pub(super) fn of(path: &[u8], look: Look) -> Self {
        Self {
            path: path.to_vec(),
            look,
            offset: 0,
            state: State::NotBegun,
        }
    }
}

/// A member, with what was wanted of its content.
struct Got {
    header: Header,
    body: Body,
}

impl ByPrograms {
    /// The file that is asked for, if it is small, and the small ones that will be.
    pub(super) fn gather(&mut self, path: &[u8], want: Want) -> Result<Vec<Wish>, Trouble> {
        let listing = self.listing.as_ref().ok_or(Trouble::Changed)?;
        let size = |path: &[u8]| listing.look(path).map(|look| look.stamp.size);
        let mut batch = Vec::new();
        let mut bytes = match size(path) {
            None => return Err(Trouble::Changed),
            Some(large) if large > SMALL => return Ok(batch),
            Some(small) => small,
        };
        let is_it = |wish: &Wish| wish.path == path && wish.want == want;
        if let Some(at) = self.wishes.iter().position(is_it) {
            self.wishes.drain(..=at);
        }
        let path = path.to_vec();
        batch.push(Wish { path, want });
        let mut later = VecDeque::new();
        while let Some(wish) = self.wishes.pop_front() {
            match size(&wish.path) {
                Some(small) if small <= SMALL && batch.len() < FILES && bytes < BYTES => {
                    bytes += small;
                    batch.push(wish);
                }
                _ => later.push_back(wish),
            }
        }
        self.wishes = later;
        Ok(batch)
    }

    /// Reads files in one archive. One that has become large is not among the answers.
    pub(super) fn read_small(&self, mut batch: Vec<Wish>) -> Result<VecDeque<Ready>> {
        loop {
            match self.archive_of(&batch)? {
                Small::All(looked, got, ended) => return self.settle(batch, looked, got, &ended),
                Small::ButOne(at) => {
                    batch.remove(at);
                }
            }
        }
    }

    fn archive_of(&self, batch: &[Wish]) -> Result<Small> {
        let names = batch.iter().map(|wish| wish.path.as_slice());
        let (looked, mut archive) = self.start(names)?;
        let mut got: Vec<Option<Got>> = batch.iter().map(|_| None).collect();
        let mut expected = batch.iter().enumerate();
        loop {
            let header = match archive.next() {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => return Err(self.broken(archive, &error)),
            };
            let mut is_it = |(_, wish): &(usize, &Wish)| self.is_member(&header, &wish.path);
            let Some((at, wish)) = expected.find(&mut is_it) else {
                return Err(self.out_of_order(&header));
            };
            if header.size > SMALL {
                return Ok(Small::ButOne(at));
            }
            let mut bytes = Vec::new();
            if let Err(error) = archive.read_to_end(&mut bytes) {
                return Err(self.broken(archive, &error));
            }
            got[at] = Some(Got {
                body: body(bytes, wish.want),
                header,
            });
        }
        let ended = self.end(archive)?;
        Ok(Small::All(looked, got, ended))
    }

    /// Looks at all files of an archive again.
    fn settle(
        &self,
        batch: Vec<Wish>,
        looked: Moment,
        got: Vec<Option<Got>>,
        ended: &Finished,
    ) -> Result<VecDeque<Ready>> {
        let paths: Vec<_> = batch.iter().map(|wish| self.whole(&wish.path)).collect();
        let now = Looks::of(find::several(self.programs.as_ref(), &paths)?);
        let complaints = Complaints::of(ended);
        let files = batch.into_iter().zip(got).map(|(wish, got)| {
            let complaint = complaints.about(&self.member(&wish.path));
            let opened = self.judge(&wish.path, looked, got, &now, complaint);
            Ready { wish, opened }
        });
        Ok(files.collect())
    }

    fn judge(
        &self,
        path: &[u8],
        looked: Moment,
        got: Option<Got>,
        now: &Looks,
        complaint: Option<Errno>,
    ) -> Result<Opened, Trouble> {
        let now = self.now(path, now)?;
        if let Some(errno) = complaint {
            return Err(unreadable(errno));
        }
        // What tar passes over without a word is no file.
        let Got { header, body } = got.ok_or(Trouble::Changed)?;
        let look = opened(&header, now)?;
        let body = match body {
            Body::Start(mut extents) => {
                if now.allocated < now.stamp.size {
                    extents.data = extents.data.into_iter().flat_map(without_holes).collect();
                }
                extents.end = Some(now);
                Body::Start(extents)
            }
            body => body,
        };
        Ok(Opened {
            looked,
            look,
            xattrs: OwnXattrs::told(header.xattrs),
            body,
        })
    }

    /// What is at a path after it was read, if it may have been read.
    fn now(&self, path: &[u8], looks: &Looks) -> Result<Look, Trouble> {
        let whole = self.whole(path);
        let now = match (looks.at.get(&whole), looks.complaints.get(&whole)) {
            (Some(look), _) => *look,
            (None, Some(&errno)) => return Err(Trouble::opening(End::Origin, errno)),
            (None, None) => return Err(Trouble::Changed),
        };
        self.admit(path, &now)?;
        Ok(now)
    }

    /// A look at a file, and the moment before.
    pub(super) fn fresh(&self, path: &[u8]) -> Result<(Moment, Look), Trouble> {
        let scan = find::dated(self.programs.as_ref(), &self.whole(path))?;
        let look = self.now(path, &Looks::of(scan.entries))?;
        Ok((scan.looked, look))
    }

    /// More of a large file.
    pub(in crate::replicate::origin) fn more(
        &self,
        stream: &mut Stream,
    ) -> Result<Extents, Trouble> {
        let mut extents = Extents::default();
        let (mut archive, header) = match std::mem::replace(&mut stream.state, State::NotBegun) {
            State::Within(archive, header) => (archive, header),
            State::NotBegun => self.begin(&stream.path)?,
        };
        if opened(&header, stream.look)?.stamp != stream.look.stamp {
            // It changed before it was opened.
            extents.end = Some(opened(&header, stream.look)?);
            return Ok(extents);
        }
        let sparse = stream.look.allocated < stream.look.stamp.size;
        while extents.data.is_empty() && stream.offset < header.size {
            let mut bytes = Vec::with_capacity(ANSWER);
            let read = archive.by_ref().take(SMALL).read_to_end(&mut bytes);
            if let Err(error) = read {
                return Err(self.broken(archive, &error).into());
            }
            let data = (stream.offset, bytes);
            stream.offset += data.1.len() as u64;
            extents.data = if sparse {
                without_holes(data)
            } else {
                vec![data]
            };
        }
        if stream.offset < header.size {
            stream.state = State::Within(archive, header);
            return Ok(extents);
        }
        extents.end = Some(self.last_look(&stream.path, archive)?);
        extents.xattrs = Some(OwnXattrs::told(header.xattrs));
        Ok(extents)
    }

    /// Attributes, digest and length of a large file.
    pub(super) fn digest(
        &self,
        stream: &mut Stream,
    ) -> Result<(OwnXattrs, [u8; 32], u64), Trouble> {
        let (mut archive, header) = self.begin(&stream.path)?;
        let mut hasher = blake3::Hasher::new();
        if let Err(error) = hasher.update_reader(&mut archive) {
            return Err(self.broken(archive, &error).into());
        }
        let last = self.last_look(&stream.path, archive)?;
        if last.stamp != stream.look.stamp || opened(&header, last)?.stamp != last.stamp {
            return Err(Trouble::Changed);
        }
        let xattrs = OwnXattrs::told(header.xattrs);
        Ok((xattrs, hasher.finalize().into(), hasher.count()))
    }

    /// Starts an archive of one file.
    fn begin(&self, path: &[u8]) -> Result<(Archive<Stdout>, Header), Trouble> {
        let (_, mut archive) = self.start(std::iter::once(path))?;
        match archive.next() {
            Ok(Some(header)) if self.is_member(&header, path) => Ok((archive, header)),
            Ok(Some(header)) => Err(self.out_of_order(&header).into()),
            Ok(None) => {
                let ended = self.end(archive)?;
                let complaint = Complaints::of(&ended).about(&self.member(path));
                let trouble = |errno| Trouble::opening(End::Origin, errno);
                Err(complaint.map_or(Trouble::Changed, trouble))
            }
            Err(error) => Err(self.broken(archive, &error).into()),
        }
    }

    /// The look at a file after an archive of it alone was read.
    fn last_look(&self, path: &[u8], archive: Archive<Stdout>) -> Result<Look, Trouble> {
        let ended = self.end(archive)?;
        if let Some(errno) = Complaints::of(&ended).about(&self.member(path)) {
            return Err(unreadable(errno));
        }
        let now = find::several(self.programs.as_ref(), &[self.whole(path)])?;
        self.now(path, &Looks::of(now))
    }

    /// Asks for the attributes of all directories.
    pub(super) fn directories(&self, listing: &mut super::Listing) -> Result<()> {
        let directories = listing.directories();
        for some in directories.chunks(DIRECTORIES) {
            let (_, mut archive) = self.start(some.iter().map(|(path, _)| path.as_slice()))?;
            let mut told = BTreeMap::new();
            loop {
                match archive.next() {
                    Ok(Some(mut header)) => {
                        if header.path.last() == Some(&b'/') {
                            header.path.pop();
                        }
                        told.insert(std::mem::take(&mut header.path), header);
                    }
                    Ok(None) => break,
                    Err(error) => return Err(self.broken(archive, &error)),
                }
            }
            let complaints = Complaints::of(&self.end(archive)?);
            for (path, look) in some {
                let member = self.member(path);
                let is_it = |header: &Header| {
                    let owner = (header.uid, header.gid) == (look.uid, look.gid);
                    header.kind == Member::Directory && owner
                };
                let attributes = match (complaints.about(&member), told.remove(&member)) {
                    (Some(errno), _) => Err(errno),
                    (None, Some(header)) if is_it(&header) => Ok(OwnXattrs::told(header.xattrs)),
                    (None, _) => Err(Errno::NOENT),
                };
                listing.attributes(path, attributes);
            }
        }
        Ok(())
    }

    fn start<'a>(
        &self,
        paths: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(Moment, Archive<Stdout>)> {
        let mut names = Vec::new();
        for path in paths {
            names.extend(self.member(path));
            names.push(0);
        }
        let dir = self.tree.path.parent();
        let programs = self.programs.as_ref();
        let stdout = self.tools.start_tar(programs, dir.as_bytes(), names)?;
        let mut stdout = buffered(self.limits.on(stdout));
        match moment(&mut stdout) {
            Ok(moment) => Ok((moment, Archive::new(stdout))),
            Err(error) => Err(self.broken(Archive::new(stdout), &error)),
        }
    }

    /// Goes to the end of an archive.
    fn end(&self, mut archive: Archive<Stdout>) -> Result<Finished> {
        if let Err(error) = archive.finish() {
            return Err(self.broken(archive, &error));
        }
        let ended = archive.into_inner().into_inner().end()?;
        // tar(1): 1 for files that changed, 2 for files that could not be read.
        if matches!(ended.status, Some(0..=2)) {
            return Ok(ended);
        }
        let what = format!("cannot {} on {}", self.doing(), self.programs.label());
        Err(Error::caused(
            Kind::Host,
            what,
            complaint::last_words(&ended),
        ))
    }

    fn broken(&self, archive: Archive<Stdout>, error: &std::io::Error) -> Error {
        let output = archive.into_inner().into_inner();
        broken(self.programs.as_ref(), &self.doing(), output, error)
    }

    fn doing(&self) -> String {
        format!("read files of {}", self.tree.path)
    }

    fn is_member(&self, header: &Header, path: &[u8]) -> bool {
        let member = self.member(path);
        let rest = header.path.strip_prefix(member.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest == b"/")
    }

    fn out_of_order(&self, header: &Header) -> Error {
        let member = crate::raw::escape(&header.path);
        let label = self.programs.label();
        let what = format!("tar on {label} tells of {member}, which nobody asked for");
        Error::new(Kind::Host, what)
    }
}

/// What became of an archive of small files.
enum Small {
    All(Moment, Vec<Option<Got>>, Finished),
    /// This one has become large.
    ButOne(usize),
}

/// The look at a file when tar opened it; of its inode nothing is told.
fn opened(header: &Header, now: Look) -> Result<Look, Trouble> {
    let (Member::File, Some(ctime)) = (header.kind, header.ctime) else {
        return Err(Trouble::Changed);
    };
    let stamp = Stamp {
        ino: now.stamp.ino,
        size: header.size,
        mtime: header.mtime,
        ctime,
    };
    let owner = (header.uid, header.gid, header.mode);
    if stamp == now.stamp && owner != (now.uid, now.gid, now.mode) {
        // Another file with the times of this one.
        return Err(Trouble::Changed);
    }
    Ok(Look { stamp, ..now })
}

fn body(bytes: Vec<u8>, want: Want) -> Body {
    match want {
        Want::Copy | Want::Update => Body::Start(Extents {
            data: if bytes.is_empty() {
                Vec::new()
            } else {
                vec![(0, bytes)]
            },
            ..Extents::default()
        }),
        Want::Compare | Want::Attributes => Body::Digest {
            digest: blake3::hash(&bytes).into(),
            length: bytes.len() as u64,
        },
    }
}

/// Data without the blocks that are all zeros.
fn without_holes((offset, bytes): (u64, Vec<u8>)) -> Vec<(u64, Vec<u8>)> {
    let mut data: Vec<(u64, Vec<u8>)> = Vec::new();
    for (n, block) in bytes.chunks(GRAIN).enumerate() {
        if block.iter().all(|&byte| byte == 0) {
            continue;
        }
        let at = offset + (n * GRAIN) as u64;
        match data.last_mut() {
            Some((start, held)) if *start + held.len() as u64 == at => held.extend(block),
            _ => data.push((at, block.to_vec())),
        }
    }
    data
}

/// Looks by path on the host.
struct Looks {
    at: BTreeMap<Vec<u8>, Look>,
    complaints: BTreeMap<Vec<u8>, Errno>,
}

impl Looks {
    fn of(entries: Entries) -> Self {
        let found = entries.found.into_iter();
        Self {
            at: found
                .map(|found| {
                    let look = found.look();
                    (found.path, look)
                })
                .collect(),
            complaints: entries.complaints,
        }
    }
}

/// What tar complained of.
enum Complaints {
    None,
    Of(Vec<Vec<u8>>),
    /// Of something that is not understood: no member can be relied on.
    Any,
}

impl Complaints {
    fn of(ended: &Finished) -> Self {
        if ended.status != Some(2) {
            return Self::None;
        }
        let lines = complaint::lines("tar", &ended.stderr).filter(|line| !is_summary(line));
        let lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
        let whole = ended.stderr.len() < STDERR_KEPT;
        let about_members = lines.iter().all(|line| line.starts_with(b"./"));
        if whole && about_members && !lines.is_empty() {
            Self::Of(lines)
        } else {
            Self::Any
        }
    }

    /// Why a member could not be read, if that is so.
    fn about(&self, member: &[u8]) -> Option<Errno> {
        let lines = match self {
            Self::None => return None,
            Self::Any => return Some(Errno::IO),
            Self::Of(lines) => lines,
        };
        let name = [&complaint::escape(member), &b": "[..]].concat();
        let line = lines.iter().find(|line| line.starts_with(&name))?;
        Some(complaint::errno(line).unwrap_or(Errno::IO))
    }
}

fn is_summary(line: &[u8]) -> bool {
    line == b"Exiting with failure status due to previous errors"
}
