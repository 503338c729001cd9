//! Answering questions about trees, one after the other: the far end of [`super::There`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::delta::{Closed, Comparing, Span, Window};
use super::here::OpenHere;
use super::programs;
use super::{ByPrograms, Code, Here, OriginTree, Part, Want};
use crate::error::{Error, Kind, Result};
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::compare::{BLOCK, fill};
use crate::replicate::outflow::{Counts, Outflow, Packer, Sent, Stream};
use crate::replicate::report::{End, Trouble};
use crate::replicate::scan::{Look, Moment};
use crate::replicate::transfer::data_at;

/// A question, and what its end knows of the way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The number of the tree that is at hand there. What is asked is about it, except for `Parts`; of
    /// earlier ones nothing more is wanted.
    pub(super) tree: u32,
    /// How long answers were waited for so far, in microseconds.
    pub(super) waited: u64,
    pub(super) question: Question,
}

/// What can be asked. Each question gets one answer, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// More of the stream, which goes on from tree to tree.
    Parts,
    /// A file.
    File { path: Vec<u8>, want: Want },
    /// More of a file that was opened to be copied; `file` is the number of its question.
    More { file: u64 },
    /// What of the next window of a file that was opened to be updated is other than what has this
    /// digest.
    Window { file: u64, digest: [u8; 32] },
    /// Some of what was other.
    Spans { file: u64, spans: Vec<Span> },
    /// That was all of a file that was opened to be updated.
    Close { file: u64 },
    /// Nothing more is wanted of that file.
    Enough { file: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Nothing if what there is to tell is too far ahead of the tree at hand.
    Parts(Vec<Piece>),
    File(Box<Opened>),
    More(Extents),
    Window(Window),
    Closed(Box<Closed>),
    Enough,
    Trouble(Far),
    /// Nothing more can be asked.
    Failed(String),
}

/// A piece of the stream of all trees.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Piece {
    /// The tree of this number begins; the directory that its place is in, `None` if even that is absent.
    /// Or why it cannot be told of, and then nothing of it follows.
    Tree {
        number: u32,
        holder: Result<Option<Look>, String>,
    },
    /// A piece of the tree that has begun.
    Part(Part),
    /// It cannot be told of any further, for this reason.
    Failed(String),
}

impl Answer {
    /// Bytes of files that it holds.
    fn content(&self) -> usize {
        let extents = match self {
            Self::More(extents) => extents,
            Self::File(opened) => match &opened.body {
                Body::Start(extents) => extents,
                Body::Nothing | Body::Digest { .. } | Body::Windows => return 0,
            },
            _ => return 0,
        };
        extents.data.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an answer is plain data")
    }
}

/// A file of the source, and what was wanted of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) looked: Moment,
    pub(super) look: Look,
    pub(super) xattrs: OwnXattrs,
    pub(super) body: Body,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Body {
    Nothing,
    /// BLAKE3 of the content and its length, to the end of the file.
    Digest {
        digest: [u8; 32],
        length: u64,
    },
    /// The beginning; nothing of it, if all is still to come.
    Start(Extents),
    /// It is gone through window by window.
    Windows,
}

/// Some of a file's data, in order, holes left out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Extents {
    #[serde(with = "super::pieces")]
    pub(super) data: Vec<(u64, Vec<u8>)>,
    /// The look at the file after its end was read; until then there is more.
    pub(super) end: Option<Look>,
    /// The file's attributes, if they come with the end and not with the beginning.
    pub(super) xattrs: Option<OwnXattrs>,
}

/// A [`Trouble`] of the far end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Far {
    Read(Code),
    Changed,
    OtherFileSystem,
}

impl From<Far> for Trouble {
    fn from(far: Far) -> Self {
        match far {
            Far::Read(code) => Self::Read(End::Origin, code.into()),
            Far::Changed => Self::Changed,
            Far::OtherFileSystem => Self::OtherFileSystem,
        }
    }
}

/// Data in one answer, and bytes of the stream's pieces, before the rest waits for the next.
pub(super) const ANSWER: usize = 256 * 1024;

/// Pieces of the stream in one answer.
const PARTS: usize = 256;

/// How many trees ahead of the one at hand are told of: an answer may hold many small ones. Each takes some
/// three open files until its turn has passed, a process may have 1024, and there are up to 32 sessions.
/// Programs of the host are not troubled with trees ahead.
const TREES_AHEAD: u32 = 6;

/// Opens a tree for a session.
type Open<'a> = Box<dyn FnMut(&OriginTree) -> Result<Told> + Send + 'a>;

