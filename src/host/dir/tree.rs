//! Trees beneath the root, as source and as target of a replication.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::AtomicBool;

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::host::{ReadHost as _, TreeJob, Watch};
use crate::raw::HostPath;
use crate::replicate::{
    self, Copied, Depth, Filter, Here, Job, OriginTree, Origins, Place, Progress, Report, Session,
};

impl DirHost {
    /// A directory as a starting point; `None` if absent.
    pub(super) fn open_tree(&self, dir: &HostPath) -> Result<Option<OwnedFd>> {
        use rustix::fs::OFlags;
        self.open_in(dir, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| self.fail("open", dir, errno))
    }

    /// A tree for reading.
    pub(crate) fn here(&self, tree: &OriginTree) -> Result<Here> {
        let holder = self.open_tree(&tree.path.parent())?;
        let filter = Filter::new(&tree.select)?;
        let here = Here::new(
            tree.kind,
            holder,
            tree.path.file_name(),
            filter,
            tree.owner,
            self.outflow(),
        )?;
        Ok(self.tracked.join(here, tree))
    }

    /// The directory that holds a tree's top, and the name in it. Where there is no such directory
    /// yet, the nearest existing one and the first missing name stand for it: absent, as it should
    /// be.
    pub(super) fn standing(&self, path: &HostPath) -> Result<(OwnedFd, Vec<u8>)> {
        let mut path = path.clone();
        loop {
            if let Some(dir) = self.open_tree(&path.parent())? {
                return Ok((dir, path.file_name().to_vec()));
            }
            if path.is_root() {
                let what = format!("{path} is no path on {}", self.label());
                return Err(Error::new(Kind::Internal, what));
            }
            path = path.parent();
        }
    }

    /// Runs the engine on a job.
    fn work<T>(
        &self,
        job: &TreeJob,
        progress: &Progress,
        stop: &AtomicBool,
        run: impl FnOnce(&Job<'_>) -> Result<T>,
    ) -> Result<T> {
        let (dir, name) = self.standing(&job.target)?;
        let index = match &job.index {
            Some(file) => self.open_tree(&file.dir)?.zip(Some(file.name.as_bytes())),
            None => None,
        };
        run(&Job {
            onto: self.side,
            kind: job.tree.kind,
            target: Place {
                dir: dir.as_fd(),
                name: &name,
            },
            owner: job.tree.owner,
            ids: &job.ids,
            filter: &Filter::new(&job.tree.select)?,
            extraneous: &job.extraneous,
            sealed: job.sealed,
            index: index.as_ref().map(|(dir, name)| Place {
                dir: dir.as_fd(),
                name,
            }),
            sample: job.sample,
            progress,
            stop,
        })
    }

    /// Compares with the trees of a source, one after the other; `ended` is told how each job ended.
    pub(crate) fn compare_with(
        &self,
        jobs: &[TreeJob],
        depth: Depth,
        source: &mut Origins<'_>,
        watch: &mut Watch<'_>,
        mut ended: impl FnMut(Result<Report>),
    ) {
        for (number, job) in jobs.iter().enumerate() {
            let mut tell = |path: &[u8], differs| {
                if let Some(differences) = &mut watch.differences {
                    differences(number, path, differs);
                }
            };
            let (progress, stop) = (watch.progress, watch.stop);
            ended(source.tree(number).and_then(|source| {
                self.work(job, progress, stop, |job| {
                    replicate::compare(job, source, depth, &mut tell)
                })
            }));
        }
    }

    /// Copies the trees of a source likewise.
    pub(crate) fn copy_from(
        &self,
        jobs: &[TreeJob],
        source: &mut Origins<'_>,
        watch: &Watch<'_>,
        mut ended: impl FnMut(Result<Copied>),
    ) {
        for (number, job) in jobs.iter().enumerate() {
            ended(source.tree(number).and_then(|source| {
                self.work(job, watch.progress, watch.stop, |job| {
                    replicate::copy(job, source)
                })
            }));
        }
    }

    /// Answers questions about trees.
    pub(crate) fn session(&self, trees: Vec<OriginTree>) -> Session<'_> {
        let open = |tree: &OriginTree| self.here(tree).map(Into::into);
        Session::new(trees, self.outflow(), open)
    }

    /// The same for a thread of its own.
    pub(super) fn lasting_session(&self, trees: Vec<OriginTree>) -> Result<Session<'static>> {
        let host = self.again()?;
        let open = move |tree: &OriginTree| host.here(tree).map(Into::into);
        Ok(Session::new(trees, self.outflow(), open))
    }
}
