//! Archives as tar writes them with `--format=posix`: POSIX.1-2001, pax(1), "pax Interchange Format".
//!
//! Read as a stream, and only what our tar writes: of other kinds of headers nothing is known. An
//! archive without its end is broken, whatever it held so far.

use std::io::{self, Read};

use super::malformed;
use crate::names::{Gid, Uid};
use crate::replicate::scan::Moment;

const BLOCK: usize = 512;

/// Extended headers hold names, times and extended attributes, of which a file has at most some
/// hundred KiB.
const LONGEST_EXTENSION: u64 = 16 << 20;

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replicate) struct Header {
    /// As it was asked for; of a directory with a slash at its end.
    pub(in crate::replicate) path: Vec<u8>,
    pub(in crate::replicate) kind: Member,
    /// Permission, setid and sticky bits.
    pub(in crate::replicate) mode: u32,
    pub(in crate::replicate) uid: Uid,
    pub(in crate::replicate) gid: Gid,
    pub(in crate::replicate) size: u64,
    pub(in crate::replicate) mtime: Moment,
    pub(in crate::replicate) ctime: Option<Moment>,
    /// Extended attributes, as they are on the host.
    pub(in crate::replicate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::replicate) enum Member {
    File,
    Directory,
    Other,
}

/// An archive that is being read. What it holds of the member at hand is what it gives as [`Read`].
#[derive(Debug)]
pub(in crate::replicate) struct Archive<R> {
    from: R,
    /// Bytes of the member at hand that were not read.
    left: u64,
    /// Bytes after them, to the end of its last block.
    padding: u64,
}

/// What the extended header says instead of the plain one.
#[derive(Debug, Default)]
struct Extension {
    path: Option<Vec<u8>>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    mtime: Option<Moment>,
    ctime: Option<Moment>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> Archive<R> {
    pub(in crate::replicate) fn new(from: R) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
        }
    }

    /// The next member; `None` at the archive's end. What is left of the one at hand is passed over.
    pub(in crate::replicate) fn next(&mut self) -> io::Result<Option<Header>> {
        let mut extension = Extension::default();
        loop {
            self.pass()?;
            let mut block = [0; BLOCK];
            self.from.read_exact(&mut block)?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            let plain = plain(&block).ok_or_else(|| malformed("an archive's header"))?;
            let (kind, mut header) = plain;
            match kind {
                b'x' => {
                    if header.size > LONGEST_EXTENSION {
                        return Err(malformed("a very long header of an archive"));
                    }
                    self.begin(header.size);
                    let mut records = Vec::new();
                    self.read_to_end(&mut records)?;
                    if records.len() as u64 != header.size {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    extension = Extension::read(&records)
                        .ok_or_else(|| malformed("an archive's extended header"))?;
                }
                b'0' | b'\0' | b'1'..=b'7' => {
                    extension.complete(&mut header);
                    self.begin(header.size);
                    return Ok(Some(header));
                }
                _ => return Err(malformed("an archive's member")),
            }
        }
    }

    /// Reads to the end of the stream, after the archive's.
    pub(in crate::replicate) fn finish(&mut self) -> io::Result<()> {
        while self.next()?.is_some() {}
        io::copy(&mut self.from, &mut io::sink())?;
        Ok(())
    }

    /// The stream, wherever it is.
    pub(in crate::replicate) fn into_inner(self) -> R {
        self.from
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Goes to the end of the member at hand.
    fn pass(&mut self) -> io::Result<()> {
        let rest = self.left + self.padding;
        let passed = io::copy(&mut self.from.by_ref().take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if passed == rest {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.by_ref().take(self.left).read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Type and plain header of a block, `ustar`; `None` if it is none.
fn plain(block: &[u8; BLOCK]) -> Option<(u8, Header)> {
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    // The sum's own field counts as spaces.
    let own: u64 = block[148..156].iter().map(|&byte| u64::from(byte)).sum();
    if number(&block[148..156])? != sum - own + 8 * u64::from(b' ') || &block[257..262] != b"ustar"
    {
        return None;
    }
    let text = |range: std::ops::Range<usize>| {
        let field = &block[range];
        let end = field.iter().position(|&byte| byte == 0);
        &field[..end.unwrap_or(field.len())]
    };
    let (name, prefix) = (text(0..100), text(345..500));
    let path = if prefix.is_empty() {
        name.to_vec()
    } else {
        [prefix, b"/", name].concat()
    };
    let kind = block[156];
    let size = number(&block[124..136])?;
    let header = Header {
        path,
        kind: match kind {
            b'0' | b'\0' | b'7' => Member::File,
            b'5' => Member::Directory,
            _ => Member::Other,
        },
        mode: u32::try_from(number(&block[100..108])?).ok()? & 0o7777,
        uid: Uid(u32::try_from(number(&block[108..116])?).ok()?),
        gid: Gid(u32::try_from(number(&block[116..124])?).ok()?),
        // A link of any sort has no content here, whatever it says.
        size: if matches!(kind, b'1'..=b'6') { 0 } else { size },
        mtime: Moment {
            seconds: i64::try_from(number(&block[136..148])?).ok()?,
            nanos: 0,
        },
        ctime: None,
        xattrs: Vec::new(),
    };
    Some((kind, header))
}

/// A number in octal, with spaces or NULs around it.
fn number(field: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(*byte, 0 | b' ');
    let start = field.iter().position(|byte| !blank(byte));
    let digits = &field[start.unwrap_or(field.len())..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(blank) || !digits.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(8)?.checked_add(u64::from(digit - b'0'))
    })
}

impl Extension {
    /// Records of the form `LENGTH KEY=VALUE\n`, each with its own length.
    fn read(mut records: &[u8]) -> Option<Self> {
        let mut extension = Self::default();
        while !records.is_empty() {
            let space = records.iter().position(|&byte| byte == b' ')?;
            let length: usize = text(&records[..space])?.parse().ok()?;
            let record = records.get(space + 1..length)?;
            records = &records[length..];
            let record = record.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            extension.take(&record[..equals], &record[equals + 1..])?;
        }
        Some(extension)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"uid" => self.uid = Some(text(value)?.parse().ok()?),
            b"gid" => self.gid = Some(text(value)?.parse().ok()?),
            b"size" => self.size = Some(text(value)?.parse().ok()?),
            b"mtime" => self.mtime = Some(decimal(text(value)?)?),
            b"ctime" => self.ctime = Some(decimal(text(value)?)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((attribute(name), value.to_vec()));
                }
            }
        }
        Some(())
    }

    fn complete(self, header: &mut Header) {
        header.path = self
            .path
            .unwrap_or_else(|| std::mem::take(&mut header.path));
        header.uid = self.uid.map_or(header.uid, Uid);
        header.gid = self.gid.map_or(header.gid, Gid);
        if header.kind == Member::File {
            header.size = self.size.unwrap_or(header.size);
        }
        header.mtime = self.mtime.unwrap_or(header.mtime);
        header.ctime = self.ctime;
        header.xattrs = self.xattrs;
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Seconds since the epoch, as a decimal number: -1.25 is three quarters after -2.
fn decimal(text: &str) -> Option<Moment> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds: i64 = whole.parse().ok()?;
    Some(if whole.starts_with('-') && nanos > 0 {
        Moment {
            seconds: seconds.checked_sub(1)?,
            nanos: 1_000_000_000 - nanos,
        }
    } else {
        Moment { seconds, nanos }
    })
}

/// The name of an attribute: tar writes `%3D` for `=`, and `%25` for `%`.
fn attribute(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, used) = match rest.get(..3) {
            Some(b"%3D") => (b'=', 3),
            Some(b"%25") => (b'%', 3),
            _ => (byte, 1),
        };
        out.push(byte);
        rest = if used == 1 { after } else { &rest[used..] };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_decimal_numbers() {
        // Of a file with `touch -d '1960-01-01 00:00:01.25'`, as tar 1.34 wrote it.
        let early = decimal("-315619198.75").unwrap();
        assert_eq!((early.seconds, early.nanos), (-315_619_199, 250_000_000));
        let late = decimal("1795506265.297540946").unwrap();
        assert_eq!((late.seconds, late.nanos), (1_795_506_265, 297_540_946));
        assert_eq!(decimal("17").unwrap().nanos, 0);
        assert_eq!(decimal("-0.5").unwrap().seconds, -1);
        assert_eq!(decimal("1.x"), None);
    }

    #[test]
    fn an_attributes_name_may_have_an_equals_sign() {
        assert_eq!(attribute(b"user.a%3Db%25c%2"), b"user.a=b%c%2");
    }

    #[test]
    fn extended_records_have_their_own_lengths() {
        let records = b"13 path=a\nb=c\n27 SCHILY.xattr.user.k=\n\x00\n21 size=8589934592000\n";
        // The first is one byte longer than it says.
        assert!(Extension::read(records).is_none());
        let records = b"14 path=a\nb=c\n27 SCHILY.xattr.user.k=\n\x00\n\n22 size=8589934592000\n";
        let read = Extension::read(records).unwrap();
        assert_eq!(read.path.unwrap(), b"a\nb=c");
        assert_eq!(read.size, Some(8_589_934_592_000));
        assert_eq!(read.xattrs, [(b"user.k".to_vec(), b"\n\x00\n".to_vec())]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_archive_or_refused(bytes: Vec<u8>) {
            Archive::new(bytes.as_slice()).finish().ok();
            Extension::read(&bytes);
        }
    }
}
