//! Jobs of the replication engine at the far end, and sessions with a source there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::RemoteHost;
use super::line::{Channel, Line, outcome};
use super::message::{Event, Outcome, Request, Route, WireJob, decode, encode};
use crate::error::{Error, Result};
use crate::host::{Answers, ReadHost, Relay, TreeJob, Watch};
use crate::replicate::{OriginTree, Pipe};
use crate::wire;

/// How soon a wish to stop is noticed.
const GLANCE: Duration = Duration::from_millis(100);

/// Opens a session with the source at the far end, for an engine on this machine.
pub(super) fn session(line: &Arc<Line>, tree: &OriginTree) -> Result<impl Pipe + use<>> {
    open(line, &Request::Origin(tree.clone()))
}

/// Opens one for an engine that asks over the data connection, or tells why there is none.
pub(super) fn direct_session(
    line: &Arc<Line>,
    tree: &OriginTree,
) -> Result<std::result::Result<Far, String>> {
    let session = open(line, &Request::DirectOrigin(tree.clone()))?;
    let frame = session.channel.frames.recv().map_err(|_| line.lost())?;
    match frame.kind {
        wire::Kind::Event if matches!(decode(&frame.body)?, Event::Ready) => Ok(Ok(session)),
        wire::Kind::Reply => match outcome(&frame.body)? {
            Outcome::Unlinked(why) => Ok(Err(why)),
            _ => Err(line.nonsense()),
        },
        _ => Err(line.nonsense()),
    }
}

fn open(line: &Arc<Line>, request: &Request) -> Result<Far> {
    let channel = line.channel()?;
    line.send(wire::Kind::Call, channel.number, &encode(request))?;
    Ok(Far {
        line: Arc::clone(line),
        channel,
    })
}

/// A session at the far end. Dropped, it is ended.
pub(super) struct Far {
    line: Arc<Line>,
    channel: Channel,
}

impl Far {
    /// Its number, by which it is asked.
    pub(super) fn number(&self) -> u32 {
        self.channel.number
    }
}

impl Pipe for Far {
    fn send(&mut self, question: Vec<u8>) -> Result<()> {
        self.line
            .send(wire::Kind::Question, self.channel.number, &question)
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let frame = self.channel.frames.recv();
        frame.map(|frame| frame.body).map_err(|_| self.line.lost())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // A line that is dead has no session at its end.
        self.line
            .send(wire::Kind::Cancel, self.channel.number, &[])
            .ok();
    }
}

/// Opens a session with the source at the far end, for an engine elsewhere.
pub(super) fn relay(
    line: &Arc<Line>,
    tree: &OriginTree,
    answers: Answers,
) -> Result<Box<dyn Relay>> {
    let number = line.answers(answers)?;
    let relay = Between {
        line: Arc::clone(line),
        number,
    };
    let request = encode(&Request::Origin(tree.clone()));
    line.send(wire::Kind::Call, number, &request)?;
    Ok(Box::new(relay))
}

struct Between {
    line: Arc<Line>,
    number: u32,
}

impl Relay for Between {
    fn ask(&mut self, question: Vec<u8>) -> Result<()> {
        self.line.send(wire::Kind::Question, self.number, &question)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.line.close(self.number);
        // As above.
        self.line.send(wire::Kind::Cancel, self.number, &[]).ok();
    }
}

/// What was told of a job's progress so far.
#[derive(Default)]
struct Told {
    files: u64,
    copied: u64,
    compared: u64,
}

impl RemoteHost {
    /// Has the engine at the far end work on a job of a request. Questions go to the source directly if
    /// there is a way, else they are carried there.
    pub(super) fn work(
        &self,
        job: &TreeJob,
        request: &dyn Fn(WireJob) -> Request,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
    ) -> Result<Outcome> {
        self.tell_ids(job)?;
        // What is told path by path cannot be begun anew when the connection breaks.
        if watch.differences.is_none()
            && let Some(session) = self.open_direct(&job.tree, source)?
        {
            let route = Route::Direct(session.number());
            let request = request(WireJob::new(job, route));
            let channel = self.line.channel()?;
            let mut nobody = |_| Err(self.line.nonsense());
            match self.attend(&channel, &request, watch, &mut nobody)? {
                Outcome::Unlinked(why) => self.lose(why)?,
                outcome => return Ok(outcome),
            }
        }
        let channel = self.line.channel()?;
        let (line, number) = (Arc::clone(&self.line), channel.number);
        let answers: Answers =
            Box::new(move |answer| line.send(wire::Kind::Answer, number, &answer));
        let mut relay = source.relay(&job.tree, answers)?;
        let request = request(WireJob::new(job, Route::Relay));
        self.attend(&channel, &request, watch, &mut |question| {
            relay.ask(question)
        })
    }

    /// Puts a request, and attends to what comes of it until its end.
    fn attend(
        &self,
        channel: &Channel,
        request: &Request,
        watch: &mut Watch<'_>,
        ask: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<Outcome> {
        let number = channel.number;
        self.line.send(wire::Kind::Call, number, &encode(request))?;
        let mut told = Told::default();
        let mut trouble: Option<Error> = None;
        let mut cancelled = false;
        loop {
            let stop = trouble.is_some() || watch.stop.load(Ordering::Relaxed);
            if stop && !cancelled {
                self.line.send(wire::Kind::Cancel, number, &[])?;
                cancelled = true;
            }
            let frame = match channel.frames.recv_timeout(GLANCE) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(self.line.lost()),
            };
            match frame.kind {
                wire::Kind::Question if trouble.is_none() => {
                    trouble = ask(frame.body).err();
                }
                wire::Kind::Question => {}
                wire::Kind::Event => self.event(&frame.body, watch, &mut told)?,
                wire::Kind::Reply => {
                    let outcome = outcome(&frame.body);
                    // The job ended for want of a source: that is the news.
                    return trouble.map_or(outcome, Err);
                }
                _ => return Err(self.line.nonsense()),
            }
        }
    }

    fn event(&self, body: &[u8], watch: &mut Watch<'_>, told: &mut Told) -> Result<()> {
        match decode(body)? {
            Event::Progress {
                files,
                copied,
                compared,
            } => {
                let progress = watch.progress;
                grow(&progress.files, &mut told.files, files);
                grow(&progress.copied, &mut told.copied, copied);
                grow(&progress.compared, &mut told.compared, compared);
            }
            Event::Difference(path, differs) => {
                if let Some(differences) = &mut watch.differences {
                    differences(&path, differs);
                }
            }
            Event::Held(_) | Event::Output(_) | Event::Ready => return Err(self.line.nonsense()),
        }
        Ok(())
    }

    /// Tells the agent how owners translate, if it does not know yet.
    fn tell_ids(&self, job: &TreeJob) -> Result<()> {
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&job.ids) {
            return Ok(());
        }
        self.done(&Request::Ids((*job.ids).clone()))?;
        *known = Some(Arc::clone(&job.ids));
        Ok(())
    }
}

/// Adds what a total grew by since it was told last.
fn grow(sum: &AtomicU64, last: &mut u64, total: u64) {
    sum.fetch_add(total.saturating_sub(*last), Ordering::Relaxed);
    *last = total;
}
