//! The files of a configuration as they are on a host, each asked for once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::host::{FileKind, ReadHost, Stat};
use crate::parallel;
use crate::raw::{HostPath, Raw};

/// What has been seen of a host. A reader asks for one file after the other, of a host that may be far
/// away: what it will ask for next is fetched together.
pub struct Files<'a> {
    host: &'a dyn ReadHost,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stats: BTreeMap<HostPath, Option<Stat>>,
    names: BTreeMap<HostPath, Option<Vec<Raw>>>,
    contents: BTreeMap<HostPath, Option<Vec<u8>>>,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("host", &self.host.label())
            .finish_non_exhaustive()
    }
}

impl<'a> Files<'a> {
    /// Of a host of which nothing has been seen.
    pub fn of(host: &'a dyn ReadHost) -> Self {
        Self {
            host,
            seen: Mutex::default(),
        }
    }

    /// The host's, for messages.
    pub(super) fn label(&self) -> String {
        self.host.label()
    }

    pub(super) fn stat(&self, path: &HostPath) -> Result<Option<Stat>> {
        if let Some(stat) = self.seen().stats.get(path) {
            return Ok(*stat);
        }
        let stat = self.host.stat(path)?;
        self.seen().stats.insert(path.clone(), stat);
        Ok(stat)
    }

    pub(super) fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>> {
        if let Some(names) = self.seen().names.get(dir) {
            return Ok(names.clone());
        }
        let names = self.host.list(dir)?;
        self.seen().names.insert(dir.clone(), names.clone());
        Ok(names)
    }

    pub(super) fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        if let Some(content) = self.seen().contents.get(path) {
            return Ok(content.clone());
        }
        let content = self.host.read(path)?;
        self.seen().contents.insert(path.clone(), content.clone());
        Ok(content)
    }

    /// Fetches files that are asked for next. What cannot be read fails when it is asked for.
    pub(super) fn ahead(&self, paths: &[HostPath]) {
        parallel::ask(paths, |path| {
            if let Ok(Some(stat)) = self.stat(path)
                && stat.kind == FileKind::File
            {
                self.read(path).ok();
            }
        });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
