//! Trees at the far end of a wire as the source, one after the other.
//!
//! Questions are asked ahead, so that a long way costs its time once and not once for each file:
//! pieces of the stream, files that were wished for, and more of a large file. What is under way at
//! any moment is bounded, and so is the memory of both ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::ftruncate;

use super::ahead::Ahead;
use super::delta::Rebuilding;
use super::room::Room;
use super::session::{
    self, ANSWER, Answer, Body, Extents, Opened, Piece, Question, hash, nonsense,
};
use super::{Part, Want};
use crate::error::{Doing, Error, Kind, Result};
use crate::replicate::Job;
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::compare::{fill, go_on};
use crate::replicate::outflow::Unpacker;
use crate::replicate::report::{At, End, Trouble};
use crate::replicate::scan::{Look, Moment};
use crate::replicate::transfer::write_all;

/// The way to a [`super::Session`] and back: messages, in order.
pub trait Pipe {
    /// Sends a question, which may not leave before [`Pipe::receive`] has to wait, or [`Pipe::flush`].
    fn send(&mut self, question: Vec<u8>) -> Result<()>;
    /// Has everything leave that was sent.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    /// Waits for the next answer.
    fn receive(&mut self) -> Result<Vec<u8>>;
}

/// Questions for the stream that are under way.
const PARTS_AHEAD: usize = 2;
/// Files that are under way.
const FILES_AHEAD: usize = 256;
/// What of it is asked for at once: few large messages cost less than many small ones.
const FILES_TOGETHER: usize = 16;
const BYTES_TOGETHER: u64 = 512 << 10;

/// Trees behind a [`Pipe`].
pub struct There {
    line: Rc<RefCell<Line>>,
    holder: Option<Look>,
    pieces: VecDeque<Piece>,
    /// Numbers of questions for more parts, and the tree that was at hand when they were put.
    asked_parts: VecDeque<(u64, u32)>,
    ended: Ended,
    /// Files that were asked for, in order.
    asked_files: VecDeque<Asked>,
    /// Files that will be.
    wishes: VecDeque<Wish>,
    /// For the answers for `asked_files`.
    room: Room,
    /// What of it was asked for and may not have left yet: files, bytes.
    queued: (usize, u64),
    /// The reading ahead of what is wanted whole.
    ahead: Option<Ahead>,
}

#[derive(PartialEq, Eq)]
struct Wish {
    path: Vec<u8>,
    want: Want,
    /// What its answer may come to.
    bytes: u64,
}