/// Answers questions about trees, one after the other.
pub struct Session<'a> {
    trees: Vec<OriginTree>,
    open: Open<'a>,
    /// The one that is at hand where the questions come from.
    at_hand: u32,
    /// Those that are open, by their numbers.
    opened: BTreeMap<u32, Tree>,
    /// The one that is being told of, and the next.
    telling: Option<u32>,
    next: u32,
    /// Files that are being copied, by the number of their question; the tree that each is in.
    files: BTreeMap<u64, (u32, Reading)>,
    asked: u64,
    stream: Stream,
    packer: Packer,
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A tree that a session tells of.
#[derive(Debug)]
pub struct Told(Tree);

impl From<Here> for Told {
    fn from(tree: Here) -> Self {
        Self(Tree::Here(Box::new(tree)))
    }
}

impl From<ByPrograms> for Told {
    fn from(tree: ByPrograms) -> Self {
        Self(Tree::ByPrograms(Box::new(tree)))
    }
}

#[derive(Debug)]
enum Tree {
    /// On this machine.
    Here(Box<Here>),
    /// On a host where this program cannot run.
    ByPrograms(Box<ByPrograms>),
}

#[derive(Debug)]
enum Reading {
    Here(ReadingHere),
    Comparing(Box<Comparing>),
    ByPrograms(programs::Stream),
}

#[derive(Debug)]
struct ReadingHere {
    file: OpenHere,
    offset: u64,
}

impl<'a> Session<'a> {
    /// A session about trees of a host; `open` opens each when its turn comes, and `outflow` is the
    /// host's.
    pub fn new(
        trees: Vec<OriginTree>,
        outflow: Arc<Outflow>,
        open: impl FnMut(&OriginTree) -> Result<Told> + Send + 'a,
    ) -> Self {
        let stream = Stream::of(outflow);
        Self {
            trees,
            open: Box::new(open),
            at_hand: 0,
            opened: BTreeMap::new(),
            telling: None,
            next: 0,
            files: BTreeMap::new(),
            asked: 0,
            packer: stream.packer(),
            stream,
        }
    }

    /// Hears a question that will be put before long, after those that were heard already.
    pub fn hear(&mut self, question: &[u8]) {
        // One that cannot be understood is answered so.
        if let Ok(asked) = postcard::from_bytes::<Asked>(question)
            && let Question::File { path, want } = asked.question
            && let Some(Tree::ByPrograms(tree)) = self.opened.get_mut(&asked.tree)
        {
            tree.wish(path, want);
        }
    }

    /// Whether the answer may take a while, as when a large file is read to its end, or is large itself:
    /// what is ready should not wait for it.
    pub fn takes_time(question: &[u8]) -> bool {
        let question = postcard::from_bytes(question).map(|Asked { question, .. }| question);
        !matches!(
            question,
            Ok(Question::File {
                want: Want::Copy | Want::Attributes,
                ..
            })
        )
    }

