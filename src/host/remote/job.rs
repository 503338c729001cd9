//! Jobs of the replication engine at the far end, and sessions with sources there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::RemoteHost;
use super::line::{Channel, Line, outcome};
use super::message::{Ending, Event, Fault, Outcome, Request, Route, WireJob, decode, encode};
use crate::error::{Error, Result};
use crate::host::tree::trees_of;
use crate::host::{Answers, ReadHost, Relay, TreeJob, Watch};
use crate::plan::change::IdMap;
use crate::replicate::{OriginTree, Pipe};
use crate::wire;

/// How soon a wish to stop is noticed.
const GLANCE: Duration = Duration::from_millis(100);

/// Opens a session with sources at the far end, for an engine on this machine.
pub(super) fn session(line: &Arc<Line>, trees: Vec<OriginTree>) -> Result<impl Pipe + use<>> {
    open(line, &Request::Origins(trees))
}

/// Opens one for an engine that asks over the data connection, or tells why there is none.
pub(super) fn direct_session(
    line: &Arc<Line>,
    trees: Vec<OriginTree>,
) -> Result<std::result::Result<Far, String>> {
    let session = open(line, &Request::DirectOrigins(trees))?;
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

/// Opens a session with sources at the far end, for an engine elsewhere.
pub(super) fn relay(
    line: &Arc<Line>,
    trees: Vec<OriginTree>,
    answers: Answers,
) -> Result<Box<dyn Relay>> {
    let number = line.answers(answers)?;
    let relay = Between {
        line: Arc::clone(line),
        number,
    };
    let request = encode(&Request::Origins(trees));
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

/// What was told of jobs so far.
#[derive(Default)]
struct Told {
    files: u64,
    copied: u64,
    compared: u64,
    ended: Vec<Result<Ending>>,
}

impl RemoteHost {
    /// Has the engine at the far end work on the jobs of a request, and tells how each ended. Questions go
    /// to the source directly if there is a way, else they are carried there.
    pub(super) fn work(
        &self,
        jobs: &[TreeJob],
        request: &dyn Fn(Vec<WireJob>, Route) -> Request,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
    ) -> Vec<Result<Ending>> {
        let mut told = Told::default();
        let whole = self.work_on(jobs, request, source, watch, &mut told);
        let mut ended = told.ended;
        if ended.len() > jobs.len() {
            // None of them can be believed.
            ended.clear();
        }
        if ended.len() != jobs.len() {
            let error = whole.err().unwrap_or_else(|| self.line.nonsense());
            ended.resize_with(jobs.len(), || Err(error.clone()));
        }
        ended
    }

    fn work_on(
        &self,
        jobs: &[TreeJob],
        request: &dyn Fn(Vec<WireJob>, Route) -> Request,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
        told: &mut Told,
    ) -> Result<()> {
        let Some(first) = jobs.first() else {
            return Ok(());
        };
        self.tell_ids(&first.ids)?;
        let on_the_wire = |jobs: &[TreeJob]| jobs.iter().map(WireJob::from).collect();
        // What is told path by path cannot be begun anew when the connection breaks.
        if watch.differences.is_none()
            && let Some(session) = self.open_direct(jobs, source)?
        {
            let route = Route::Direct(session.number());
            let request = request(on_the_wire(jobs), route);
            let channel = self.line.channel()?;
            let mut nobody = |_| Err(self.line.nonsense());
            match self.attend(&channel, &request, watch, told, &mut nobody)? {
                Outcome::Unlinked(why) => self.lose(why)?,
                Outcome::Done => return Ok(()),
                _ => return Err(self.line.nonsense()),
            }
        }
        // What the connection had no time for.
        let rest = jobs.get(told.ended.len()..).unwrap_or_default();
        let channel = self.line.channel()?;
        let (line, number) = (Arc::clone(&self.line), channel.number);
        let answers: Answers =
            Box::new(move |answer| line.send(wire::Kind::Answer, number, &answer));
        let mut relay = source.relay(trees_of(rest), answers)?;
        let request = request(on_the_wire(rest), Route::Relay);
        let mut ask = |question| relay.ask(question);
        match self.attend(&channel, &request, watch, told, &mut ask)? {
            Outcome::Done => Ok(()),
            _ => Err(self.line.nonsense()),
        }
    }

    /// Puts a request, and attends to what comes of it until its end.
    fn attend(
        &self,
        channel: &Channel,
        request: &Request,
        watch: &mut Watch<'_>,
        told: &mut Told,
        ask: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<Outcome> {
        let number = channel.number;
        self.line.send(wire::Kind::Call, number, &encode(request))?;
        (told.files, told.copied, told.compared) = (0, 0, 0);
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
                // The jobs end for want of a source: that is the news.
                wire::Kind::Event if trouble.is_some() => {}
                wire::Kind::Event => self.event(&frame.body, watch, told)?,
                wire::Kind::Reply => return trouble.map_or(outcome(&frame.body), Err),
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
                    differences(told.ended.len(), &path, differs);
                }
            }
            Event::Ended(ended) => told.ended.push(ended.map_err(Fault::into_error)),
            Event::Held(_) | Event::Output(_) | Event::Ready => return Err(self.line.nonsense()),
        }
        Ok(())
    }

    /// Tells the agent how owners translate, if it does not know yet.
    fn tell_ids(&self, ids: &Arc<IdMap>) -> Result<()> {
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(ids) {
            return Ok(());
        }
        self.done(&Request::Ids((**ids).clone()))?;
        *known = Some(Arc::clone(ids));
        Ok(())
    }
}

/// Adds what a total grew by since it was told last.
fn grow(sum: &AtomicU64, last: &mut u64, total: u64) {
    sum.fetch_add(total.saturating_sub(*last), Ordering::Relaxed);
    *last = total;
}
