//! What find tells of entries: `find ... -printf`, its fields apart by spaces and NUL bytes.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use rustix::fs::{major, minor};
use rustix::io::Errno;

use super::complaint;
use super::{DATED, Finished, NICE, Programs, STDERR_KEPT, broken, buffered, hear, malformed};
use crate::error::{Error, Kind, Result};
use crate::names::{Gid, Uid};
use crate::replicate::scan::{Look, Moment, Stamp, Type};

/// Type, permissions, owner, group, size, mtime, ctime, inode, names, blocks of 512 bytes, device;
/// path; where a symbolic link points. find(1), "-printf".
const FORMAT: &[u8] = br"%y %m %U %G %s %T@ %C@ %i %n %b %D\0%p\0%l\0";

/// As deep as the engine goes, and one more for it to refuse.
const DEPTH: &str = "201";

/// No path that find prints is longer: [`DEPTH`] names of 255 bytes; nor any link (`PATH_MAX`).
const LONGEST: u64 = 256 << 10;

/// What one answer about a few entries comes to at most.
const ANSWER: u64 = 64 << 20;

/// `$0` is the format. GNU's xargs and find both know no names but those that they are given.
const SEVERAL: &str = r#"exec find "$@" -maxdepth 0 -printf "$0""#;

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// As find was asked for it, and below that.
    pub path: Vec<u8>,
    /// Where a symbolic link points; else empty.
    pub link: Vec<u8>,
    /// `f`, `d`, `l`, `p`, `s`, `b`, `c`, or something rare.
    pub kind: u8,
    /// Permission, setid and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Bytes.
    pub size: u64,
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    nlink: u32,
    blocks: u64,
    mtime: Moment,
    ctime: Moment,
}

