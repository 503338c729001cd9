//! Mail queues of the machine that we are on: messages of another host are made ready for its MTA,
//! given to it, forgotten, or put aside. [`crate::host::queue`] says what these are.

mod aside;
mod deliver;
mod prepare;

#[cfg(test)]
mod tests;

use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::DirHost;
use crate::error::Result;
use crate::host::failed;
#[cfg(test)]
use crate::host::queue::QueueAside;
use crate::host::queue::{QueueMove, QueueStep};
use crate::raw::HostPath;

impl DirHost {
    /// Does something with mail queues; in a hand-over only the dead man's switch asks for it.
    pub fn queue(&self, step: &QueueStep) -> Result<()> {
        match step {
            QueueStep::Prepare(queue) => prepare::prepare(self, queue),
            QueueStep::Deliver(queue) => {
                deliver::deliver(self, queue)?;
                drop_staged(self, queue)
            }
            QueueStep::Drop(queue) => drop_staged(self, queue),
            QueueStep::SetAside(aside) => aside::set_aside(self, aside),
        }
    }
}

fn drop_staged(host: &DirHost, queue: &QueueMove) -> Result<()> {
    [&queue.ready, &queue.staged]
        .into_iter()
        .try_for_each(|dir| remove_all(host, dir))
}

/// Where a path of the host is on this machine.
///
/// Only for directories that nobody but root and the MTA itself can change; nothing in them is
/// followed if it is a link.
fn real(host: &DirHost, path: &HostPath) -> PathBuf {
    host.path.join(path.relative())
}

fn remove_all(host: &DirHost, dir: &HostPath) -> Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "host/ is where files are removed"
    )]
    match fs::remove_dir_all(real(host, dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(&host.label, "remove", dir, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The entries of a directory, by name; none if it is absent.
fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    #[expect(clippy::disallowed_methods, reason = "host/ is where files are listed")]
    let listed = fs::read_dir(dir);
    let mut found = match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?.collect::<io::Result<Vec<_>>>()?,
    };
    found.sort_by_key(DirEntry::file_name);
    Ok(found)
}

/// Renames; nothing is replaced.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(
        rustix::fs::CWD,
        from,
        rustix::fs::CWD,
        to,
        flags,
    )?)
}

/// A file that only root can open until it has its owner; whatever was there is gone.
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// A directory for root only, with its parents.
fn make_dir(path: &Path) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "host/ is where directories are made"
    )]
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Whose new files in a directory are, and their group.
fn owner_of(dir: &Path) -> io::Result<(u32, u32)> {
    let meta = fs::symlink_metadata(dir)?;
    Ok((meta.uid(), meta.gid()))
}

/// Makes renames and files beneath a directory durable: one flush of its file system.
fn flush(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}