impl Wish {
    fn of(path: &[u8], want: Want, size: u64) -> Self {
        Self {
            path: path.to_vec(),
            want,
            bytes: match want {
                Want::Copy | Want::Update => size.min(ANSWER as u64),
                Want::Compare | Want::Attributes => 0,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    No,
    Yes,
}

struct Asked {
    number: u64,
    wish: Wish,
}

impl std::fmt::Debug for There {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("There").finish_non_exhaustive()
    }
}

/// Questions out, answers in; an answer that comes before it is waited for is kept.
pub(super) struct Line {
    pipe: Box<dyn Pipe>,
    /// The tree at hand.
    tree: u32,
    asked: u64,
    answered: u64,
    kept: BTreeMap<u64, Answer>,
    /// Questions whose answers nobody wants any more.
    forgotten: Vec<u64>,
    unpacker: Unpacker,
    /// How long answers were waited for.
    waited: Duration,
    /// Why nothing more can be asked.
    failed: Option<String>,
}

impl Line {
    pub(super) fn ask(&mut self, question: Question) -> Result<u64> {
        let number = self.queue(question)?;
        self.pipe.flush()?;
        Ok(number)
    }

    /// Asks what may wait for more questions.
    fn queue(&mut self, question: Question) -> Result<u64> {
        self.go_on()?;
        let question = session::Asked {
            tree: self.tree,
            waited: u64::try_from(self.waited.as_micros()).unwrap_or(u64::MAX),
            question,
        };
        let bytes = postcard::to_stdvec(&question).doing(Kind::Internal, || {
            "cannot put a question to the end that is read".to_owned()
        })?;
        self.pipe.send(bytes)?;
        self.asked += 1;
        Ok(self.asked - 1)
    }

    /// The answer to a question.
    pub(super) fn answer(&mut self, number: u64) -> Result<Answer> {
        loop {
            if let Some(answer) = self.kept.remove(&number) {
                let Answer::Failed(why) = answer else {
                    return Ok(answer);
                };
                self.failed = Some(why);
                self.go_on()?;
            }
            self.hear()?;
        }
    }

    fn go_on(&self) -> Result<()> {
        match &self.failed {
            Some(why) => Err(Error::new(Kind::Host, why.as_str())),
            None => Ok(()),
        }
    }

    /// Takes in the next answer that comes.
    fn hear(&mut self) -> Result<()> {
        let began = Instant::now();
        let bytes = self.pipe.receive()?;
        self.waited += began.elapsed();
        let number = self.answered;
        self.answered += 1;
        let bytes = self.unpacker.unpack(bytes).map_err(unreadable)?;
        let answer = postcard::from_bytes(&bytes).map_err(unreadable)?;
        if let Some(at) = self.forgotten.iter().position(|&n| n == number) {
            self.forgotten.swap_remove(at);
            return self.let_go(number, &answer);
        }
        self.kept.insert(number, answer);
        Ok(())
    }

    /// Nobody will wait for this answer.
    fn forget(&mut self, number: u64) -> Result<()> {
        if let Some(answer) = self.kept.remove(&number) {
            return self.let_go(number, &answer);
        }
        self.forgotten.push(number);
        Ok(())
    }

    /// A file that was opened and will not be read is closed.
    fn let_go(&mut self, number: u64, answer: &Answer) -> Result<()> {
        if let Answer::File(file) = answer
            && let Body::Start(Extents { end: None, .. }) | Body::Windows = file.body
        {
            let enough = self.ask(Question::Enough { file: number })?;
            self.forgotten.push(enough);
        }
        Ok(())
    }
}

fn unreadable(_: impl std::error::Error) -> Error {
    nonsense("with something unreadable")
}

impl There {
    /// Asks about the trees at the far end of a pipe.
    pub fn new(pipe: Box<dyn Pipe>) -> Self {
        let line = Line {
            pipe,
            tree: 0,
            asked: 0,
            answered: 0,
            kept: BTreeMap::new(),
            forgotten: Vec::new(),
            unpacker: Unpacker::default(),
            waited: Duration::ZERO,
            failed: None,
        };
        Self {
            line: Rc::new(RefCell::new(line)),
            holder: None,
            pieces: VecDeque::new(),
            asked_parts: VecDeque::new(),
            ended: Ended::No,
            asked_files: VecDeque::new(),
            wishes: VecDeque::new(),
            room: Room::default(),
            queued: (0, 0),
            ahead: None,
        }
    }

    /// Goes on to a tree. What was asked about the one before is not wanted any more.
    ///
    /// # Errors
    ///
    /// [`Kind::Host`] with the far end's words if it cannot tell of it.
    pub(super) fn begin(&mut self, number: usize) -> Result<()> {
        let number = u32::try_from(number).doing(Kind::Internal, || "too many trees".to_owned())?;
        {
            let mut line = self.line.borrow_mut();
            for asked in self.asked_files.drain(..) {
                line.forget(asked.number)?;
            }
            line.tree = number;
        }
        self.wishes.clear();
        self.ahead = None;
        self.room.give_all_back();
        self.queued = (0, 0);
        self.ended = Ended::No;
        loop {
            if let Piece::Tree { number: n, holder } = self.next()?
                && n >= number
            {
                if n > number {
                    return Err(nonsense("about another tree"));
                }
                self.holder = holder.map_err(|why| Error::new(Kind::Host, why))?;
                return Ok(());
            }
        }
    }

    /// Asks for files that were wished for, as many as may be under way.
    fn hurry(&mut self) -> Result<()> {
        while self.asked_files.len() < FILES_AHEAD
            && self.room.has_more()
            && let Some(wish) = self.wishes.pop_front()
        {
            self.room.take(wish.bytes);
            self.queued.0 += 1;
            self.queued.1 += wish.bytes;
            let asked = self.ask_file(wish)?;
            self.asked_files.push_back(asked);
        }
        if self.queued.0 >= FILES_TOGETHER || self.queued.1 >= BYTES_TOGETHER {
            self.line.borrow_mut().pipe.flush()?;
            self.queued = (0, 0);
        }
        Ok(())
    }

    fn ask_file(&self, wish: Wish) -> Result<Asked> {
        let question = Question::File {
            path: wish.path.clone(),
            want: wish.want,
        };
        let number = self.line.borrow_mut().queue(question)?;
        Ok(Asked { number, wish })
    }

    /// The number of the question for a file: the one that is under way if it was wished for. What
    /// was wished for before it is not wanted any more.
    fn number(&mut self, path: &[u8], want: Want) -> Result<u64> {
        self.hurry()?;
        let is_it = |wish: &Wish| wish.path == path && wish.want == want;
        if !self.asked_files.iter().any(|asked| is_it(&asked.wish)) {
            if let Some(at) = self.wishes.iter().position(is_it) {
                self.wishes.drain(..=at);
            }
            let (path, bytes) = (path.to_vec(), 0);
            return Ok(self.ask_file(Wish { path, want, bytes })?.number);
        }
        loop {
            let asked = self.asked_files.pop_front();
            let asked = asked.ok_or_else(|| nonsense("too little"))?;
            self.room.give_back(asked.wish.bytes);
            if is_it(&asked.wish) {
                return Ok(asked.number);
            }
            self.line.borrow_mut().forget(asked.number)?;
        }
    }
}

impl There {
    pub(super) fn holder(&self) -> Option<&Look> {
        self.holder.as_ref()
    }

    pub(super) fn part(&mut self) -> Result<Part> {
        if self.ended == Ended::Yes {
            return Ok(Part::End);
        }
        match self.next()? {
            Piece::Part(part) => {
                if matches!(part, Part::End) {
                    self.ended = Ended::Yes;
                }
                Ok(part)
            }
            Piece::Failed(why) => Err(Error::new(Kind::Host, why)),
            Piece::Tree { .. } => Err(nonsense("about another tree")),
        }
    }

    /// The next piece, of whichever tree.
    fn next(&mut self) -> Result<Piece> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(piece);
            }
            let mut line = self.line.borrow_mut();
            while self.asked_parts.len() < PARTS_AHEAD {
                let number = line.queue(Question::Parts)?;
                self.asked_parts.push_back((number, line.tree));
            }
            line.pipe.flush()?;
            let (number, tree) = self.asked_parts.pop_front().unwrap_or_default();
            let Answer::Parts(pieces) = line.answer(number)? else {
                return Err(nonsense("another question"));
            };
            // It does not run far ahead of the tree that it was asked for.
            if pieces.is_empty() && tree == line.tree {
                return Err(nonsense("with nothing"));
            }
            drop(line);
            let fresh = self.pieces.len();
            self.pieces.extend(pieces);
            self.read_ahead(fresh);
        }
    }

    pub(super) fn wish_all(&mut self, directory: &[u8]) {
        self.ahead = Some(Ahead::of(directory));
        self.read_ahead(0);
    }

    /// Wishes for what pieces from `fresh` on tell of, as far as all of it is wanted.
    fn read_ahead(&mut self, fresh: usize) {
        let Some(ahead) = &mut self.ahead else {
            return;
        };
        for piece in self.pieces.range(fresh..) {
            let Piece::Part(part) = piece else {
                // It begins only once it was asked for.
                self.ahead = None;
                return;
            };
            ahead.read(part, |path, size| {
                self.wishes.push_back(Wish::of(path, Want::Copy, size));
            });
            if !ahead.goes_on() {
                self.ahead = None;
                return;
            }
        }
    }

    pub(super) fn wish(&mut self, path: &[u8], want: Want, size: u64) {
        self.wishes.push_back(Wish::of(path, want, size));
    }

    pub(super) fn file(&mut self, path: &[u8], want: Want) -> Result<OpenThere, Trouble> {
        let number = self.number(path, want)?;
        let answer = self.line.borrow_mut().answer(number)?;
        self.hurry()?;
        match answer {
            Answer::File(opened) => Ok(OpenThere {
                line: Rc::clone(&self.line),
                number,
                opened,
                last: None,
            }),
            Answer::Trouble(far) => Err(far.into()),
            _ => Err(nonsense("another question").into()),
        }
    }
}

