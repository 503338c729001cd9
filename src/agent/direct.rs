//! The data connection as an agent uses it: sessions with trees of this host that the other one may
//! ask about, and questions of ours about the other's.
//!
//! The other agent may be anybody's by now, so it gets no more than it would get through the operator:
//! answers about trees that the operator opened for it, as long as they are open. Frames other than
//! questions, answers and signs of life end the connection.

use std::collections::BTreeMap;
use std::io::{self, BufReader, BufWriter};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::direct::{
    self, HEARTBEAT, HangUp, Identity, Incoming, Listening, Outgoing, PublicKey, Secured,
};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::remote::message::Port;
use crate::wire::{self, Frame};

/// Questions of one session that wait for their answers. The engine asks less far ahead; whoever asks
/// more waits.
const MOST_QUESTIONS: usize = 1024;

/// What an agent has of a data connection.
#[derive(Default)]
pub(super) struct Direct(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    identity: Option<Identity>,
    listening: Option<Listening>,
    link: Option<Arc<Link>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Direct {
    /// Who we are on the next connection. Each has keys of its own, so that what is left of an attempt
    /// is nobody's peer.
    pub(super) fn introduce(&self) -> Result<PublicKey> {
        let identity = Identity::new()?;
        let key = identity.public_key();
        lock(&self.0).identity = Some(identity);
        Ok(key)
    }

    /// Opens a port for the other agent.
    pub(super) fn listen(&self, peer: &PublicKey) -> Result<Port> {
        let identity = Identity::new()?;
        let shared = Arc::downgrade(&self.0);
        let listening = direct::listen(&identity, peer, move |secured| {
            // An agent that has ended meets nobody.
            if let Some(shared) = shared.upgrade()
                && let Ok(link) = Link::open(secured)
            {
                lock(&shared).link = Some(Arc::clone(&link));
                link.come_to_life();
            }
        })?;
        let port = Port {
            key: identity.public_key(),
            number: listening.port(),
            addresses: listening.addresses()?,
        };
        lock(&self.0).listening = Some(listening);
        Ok(port)
    }

    /// Closes the port.
    pub(super) fn close(&self) {
        lock(&self.0).listening = None;
    }

    /// Connects to the other agent, which listens at one of these addresses.
    pub(super) fn connect(&self, peer: &PublicKey, to: &[SocketAddr]) -> Result<SocketAddr> {
        let unknown = || Error::new(Kind::Internal, "nobody was told who connects");
        let identity = lock(&self.0).identity.take().ok_or_else(unknown)?;
        let what = || "there is no way to the other host".to_owned();
        let (address, secured) = direct::connect(&identity, peer, to)?.doing(Kind::Host, what)?;
        let link = Link::open(secured).doing(Kind::Host, what)?;
        lock(&self.0).link = Some(Arc::clone(&link));
        link.come_to_life();
        Ok(address)
    }

    /// The connection, whether or not it is of any use; or that there never was one.
    pub(super) fn link(&self) -> Result<Arc<Link>, String> {
        let link = lock(&self.0).link.clone();
        link.ok_or_else(|| "there is none".to_owned())
    }

    /// Ends it all.
    pub(super) fn let_go(&self) {
        let State { link, .. } = std::mem::take(&mut *lock(&self.0));
        if let Some(link) = link {
            link.break_off("the agent ended");
        }
    }
}

/// A data connection that stands, or stood.
pub(super) struct Link {
    out: wire::Sender<BufWriter<Outgoing>>,
    ends: Mutex<Ends>,
}

/// Who hears what comes on which channel. Channels are the numbers of the sessions, at the end that
/// answers.
#[derive(Default)]
struct Ends {
    sessions: BTreeMap<u32, SyncSender<Vec<u8>>>,
    jobs: BTreeMap<u32, Sender<Vec<u8>>>,
    hang_up: Option<HangUp>,
    /// Why nothing more will come.
    broken: Option<String>,
}

impl Link {
    fn open(secured: Secured) -> io::Result<Arc<Self>> {
        let hang_up = secured.hang_up()?;
        let Secured { incoming, outgoing } = secured;
        let link = Arc::new(Self {
            out: wire::Sender::new(BufWriter::with_capacity(BUFFER, outgoing)),
            ends: Mutex::new(Ends {
                hang_up: Some(hang_up),
                ..Ends::default()
            }),
        });
        let hearing = Arc::downgrade(&link);
        std::thread::spawn(move || hear(&hearing, incoming));
        Ok(link)
    }

    /// Tells the other end that we are here, at once and again and again. Not before whoever is asked
    /// for the connection would find it: the first sign of life is what the other end waits for.
    fn come_to_life(self: &Arc<Self>) {
        let beating = Arc::downgrade(self);
        std::thread::spawn(move || beat(&beating));
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        lock(&self.ends)
    }

    fn unbroken(&self) -> Result<MutexGuard<'_, Ends>, String> {
        let ends = self.ends();
        match &ends.broken {
            Some(why) => Err(why.clone()),
            None => Ok(ends),
        }
    }

    /// Why it is of no use any more.
    pub(super) fn broken(&self) -> Option<String> {
        self.ends().broken.clone()
    }

    /// Lets the other agent put questions to the session of this number.
    pub(super) fn answer(&self, session: u32) -> Result<Receiver<Vec<u8>>, String> {
        let (to, questions) = mpsc::sync_channel(MOST_QUESTIONS);
        self.unbroken()?.sessions.insert(session, to);
        Ok(questions)
    }

    /// Lets nobody ask there any more.
    pub(super) fn end_session(&self, session: u32) {
        self.ends().sessions.remove(&session);
    }

    /// Has the answers of the other agent's session of this number sent to `answers`.
    pub(super) fn ask(&self, session: u32, answers: Sender<Vec<u8>>) -> Result<(), String> {
        self.unbroken()?.jobs.insert(session, answers);
        Ok(())
    }

    /// Hears no more of it.
    pub(super) fn end_job(&self, session: u32) {
        self.ends().jobs.remove(&session);
    }

    /// Sends a frame.
    pub(super) fn send(&self, kind: wire::Kind, channel: u32, body: &[u8]) -> Result<()> {
        self.out
            .send(kind, channel, body)
            .map_err(|error| self.broke(&error))
    }

    /// Sends a frame that may leave with a later one, at the latest with [`Self::flush`]: many small ones
    /// cost each end as much as a large one.
    pub(super) fn queue(&self, kind: wire::Kind, channel: u32, body: &[u8]) -> Result<()> {
        self.out
            .queue(kind, channel, body)
            .map_err(|error| self.broke(&error))
    }

    /// Has everything leave.
    pub(super) fn flush(&self) -> Result<()> {
        self.out.flush().map_err(|error| self.broke(&error))
    }

    fn broke(&self, error: &io::Error) -> Error {
        self.break_off(&error.to_string());
        lost(&error.to_string())
    }

    fn take(&self, frame: Frame) -> Result<(), &'static str> {
        let Frame {
            kind,
            channel,
            body,
        } = frame;
        match kind {
            wire::Kind::More => {}
            wire::Kind::Question => {
                let to = self.ends().sessions.get(&channel).cloned();
                // Whoever has ended does not read its post.
                if let Some(to) = to {
                    to.send(body).ok();
                }
            }
            wire::Kind::Answer => {
                let to = self.ends().jobs.get(&channel).cloned();
                // As above.
                if let Some(to) = to {
                    to.send(body).ok();
                }
            }
            wire::Kind::Hello
            | wire::Kind::Call
            | wire::Kind::Reply
            | wire::Kind::Event
            | wire::Kind::Cancel => return Err("the other host says what is not its business"),
        }
        Ok(())
    }

    /// It is of no use any more: everybody who waits is told, by the end of what it waits for.
    fn break_off(&self, why: &str) {
        let mut ends = self.ends();
        ends.broken.get_or_insert_with(|| why.to_owned());
        ends.sessions.clear();
        ends.jobs.clear();
        ends.hang_up = None;
    }
}

/// What is gathered before it is encrypted: a head and a small body are one record.
const BUFFER: usize = 64 * 1024;

/// The error of a connection that is of no use any more, or never was.
pub(super) fn lost(why: &str) -> Error {
    let what = "the connection between source and target broke";
    Error::caused(Kind::Host, what, io::Error::other(why.to_owned()))
}

/// Hears until the connection ends, or is dropped.
fn hear(link: &Weak<Link>, incoming: Incoming) {
    let mut incoming = BufReader::with_capacity(BUFFER, incoming);
    loop {
        let frame = wire::read(&mut incoming);
        let Some(link) = link.upgrade() else {
            return;
        };
        let taken = match frame {
            Ok(Some(frame)) => link.take(frame).map_err(str::to_owned),
            Ok(None) => Err("it was closed".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err("nothing came over it any more".to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = taken {
            link.break_off(&why);
            return;
        }
    }
}

/// Says something at once, and again and again.
fn beat(link: &Weak<Link>) {
    loop {
        let Some(living) = link.upgrade() else {
            return;
        };
        // Channel 0 is nobody's.
        if living.send(wire::Kind::More, 0, &[]).is_err() {
            return;
        }
        drop(living);
        std::thread::sleep(HEARTBEAT);
    }
}