    /// Answers one question, and returns when the answer may leave. To be called from one thread only.
    pub fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let asked = Instant::now();
        self.stream.begin();
        let number = self.asked;
        self.asked += 1;
        let limited_before = self.limited();
        let (waited, answer) = match postcard::from_bytes::<Asked>(question) {
            Ok(asked) => {
                self.go_on_to(asked.tree);
                (asked.waited, self.consider(number, asked.question))
            }
            Err(error) => (0, Answer::Failed(format!("no question: {error}"))),
        };
        let idle = self.limited().saturating_sub(limited_before);
        let counts = match self.opened.get(&self.at_hand) {
            Some(Tree::Here(_)) if answer.content() > 0 => Counts::Yes,
            // Programs wait on the way to here.
            Some(Tree::Here(_) | Tree::ByPrograms(_)) | None => Counts::No,
        };
        let listing = matches!(answer, Answer::Parts(_));
        let answer = answer.encode();
        let plain = answer.len() as u64;
        let (answer, packing) = if listing {
            // To a third, in less time than it takes to encrypt it twice on the way through the operator.
            // It says nothing about the content.
            (self.pack(answer).0, None)
        } else if self.stream.packs() {
            self.pack(answer)
        } else {
            (Packer::plain(answer), None)
        };
        self.stream.end(&Sent {
            asked,
            idle,
            waited: Duration::from_micros(waited),
            plain,
            wire: answer.len() as u64,
            packing,
            counts,
        });
        answer
    }

    /// Compresses an answer if it shrinks, and tells how long it took.
    fn pack(&mut self, answer: Vec<u8>) -> (Vec<u8>, Option<Duration>) {
        if !self.packer.is_worth(answer.len()) {
            return (Packer::plain(answer), None);
        }
        let began = Instant::now();
        match self.packer.packed(&answer) {
            Ok(packed) => (packed, Some(began.elapsed())),
            Err(error) => {
                let answer = Answer::Failed(format!("cannot compress an answer: {error}"));
                (Packer::plain(answer.encode()), None)
            }
        }
    }

    /// How long programs of the host were kept waiting for the limit.
    fn limited(&self) -> Duration {
        let each = self.opened.values().map(|tree| match tree {
            Tree::Here(_) => Duration::ZERO,
            Tree::ByPrograms(tree) => tree.limited(),
        });
        each.sum()
    }

    /// Another tree is at hand. What is left of those before it is not wanted any more.
    fn go_on_to(&mut self, tree: u32) {
        if tree > self.at_hand {
            self.at_hand = tree;
            self.opened = self.opened.split_off(&tree);
            self.files.retain(|_, (of, _)| *of >= tree);
            self.telling = self.telling.filter(|&told| told >= tree);
            self.next = self.next.max(tree);
        }
    }

    /// The answer when there is nothing to ask about any more.
    pub fn refusal(error: &Error) -> Vec<u8> {
        Packer::plain(failed(error).encode())
    }

    fn consider(&mut self, number: u64, question: Question) -> Answer {
        let answer = match question {
            Question::Parts => Ok(Answer::Parts(self.parts())),
            Question::File { path, want } => self
                .file(number, &path, want)
                .map(|file| Answer::File(Box::new(file))),
            Question::More { file } => self.more(file).map(Answer::More),
            Question::Window { file, digest } => {
                self.comparing(file, |file| file.window(&digest).map(Answer::Window))
            }
            Question::Spans { file, spans } => {
                self.comparing(file, |file| file.spans(&spans).map(Answer::More))
            }
            Question::Close { file } => self.close(file),
            Question::Enough { file } => {
                self.files.remove(&file);
                Ok(Answer::Enough)
            }
        };
        answer.unwrap_or_else(|trouble| match trouble {
            Trouble::Read(_, errno) => Answer::Trouble(Far::Read(errno.into())),
            Trouble::Changed => Answer::Trouble(Far::Changed),
            Trouble::OtherFileSystem => Answer::Trouble(Far::OtherFileSystem),
            Trouble::Fatal(error) => failed(&error),
        })
    }

    fn parts(&mut self) -> Vec<Piece> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while parts.len() < PARTS
            && bytes < ANSWER
            && let Some(piece) = self.piece()
        {
            bytes += match &piece {
                Piece::Part(Part::Files { items, .. }) => 128 * items.len(),
                _ => 256,
            };
            parts.push(piece);
        }
        parts
    }

    /// The next piece, of whichever tree has its turn.
    fn piece(&mut self) -> Option<Piece> {
        let telling = self.telling.and_then(|number| self.opened.get_mut(&number));
        if let Some(tree) = telling {
            let part = match tree {
                Tree::Here(tree) => tree.part(),
                Tree::ByPrograms(tree) => tree.part(),
            };
            let failed = |error| Piece::Failed(crate::error::chain(&error));
            let piece = part.map_or_else(failed, Piece::Part);
            if let Piece::Part(Part::End) | Piece::Failed(_) = piece {
                self.telling = None;
            }
            return Some(piece);
        }
        let number = self.next;
        let programs = |tree: &Tree| matches!(tree, Tree::ByPrograms(_));
        let ahead = if self.opened.values().any(programs) {
            0
        } else {
            TREES_AHEAD
        };
        if number > self.at_hand.saturating_add(ahead) {
            return None;
        }
        let tree = self.trees.get(usize::try_from(number).ok()?)?;
        self.next += 1;
        let holder = match (self.open)(tree) {
            Ok(Told(tree)) => {
                let holder = match &tree {
                    Tree::Here(tree) => tree.holder().copied(),
                    Tree::ByPrograms(tree) => tree.holder().copied(),
                };
                self.opened.insert(number, tree);
                self.telling = Some(number);
                Ok(holder)
            }
            Err(error) => Err(crate::error::chain(&error)),
        };
        Some(Piece::Tree { number, holder })
    }

    fn file(&mut self, number: u64, path: &[u8], want: Want) -> Result<Opened, Trouble> {
        let at_hand = self.at_hand;
        let mut keep = |reading| self.files.insert(number, (at_hand, reading));
        let tree = match self.opened.get_mut(&at_hand) {
            Some(Tree::Here(tree)) => tree,
            Some(Tree::ByPrograms(tree)) => {
                let (opened, rest) = tree.file(path, want)?;
                if let Some(rest) = rest {
                    keep(Reading::ByPrograms(rest));
                }
                return Ok(opened);
            }
            None => return Err(Trouble::Changed),
        };
        let file = tree.file(path)?;
        let (looked, look, xattrs) = (file.looked, file.look, file.xattrs()?);
        let body = match want {
            Want::Attributes => Body::Nothing,
            Want::Compare => self.digest(&file)?,
            // Holes are told by what is sent.
            Want::Update if look.allocated >= look.stamp.size => {
                let comparing = Box::new(Comparing::new(file));
                keep(Reading::Comparing(comparing));
                Body::Windows
            }
            Want::Copy | Want::Update => {
                let mut reading = ReadingHere { file, offset: 0 };
                let start = reading.more()?;
                if start.end.is_none() {
                    keep(Reading::Here(reading));
                }
                Body::Start(start)
            }
        };
        Ok(Opened {
            looked,
            look,
            xattrs,
            body,
        })
    }

    /// The content's digest, which the other side compares with its own.
    fn digest(&mut self, file: &OpenHere) -> Result<Body, Trouble> {
        let mut began = Instant::now();
        let hashed = hash(|block, offset| {
            self.stream.breathe(began.elapsed());
            began = Instant::now();
            fill(&file.fd, block, offset)
        });
        let (digest, length) = hashed.map_err(|errno| Trouble::Read(End::Origin, errno))?;
        Ok(Body::Digest { digest, length })
    }

    /// An answer of a file that was opened to be updated.
    fn comparing(
        &mut self,
        file: u64,
        answer: impl FnOnce(&mut Comparing) -> Result<Answer, Errno>,
    ) -> Result<Answer, Trouble> {
        match self.files.get_mut(&file) {
            Some((_, Reading::Comparing(comparing))) => {
                answer(comparing).map_err(|errno| Trouble::Read(End::Origin, errno))
            }
            _ => Err(Trouble::Changed),
        }
    }

    fn close(&mut self, file: u64) -> Result<Answer, Trouble> {
        match self.files.remove(&file) {
            Some((_, Reading::Comparing(comparing))) => {
                comparing.close().map(Box::new).map(Answer::Closed)
            }
            _ => Err(Trouble::Changed),
        }
    }

    /// One that has ended answers with nothing: it may be asked ahead.
    fn more(&mut self, file: u64) -> Result<Extents, Trouble> {
        let Some((tree, reading)) = self.files.get_mut(&file) else {
            return Ok(Extents::default());
        };
        let more = match (reading, self.opened.get(tree)) {
            (Reading::Here(reading), _) => reading.more(),
            (Reading::ByPrograms(stream), Some(Tree::ByPrograms(tree))) => tree.more(stream),
            (Reading::ByPrograms(_) | Reading::Comparing(_), _) => Err(Trouble::Changed),
        };
        if !matches!(more, Ok(Extents { end: None, .. })) {
            self.files.remove(&file);
        }
        more
    }
}

