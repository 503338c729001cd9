//! The conversation with one agent: channels out, one thread that hears.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::message::{Event, Fault, Outcome, Request, decode, encode};
use crate::error::{Error, Kind, Result};
use crate::host::Answers;
use crate::replicate::{Held, Session};
use crate::wire::{self, Frame};

/// An open line to an agent. Dropped, the agent ends.
pub(crate) struct Line {
    // First of all the agent's input is closed.
    out: wire::Sender<Box<dyn Write + Send>>,
    heard: Arc<Heard>,
}

/// What the thread that hears works with; it ends with the agent's output.
struct Heard {
    label: String,
    ears: Mutex<Ears>,
    /// What the agent told last of its sessions.
    held: Mutex<Held>,
    bearer: Arc<dyn Bearer>,
}

/// What carries a line: an ssh connection, or nothing that could be asked.
pub trait Bearer: Send + Sync {
    /// Why the line is dead, if the bearer knows better than "it ended".
    fn why_lost(&self) -> Option<Error>;

    /// By which addresses the host is reached from here, as far as that is known.
    fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Nothing that could be asked.
impl Bearer for () {
    fn why_lost(&self) -> Option<Error> {
        None
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("label", &self.heard.label)
            .finish_non_exhaustive()
    }
}

/// Who hears what comes on which channel.
#[derive(Default)]
struct Ears {
    next: u32,
    open: BTreeMap<u32, Ear>,
    /// Why nothing more will come.
    broken: Option<String>,
}

enum Ear {
    /// Everything, until the reply.
    Frames(mpsc::Sender<Frame>),
    /// The answers of a source.
    Answers(Arc<Mutex<Answers>>),
}

/// One exchange; dropped, nobody hears it any more.
pub(super) struct Channel {
    line: Arc<Line>,
    pub(super) number: u32,
    pub(super) frames: Receiver<Frame>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.line.close(self.number);
    }
}

impl Heard {
    fn ears(&self) -> std::sync::MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, frame: Frame) {
        if frame.channel == 0
            && frame.kind == wire::Kind::Event
            && let Ok(Event::Held(held)) = decode(&frame.body)
        {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
            return;
        }
        let answers = {
            let mut ears = self.ears();
            match ears.open.get(&frame.channel) {
                // Of an exchange that nobody waits for any more.
                None => return,
                Some(Ear::Frames(to)) => {
                    let (channel, last) = (frame.channel, frame.kind == wire::Kind::Reply);
                    // One who does not listen any more has closed, or is about to.
                    to.send(frame).ok();
                    if last {
                        ears.open.remove(&channel);
                    }
                    return;
                }
                Some(Ear::Answers(answers)) => Arc::clone(answers),
            }
        };
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers(frame.body).is_err() {
            // The engine is gone, and whoever started it knows.
            self.ears().open.remove(&frame.channel);
        }
    }

    /// The line is dead: everybody who waits is told.
    fn break_off(&self, why: &str) {
        let open = {
            let mut ears = self.ears();
            ears.broken = Some(why.to_owned());
            std::mem::take(&mut ears.open)
        };
        for ear in open.into_values() {
            if let Ear::Answers(answers) = ear {
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                // The engine may be gone as well.
                answers(Session::refusal(&self.lost())).ok();
            }
        }
    }

    /// The error of a line that is dead.
    fn lost(&self) -> Error {
        if let Some(error) = self.bearer.why_lost() {
            return error;
        }
        let why = self.ears().broken.clone();
        let what = format!("the connection to {} was lost", self.label);
        let error = match why {
            Some(why) => Error::caused(Kind::Host, what, io::Error::other(why)),
            None => Error::new(Kind::Host, what),
        };
        error.hint("see that the host is up and reachable, and run reconcile again")
    }
}

