//! Files of an index by their inode on the source.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use super::{Record, Stamp, read_record};

/// More files are not looked up: an entry takes 16 bytes of memory.
const MOST: u64 = 1_000_000;

/// Inodes of one tree, with where their records are.
#[derive(Debug)]
pub(super) struct Inodes {
    /// In order.
    at: Vec<(u64, u64)>,
}

impl Inodes {
    /// Reads the records of the tree that begins at an offset; `None` if there are too many.
    pub(super) fn read(file: &File, offset: u64, files: u64) -> Option<Self> {
        if files > MOST {
            return None;
        }
        let mut at = Vec::with_capacity(usize::try_from(files).ok()?);
        let mut records = Counted {
            from: BufReader::new(At { file, offset }),
            offset,
        };
        loop {
            let offset = records.offset;
            match read_record(&mut records).ok()? {
                Record::File { source, .. } => at.push((source.ino, offset)),
                _ => break,
            }
        }
        at.sort_unstable();
        Some(Self { at })
    }

    /// The file that had this inode: its path, and the stamps of both sides.
    pub(super) fn find(&self, file: &File, ino: u64) -> Option<(Vec<u8>, Stamp, Stamp)> {
        let found = self.at.binary_search_by_key(&ino, |&(ino, _)| ino).ok()?;
        let offset = self.at[found].1;
        match read_record(&mut At { file, offset }).ok()? {
            Record::File {
                path,
                source,
                target,
            } => Some((path, source, target)),
            _ => None,
        }
    }
}

/// A file from an offset on; others read it, too.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Tells where the next record begins.
struct Counted<R> {
    from: R,
    offset: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}
