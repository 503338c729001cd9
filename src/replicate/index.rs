//! The index: what each file looked like on both sides at the last good copy.
//!
//! A cache. It is read and written as a stream in the order of the walk; one that is lost, damaged,
//! cut short, of another version or of other trees is not used, which costs time and never
//! correctness. What it says is only believed where inode, size, mtime and ctime are still the same
//! on both sides.
//!
//! The file is a sequence of frames: length (u32, little-endian), a postcard [`Record`], the first
//! eight bytes of its BLAKE3 digest. The first is the header, the last the end marker.

mod inodes;

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use self::inodes::Inodes;
use super::Place;
use super::report::IndexUse;
use super::scan::{Look, Moment, Stamp, Type};
use crate::error::{Doing, Error, Kind, Result};
use crate::failpoint;
use crate::names::Side;
use crate::plan::change::TreeKind;
use crate::raw::escape;

const VERSION: u32 = 3;
/// No record is longer: paths are bounded by the depth of the walk.
const LONGEST: usize = 256 * 1024;
const CHECK: usize = 8;

/// Device and inode of a directory: a tree that was made anew or moved is another tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    device: (u32, u32),
    ino: u64,
}

impl Identity {
    /// Of a directory that is not there.
    pub(super) const NONE: Self = Self {
        device: (0, 0),
        ino: 0,
    };
}

impl From<&Look> for Identity {
    fn from(look: &Look) -> Self {
        Self {
            device: look.device,
            ino: look.stamp.ino,
        }
    }
}

#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Record {
    Header {
        version: u32,
    },
    Tree {
        kind: TreeKind,
        source: Identity,
        target: Identity,
    },
    File {
        path: Vec<u8>,
        source: Stamp,
        target: Stamp,
    },
    End {
        files: u64,
    },
}

/// The order of the walk among files: those of a directory by the bytes of their names, then those
/// of its directories, likewise.
fn walk_order(a: &[u8], b: &[u8]) -> Ordering {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // What follows the last separator that both have in common.
    let start = a[..same]
        .iter()
        .rposition(|&c| c == b'/')
        .map_or(0, |at| at + 1);
    let (a, b) = (&a[start..], &b[start..]);
    let deeper = |path: &[u8]| path.contains(&b'/');
    let name = |path: &[u8]| path.iter().position(|&c| c == b'/').unwrap_or(path.len());
    deeper(a)
        .cmp(&deeper(b))
        .then_with(|| a[..name(a)].cmp(&b[..name(b)]))
}

/// Reads one record; `None` if the frame is not whole.
fn read_record(from: &mut impl Read) -> io::Result<Record> {
    let bad = || io::Error::from(ErrorKind::InvalidData);
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| bad())?;
    if length > LONGEST {
        return Err(bad());
    }
    let mut frame = vec![0; length + CHECK];
    from.read_exact(&mut frame)?;
    let (body, check) = frame.split_at(length);
    if blake3::hash(body).as_bytes()[..CHECK] != *check {
        return Err(bad());
    }
    postcard::from_bytes(body).map_err(|_| bad())
}

fn write_record(to: &mut impl Write, record: &Record) -> io::Result<()> {
    let body = postcard::to_stdvec(record).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&body)?;
    to.write_all(&blake3::hash(&body).as_bytes()[..CHECK])
}

/// The index of the last good copy.
#[derive(Debug)]
pub(super) struct Reader {
    from: BufReader<File>,
    next: Option<Record>,
    /// Whether the records that follow are of the trees that are walked.
    believed: bool,
    /// How many files it knows, of all trees.
    files: u64,
    /// Where the records of the tree begin.
    start: u64,
    inodes: Lookup,
}

/// Files by inode, read when one is first looked for.
#[derive(Debug)]
enum Lookup {
    NotRead,
    Read(Option<Inodes>),
}

