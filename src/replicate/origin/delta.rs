//! What of a large file is other than the version that the target has.
//!
//! The file is gone through window by window. The target's end sends the digest of its own bytes of
//! a window, the source's end says that it has the same, or the digests of its blocks there; of these
//! the blocks that differ are asked for. So an appended mbox costs its tail, a changed flag a block, and
//! the rest a few bytes for each window. Data that only moved within a file is sent again.
//!
//! The source hashes the whole file as it goes. The new file is compared with that digest before
//! it counts, so nothing hangs on the short digests of blocks, or on the old version standing still.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::ftruncate;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::here::OpenHere;
use super::room::Room;
use super::session::{ANSWER, Answer, Extents, Question, hash, nonsense};
use super::there::Line;
use crate::replicate::Job;
use crate::replicate::compare::{fill, go_on};
use crate::replicate::report::{At, End, Trouble};
use crate::replicate::scan::Look;
use crate::replicate::transfer::{copy_span, write_all};

/// Smaller files are sent whole.
pub(in crate::replicate) const LEAST: u64 = 64 * 1024;

/// A window is about what is read at once, a block what the head of one letter takes.
const WINDOW: usize = 1024 * 1024;
const BLOCK: usize = 8 * 1024;

/// Windows that are under way: answers are small.
const WINDOWS_AHEAD: usize = 256;

/// BLAKE3 of a window.
type Digest = [u8; 32];
/// The beginning of that of a block.
type Short = [u8; 16];

/// The source's answer for one window.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Window {
    /// The same bytes, to the end of the file if that comes first.
    Same,
    /// Other bytes: the digests of its blocks.
    Blocks(Vec<Short>),
}

/// The source's last word on a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Closed {
    /// The look at it after all of it was read.
    pub(super) look: Look,
    /// Of everything that was read.
    digest: Digest,
}

/// A span of a file: offset and length.
pub(super) type Span = (u64, u32);

fn short(bytes: &[u8]) -> Short {
    let mut short = Short::default();
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// A file of the source that is being gone through.
#[derive(Debug)]
pub(super) struct Comparing {
    file: OpenHere,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// Where the next window begins.
    offset: u64,
}

impl Comparing {
    pub(super) fn new(file: OpenHere) -> Self {
        Self {
            file,
            hasher: blake3::Hasher::new(),
            buffer: Vec::new(),
            offset: 0,
        }
    }

    /// Goes on to the next window, of which the target's end has bytes with this digest.
    pub(super) fn window(&mut self, theirs: &Digest) -> Result<Window, Errno> {
        self.buffer.resize(WINDOW, 0);
        let read = fill(&self.file.fd, &mut self.buffer, self.offset)?;
        self.offset += WINDOW as u64;
        let bytes = &self.buffer[..read];
        self.hasher.update(bytes);
        Ok(if blake3::hash(bytes).as_bytes() == theirs {
            Window::Same
        } else {
            Window::Blocks(bytes.chunks(BLOCK).map(short).collect())
        })
    }

    /// Reads some of what differs.
    pub(super) fn spans(&self, spans: &[Span]) -> Result<Extents, Errno> {
        let mut data = Vec::new();
        let mut room = ANSWER;
        for &(offset, length) in spans {
            let length = usize::try_from(length).unwrap_or(ANSWER).min(room);
            room -= length;
            let mut bytes = vec![0; length];
            let read = fill(&self.file.fd, &mut bytes, offset)?;
            bytes.truncate(read);
            data.push((offset, bytes));
        }
        Ok(Extents {
            data,
            ..Extents::default()
        })
    }

    pub(super) fn close(self) -> Result<Closed, Trouble> {
        Ok(Closed {
            look: self.file.look_again()?,
            digest: self.hasher.finalize().into(),
        })
    }
}

/// Makes a file of the target from its old version and the source's changes.
pub(super) struct Rebuilding<'a> {
    pub(super) line: &'a mut Line,
    /// The number of the question that opened the file.
    pub(super) file: u64,
    /// The source's size.
    pub(super) size: u64,
    pub(super) old: &'a OwnedFd,
    pub(super) new: &'a OwnedFd,
    pub(super) at: At<'a>,
    pub(super) job: &'a Job<'a>,
    /// For blocks.
    pub(super) room: Room,
}

