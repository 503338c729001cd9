//! Copies of the running program that stay on the host: for the watcher of a dead man's switch, and for a
//! timer.

use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open, readlink};

use super::DirHost;
use crate::error::{Doing as _, Kind, Result};
use crate::host::{Host as _, NewFile, ReadHost as _};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

const RUNNING: &str = "/proc/self/exe";

/// Whether a file is a copy; `None` if it is absent.
pub(super) fn is_copy(host: &DirHost, path: &HostPath) -> Result<Option<bool>> {
    let there = host
        .open_in(path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|errno| host.fail("read", path, errno))?;
    let Some(there) = there else {
        return Ok(None);
    };
    let content = content_of(there);
    let content = content.map_err(|error| crate::host::failed(&host.label, "read", path, error))?;
    Ok(Some(content == running()?))
}

/// Keeps a copy for the runs of a migration to come, or keeps none.
pub(super) fn keep(host: &DirHost, name: &MigrationName, keep: bool) -> Result<()> {
    let path = Receipt::program(name);
    if !keep {
        if host.lstat(&path)?.is_some() {
            host.remove_file(&path)?;
            host.remove_records(name)?;
        }
        return Ok(());
    }
    // The usual case: it was started from there.
    let from = readlink(RUNNING, Vec::new());
    if from.is_ok_and(|from| from.as_bytes() == path.as_bytes())
        || is_copy(host, &path)? == Some(true)
    {
        return Ok(());
    }
    host.make_dirs(&HostPath::from("/var/lib"), 0o755)?;
    host.make_dirs(&Receipt::directory(name), 0o700)?;
    put(host, &path)
}

/// Puts a copy there.
pub(super) fn put(host: &DirHost, path: &HostPath) -> Result<()> {
    host.replace(path, &running()?, NewFile::root(0o700))
}

/// The content of the running program.
fn running() -> Result<Vec<u8>> {
    let what = || "cannot read the running program".to_owned();
    // It may have no name any more: see `agent`.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let running = open(RUNNING, flags, Mode::empty()).doing(Kind::Host, what)?;
    content_of(running).doing(Kind::Host, what)
}

fn content_of(file: OwnedFd) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::fs::File::from(file).read_to_end(&mut content)?;
    Ok(content)
}