impl Reader {
    /// Opens an index and checks the whole of it. `None` with the reason if it is of no use.
    pub(super) fn open(place: Option<Place<'_>>) -> (Option<Self>, IndexUse) {
        let Some(place) = place else {
            return (None, IndexUse::Absent);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match openat(place.dir, place.name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return (None, IndexUse::Absent),
            Err(_) => return (None, IndexUse::Damaged),
        };
        match Self::check(fd) {
            Ok(reader) => (Some(reader), IndexUse::Read),
            Err(_) => (None, IndexUse::Damaged),
        }
    }

    fn check(fd: OwnedFd) -> io::Result<Self> {
        let bad = || io::Error::from(ErrorKind::InvalidData);
        let look = Look::of(&fd)?;
        if look.kind != Type::File || look.uid.0 != geteuid().as_raw() || look.mode & 0o077 != 0 {
            return Err(bad());
        }
        let mut from = BufReader::new(File::from(fd));
        let mut files = 0;
        let header = Record::Header { version: VERSION };
        if read_record(&mut from)? != header {
            return Err(bad());
        }
        loop {
            match read_record(&mut from)? {
                Record::Tree { .. } => {}
                Record::File { .. } => files += 1,
                Record::End { files: n } if n == files && from.fill_is_empty()? => break,
                Record::Header { .. } | Record::End { .. } => return Err(bad()),
            }
        }
        from.rewind()?;
        read_record(&mut from)?;
        Ok(Self {
            from,
            next: None,
            believed: false,
            files,
            start: 0,
            inodes: Lookup::NotRead,
        })
    }

    /// Goes on to a tree. What follows is believed only if both tops are what they were.
    pub(super) fn tree(&mut self, kind: TreeKind, source: Identity, target: Identity) {
        self.believed = false;
        self.inodes = Lookup::NotRead;
        loop {
            match self.peek() {
                Some(Record::File { .. }) => self.next = None,
                Some(&Record::Tree {
                    kind: k,
                    source: s,
                    target: t,
                }) if k <= kind => {
                    self.next = None;
                    if k == kind {
                        // Nothing is read ahead of it now.
                        self.start = self.from.stream_position().unwrap_or(u64::MAX);
                        self.believed = (s, t) == (source, target);
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// What is known of a file of the current tree. Paths must be asked for in the order of the walk.
    pub(super) fn file(&mut self, path: &[u8]) -> Option<(Stamp, Stamp)> {
        if !self.believed {
            return None;
        }
        loop {
            let Some(Record::File {
                path: next,
                source,
                target,
            }) = self.peek()
            else {
                return None;
            };
            let known = (*source, *target);
            match walk_order(next, path) {
                Ordering::Less => self.next = None,
                Ordering::Equal => {
                    self.next = None;
                    return Some(known);
                }
                Ordering::Greater => return None,
            }
        }
    }

    /// The next of the files beneath a directory of the current tree; empty for the top. Asked for in the
    /// order of the walk, until there is none.
    pub(super) fn beneath(&mut self, directory: &[u8]) -> Option<(Vec<u8>, Stamp, Stamp)> {
        if !self.believed {
            return None;
        }
        let within = match directory {
            b"" => Vec::new(),
            directory => [directory, b"/"].concat(),
        };
        loop {
            let Some(Record::File { path, .. }) = self.peek() else {
                return None;
            };
            let found = path.starts_with(&within);
            if !found && walk_order(path, &within) == Ordering::Greater {
                return None;
            }
            if let Some(Record::File {
                path,
                source,
                target,
            }) = self.next.take()
                && found
            {
                return Some((path, source, target));
            }
        }
    }

    /// The file of the current tree that had an inode on the source: its path, and the stamps of both
    /// sides.
    pub(super) fn inode(&mut self, ino: u64) -> Option<(Vec<u8>, Stamp, Stamp)> {
        if !self.believed {
            return None;
        }
        let file = self.from.get_ref();
        if matches!(self.inodes, Lookup::NotRead) {
            self.inodes = Lookup::Read(Inodes::read(file, self.start, self.files));
        }
        match &self.inodes {
            Lookup::Read(Some(inodes)) => inodes.find(file, ino),
            _ => None,
        }
    }

    /// The whole file was checked when it was opened; should it fail now, nothing more is believed.
    fn peek(&mut self) -> Option<&Record> {
        if self.next.is_none() {
            self.next = Some(read_record(&mut self.from).unwrap_or(Record::End { files: 0 }));
        }
        self.next.as_ref()
    }
}

/// Whether a reader is at its end.
trait AtEnd {
    fn fill_is_empty(&mut self) -> io::Result<bool>;
}

impl AtEnd for BufReader<File> {
    fn fill_is_empty(&mut self) -> io::Result<bool> {
        io::BufRead::fill_buf(self).map(<[u8]>::is_empty)
    }
}

/// A new index, written beside the old one.
#[derive(Debug)]
pub(super) struct Writer {
    to: BufWriter<File>,
    files: u64,
    pending: PendingIndex,
}

impl Writer {
    /// Starts a new index for `place`.
    pub(super) fn create(side: Side, place: Place<'_>) -> Result<Self> {
        let shown = escape(place.name);
        let failed = || format!("{side}: cannot write the index of {shown}");
        let temporary = [b".", place.name, b".new"].concat();
        match unlinkat(place.dir, temporary.as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(Error::caused(Kind::Host, failed(), e)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = openat(
            place.dir,
            temporary.as_slice(),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
        .doing(Kind::Host, failed)?;
        let pending = PendingIndex {
            side,
            directory: place.dir.try_clone_to_owned().doing(Kind::Host, failed)?,
            temporary,
            name: place.name.to_vec(),
            state: State::Pending,
        };
        let to = BufWriter::new(File::from(fd));
        let mut writer = Self {
            to,
            files: 0,
            pending,
        };
        writer.put(&Record::Header { version: VERSION })?;
        Ok(writer)
    }

    fn put(&mut self, record: &Record) -> Result<()> {
        write_record(&mut self.to, record).doing(Kind::Host, || {
            format!(
                "{}: cannot write the index of {}",
                self.pending.side,
                escape(&self.pending.name)
            )
        })
    }

    /// Starts a tree.
    pub(super) fn tree(
        &mut self,
        kind: TreeKind,
        source: Identity,
        target: Identity,
    ) -> Result<()> {
        self.put(&Record::Tree {
            kind,
            source,
            target,
        })
    }

    /// Remembers a file that is now equal on both sides. `looked` is the moment before the look at
    /// the source: a file that changed just before it could change again without moving its ctime,
    /// so it is not vouched for.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        source: Stamp,
        target: Stamp,
        looked: Moment,
    ) -> Result<()> {
        if settled(source.ctime) > looked || path.len() > LONGEST / 2 {
            return Ok(());
        }
        self.still(path.to_vec(), source, target)
    }

    /// Remembers a file that was remembered before, and has not changed since.
    pub(super) fn still(&mut self, path: Vec<u8>, source: Stamp, target: Stamp) -> Result<()> {
        self.files += 1;
        self.put(&Record::File {
            path,
            source,
            target,
        })
    }

    /// Ends the index; it takes the old one's place when it is committed.
    pub(super) fn finish(mut self) -> Result<PendingIndex> {
        self.put(&Record::End { files: self.files })?;
        let Self { to, pending, .. } = self;
        match to.into_inner() {
            Ok(_) => Ok(pending),
            Err(e) => Err(Error::caused(
                Kind::Host,
                format!(
                    "{}: cannot write the index of {}",
                    pending.side,
                    escape(&pending.name)
                ),
                e.into_error(),
            )),
        }
    }
}

/// The moment from which a change would move a ctime.
///
/// The kernel stamps files with the time of its last tick, at most 10 ms ago (`CONFIG_HZ=100`); this
/// allows for five. A ctime of a whole second may be of a file system that keeps no more than that,
/// as ext3 does.
fn settled(ctime: Moment) -> Moment {
    const SECOND: u32 = 1_000_000_000;
    const TICKS: u32 = 50_000_000;
    let nanos = match ctime.nanos {
        0 => SECOND,
        nanos => nanos.saturating_add(TICKS),
    };
    Moment {
        seconds: ctime.seconds.saturating_add((nanos / SECOND).into()),
        nanos: nanos % SECOND,
    }
}

/// The present moment by the clock that file systems use.
pub(super) fn now() -> Moment {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Moment {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        },
        // A clock before 1970: nothing is settled.
        Err(_) => Moment {
            seconds: i64::MIN,
            nanos: 0,
        },
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Pending,
    Committed,
}

/// A new index that waits for the files it speaks of to be durable. Dropped, it is forgotten and
/// the old one stays.
#[derive(Debug)]
pub struct PendingIndex {
    side: Side,
    directory: OwnedFd,
    temporary: Vec<u8>,
    name: Vec<u8>,
    state: State,
}

impl PendingIndex {
    /// Puts the new index in place of the old one. To be called after [`super::sync`] of the trees.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] if it cannot be renamed; the old index stays, which costs time only.
    pub fn commit(mut self) -> Result<()> {
        failpoint::hit("copy:index");
        let directory = self.directory.as_fd();
        renameat(
            directory,
            self.temporary.as_slice(),
            directory,
            self.name.as_slice(),
        )
        .doing(Kind::Host, || {
            let (side, shown) = (self.side, escape(&self.name));
            format!("{side}: cannot replace the index of {shown}")
        })?;
        self.state = State::Committed;
        Ok(())
    }
}

impl Drop for PendingIndex {
    fn drop(&mut self) {
        if self.state == State::Pending {
            // What stays behind is replaced by the next run.
            let _left_behind =
                unlinkat(&self.directory, self.temporary.as_slice(), AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> Moment {
        Moment { seconds, nanos }
    }

    #[test]
    fn a_ctime_settles_with_the_grain_of_its_file_system() {
        assert_eq!(settled(at(7, 300_000_000)), at(7, 350_000_000));
        assert_eq!(settled(at(7, 970_000_000)), at(8, 20_000_000));
        assert_eq!(settled(at(7, 0)), at(8, 0), "whole seconds only");
    }

    #[test]
    fn files_come_before_directories_and_each_by_their_bytes() {
        let sorted = ["", "b", "z", "a/x", "a/a/x", "a.b/x", "b/x"];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(walk_order(a.as_bytes(), b.as_bytes()), n.cmp(&m), "{a} {b}");
            }
        }
    }
}
