//! Two homes, a spool on each side and an index, in a temporary directory.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::names::Uid;
use crate::plan::change::{Difference, Extraneous, IdMap, Selection, TreeKind};
use crate::replicate::{self, Copied, Depth, Filter, Job, Place, Progress, Report, Tree};

pub(super) struct Bench {
    _dir: tempfile::TempDir,
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) index: PathBuf,
    pub(super) owner: Uid,
    pub(super) ids: IdMap,
    pub(super) selection: Selection,
    pub(super) extraneous: Extraneous,
    pub(super) stop: AtomicBool,
    pub(super) progress: Progress,
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
            stop: AtomicBool::new(false),
            progress: Progress::default(),
            _dir: dir,
        }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.source.join("home/alice")
    }

    pub(super) fn there(&self) -> PathBuf {
        self.target.join("home/alice")
    }

    fn with<T>(&self, run: impl FnOnce(&Job<'_>) -> T) -> T {
        let open = |path: PathBuf| File::open(path).unwrap();
        let dirs =
            [&self.source, &self.target].map(|r| [open(r.join("home")), open(r.join("mail"))]);
        let index = open(self.index.clone());
        let place = |side: usize, tree: usize| Place {
            dir: dirs[side][tree].as_fd(),
            name: b"alice",
        };
        let trees = [TreeKind::Home, TreeKind::Spool];
        let trees: Vec<_> = trees
            .into_iter()
            .enumerate()
            .map(|(n, kind)| Tree {
                kind,
                source: Some(place(0, n)),
                target: place(1, n),
            })
            .collect();
        run(&Job {
            trees: &trees,
            owner: self.owner,
            ids: &self.ids,
            filter: &Filter::new(&self.selection).unwrap(),
            extraneous: self.extraneous,
            index: Some(Place {
                dir: index.as_fd(),
                name: b"alice",
            }),
            sample: 10,
            progress: &self.progress,
            stop: &self.stop,
        })
    }

    pub(super) fn try_copy(&self) -> Result<Report> {
        self.with(|job| {
            let Copied { report, index } = replicate::copy(job)?;
            replicate::sync(job.trees[0].target.dir)?;
            index.unwrap().commit()?;
            Ok(report)
        })
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
        let report = self
            .with(|job| {
                replicate::compare(job, depth, &mut |_, path, differs| {
                    all.push((crate::raw::escape(path), differs));
                })
            })
            .unwrap();
        assert_eq!(report.delta.is_empty(), all.is_empty());
        all
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