impl Line {
    pub(super) fn open(
        label: String,
        mut from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        bearer: Arc<dyn Bearer>,
    ) -> Arc<Self> {
        let heard = Arc::new(Heard {
            label,
            ears: Mutex::default(),
            held: Mutex::default(),
            bearer,
        });
        let line = Arc::new(Self {
            out: wire::Sender::new(Box::new(to)),
            heard: Arc::clone(&heard),
        });
        std::thread::spawn(move || {
            let why = loop {
                match wire::read(&mut from) {
                    Ok(Some(frame)) => heard.hear(frame),
                    Ok(None) => break "it was closed".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            heard.break_off(&why);
        });
        let beating = Arc::downgrade(&line);
        std::thread::spawn(move || beat(&beating));
        line
    }

    /// How the host is named to people.
    pub(crate) fn label(&self) -> &str {
        &self.heard.label
    }

    /// By which addresses the host is reached from here.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.heard.bearer.addresses()
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, Ears> {
        self.heard.ears()
    }

    /// What held the agent's sessions so far.
    pub(super) fn held(&self) -> Held {
        let held = self.heard.held.lock();
        *held.unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a line that is dead.
    pub(super) fn lost(&self) -> Error {
        self.heard.lost()
    }

    pub(super) fn nonsense(&self) -> Error {
        let what = format!("the agent on {} answers another question", self.label());
        Error::new(Kind::Internal, what)
    }

    fn register(&self, ear: Ear) -> Result<u32> {
        let mut ears = self.ears();
        if ears.broken.is_some() {
            drop(ears);
            return Err(self.lost());
        }
        // Long before the numbers begin anew, the first are closed.
        ears.next = ears.next.wrapping_add(1);
        let number = ears.next;
        ears.open.insert(number, ear);
        Ok(number)
    }

    pub(super) fn close(&self, number: u32) {
        self.ears().open.remove(&number);
    }

    pub(super) fn send(&self, kind: wire::Kind, channel: u32, body: &[u8]) -> Result<()> {
        self.out
            .send(kind, channel, body)
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => {
                    Error::caused(Kind::Host, format!("cannot tell {}", self.label()), error)
                }
                _ => self.lost(),
            })
    }

    /// Opens a channel; the caller sends its request.
    pub(super) fn channel(self: &Arc<Self>) -> Result<Channel> {
        let (to, frames) = mpsc::channel();
        Ok(Channel {
            line: Arc::clone(self),
            number: self.register(Ear::Frames(to))?,
            frames,
        })
    }

    /// Opens a channel for the answers of a source.
    pub(super) fn answers(&self, answers: Answers) -> Result<u32> {
        self.register(Ear::Answers(Arc::new(Mutex::new(answers))))
    }

    /// Asks, and waits for the outcome.
    pub(super) fn call(self: &Arc<Self>, request: &Request) -> Result<Outcome> {
        let channel = self.channel()?;
        self.send(wire::Kind::Call, channel.number, &encode(request))?;
        loop {
            let frame = channel.frames.recv().map_err(|_| self.lost())?;
            if frame.kind == wire::Kind::Reply {
                return outcome(&frame.body);
            }
        }
    }

    /// Asks, and does not care about the outcome. A line that is dead needs telling nothing.
    pub(super) fn tell(&self, request: &Request) {
        let number = {
            let mut ears = self.ears();
            ears.next = ears.next.wrapping_add(1);
            ears.next
        };
        self.out
            .send(wire::Kind::Call, number, &encode(request))
            .ok();
    }
}

/// Says something as long as the line is open, so that the agent knows that we live: that more of an
/// answer that nobody waits for may come.
fn beat(line: &Weak<Line>) {
    loop {
        std::thread::sleep(wire::HEARTBEAT);
        let Some(line) = line.upgrade() else {
            return;
        };
        // Channel 0 is nobody's. Whoever uses a line that is dead is told so.
        if line.out.send(wire::Kind::More, 0, &[]).is_err() {
            return;
        }
    }
}

/// The outcome in the body of a reply.
pub(super) fn outcome(body: &[u8]) -> Result<Outcome> {
    let outcome: std::result::Result<Outcome, Fault> = decode(body)?;
    outcome.map_err(Fault::into_error)
}