fn failed(error: &Error) -> Answer {
    Answer::Failed(crate::error::chain(error))
}

impl ReadingHere {
    fn more(&mut self) -> Result<Extents, Trouble> {
        let unreadable = |errno| Trouble::Read(End::Origin, errno);
        let size = self.file.look.stamp.size;
        let mut extents = Extents::default();
        let mut room = ANSWER;
        while room > 0 && self.offset < size {
            let found = if self.file.look.allocated >= size {
                Some((self.offset, size))
            } else {
                data_at(&self.file.fd, self.offset).map_err(unreadable)?
            };
            let Some((start, end)) = found else {
                self.offset = size;
                break;
            };
            let length = end.min(size) - start.min(size);
            let length = usize::try_from(length).unwrap_or(ANSWER).min(room);
            let mut bytes = vec![0; length];
            let read = fill(&self.file.fd, &mut bytes, start).map_err(unreadable)?;
            bytes.truncate(read);
            self.offset = if read < length {
                // It became shorter; the look at the end tells.
                size
            } else {
                start + read as u64
            };
            room -= length;
            if read > 0 {
                extents.data.push((start, bytes));
            }
        }
        if self.offset >= size {
            extents.end = Some(self.file.look_again()?);
        }
        Ok(extents)
    }
}

/// BLAKE3 and length of what `read` gives, to its end.
pub(super) fn hash(
    mut read: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
) -> Result<([u8; 32], u64), Errno> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    loop {
        let read = read(&mut block, offset)?;
        hasher.update(&block[..read]);
        offset += read as u64;
        if read < BLOCK {
            return Ok((hasher.finalize().into(), offset));
        }
    }
}

/// A question that makes no sense is a defect, or an attack.
pub(super) fn nonsense(what: &str) -> Error {
    Error::new(
        Kind::Internal,
        format!("the end that is read answers {what}"),
    )
}
