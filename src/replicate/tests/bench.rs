//! Two homes, a spool on each side and an index, in a temporary directory.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::programs::Local;
use crate::error::Result;
use crate::names::{Side, Uid};
use crate::plan::change::{Difference, Extraneous, IdMap, Selection, TreeKind};
use crate::raw::HostPath;
use crate::replicate::{
    self, Beside, ByPrograms, Copied, Depth, Filter, Here, Job, Origin, OriginTree, Origins,
    Outflow, Pipe, Place, Progress, Report, Session, Tracker, Tracking,
};

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) index: PathBuf,
    pub(super) owner: Uid,
    pub(super) ids: IdMap,
    pub(super) selection: Selection,
    pub(super) extraneous: Extraneous,
    pub(super) sealed: Option<Timestamp>,
    pub(super) stop: AtomicBool,
    pub(super) progress: Progress,
    pub(super) way: Way,
    /// The source's.
    pub(super) outflow: Arc<Outflow>,
    /// Bytes that went over the wire, both ways.
    pub(super) wire: Arc<AtomicU64>,
    /// How long the wire takes for a byte.
    pub(super) slowness: Duration,
    /// Done behind both ends' backs before each answer of the wire.
    pub(super) meddle: Arc<Meddle>,
    /// Notes what changes on the source.
    pub(super) tracker: Option<Tracker>,
    /// How looks take part in that.
    pub(super) tracking: Option<Tracking>,
}

type Meddle = dyn Fn() + Send + Sync + UnwindSafe + RefUnwindSafe;

/// How the source is reached.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Way {
    Here,
    /// Its questions and answers are bytes.
    Wire,
    /// Its own programs tell of it.
    Programs,
}

impl Way {
    /// Those that look at the source by different code.
    pub(super) const UNLIKE: [Self; 2] = [Self::Here, Self::Programs];
}

/// A session in this process.
struct Memory {
    session: Session<'static>,
    answers: VecDeque<Vec<u8>>,
    wire: Arc<AtomicU64>,
    slowness: Duration,
    meddle: Arc<Meddle>,
}

impl Pipe for Memory {
    fn send(&mut self, question: Vec<u8>) -> Result<()> {
        (self.meddle)();
        let answer = self.session.answer(&question);
        let bytes = question.len() + answer.len();
        self.wire.fetch_add(bytes as u64, Ordering::Relaxed);
        self.answers.push_back(answer);
        Ok(())
    }

    fn receive(&mut self) -> Result<Vec<u8>> {
        let answer = self.answers.pop_front().expect("something was asked");
        std::thread::sleep(self.slowness * u32::try_from(answer.len()).unwrap());
        Ok(answer)
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["source/home/alice", "target/home", "index"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::create_dir_all(path("source/mail")).unwrap();
        fs::create_dir_all(path("target/mail")).unwrap();
        Self {
            source: path("source"),
            target: path("target"),
            index: path("index"),
            owner: Uid(rustix::process::geteuid().as_raw()),
            ids: IdMap::default(),
            selection: Selection::default(),
            extraneous: Extraneous::Remove,
            sealed: None,
            stop: AtomicBool::new(false),
            progress: Progress::default(),
            way: Way::Here,
            outflow: Arc::default(),
            wire: Arc::default(),
            slowness: Duration::ZERO,
            meddle: Arc::new(|| {}),
            tracker: None,
            tracking: None,
            dir,
        }
    }

    /// The same, reached in this way.
    pub(super) fn by(way: Way) -> Self {
        Self { way, ..Self::new() }
    }

    /// The same on what another bench has laid out.
    #[cfg(feature = "failpoints")]
    pub(super) fn at(self, dir: &Path) -> Self {
        Self {
            source: dir.join("source"),
            target: dir.join("target"),
            index: dir.join("index"),
            ..self
        }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.source.join("home/alice")
    }

    pub(super) fn there(&self) -> PathBuf {
        self.target.join("home/alice")
    }

    /// Runs something on both trees, the home first.
    fn with<T>(&self, mut run: impl FnMut(&Job<'_>, &mut Origin) -> T) -> [T; 2] {
        let open = |path: PathBuf| File::open(path).unwrap();
        let index = open(self.index.clone());
        [(TreeKind::Home, "home"), (TreeKind::Spool, "mail")].map(|(kind, dir)| {
            let to = open(self.target.join(dir));
            let from = open(self.source.join(dir)).into();
            let filter = Filter::new(&self.selection).unwrap();
            let outflow = Arc::clone(&self.outflow);
            let here = Here::new(
                kind,
                Some(from),
                b"alice",
                filter.clone(),
                self.owner,
                outflow,
            )
            .unwrap();
            let path = self.source.join(dir).join("alice");
            let path = HostPath::from(path.to_str().unwrap());
            let here = match (&self.tracker, &self.tracking) {
                (Some(tracker), Some(tracking)) => here.tracked(tracker.look(&path, tracking)),
                _ => here,
            };
            let mut source = match self.way {
                Way::Here => Origins::here({
                    let mut here = Some(here);
                    move |_| Ok(here.take().unwrap())
                }),
                Way::Wire => self.asked(&path, kind, here),
                Way::Programs => self.told(&path, kind),
            };
            let source = source.tree(0).unwrap();
            let job = Job {
                onto: Side::Target,
                kind,
                target: Place {
                    dir: to.as_fd(),
                    name: b"alice",
                },
                owner: self.owner,
                ids: &self.ids,
                filter: &filter,
                extraneous: &self.extraneous,
                sealed: self.sealed,
                index: Some(Place {
                    dir: index.as_fd(),
                    name: Self::index_name(kind).as_bytes(),
                }),
                sample: 10,
                progress: &self.progress,
                stop: &self.stop,
            };
            run(&job, source)
        })
    }

    fn tree(&self, path: &HostPath, kind: TreeKind) -> OriginTree {
        OriginTree {
            kind,
            path: path.clone(),
            select: self.selection.clone(),
            owner: self.owner,
            tracking: None,
        }
    }

    fn asked(&self, path: &HostPath, kind: TreeKind, here: Here) -> Origins<'static> {
        let trees = vec![self.tree(path, kind)];
        let mut here = Some(here);
        let open = move |_: &OriginTree| Ok(here.take().unwrap().into());
        let pipe = Memory {
            session: Session::new(trees, Arc::clone(&self.outflow), open),
            answers: VecDeque::new(),
            wire: Arc::clone(&self.wire),
            slowness: self.slowness,
            meddle: Arc::clone(&self.meddle),
        };
        Origins::there(Box::new(pipe))
    }

    fn told(&self, path: &HostPath, kind: TreeKind) -> Origins<'static> {
        let (programs, tools) = Local::programs();
        let outflow = Arc::clone(&self.outflow);
        let shared = Arc::clone(&outflow);
        let session = Session::new(vec![self.tree(path, kind)], outflow, move |tree| {
            let (programs, outflow) = (Arc::clone(&programs), Arc::clone(&shared));
            ByPrograms::new(programs, tools, tree, outflow).map(Into::into)
        });
        Origins::there(Box::new(Beside::from(session)))
    }

