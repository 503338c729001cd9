//! Reading a host's mailboxes: one question for all users, heard user by user.

mod session;

use std::io;

use super::frames::{Frames, Line, malformed};
use super::imap::list;
use super::mailbox::{Refusal, Seen};
use super::{Subject, Unable, pop3};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::probe::mailboxes::{Inbox, Mailboxes, Way, boundary};
use crate::host::{Ended, Hearing, HostState, Probe, ReadHost};
use session::{Ignored, Opened, Opening, Words, session};

/// What one question yields: the next user's mailboxes, the end, or that nobody can be read.
#[derive(Debug)]
pub(super) enum Next {
    /// Whether one of the sessions was cut off as well.
    User(Box<Seen>, bool),
    End,
    Unable(Unable),
}

/// Puts the question. `Err(Unable)` inside where this host cannot be asked at all.
pub(super) fn ask(
    host: &dyn ReadHost,
    way: Way,
    inbox: Inbox,
    subjects: &[Subject],
) -> Result<std::result::Result<Reader<Box<dyn Hearing>>, Unable>> {
    if host.state() == HostState::Offline {
        return Ok(Err(Unable::Offline));
    }
    let boundary = boundary()?;
    let probe = Probe::Mailboxes(Mailboxes {
        boundary: boundary.clone(),
        way,
        inbox,
        users: lines(subjects)?,
    });
    let what = format!("cannot read mailboxes on {}", host.label());
    Ok(match host.ask(&probe)? {
        Some(hearing) => Ok(Reader {
            what,
            inbox,
            users: subjects.len(),
            next: 0,
            frames: Some(Frames::new(hearing, &boundary)),
        }),
        None => Err(Unable::Offline),
    })
}

/// The users as the scripts read them.
fn lines(subjects: &[Subject]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        lines.extend_from_slice(number.to_string().as_bytes());
        let Subject { user, home, spool } = subject;
        for field in [user.as_bytes(), home.as_bytes(), spool.as_bytes()] {
            if field.is_empty() || field.iter().any(|byte| b"\t\n\0".contains(byte)) {
                let what =
                    format!("{user} ({home}, {spool}) has a name or path with tabs or line ends");
                return Err(Error::new(Kind::Malformed, what));
            }
            lines.push(b'\t');
            lines.extend_from_slice(field);
        }
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The answer, user by user in the order in which they were asked for.
pub(super) struct Reader<R> {
    what: String,
    inbox: Inbox,
    users: usize,
    next: usize,
    frames: Option<Frames<R>>,
}

impl Reader<Box<dyn Hearing>> {
    /// The next user's mailboxes.
    pub(super) fn next(&mut self) -> Result<Next> {
        let Some(frames) = &mut self.frames else {
            return Ok(Next::End);
        };
        let outcome = one(frames, self.next, self.inbox);
        let what = || self.what.clone();
        match outcome.doing(Kind::Host, what)? {
            Some(One::User(seen, cut)) if self.next < self.users => {
                self.next += 1;
                Ok(Next::User(seen, cut))
            }
            Some(One::Unable(unable)) => Ok(Next::Unable(unable)),
            // One that is left out without a word would pass for one without mail.
            Some(One::Finished) if self.next == self.users => {
                self.frames = None;
                Ok(Next::End)
            }
            Some(One::User(..) | One::Finished) => {
                let what = format!(
                    "{what}: {} of {} users were read",
                    self.next,
                    self.users,
                    what = what()
                );
                Err(Error::new(Kind::Host, what))
            }
            None => self.cut_short(),
        }
    }

    /// The answer ended before its end.
    fn cut_short(&mut self) -> Result<Next> {
        let hearing = self.frames.take().expect("it was just heard").into_inner();
        let why = match hearing.end()? {
            Ended::NotRun => {
                return Ok(Next::Unable(Unable::Cover(
                    "no namespace can be made".into(),
                )));
            }
            Ended::Hung => "the server says nothing more".to_owned(),
            Ended::Ran { status, stderr } => {
                let status =
                    status.map_or("a signal".to_owned(), |status| format!("status {status}"));
                let words = Words::of(&stderr);
                format!("it ended with {status} {words}")
                    .trim_end()
                    .to_owned()
            }
        };
        let what = format!(
            "{}: stopped after {} of {} users: {why}",
            self.what, self.next, self.users
        );
        Err(Error::new(Kind::Host, what).hint("run it again"))
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What is said between two users.
pub(super) enum One {
    User(Box<Seen>, bool),
    Unable(Unable),
    Finished,
}

/// The answers about the user of this number; `None` at the end of the stream.
pub(super) fn one<R: io::Read>(
    frames: &mut Frames<R>,
    number: usize,
    inbox: Inbox,
) -> io::Result<Option<One>> {
    let mut words = Words::default();
    loop {
        let Some(line) = frames.next()? else {
            return Ok(None);
        };
        match line {
            Line::Start(_) => {}
            Line::Words(more) => words.add(more),
            Line::Failed(why) => return Ok(Some(One::Unable(Unable::new(why, words.text)))),
            Line::Finished => return Ok(Some(One::Finished)),
            Line::User { number: n, asked } if n == number => {
                return user(frames, number, asked, inbox);
            }
            _ => return Err(malformed("an answer about nobody")),
        }
    }
}

fn user<R: io::Read>(
    frames: &mut Frames<R>,
    number: usize,
    asked: u64,
    inbox: Inbox,
) -> io::Result<Option<One>> {
    let (mut pop3, mut listed, mut imap, mut opened) = (None, None, None, None);
    let mut cut = false;
    loop {
        let Some(line) = frames.next()? else {
            return Ok(None);
        };
        match line {
            Line::Begin(b"pop3") => pop3 = session(frames, pop3::Session::default(), &mut cut)?,
            Line::Begin(b"list") => {
                listed = session(frames, list::Session::default(), &mut cut)?;
            }
            Line::Begin(b"folders") => {
                imap = match listed.take() {
                    Some(Ok(listed)) => match session(frames, Opening::of(listed), &mut cut)? {
                        Some((imap, answer)) => {
                            opened = Some(answer);
                            Some(imap)
                        }
                        None => return Ok(None),
                    },
                    // What the program complained of comes at its end.
                    Some(Err(refusal)) => {
                        let whole = refusal != Refusal::silence();
                        let words = session(frames, Ignored { whole }, &mut cut)?;
                        words.map(|words| Err(refusal.because(&words)))
                    }
                    None => return Err(malformed("folders before their list")),
                }
            }
            Line::Begin(b"inbox") => opened = session(frames, Opened::default(), &mut cut)?,
            Line::Done(n) if n == number => break,
            _ => return Err(malformed("an answer about somebody else")),
        }
    }
    let access = match inbox {
        Inbox::Leave => None,
        Inbox::Select => Some(match opened {
            Some(answer) => {
                cut |= answer.cut;
                answer.access
            }
            None => Err(Refusal::silence()),
        }),
    };
    match (pop3, imap) {
        (Some(pop3), Some(imap)) => {
            let seen = Seen {
                asked,
                pop3,
                imap,
                inbox: access,
            };
            Ok(Some(One::User(Box::new(seen), cut)))
        }
        _ => Err(malformed("an answer about a user with parts missing")),
    }
}

#[cfg(test)]
mod tests;
