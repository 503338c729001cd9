//! Both ends of replications: sessions with the source's, jobs of the target's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Agent, Inbox, lock};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::remote::message::{Event, Json, Outcome, Request, Tell, WireJob, encode};
use crate::host::{ReadHost as _, TreeJob, Watch};
use crate::plan::change::Difference;
use crate::replicate::{Copied, Held, Origin, OriginTree, Pipe, Progress, Session, There};
use crate::wire;

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(200);

/// The way to a source, through the operator's machine.
struct Way {
    agent: Arc<Agent>,
    channel: u32,
    answers: Receiver<Vec<u8>>,
}

impl Pipe for Way {
    fn send(&mut self, question: Vec<u8>) -> Result<()> {
        self.agent
            .out
            .send(wire::Kind::Question, self.channel, &question)
            .doing(Kind::Host, || {
                "the connection to the operator broke".to_owned()
            })
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let cancelled = |_| {
            Error::new(Kind::Interrupted, "interrupted while working on mail trees")
                .hint("run this again to go on; everything that was done so far is kept")
        };
        self.answers.recv().map_err(cancelled)
    }
}

impl Agent {
    /// Answers questions about a tree of this host until nobody asks any more.
    pub(super) fn answer(&self, channel: u32, tree: &OriginTree, questions: &Receiver<Vec<u8>>) {
        let mut session = self.host.here(tree).map(Session::from);
        for question in questions {
            let answer = match &mut session {
                Ok(session) => session.answer(&question),
                Err(error) => Session::refusal(error),
            };
            // If nobody hears it, the input has ended, and so will we.
            if self.out.send(wire::Kind::Answer, channel, &answer).is_err() {
                return;
            }
        }
    }

    /// Runs the engine on a tree of this host.
    pub(super) fn work(
        self: &Arc<Self>,
        channel: u32,
        request: Request,
        answers: Receiver<Vec<u8>>,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Outcome> {
        let way = Way {
            agent: Arc::clone(self),
            channel,
            answers,
        };
        let mut source = Origin::There(There::new(Box::new(way))?);
        let mut watch = Watch {
            progress,
            stop,
            differences: None,
        };
        match request {
            Request::Compare { job, depth, tell } => {
                let mut send = |path: &[u8], differs: Difference| {
                    let event = encode(&Event::Difference(path.to_vec(), differs));
                    // If nobody hears it, the input has ended, and so will we.
                    self.out.send(wire::Kind::Event, channel, &event).ok();
                };
                if tell == Tell::Every {
                    watch.differences = Some(&mut send);
                }
                let job = self.job(job)?;
                let report = self
                    .host
                    .compare_with(&job, depth, &mut source, &mut watch)?;
                Ok(Outcome::Report(Json(report)))
            }
            Request::Copy { job } => {
                let job = self.job(job)?;
                let Copied { report, index } = self.host.copy_from(&job, &mut source, &watch)?;
                let mut things = lock(&self.things);
                let number = index.map(|index| {
                    let number = things.number();
                    things.indexes.insert(number, index);
                    number
                });
                Ok(Outcome::Copied(Json(report), number))
            }
            _ => Err(Error::new(Kind::Internal, "this request is no job")),
        }
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
        // If nobody hears it, the input has ended, and so will we.
        self.out
            .send(wire::Kind::Event, channel, &encode(&event))
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
                Inbox::Questions(_) | Inbox::Output(_) => None,
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
