//! The records that a queue file of Postfix consists of: a type, a length in groups of seven bits, the
//! lowest first, and so many bytes. Postfix's `src/global/record.c` and `rec_type.h`.

use std::io::{self, BufRead, Read as _, Seek, SeekFrom, Write};

/// The types that are met here; `rec_type.h` has all of them.
pub mod kind {
    /// Sizes and counts, patched in last: only a file of the queue manager's has it.
    pub const SIZE: u8 = b'C';
    /// When the message was accepted.
    pub const TIME: u8 = b'T';
    /// `name=value`.
    pub const ATTRIBUTE: u8 = b'A';
    /// Sender.
    pub const SENDER: u8 = b'S';
    /// Recipient.
    pub const RECIPIENT: u8 = b'R';
    /// Recipient who has it.
    pub const DONE: u8 = b'D';
    /// Recipient before any rewriting.
    pub const ORIGINAL: u8 = b'O';
    /// The message begins.
    pub const MESSAGE: u8 = b'M';
    /// The end of a line of the message.
    pub const LINE: u8 = b'N';
    /// A part of a line.
    pub const PART: u8 = b'L';
    /// The message has ended.
    pub const EXTRACTED: u8 = b'X';
    /// The end.
    pub const END: u8 = b'E';
    /// The next record is elsewhere.
    pub const POINTER: u8 = b'p';
    /// Goes to somebody else.
    pub const REDIRECT: u8 = b'>';
    /// Each recipient gets a sender address of its own.
    pub const VERP: u8 = b'V';
    /// Deleted by an administrator.
    pub const KILLED: u8 = b'K';
}

/// No record is longer: `line_length_limit` is 2048, `header_size_limit` 102400 by default.
const LONGEST: u64 = 16 << 20;

/// More jumps than this are a loop.
const MOST_JUMPS: u32 = 1_000_000;

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its type.
    pub kind: u8,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Reads records, pointers followed.
#[derive(Debug)]
pub struct Records<R> {
    file: R,
    jumps: u32,
}

impl<R: BufRead + Seek> Records<R> {
    /// From the beginning of a file.
    pub const fn new(file: R) -> Self {
        Self { file, jumps: 0 }
    }

    /// The next record. A file that ends here was never finished.
    pub fn take(&mut self) -> io::Result<Record> {
        loop {
            let record = self.raw()?;
            if record.kind != kind::POINTER {
                return Ok(record);
            }
            self.jump(&record.data)?;
        }
    }

    fn raw(&mut self) -> io::Result<Record> {
        let mut byte = [0];
        self.file.read_exact(&mut byte)?;
        let kind = byte[0];
        let mut length = 0_u64;
        let mut shift = 0;
        loop {
            self.file.read_exact(&mut byte)?;
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return Err(malformed("a record's length never ends"));
            }
        }
        if length > LONGEST {
            return Err(malformed("a record is longer than any"));
        }
        let mut data = Vec::new();
        let read = self.file.by_ref().take(length).read_to_end(&mut data)?;
        if read as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Record { kind, data })
    }

    /// A pointer holds the offset, padded with spaces; 0 points nowhere.
    fn jump(&mut self, data: &[u8]) -> io::Result<()> {
        let offset = std::str::from_utf8(data)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .ok_or_else(|| malformed("a pointer points nowhere"))?;
        self.jumps += 1;
        if self.jumps > MOST_JUMPS {
            return Err(malformed("its pointers go in a circle"));
        }
        if offset > 0 {
            self.file.seek(SeekFrom::Start(offset))?;
        }
        Ok(())
    }
}

pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a record.
pub fn put(file: &mut impl Write, kind: u8, data: &[u8]) -> io::Result<()> {
    let mut head = vec![kind];
    let mut length = data.len();
    loop {
        let group = u8::try_from(length & 0x7f).expect("seven bits fit");
        length >>= 7;
        if length == 0 {
            head.push(group);
            break;
        }
        head.push(group | 0x80);
    }
    file.write_all(&head)?;
    file.write_all(data)
}
