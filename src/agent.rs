//! The agent: this program as a helper on a host, started by [`crate::host::ssh`] and asked by
//! [`crate::host::remote`].
//!
//! It serves a [`DirHost`] at `/` and the ends of replications over its standard input and output,
//! and ends when its input does, or when nobody is heard there any more ([`patience`]): then the kernel lets its locks go, and what was begun is as after a
//! power cut, which every part of this program can bear. It decides nothing.

mod direct;
mod output;
mod patience;
mod program;
mod work;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use self::direct::{Direct, Link};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::remote::message::{Fault, Hello, Outcome, Request, decode, encode};
use crate::host::{DirHost, Guard, Host as _, ReadHost as _, Stat, real_path};
use crate::names::Side;
use crate::plan::change::IdMap;
use crate::raw::HostPath;
use crate::replicate::outflow::load;
use crate::replicate::{PendingIndex, Progress};
use crate::wire::{self, Frame};

pub use patience::Patient;
pub use program::digest;

/// Serves this machine as one side of a migration until the input ends.
///
/// # Errors
///
/// [`Kind::Host`] if the root cannot be opened or the streams break.
pub fn serve(
    side: Side,
    label: String,
    mut input: impl Read,
    output: impl Write + Send + 'static,
) -> Result<()> {
    let streams = || "the connection to the operator broke".to_owned();
    let hello = Hello {
        version: wire::VERSION,
        digest: program::own_digest()?,
        uid: rustix::process::geteuid().as_raw(),
    };
    program::vanish();
    let agent = Arc::new(Agent {
        host: DirHost::live(side, label)?,
        out: wire::Sender::new(Box::new(output)),
        boxes: Mutex::default(),
        things: Mutex::default(),
        direct: Direct::default(),
    });
    agent
        .out
        .send(wire::Kind::Hello, 0, &encode(&hello))
        .doing(Kind::Host, streams)?;
    let watched = Arc::downgrade(&agent);
    std::thread::spawn(move || work::tell_progress(&watched));
    let outflow = Arc::downgrade(&agent.host.outflow());
    std::thread::spawn(move || load::watch(&outflow));
    let ended = loop {
        match wire::read(&mut input).doing(Kind::Host, streams) {
            Ok(Some(frame)) => agent.take(frame)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    agent.let_go();
    ended
}

/// An agent at work.
struct Agent {
    host: DirHost,
    out: wire::Sender<Box<dyn Write + Send>>,
    boxes: Mutex<BTreeMap<u32, Inbox>>,
    things: Mutex<Things>,
    direct: Direct,
}

/// Where frames go that belong to a request under way.
enum Inbox {
    /// A session with the sources' end of replications.
    Questions(mpsc::Sender<Vec<u8>>),
    /// One that is asked over the data connection, by the number of the channel.
    Direct(Arc<Link>),
    /// Jobs of the engine.
    Job {
        answers: Answers,
        stop: Arc<AtomicBool>,
        progress: Arc<Progress>,
    },
    /// A program that is heard.
    Output(mpsc::Sender<()>),
}

/// Where the answers for jobs come from.
enum Answers {
    /// Through the operator's machine.
    Relay(mpsc::Sender<Vec<u8>>),
    /// Over the data connection, from the session of this number.
    Direct(Arc<Link>, u32),
}

impl Inbox {
    /// It is not wanted any more: whoever waits for something to come into it is told.
    fn close(self, channel: u32) {
        match self {
            Self::Job { stop, answers, .. } => {
                stop.store(true, Ordering::Relaxed);
                if let Answers::Direct(link, session) = answers {
                    link.end_job(session);
                }
            }
            Self::Direct(link) => link.end_session(channel),
            Self::Questions(_) | Self::Output(_) => {}
        }
    }
}

/// What is larger is sent only to whoever asks for it.
const LARGE: u64 = 256 << 10;

/// What is kept from one request to the next.
#[derive(Default)]
struct Things {
    next: u32,
    ids: Arc<IdMap>,
    locks: BTreeMap<u32, Guard>,
    indexes: BTreeMap<u32, PendingIndex>,
}

impl Things {
    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }
}

/// The answer for each path.
fn each<T>(
    paths: &[HostPath],
    answer: impl Fn(&HostPath) -> Result<T>,
) -> Vec<std::result::Result<T, Fault>> {
    let answers = paths.iter().map(answer);
    answers
        .map(|answer| answer.map_err(|error| Fault::from(&error)))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    fn take(self: &Arc<Self>, frame: Frame) -> Result<()> {
        let Frame {
            kind,
            channel,
            body,
        } = frame;
        match kind {
            wire::Kind::Call => self.begin(channel, decode(&body)?),
            wire::Kind::Cancel => {
                let inbox = lock(&self.boxes).remove(&channel);
                if let Some(inbox) = inbox {
                    inbox.close(channel);
                }
            }
            wire::Kind::Question | wire::Kind::Answer | wire::Kind::More => {
                match (kind, lock(&self.boxes).get(&channel)) {
                    // Whoever has ended does not read its post, and nobody waits for an answer.
                    (wire::Kind::Question, Some(Inbox::Questions(to)))
                    | (
                        wire::Kind::Answer,
                        Some(Inbox::Job {
                            answers: Answers::Relay(to),
                            ..
                        }),
                    ) => {
                        to.send(body).ok();
                    }
                    (wire::Kind::More, Some(Inbox::Output(to))) => {
                        to.send(()).ok();
                    }
                    _ => {}
                }
            }
            wire::Kind::Hello | wire::Kind::Reply | wire::Kind::Event => {
                let what = "the operator says what only an agent says";
                return Err(Error::new(Kind::Internal, what));
            }
        }
        Ok(())
    }

    /// Begins on a request, in a thread of its own: none waits for another.
    fn begin(self: &Arc<Self>, channel: u32, request: Request) {
        let agent = Arc::clone(self);
        match request {
            Request::Origins(trees) => {
                let (to, questions) = mpsc::channel();
                lock(&self.boxes).insert(channel, Inbox::Questions(to));
                std::thread::spawn(move || agent.answer(channel, trees, &questions));
            }
            Request::DirectOrigins(trees) => agent.begin_direct_answers(channel, trees),
            Request::Ask(probe) => {
                let (to, more) = mpsc::channel();
                lock(&self.boxes).insert(channel, Inbox::Output(to));
                std::thread::spawn(move || {
                    let outcome = agent.hear(channel, &probe, &more);
                    agent.reply(channel, outcome);
                });
            }
            request @ (Request::Compare { .. } | Request::Copy { .. }) => {
                agent.begin_job(channel, request);
            }
            request => {
                std::thread::spawn(move || {
                    let outcome = agent.perform(request);
                    agent.reply(channel, outcome);
                });
            }
        }
    }

    fn reply(&self, channel: u32, outcome: Result<Outcome>) {
        lock(&self.boxes).remove(&channel);
        let outcome = outcome.map_err(|error| Fault::from(&error));
        // If nobody hears it, the input has ended, and so will we.
        self.out
            .send(wire::Kind::Reply, channel, &encode(&outcome))
            .ok();
    }

    /// Everything that is done in one go.
    fn perform(&self, request: Request) -> Result<Outcome> {
        let host = &self.host;
        let done = |()| Outcome::Done;
        match request {
            Request::Lstat(path) => host.lstat(&path).map(Outcome::Stat),
            Request::Facts(questions) => {
                let facts = questions.iter().map(|question| self.fact(question));
                Ok(Outcome::Facts(facts.collect()))
            }
            Request::Stat(path) => host.stat(&path).map(Outcome::Stat),
            Request::Lstats(paths) => Ok(Outcome::Stats(each(&paths, |path| host.lstat(path)))),
            Request::Stats(paths) => Ok(Outcome::Stats(each(&paths, |path| host.stat(path)))),
            Request::RealPaths(paths) => {
                let real = |path: &HostPath| real_path(host, path);
                Ok(Outcome::RealPaths(each(&paths, real)))
            }
            Request::ReadLink(path) => host.read_link(&path).map(Outcome::Link),
            Request::List(dir) => host.list(&dir).map(Outcome::Names),
            Request::Read(path) => host.read(&path).map(Outcome::Content),
            Request::Space(path) => host.space(&path).map(Outcome::Space),
            Request::Replace { path, content, new } => host.replace(&path, &content, new).map(done),
            Request::Append { path, content, new } => host.append(&path, &content, new).map(done),
            Request::MakeDirs { dir, mode } => host.make_dirs(&dir, mode).map(done),
            Request::RenameNew { from, to } => host.rename_new(&from, &to).map(done),
            Request::RemoveFile(path) => host.remove_file(&path).map(done),
            Request::Sync(paths) => host.sync(&paths).map(done),
            Request::TryLock => Ok(Outcome::Lock(host.try_lock()?.map(|held| self.hold(held)))),
            Request::LockAccounts => Ok(Outcome::Lock(Some(self.hold(host.lock_accounts()?)))),
            Request::ClearAccountLocks => host.clear_account_locks().map(done),
            Request::Run(command) => host.run(&command).map(Outcome::Answer),
            Request::Clock => host.clock().map(Outcome::Clock),
            Request::ChangedSince { trees, since, most } => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                host.changed_since(&trees, since, most).map(Outcome::Paths)
            }
            Request::Track(trees) => host.track(&trees).map(Outcome::Untracked),
            Request::AddressTowards(to) => host.address_towards(to).map(Outcome::Address),
            Request::IsProgram(path) => host.is_program(&path).map(Outcome::IsProgram),
            Request::PutProgram(path) => host.put_program(&path).map(done),
            Request::KeepProgram { name, keep } => host.keep_program(&name, keep).map(done),
            Request::Writers(paths) => host.writers(&paths).map(Outcome::Writers),
            Request::Expose { address, ports } => {
                host.expose(address, &ports).map(Outcome::Exposure)
            }
            Request::Recipients(query) => host.recipients(&query).map(Outcome::Refusals),
            Request::Send(letter) => host.send(&letter).map(Outcome::Accepted),
            Request::Arm(arming) => host.arm(&arming).map(done),
            Request::Advance(advance) => host.advance(&advance).map(done),
            Request::Trip(name) => host.trip(&name).map(done),
            Request::Settle(settlement) => host.settle(&settlement).map(done),
            Request::Unlock(number) => {
                lock(&self.things).locks.remove(&number);
                Ok(Outcome::Done)
            }
            Request::Ids(ids) => {
                lock(&self.things).ids = Arc::new(ids);
                Ok(Outcome::Done)
            }
            Request::SetPace(pace) => host.set_pace(pace).map(done),
            Request::Commit(numbers) => {
                let missing = || Error::new(Kind::Internal, "no index of this number waits");
                let commit = |number| {
                    let index = lock(&self.things).indexes.remove(&number);
                    index.ok_or_else(missing)?.commit()
                };
                numbers.into_iter().try_for_each(commit).map(done)
            }
            Request::Forget(numbers) => {
                let mut things = lock(&self.things);
                things.indexes.retain(|number, _| !numbers.contains(number));
                Ok(Outcome::Done)
            }
            Request::Introduce => self.direct.introduce().map(Outcome::Key),
            Request::Listen(peer) => self.direct.listen(&peer).map(Outcome::Port),
            Request::Unlisten => {
                self.direct.close();
                Ok(Outcome::Done)
            }
            Request::Connect { peer, to } => {
                self.direct.connect(&peer, &to).map(Outcome::Connected)
            }
            Request::Origins(_)
            | Request::DirectOrigins(_)
            | Request::Ask(_)
            | Request::Compare { .. }
            | Request::Copy { .. } => Err(Error::new(Kind::Internal, "this request takes longer")),
        }
    }

    /// The reply to a question about a path; empty for one that has to be put alone: what is large, and
    /// what not everybody may read, is not kept there.
    fn fact(&self, question: &[u8]) -> Vec<u8> {
        let request = match decode(question) {
            Ok(Request::Read(path)) => match self.host.stat(&path) {
                Ok(Some(Stat { mode, size, .. })) if mode & 0o004 != 0 && size <= LARGE => {
                    Request::Read(path)
                }
                Ok(None) => Request::Read(path),
                _ => return Vec::new(),
            },
            Ok(
                request @ (Request::Lstat(_)
                | Request::Stat(_)
                | Request::ReadLink(_)
                | Request::List(_)
                | Request::Space(_)),
            ) => request,
            _ => return Vec::new(),
        };
        match self.perform(request) {
            Ok(outcome) => {
                let reply = encode(&Ok::<_, Fault>(outcome));
                let small = reply.len() as u64 <= LARGE;
                if small { reply } else { Vec::new() }
            }
            // To be said to whoever asks.
            Err(_) => Vec::new(),
        }
    }

    /// Stops what is under way and lets go of what is held.
    fn let_go(&self) {
        for (channel, inbox) in std::mem::take(&mut *lock(&self.boxes)) {
            inbox.close(channel);
        }
        self.direct.let_go();
        let held = std::mem::take(&mut *lock(&self.things));
        drop(held);
    }

    fn hold(&self, held: Guard) -> u32 {
        let mut things = lock(&self.things);
        let number = things.number();
        things.locks.insert(number, held);
        number
    }
}