impl Found {
    pub(in crate::replicate) fn look(&self) -> Look {
        Look {
            kind: match self.kind {
                b'f' => Type::File,
                b'd' => Type::Directory,
                b'l' => Type::Symlink,
                b'p' => Type::Fifo,
                b's' => Type::Socket,
                _ => Type::Device,
            },
            device: (major(self.dev), minor(self.dev)),
            stamp: Stamp {
                ino: self.ino,
                size: self.size,
                mtime: self.mtime,
                ctime: self.ctime,
            },
            allocated: self.blocks.saturating_mul(512),
            mode: self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is looked at itself.
    Never,
    /// It is, if it leads anywhere.
    Last,
}

impl Follow {
    fn option(self) -> &'static [u8] {
        match self {
            Self::Never => b"-P",
            Self::Last => b"-H",
        }
    }
}

/// An answer of the host: what was found, or why not.
pub type Answer<T> = std::result::Result<T, io::Error>;

/// Looks at one path; `None` if nothing is there.
pub fn at(programs: &dyn Programs, path: &[u8], follow: Follow) -> Result<Answer<Option<Found>>> {
    let argv: [&[u8]; 7] = [
        b"find",
        follow.option(),
        path,
        b"-maxdepth",
        b"0",
        b"-printf",
        FORMAT,
    ];
    let mut found = match few(programs, &argv, Vec::new())? {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    Ok(match found.complaints.pop_first() {
        Some((_, Errno::NOENT | Errno::NOTDIR)) => Ok(None),
        Some((_, errno)) => Err(errno.into()),
        None => found.found.pop().map(Some).ok_or_else(|| malformed("find")),
    })
}

/// The entries of a directory, unsorted, with their paths; `None` if there is no such directory. A
/// link at its end is followed.
pub fn list(programs: &dyn Programs, dir: &[u8]) -> Result<Answer<Option<Vec<Found>>>> {
    let argv: [&[u8]; 7] = [b"find", b"-H", dir, b"-maxdepth", b"1", b"-printf", FORMAT];
    let found = match few(programs, &argv, Vec::new())? {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let absent = |errno: &Errno| matches!(*errno, Errno::NOENT | Errno::NOTDIR);
    if let Some(&errno) = found.complaints.values().find(|errno| !absent(errno)) {
        return Ok(Err(errno.into()));
    }
    let mut entries = found.found;
    // find tells of the directory first.
    Ok(Ok(match entries.first() {
        Some(top) if top.kind == b'd' && !found.complaints.contains_key(dir) => {
            entries.remove(0);
            Some(entries)
        }
        _ => None,
    }))
}

/// Entries, and what could not be looked at.
#[derive(Debug, Default)]
pub(in crate::replicate) struct Entries {
    pub(in crate::replicate) found: Vec<Found>,
    pub(in crate::replicate) complaints: BTreeMap<Vec<u8>, Errno>,
}

/// Looks at several paths, not following links at their ends. Each is told of or complained of.
pub(in crate::replicate) fn several(programs: &dyn Programs, paths: &[Vec<u8>]) -> Result<Entries> {
    let argv: [&[u8]; 7] = [
        b"xargs",
        b"-0",
        b"-r",
        b"sh",
        b"-c",
        SEVERAL.as_bytes(),
        FORMAT,
    ];
    let names = paths.iter().flat_map(|path| [path, &b"\0"[..]].concat());
    few(programs, &argv, names.collect())?.map_err(|error| {
        let what = format!("cannot look at files on {}", programs.label());
        Error::caused(Kind::Host, what, error)
    })
}

/// A whole tree.
#[derive(Debug)]
pub(in crate::replicate) struct Scan {
    /// The moment before, by the host's clock.
    pub(in crate::replicate) looked: Moment,
    /// With the top, which is absent if there is none.
    pub(in crate::replicate) entries: Entries,
}

/// Looks through a tree, not following any link, on the file system of its top. A directory is told
/// of before it is opened; if it then cannot be, or not be read to its end, there is a complaint.
pub(in crate::replicate) fn scan(programs: &dyn Programs, top: &[u8]) -> Result<Scan> {
    down_to(DEPTH, programs, top)
}

/// The same of one path alone.
pub(in crate::replicate) fn dated(programs: &dyn Programs, path: &[u8]) -> Result<Scan> {
    down_to("0", programs, path)
}

fn down_to(depth: &str, programs: &dyn Programs, top: &[u8]) -> Result<Scan> {
    let what = || format!("look through {}", crate::raw::escape(top));
    let look: [&[u8]; 11] = [
        b"sh",
        b"-c",
        DATED.as_bytes(),
        b"find",
        b"-P",
        top,
        b"-xdev",
        b"-maxdepth",
        depth.as_bytes(),
        b"-printf",
        FORMAT,
    ];
    let argv = [&NICE[..], &look].concat();
    let mut output = buffered(programs.start(&argv, Vec::new())?);
    let told = super::moment(&mut output).and_then(|looked| Ok((looked, records(&mut output)?)));
    let (looked, found) = match told {
        Ok(told) => told,
        Err(error) => return Err(broken(programs, &what(), output.into_inner(), &error)),
    };
    let ended = output.into_inner().end()?;
    let complaints = complaints(&ended).map_err(|error| {
        let what = format!("cannot {} on {}", what(), programs.label());
        Error::caused(Kind::Host, what, error)
    })?;
    let entries = Entries { found, complaints };
    Ok(Scan { looked, entries })
}

/// Runs a find about a few entries.
fn few(programs: &dyn Programs, argv: &[&[u8]], stdin: Vec<u8>) -> Result<Answer<Entries>> {
    let mut output = programs.start(argv, stdin)?;
    let bytes = hear(output.as_mut(), ANSWER)?;
    let ended = output.end()?;
    Ok(complaints(&ended).and_then(|complaints| {
        let found = records(&mut bytes.as_slice())?;
        Ok(Entries { found, complaints })
    }))
}

/// What find could not look at. If anything else is amiss, nothing that it told can be relied on.
fn complaints(ended: &Finished) -> Answer<BTreeMap<Vec<u8>, Errno>> {
    let mut complaints = BTreeMap::new();
    // xargs says 123 for find's 1.
    if ended.status == Some(0) {
        return Ok(complaints);
    }
    let not_understood = |line: &[u8]| io::Error::other(String::from_utf8_lossy(line).into_owned());
    for line in complaint::lines("find", &ended.stderr) {
        let (path, errno) = complaint::of_find(line).ok_or_else(|| not_understood(line))?;
        complaints.insert(path, errno);
    }
    let whole = ended.stderr.len() < STDERR_KEPT;
    if complaints.is_empty() || !whole || !matches!(ended.status, Some(1 | 123)) {
        return Err(io::Error::other(complaint::last_words(ended)));
    }
    Ok(complaints)
}

/// Reads entries to the end of a stream.
fn records(from: &mut impl BufRead) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    while let Some(entry) = record(from)? {
        found.push(entry);
    }
    Ok(found)
}

fn record(from: &mut impl BufRead) -> io::Result<Option<Found>> {
    let Some(fields) = field(from)? else {
        return Ok(None);
    };
    let (Some(path), Some(link)) = (field(from)?, field(from)?) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let fields = std::str::from_utf8(&fields).ok();
    let found = fields.and_then(|fields| understand(fields, path, link));
    found.map(Some).ok_or_else(|| malformed("what find tells"))
}

/// Bytes to the next NUL; `None` at the end of the stream.
fn field(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(LONGEST).read_until(0, &mut bytes)?;
    match bytes.pop() {
        None => Ok(None),
        Some(0) => Ok(Some(bytes)),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn understand(fields: &str, path: Vec<u8>, link: Vec<u8>) -> Option<Found> {
    let mut fields = fields.split(' ');
    let mut next = || fields.next();
    let found = Found {
        path,
        link,
        kind: match next()?.as_bytes() {
            &[kind] => kind,
            _ => return None,
        },
        mode: u32::from_str_radix(next()?, 8).ok()? & 0o7777,
        uid: Uid(next()?.parse().ok()?),
        gid: Gid(next()?.parse().ok()?),
        size: next()?.parse().ok()?,
        mtime: moment(next()?.as_bytes())?,
        ctime: moment(next()?.as_bytes())?,
        ino: next()?.parse().ok()?,
        nlink: next()?.parse().ok()?,
        blocks: next()?.parse().ok()?,
        dev: next()?.parse().ok()?,
    };
    next().is_none().then_some(found)
}

/// Seconds, a point, and nanoseconds with perhaps more digits. Both find and date print the seconds
/// of `timespec` and its nanoseconds side by side, also before 1970. A find that tells no fractions
/// is too old.
pub(super) fn moment(text: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.')?;
    let nanos = fraction.get(..9)?;
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    Some(Moment {
        seconds: seconds.parse().ok()?,
        nanos: nanos.parse().ok().filter(|_| digits)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As findutils 4.9 printed them.
    #[test]
    fn entries_are_read_with_any_name() {
        let told = b"f 644 0 0 1 1795506265.2975409460 1795506265.2975409460 10781061 1 8 65024\0\
            lat\xe9 new\nline\0\0\
            l 777 33 12 4 -315619199.2500000000 1795506265.3215409460 10781064 2 0 65024\0\
            -x\0../\xff\0";
        let found = records(&mut &told[..]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].path, b"lat\xe9 new\nline");
        let look = found[0].look();
        assert_eq!(
            (look.kind, look.mode, look.stamp.size),
            (Type::File, 0o644, 1)
        );
        assert_eq!((look.allocated, look.device), (4096, (254, 0)));
        assert_eq!(
            look.stamp.ctime,
            Moment {
                seconds: 1_795_506_265,
                nanos: 297_540_946
            }
        );
        assert_eq!(
            (found[1].path.as_slice(), found[1].link.as_slice()),
            (&b"-x"[..], &b"../\xff"[..])
        );
        assert_eq!((found[1].uid, found[1].gid), (Uid(33), Gid(12)));
        assert_eq!(
            found[1].mtime,
            Moment {
                seconds: -315_619_199,
                nanos: 250_000_000
            }
        );
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_shorter_list() {
        let told = b"f 644 0 0 1 1.0000000000 1.0000000000 1 1 8 65024\0a\0\0";
        for end in 1..told.len() {
            assert!(records(&mut &told[..end]).is_err(), "{end}");
        }
        assert_eq!(records(&mut &told[..]).unwrap().len(), 1);
    }

    #[test]
    fn whole_seconds_are_refused() {
        assert_eq!(moment(b"1795506265"), None);
        assert_eq!(moment(b"1795506265.25"), None);
    }

    fn ended(status: i32, stderr: &[u8]) -> Finished {
        Finished {
            status: Some(status),
            stderr: stderr.to_vec(),
        }
    }

    #[test]
    fn what_find_could_not_read_is_known_or_nothing_is_relied_on() {
        let one = b"find: '/a/b': Permission denied\nfind: '/a/c': No such file or directory\n";
        let known = complaints(&ended(1, one)).unwrap();
        assert_eq!(known[&b"/a/b"[..]], Errno::ACCESS);
        assert_eq!(known.len(), 2);
        assert!(complaints(&ended(1, b"find: '/a/b': the disk laughs\n")).is_err());
        assert!(complaints(&ended(1, b"")).is_err());
        assert!(complaints(&ended(137, one)).is_err());
        let long = one.repeat(STDERR_KEPT / one.len() + 1);
        assert!(complaints(&ended(1, &long)).is_err());
        assert!(
            complaints(&ended(0, b"find: WARNING: unlikely\n"))
                .unwrap()
                .is_empty()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_entries_or_refused(bytes: Vec<u8>) {
            records(&mut bytes.as_slice()).ok();
        }
    }
}
