//! Answering questions about one tree: the far end of [`super::There`].

use std::collections::BTreeMap;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::delta::{Closed, Comparing, Span, Window};
use super::here::OpenHere;
use super::programs::Stream;
use super::{ByPrograms, Code, Here, Part, Want};
use crate::error::{Error, Kind, Result};
use crate::replicate::attributes::OwnXattrs;
use crate::replicate::compare::{BLOCK, fill};
use crate::replicate::report::{End, Trouble};
use crate::replicate::scan::{Look, Moment};
use crate::replicate::transfer::data_at;

/// What can be asked. Each question gets one answer, in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// The directory that the tree's place is in.
    Holder,
    /// More of the stream.
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
    Holder(Option<Look>),
    Parts(Vec<Part>),
    File(Box<Opened>),
    More(Extents),
    Window(Window),
    Closed(Box<Closed>),
    Enough,
    Trouble(Far),
    /// Nothing more can be asked.
    Failed(String),
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

/// Answers questions about one tree.
#[derive(Debug)]
pub struct Session {
    tree: Tree,
    /// Files that are being copied, by the number of their question.
    files: BTreeMap<u64, Reading>,
    asked: u64,
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
    ByPrograms(Stream),
}

#[derive(Debug)]
struct ReadingHere {
    file: OpenHere,
    offset: u64,
}

impl From<Here> for Session {
    fn from(tree: Here) -> Self {
        Self::about(Tree::Here(Box::new(tree)))
    }
}

impl From<ByPrograms> for Session {
    fn from(tree: ByPrograms) -> Self {
        Self::about(Tree::ByPrograms(Box::new(tree)))
    }
}

impl Session {
    fn about(tree: Tree) -> Self {
        Self {
            tree,
            files: BTreeMap::new(),
            asked: 0,
        }
    }

    /// Hears a question that will be put before long, after those that were heard already.
    pub fn hear(&mut self, question: &[u8]) {
        if let Tree::ByPrograms(tree) = &mut self.tree
            // One that cannot be understood is answered so.
            && let Ok(Question::File { path, want }) = postcard::from_bytes(question)
        {
            tree.wish(path, want);
        }
    }

    /// Answers one question.
    pub fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let number = self.asked;
        self.asked += 1;
        let answer = match postcard::from_bytes(question) {
            Ok(question) => self.consider(number, question),
            Err(error) => Answer::Failed(format!("no question: {error}")),
        };
        postcard::to_stdvec(&answer).expect("an answer is plain data")
    }

    /// The answer when there is no tree to ask about.
    pub fn refusal(error: &Error) -> Vec<u8> {
        let answer = Answer::Failed(crate::error::chain(error));
        postcard::to_stdvec(&answer).expect("an answer is plain data")
    }

    fn consider(&mut self, number: u64, question: Question) -> Answer {
        let answer = match question {
            Question::Holder => Ok(Answer::Holder(match &self.tree {
                Tree::Here(tree) => tree.holder().copied(),
                Tree::ByPrograms(tree) => tree.holder().copied(),
            })),
            Question::Parts => return self.parts().unwrap_or_else(|error| failed(&error)),
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

    fn parts(&mut self) -> Result<Answer> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while parts.len() < PARTS && bytes < ANSWER {
            let part = match &mut self.tree {
                Tree::Here(tree) => tree.part()?,
                Tree::ByPrograms(tree) => tree.part()?,
            };
            bytes += match &part {
                Part::Files { items, .. } => 128 * items.len(),
                _ => 256,
            };
            let end = matches!(part, Part::End);
            parts.push(part);
            if end {
                break;
            }
        }
        Ok(Answer::Parts(parts))
    }

    fn file(&mut self, number: u64, path: &[u8], want: Want) -> Result<Opened, Trouble> {
        let tree = match &mut self.tree {
            Tree::Here(tree) => tree,
            Tree::ByPrograms(tree) => {
                let (opened, rest) = tree.file(path, want)?;
                if let Some(rest) = rest {
                    self.files.insert(number, Reading::ByPrograms(rest));
                }
                return Ok(opened);
            }
        };
        let file = tree.file(path)?;
        let (looked, look, xattrs) = (file.looked, file.look, file.xattrs()?);
        let body = match want {
            Want::Attributes => Body::Nothing,
            Want::Compare => digest(&file)?,
            // Holes are told by what is sent.
            Want::Update if look.allocated >= look.stamp.size => {
                let comparing = Box::new(Comparing::new(file));
                self.files.insert(number, Reading::Comparing(comparing));
                Body::Windows
            }
            Want::Copy | Want::Update => {
                let mut reading = ReadingHere { file, offset: 0 };
                let start = reading.more()?;
                if start.end.is_none() {
                    self.files.insert(number, Reading::Here(reading));
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

    /// An answer of a file that was opened to be updated.
    fn comparing(
        &mut self,
        file: u64,
        answer: impl FnOnce(&mut Comparing) -> Result<Answer, Errno>,
    ) -> Result<Answer, Trouble> {
        match self.files.get_mut(&file) {
            Some(Reading::Comparing(comparing)) => {
                answer(comparing).map_err(|errno| Trouble::Read(End::Origin, errno))
            }
            _ => Err(Trouble::Changed),
        }
    }

    fn close(&mut self, file: u64) -> Result<Answer, Trouble> {
        match self.files.remove(&file) {
            Some(Reading::Comparing(comparing)) => {
                comparing.close().map(Box::new).map(Answer::Closed)
            }
            _ => Err(Trouble::Changed),
        }
    }

    /// One that has ended answers with nothing: it may be asked ahead.
    fn more(&mut self, file: u64) -> Result<Extents, Trouble> {
        let Some(reading) = self.files.get_mut(&file) else {
            return Ok(Extents::default());
        };
        let more = match (reading, &self.tree) {
            (Reading::Here(reading), _) => reading.more(),
            (Reading::ByPrograms(stream), Tree::ByPrograms(tree)) => tree.more(stream),
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

/// The content's digest, which the other side compares with its own.
fn digest(file: &OpenHere) -> Result<Body, Trouble> {
    let (digest, length) = hash(|block, offset| fill(&file.fd, block, offset))
        .map_err(|errno| Trouble::Read(End::Origin, errno))?;
    Ok(Body::Digest { digest, length })
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