/// An open file at the far end.
pub(in crate::replicate) struct OpenThere {
    line: Rc<RefCell<Line>>,
    number: u64,
    opened: Box<Opened>,
    /// The look at it after it was read.
    last: Option<Look>,
}

impl OpenThere {
    pub(in crate::replicate) fn looked(&self) -> Moment {
        self.opened.looked
    }

    pub(in crate::replicate) fn look(&self) -> &Look {
        &self.opened.look
    }

    /// Of a file that is being copied they may be known only once it was read.
    pub(in crate::replicate) fn xattrs(&self) -> OwnXattrs {
        self.opened.xattrs.clone()
    }

    pub(in crate::replicate) fn same_as(
        &self,
        target: &OwnedFd,
        job: &Job<'_>,
    ) -> Result<bool, Trouble> {
        let Body::Digest { digest, length } = self.opened.body else {
            return Err(nonsense("without a digest").into());
        };
        let mut stopped = Ok(());
        let own = hash(|block, offset| {
            stopped = go_on(job);
            if stopped.is_err() {
                return Ok(0);
            }
            let read = fill(target, block, offset)?;
            job.progress
                .compared
                .fetch_add(read as u64, Ordering::Relaxed);
            Ok(read)
        });
        stopped?;
        let own = own.map_err(|errno| Trouble::Read(End::Copy, errno))?;
        Ok(own == (digest, length))
    }