impl Rebuilding<'_> {
    /// The source's look at the end; `None` if the result is not the source's file.
    pub(super) fn run(mut self) -> Result<Option<Look>, Trouble> {
        let mut windows = VecDeque::new();
        let mut spans = VecDeque::new();
        let mut buffer = vec![0; WINDOW];
        let mut next = 0;
        loop {
            go_on(self.job)?;
            while windows.len() < WINDOWS_AHEAD && next < self.size {
                let read = self.read_old(&mut buffer, next)?;
                let digest = blake3::hash(&buffer[..read]).into();
                let file = self.file;
                let number = self.line.ask(Question::Window { file, digest })?;
                windows.push_back((number, next));
                next += WINDOW as u64;
            }
            let Some((number, start)) = windows.pop_front() else {
                break;
            };
            let end = (start + WINDOW as u64).min(self.size);
            match self.line.answer(number)? {
                Answer::Window(Window::Same) => {
                    copy_span(self.job, self.at, self.old, self.new, start, end)?;
                }
                Answer::Window(Window::Blocks(theirs)) => {
                    let read = self.read_old(&mut buffer, start)?;
                    let ours = &buffer[..read];
                    self.window(start..end, &theirs, ours, &mut spans)?;
                }
                Answer::Trouble(far) => return Err(far.into()),
                _ => return Err(nonsense("another question").into()),
            }
            while !self.room.has_more() {
                self.receive(&mut spans)?;
            }
        }
        while !spans.is_empty() {
            self.receive(&mut spans)?;
        }
        self.close()
    }

    fn read_old(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Trouble> {
        let read =
            fill(self.old, buffer, offset).map_err(|errno| Trouble::Read(End::Copy, errno))?;
        self.job
            .progress
            .compared
            .fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    /// Writes the blocks of a window that both have, and asks for the others.
    fn window(
        &mut self,
        range: Range<u64>,
        theirs: &[Short],
        ours: &[u8],
        under_way: &mut VecDeque<u64>,
    ) -> Result<(), Trouble> {
        let mut wanted: Vec<Span> = Vec::new();
        let mut room = ANSWER;
        let mut ours = ours.chunks(BLOCK);
        for (offset, theirs) in range.clone().step_by(BLOCK).zip(theirs) {
            let length = (range.end - offset).min(BLOCK as u64);
            let length = usize::try_from(length).unwrap_or(BLOCK);
            if let Some(ours) = ours.next()
                && ours.len() == length
                && short(ours) == *theirs
            {
                self.write(ours, offset)?;
                continue;
            }
            if length > room {
                under_way.push_back(self.ask(std::mem::take(&mut wanted))?);
                room = ANSWER;
            }
            room -= length;
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            match wanted.last_mut() {
                Some((start, so_far)) if *start + u64::from(*so_far) == offset => {
                    *so_far += length;
                }
                _ => wanted.push((offset, length)),
            }
        }
        if !wanted.is_empty() {
            under_way.push_back(self.ask(wanted)?);
        }
        Ok(())
    }

    fn ask(&mut self, spans: Vec<Span>) -> Result<u64, Trouble> {
        let file = self.file;
        self.room.take(ANSWER as u64);
        Ok(self.line.ask(Question::Spans { file, spans })?)
    }

    /// Takes in the first answer that is under way.
    fn receive(&mut self, under_way: &mut VecDeque<u64>) -> Result<(), Trouble> {
        let number = under_way.pop_front().unwrap_or_default();
        self.room.give_back(ANSWER as u64);
        match self.line.answer(number)? {
            Answer::More(extents) => extents
                .data
                .iter()
                .try_for_each(|(offset, bytes)| self.write(bytes, *offset)),
            Answer::Trouble(far) => Err(far.into()),
            _ => Err(nonsense("another question").into()),
        }
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Trouble> {
        write_all(self.new, bytes, offset).map_err(|e| self.at.refused("write", e))?;
        self.job
            .progress
            .copied
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Compares what was made with what the source has read.
    fn close(self) -> Result<Option<Look>, Trouble> {
        let number = self.line.ask(Question::Close { file: self.file })?;
        ftruncate(self.new, self.size).map_err(|e| self.at.refused("set the size", e))?;
        let (digest, _) = hash(|block, offset| fill(self.new, block, offset))
            .map_err(|errno| Trouble::Read(End::Copy, errno))?;
        match self.line.answer(number)? {
            Answer::Closed(closed) => Ok((closed.digest == digest).then_some(closed.look)),
            Answer::Trouble(far) => Err(far.into()),
            _ => Err(nonsense("another question").into()),
        }
    }
}