    fn index_name(kind: TreeKind) -> &'static str {
        match kind {
            TreeKind::Home => "home",
            TreeKind::Spool => "spool",
        }
    }

    /// Copies both trees; what was found of the home, and in numbers of both.
    pub(super) fn try_copy(&self) -> Result<Report> {
        let [home, spool] = self.with(|job, source| {
            let Copied { report, index } = replicate::copy(job, source)?;
            replicate::sync(job.target.dir)?;
            index.unwrap().commit()?;
            Ok(report)
        });
        let (mut home, spool): (Report, Report) = (home?, spool?);
        home.delta = home.delta.plus(&spool.delta);
        home.failed += spool.failed;
        Ok(home)
    }

    pub(super) fn copy(&self) -> Report {
        self.try_copy().unwrap()
    }

    /// Bytes that were read for comparing since this was last asked.
    pub(super) fn compared(&self) -> u64 {
        self.progress.compared.swap(0, Ordering::Relaxed)
    }

    pub(super) fn differences(&self, depth: Depth) -> Vec<(String, Difference)> {
        let mut all = Vec::new();
        let reports = self.with(|job, source| {
            replicate::compare(job, source, depth, &mut |path, differs| {
                all.push((crate::raw::escape(path), differs));
            })
            .unwrap()
        });
        let none = reports.iter().all(|report| report.delta.is_empty());
        assert_eq!(none, all.is_empty());
        all
    }

    /// Compares by the index; what was found of the home.
    pub(super) fn compare(&self) -> Report {
        let [home, _] = self.with(|job, source| {
            replicate::compare(job, source, Depth::Index, &mut |_, _| {}).unwrap()
        });
        home
    }

    /// Copies, and has it proven by our own comparison and by rsync.
    pub(super) fn converge(&self) -> Report {
        let report = self.copy();
        assert_eq!(self.differences(Depth::Content), []);
        assert_eq!(self.differences(Depth::Index), []);
        report
    }

    /// What rsync would still do.
    pub(super) fn rsync(&self) -> String {
        let out = Command::new("rsync")
            .args([
                "-aHAXn",
                "--numeric-ids",
                "--checksum",
                "--itemize-changes",
                "--delete",
            ])
            .arg(format!("{}/", self.source.join("home").display()))
            .arg(format!("{}/", self.target.join("home").display()))
            .output()
            .unwrap();
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        // The directories that hold the homes are not ours.
        lines
            .lines()
            .filter(|l| !l.ends_with(" ./"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

pub(super) fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Runs a command that must succeed.
pub(super) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// Whether owners can be changed here; says so if not.
pub(super) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}
