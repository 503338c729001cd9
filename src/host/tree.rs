//! Handing whole trees to the replication engine, which runs on the host that is written, and the
//! other's answers to it. Target and source are here the ends of a copy, as in [`crate::replicate`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, TryRecvError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::plan::change::{Difference, Extraneous, IdMap};
use crate::raw::HostPath;
use crate::replicate::{OriginTree, PendingIndex, Progress, Report, Session};

/// One tree to compare or copy: all that the target's host has to be told.
#[derive(Clone, Debug)]
pub struct TreeJob {
    /// The tree on the source, and what of it.
    pub tree: OriginTree,
    /// Its top on the target.
    pub target: HostPath,
    /// How owners and groups translate.
    pub ids: Arc<IdMap>,
    /// What happens with entries that the source does not have.
    pub extraneous: Extraneous,
    /// Since when nothing but this program writes the target, by its own clock; see
    /// [`crate::replicate::Job`].
    pub sealed: Option<Timestamp>,
    /// The index of the last good copy.
    pub index: Option<IndexFile>,
    /// How many differences the report shows by name.
    pub sample: usize,
}

/// The trees of jobs, for the source.
pub(super) fn trees_of(jobs: &[TreeJob]) -> Vec<OriginTree> {
    jobs.iter().map(|job| job.tree.clone()).collect()
}

/// A file in a directory of the target that only root can enter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IndexFile {
    /// The directory.
    pub dir: HostPath,
    /// One component.
    pub name: String,
}

/// Is told the number of a job, a path and a way in which it differs.
pub type Tell<'a> = dyn FnMut(usize, &[u8], Difference) + 'a;

/// Who watches comparisons or copies.
pub struct Watch<'a> {
    /// Counts what is done.
    pub progress: &'a Progress,
    /// Set to end the work soon, with an error of kind [`crate::error::Kind::Interrupted`].
    pub stop: &'a AtomicBool,
    /// Sees every single difference, with the path within the tree (`.` for its top).
    pub differences: Option<&'a mut Tell<'a>>,
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// The outcome of copies.
pub struct CopiedTrees {
    /// Of each job in its turn: what was different and is now the same, and what could not be done.
    pub reports: Vec<Result<Report>>,
    /// To be committed once the trees are durable: those of the jobs that have one, and ended.
    pub indexes: Box<dyn Pending>,
}

impl CopiedTrees {
    /// What came of the only job, if it has no index.
    pub fn only(self) -> Result<Report> {
        let nothing = || Err(Error::new(Kind::Internal, "nothing was copied"));
        self.reports.into_iter().next().unwrap_or_else(nothing)
    }
}

impl fmt::Debug for CopiedTrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopiedTrees")
            .field("reports", &self.reports)
            .finish_non_exhaustive()
    }
}

/// New indexes that wait for the files they speak of to be durable. Dropped, they are forgotten and the
/// old ones stay.
pub trait Pending: Send {
    /// Puts them in place of the old ones.
    fn commit(self: Box<Self>) -> Result<()>;
}

impl Pending for Vec<PendingIndex> {
    fn commit(self: Box<Self>) -> Result<()> {
        self.into_iter().try_for_each(PendingIndex::commit)
    }
}

/// Takes the answers of a source, in order.
pub type Answers = Box<dyn FnMut(Vec<u8>) -> Result<()> + Send>;

/// The way of questions to a source.
pub trait Relay: Send {
    /// Passes on a question of the engine.
    fn ask(&mut self, question: Vec<u8>) -> Result<()>;
}

/// Has a session answer an engine elsewhere, in a thread of its own that ends with the relay.
pub(super) fn answering(mut session: Session<'static>, mut answers: Answers) -> Box<dyn Relay> {
    let (questions, asked) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            let next = if waiting.is_empty() {
                asked.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                asked.try_recv()
            };
            match next {
                Ok(question) => {
                    session.hear(&question);
                    waiting.push_back(question);
                    continue;
                }
                Err(TryRecvError::Empty) => {}
                // Nobody asks any more.
                Err(TryRecvError::Disconnected) => return,
            }
            if let Some(question) = waiting.pop_front()
                && answers(session.answer(&question)).is_err()
            {
                // Nobody listens any more.
                return;
            }
        }
    });
    Box::new(Questions(questions))
}

struct Questions(mpsc::Sender<Vec<u8>>);

impl Relay for Questions {
    fn ask(&mut self, question: Vec<u8>) -> Result<()> {
        self.0
            .send(question)
            .map_err(|_| Error::new(Kind::Host, "the source's end does not answer any more"))
    }
}
