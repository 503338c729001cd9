//! Both ends of replications: sessions with the sources', jobs of the targets'.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::direct::{Link, lost};
use super::{Agent, Answers, Inbox, lock};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::remote::message::{
    Ending, Event, Fault, Json, Outcome, Request, Route, Tell, WireJob, encode,
};
use crate::host::{ReadHost as _, TreeJob, Watch};
use crate::plan::change::Difference;
use crate::replicate::{
    Copied, Held, OriginTree, Origins, PendingIndex, Pipe, Progress, Report, Session,
};
use crate::wire;

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(200);

/// The way to a source.
struct Way {
    road: Road,
    answers: Receiver<Vec<u8>>,
}

enum Road {
    /// Through the operator's machine.
    Relay { agent: Arc<Agent>, channel: u32 },
    /// To the session of this number, over the data connection.
    Direct { link: Arc<Link>, session: u32 },
}

fn relay_broke() -> String {
    "the connection to the operator broke".to_owned()
}

impl Pipe for Way {
    fn send(&mut self, question: Vec<u8>) -> Result<()> {
        match &self.road {
            Road::Relay { agent, channel } => agent
                .out
                .queue(wire::Kind::Question, *channel, &question)
                .doing(Kind::Host, relay_broke),
            Road::Direct { link, session } => link.queue(wire::Kind::Question, *session, &question),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &self.road {
            Road::Relay { agent, .. } => agent.out.flush().doing(Kind::Host, relay_broke),
            Road::Direct { link, .. } => link.flush(),
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let answer = match self.answers.try_recv() {
            Err(TryRecvError::Empty) => {
                self.flush()?;
                self.answers.recv().ok()
            }
            answer => answer.ok(),
        };
        let Some(answer) = answer else {
            if let Road::Direct { link, .. } = &self.road
                && let Some(why) = link.broken()
            {
                return Err(lost(&why));
            }
            let what = "interrupted while working on mail trees";
            return Err(Error::new(Kind::Interrupted, what)
                .hint("run this again to go on; everything that was done so far is kept"));
        };
        Ok(answer)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Road::Direct { link, session } = &self.road {
            link.end_job(*session);
        }
    }
}

impl Agent {
    /// Answers questions about trees of this host until nobody asks any more.
    pub(super) fn answer(
        &self,
        channel: u32,
        trees: Vec<OriginTree>,
        questions: &Receiver<Vec<u8>>,
    ) {
        self.answer_all(
            trees,
            questions,
            |answer| {
                let queued = self.out.queue(wire::Kind::Answer, channel, answer);
                queued.doing(Kind::Host, relay_broke)
            },
            || self.out.flush().doing(Kind::Host, relay_broke),
        );
    }

    /// Answers that are short gather while more is asked for. If nobody hears one, the connection has
    /// ended, and so does this.
    fn answer_all(
        &self,
        trees: Vec<OriginTree>,
        questions: &Receiver<Vec<u8>>,
        queue: impl Fn(&[u8]) -> Result<()>,
        flush: impl Fn() -> Result<()>,
    ) {
        let mut session = self.host.session(trees);
        loop {
            let question = match questions.try_recv() {
                Ok(question) => question,
                Err(TryRecvError::Empty) => {
                    if flush().is_err() {
                        return;
                    }
                    let Ok(question) = questions.recv() else {
                        return;
                    };
                    question
                }
                Err(TryRecvError::Disconnected) => {
                    flush().ok();
                    return;
                }
            };
            if Session::takes_time(&question) && flush().is_err() {
                return;
            }
            if queue(&session.answer(&question)).is_err() {
                return;
            }
        }
    }

    /// Lets the other agent ask about trees of this host, over the data connection.
    pub(super) fn begin_direct_answers(self: &Arc<Self>, channel: u32, trees: Vec<OriginTree>) {
        let link = self.direct.link();
        let opened = link.and_then(|link| Ok((link.answer(channel)?, link)));
        let (questions, link) = match opened {
            Ok(opened) => opened,
            Err(why) => return self.reply(channel, Ok(Outcome::Unlinked(why))),
        };
        lock(&self.boxes).insert(channel, Inbox::Direct(Arc::clone(&link)));
        let agent = Arc::clone(self);
        std::thread::spawn(move || {
            agent.tell(channel, &Event::Ready);
            agent.answer_all(
                trees,
                &questions,
                |answer| link.queue(wire::Kind::Answer, channel, answer),
                || link.flush(),
            );
        });
    }

    /// Has the engine begin on trees of this host.
    pub(super) fn begin_job(self: &Arc<Self>, channel: u32, request: Request) {
        let (to, answers) = mpsc::channel();
        let (road, from) = match self.road(channel, &request, to) {
            Ok(road) => road,
            Err(why) => return self.reply(channel, Ok(Outcome::Unlinked(why))),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let inbox = Inbox::Job {
            answers: from,
            stop: Arc::clone(&stop),
            progress: Arc::clone(&progress),
        };
        lock(&self.boxes).insert(channel, inbox);
        let agent = Arc::clone(self);
        std::thread::spawn(move || {
            let outcome = agent.work(channel, request, Way { road, answers }, &stop, &progress);
            agent.report(channel, &progress);
            agent.reply(channel, outcome);
        });
    }

    /// The way of the questions of jobs, and of the answers to them.
    fn road(
        self: &Arc<Self>,
        channel: u32,
        request: &Request,
        to: mpsc::Sender<Vec<u8>>,
    ) -> Result<(Road, Answers), String> {
        let route = match request {
            Request::Compare { route, .. } | Request::Copy { route, .. } => *route,
            _ => Route::Relay,
        };
        Ok(match route {
            Route::Relay => {
                let agent = Arc::clone(self);
                (Road::Relay { agent, channel }, Answers::Relay(to))
            }
            Route::Direct(session) => {
                let link = self.direct.link()?;
                link.ask(session, to)?;
                let answers = Answers::Direct(Arc::clone(&link), session);
                (Road::Direct { link, session }, answers)
            }
        })
    }

    /// Runs the engine on trees of this host.
    fn work(
        &self,
        channel: u32,
        request: Request,
        way: Way,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Outcome> {
        let link = match &way.road {
            Road::Direct { link, .. } => Some(Arc::clone(link)),
            Road::Relay { .. } => None,
        };
        // What fails on a connection that is broken is for another way.
        let mut unlinked: Option<String> = None;
        let mut ended = |ended: Result<(Report, Option<PendingIndex>)>| {
            if unlinked.is_none() && ended.is_err() {
                unlinked = link.as_ref().and_then(|link| link.broken());
            }
            if unlinked.is_none() {
                self.ended(channel, ended);
            }
        };
        let mut source = Origins::there(Box::new(way));
        let mut watch = Watch {
            progress,
            stop,
            differences: None,
        };
        match request {
            Request::Compare {
                jobs, depth, tell, ..
            } => {
                let mut send = |_, path: &[u8], differs: Difference| {
                    self.tell(channel, &Event::Difference(path.to_vec(), differs));
                };
                if tell == Tell::Every {
                    watch.differences = Some(&mut send);
                }
                let jobs = self.jobs(jobs)?;
                self.host
                    .compare_with(&jobs, depth, &mut source, &mut watch, |report| {
                        ended(report.map(|report| (report, None)));
                    });
            }
            Request::Copy { jobs, .. } => {
                let jobs = self.jobs(jobs)?;
                self.host.copy_from(&jobs, &mut source, &watch, |copied| {
                    ended(copied.map(|Copied { report, index }| (report, index)));
                });
            }
            _ => return Err(Error::new(Kind::Internal, "this request has no jobs")),
        }
        Ok(unlinked.map_or(Outcome::Done, Outcome::Unlinked))
    }

    /// Tells how a job ended. It leaves with what is told next.
    fn ended(&self, channel: u32, ended: Result<(Report, Option<PendingIndex>)>) {
        let ended = ended.map(|(report, index)| Ending {
            report: Json(report),
            index: index.map(|index| {
                let mut things = lock(&self.things);
                let number = things.number();
                things.indexes.insert(number, index);
                number
            }),
        });
        let event = Event::Ended(ended.map_err(|error| Fault::from(&error)));
        // If nobody hears it, the input has ended, and so will we.
        self.out
            .queue(wire::Kind::Event, channel, &encode(&event))
            .ok();
    }

    fn jobs(&self, jobs: Vec<WireJob>) -> Result<Vec<TreeJob>> {
        jobs.into_iter().map(|job| self.job(job)).collect()
    }

    fn job(&self, job: WireJob) -> Result<TreeJob> {
        let sample = usize::try_from(job.sample)
            .doing(Kind::Internal, || "a sample of no size".to_owned())?;
        Ok(TreeJob {
            tree: job.tree,
            target: job.target,
            ids: Arc::clone(&lock(&self.things).ids),
            extraneous: job.extraneous,
            sealed: job.sealed,
            index: job.index,
            sample,
        })
    }

    /// Tells how far a job is.
    pub(super) fn report(&self, channel: u32, progress: &Progress) {
        let event = Event::Progress {
            files: progress.files.load(Ordering::Relaxed),
            copied: progress.copied.load(Ordering::Relaxed),
            compared: progress.compared.load(Ordering::Relaxed),
        };
        self.tell(channel, &event);
    }

    fn tell(&self, channel: u32, event: &Event) {
        // If nobody hears it, the input has ended, and so will we.
        self.out
            .send(wire::Kind::Event, channel, &encode(event))
            .ok();
    }
}

/// Tells how far all jobs are, and what holds the sessions, again and again.
pub(super) fn tell_progress(agent: &Weak<Agent>) {
    let mut held = Held::default();
    loop {
        std::thread::sleep(INTERVAL);
        let Some(agent) = agent.upgrade() else {
            return;
        };
        let jobs: Vec<_> = lock(&agent.boxes)
            .iter()
            .filter_map(|(&channel, inbox)| match inbox {
                Inbox::Job { progress, .. } => Some((channel, Arc::clone(progress))),
                Inbox::Questions(_) | Inbox::Direct(_) | Inbox::Output(_) => None,
            })
            .collect();
        for (channel, progress) in jobs {
            agent.report(channel, &progress);
        }
        let now = agent.host.held();
        if now != held {
            held = now;
            let event = encode(&Event::Held(held));
            // If nobody hears it, the input has ended, and so will we.
            agent.out.send(wire::Kind::Event, 0, &event).ok();
        }
    }
}