    pub(in crate::replicate) fn write_to(
        &mut self,
        target: &OwnedFd,
        old: Option<&OwnedFd>,
        at: At<'_>,
        job: &Job<'_>,
    ) -> Result<bool, Trouble> {
        match (&mut self.opened.body, old) {
            (Body::Start(start), _) => {
                let start = std::mem::take(start);
                self.write_all(start, target, at, job)?;
                Ok(true)
            }
            (Body::Windows, Some(old)) => {
                let rebuilding = Rebuilding {
                    line: &mut self.line.borrow_mut(),
                    file: self.number,
                    size: self.opened.look.stamp.size,
                    old,
                    new: target,
                    at,
                    job,
                    room: Room::default(),
                };
                self.last = rebuilding.run()?;
                Ok(self.last.is_some())
            }
            _ => Err(nonsense("without content").into()),
        }
    }

    fn write_all(
        &mut self,
        mut extents: Extents,
        target: &OwnedFd,
        at: At<'_>,
        job: &Job<'_>,
    ) -> Result<(), Trouble> {
        let size = self.opened.look.stamp.size;
        let (mut under_way, mut room) = (VecDeque::new(), Room::default());
        let mut written = 0;
        let mut end = 0;
        let mut begun = false;
        loop {
            for (offset, bytes) in &extents.data {
                write_all(target, bytes, *offset).map_err(|e| at.refused("write", e))?;
                written += bytes.len() as u64;
                end = end.max(offset + bytes.len() as u64);
                job.progress
                    .copied
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            if let Some(end) = extents.end {
                self.last = Some(end);
                if let Some(xattrs) = extents.xattrs.take() {
                    self.opened.xattrs = xattrs;
                }
                break;
            }
            if begun && extents.data.is_empty() {
                return Err(nonsense("with nothing").into());
            }
            begun = true;
            go_on(job)?;
            let mut line = self.line.borrow_mut();
            let left = size.saturating_sub(written).div_ceil(ANSWER as u64).max(1);
            while (under_way.len() as u64) < left && room.has_more() {
                room.take(ANSWER as u64);
                under_way.push_back(line.ask(Question::More { file: self.number })?);
            }
            let next = under_way.pop_front().unwrap_or_default();
            room.give_back(ANSWER as u64);
            extents = match line.answer(next)? {
                Answer::More(extents) => extents,
                Answer::Trouble(far) => return Err(far.into()),
                _ => return Err(nonsense("another question").into()),
            };
        }
        let mut line = self.line.borrow_mut();
        for number in under_way {
            line.forget(number)?;
        }
        // It was empty, and ends where the last of it was written, unless that is a hole.
        if end != size {
            ftruncate(target, size).map_err(|e| at.refused("set the size", e))?;
        }
        Ok(())
    }

    pub(in crate::replicate) fn look_again(&self) -> Look {
        self.last.unwrap_or(self.opened.look)
    }
}

impl Drop for OpenThere {
    fn drop(&mut self) {
        let unread = match &self.opened.body {
            Body::Start(start) => start.end.is_none(),
            Body::Windows => true,
            Body::Nothing | Body::Digest { .. } => false,
        };
        if unread && self.last.is_none() {
            let mut line = self.line.borrow_mut();
            // A line that is broken says so to whoever asks next.
            if let Ok(number) = line.ask(Question::Enough { file: self.number }) {
                line.forgotten.push(number);
            }
        }
    }
}
