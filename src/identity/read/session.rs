//! What is said within one session, and complained of beside it.

use std::io;

use super::super::frames::{Frames, Line, malformed};
use super::super::imap::{self, examine, list};
use super::super::mailbox::{Access, Folders, Maildrop, Read, Refusal};
use super::super::pop3;

/// So much of a program's complaints is kept: the first of them say why.
const LONGEST_WORDS: usize = 600;

/// A session's lines become what they say.
pub(super) trait Session {
    /// What it says.
    type Said;
    /// Takes a line without its end.
    fn line(&mut self, line: &[u8]);
    /// Whether everything was answered, or refused.
    fn is_whole(&self) -> bool;
    /// The end, and what the program complained of.
    fn end(self, words: &str) -> Self::Said;
}

macro_rules! session {
    ($type:ty, $said:ty, $is_whole:expr) => {
        impl Session for $type {
            type Said = Read<$said>;
            fn line(&mut self, line: &[u8]) {
                <$type>::line(self, line);
            }
            fn is_whole(&self) -> bool {
                let is_whole: fn(&Self) -> bool = $is_whole;
                is_whole(self)
            }
            fn end(self, words: &str) -> Self::Said {
                <$type>::end(self, words)
            }
        }
    };
}
session!(pop3::Session, Maildrop, pop3::Session::is_whole);
// The same program goes on: how it ended is told with the folders.
session!(list::Session, list::Listed, |_| true);

/// The folders, and the opening of the INBOX at the end of the same session.
pub(super) struct Opening {
    folders: examine::Session,
    inbox: Opened,
}

impl Opening {
    pub(super) fn of(listed: list::Listed) -> Self {
        Self {
            folders: examine::Session::new(listed),
            inbox: Opened::default(),
        }
    }
}

impl Session for Opening {
    type Said = (Read<Folders>, Answer);

    fn line(&mut self, line: &[u8]) {
        self.inbox.line(line);
        self.folders.line(line);
    }

    /// Where the INBOX is opened in a session of its own it is not in this one.
    fn is_whole(&self) -> bool {
        self.folders.is_whole()
    }

    fn end(self, words: &str) -> Self::Said {
        (self.folders.end(words), self.inbox.end(words))
    }
}

/// A session that is passed over, because its first part was refused, or not whole: the complaints at
/// its end.
pub(super) struct Ignored {
    pub(super) whole: bool,
}

impl Session for Ignored {
    type Said = String;
    fn line(&mut self, _: &[u8]) {}
    fn is_whole(&self) -> bool {
        self.whole
    }
    fn end(self, words: &str) -> String {
        words.to_owned()
    }
}

/// The answer to SELECT.
#[derive(Default)]
pub(super) struct Opened(Option<Read<Access>>);

/// What became of a SELECT.
pub(super) struct Answer {
    pub(super) access: Read<Access>,
    /// The session ended before its answer, without a word.
    pub(super) cut: bool,
}

impl Session for Opened {
    type Said = Answer;

    fn line(&mut self, line: &[u8]) {
        if let Some(end) = imap::completion(line, "I") {
            self.0 = Some(match end {
                imap::Completion::Refused(words) => Err(Refusal(words)),
                imap::Completion::Ok if line.starts_with(b"I OK [READ-WRITE]") => {
                    Ok(Access::ReadWrite)
                }
                imap::Completion::Ok => Ok(Access::ReadOnly),
            });
        }
    }

    /// Whether it was wanted is known to who asked.
    fn is_whole(&self) -> bool {
        true
    }

    fn end(self, words: &str) -> Self::Said {
        let cut = self.0.is_none() && words.is_empty();
        let access = self.0.unwrap_or_else(|| Err(Refusal::silence()));
        Answer {
            access: access.map_err(|refusal| refusal.because(words)),
            cut,
        }
    }
}

/// Hears a session to its end; `None` at the end of the stream. One that ended before it had answered
/// everything, without a complaint, is `cut`.
pub(super) fn session<R: io::Read, S: Session>(
    frames: &mut Frames<R>,
    mut session: S,
    cut: &mut bool,
) -> io::Result<Option<S::Said>> {
    let mut words = Words::default();
    loop {
        match frames.next()? {
            None => return Ok(None),
            Some(Line::Said(line)) => {
                words.parting(line);
                session.line(line);
            }
            Some(Line::Words(more)) => words.add(more),
            Some(Line::End(_)) => {
                *cut |= !session.is_whole() && words.text.is_empty();
                return Ok(Some(session.end(words.told())));
            }
            Some(_) => return Err(malformed("a session without its end")),
        }
    }
}

/// What programs complained of, in one line.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) text: String,
    /// Why a session ended, where nobody logged out: `* BYE`, or what is logged as information.
    parting: String,
}

impl Words {
    pub(super) fn of(lines: &[u8]) -> String {
        let mut words = Self::default();
        lines
            .split(|&byte| byte == b'\n')
            .for_each(|line| words.add(line));
        words.text
    }

    /// The complaints, or else how the session ended.
    fn told(&self) -> &str {
        if self.text.is_empty() {
            &self.parting
        } else {
            &self.text
        }
    }

    /// Takes what the server says, which may be why it ends the session (RFC 9051, 7.1.5).
    fn parting(&mut self, line: &[u8]) {
        if line.starts_with(b"* BYE ") && !line.starts_with(b"* BYE Logging out") {
            self.parting = crate::raw::escape(&line[..line.len().min(LONGEST_WORDS)]);
        }
    }

    pub(super) fn add(&mut self, line: &[u8]) {
        let says = |words: &[u8]| line.windows(words.len()).any(|window| window == words);
        if says(b": Info: ") && !says(b": Logged out") && self.parting.is_empty() {
            self.parting = crate::raw::escape(&line[..line.len().min(LONGEST_WORDS)]);
        }
        // That somebody logged out is no complaint; a backtrace is none that helps.
        let noise = [&b": Info: "[..], b": Debug: ", b"Raw backtrace: "];
        let is_noise = noise.iter().any(|noise| says(noise));
        if line.is_empty() || self.text.len() >= LONGEST_WORDS || is_noise {
            return;
        }
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        let room = LONGEST_WORDS
            .saturating_sub(self.text.len())
            .min(line.len());
        self.text.push_str(&crate::raw::escape(&line[..room]));
    }
}
