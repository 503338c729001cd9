//! Files that are replaced in a hand-over: kept before, put back when the switch trips.
//!
//! What is kept is the file itself, with owner, mode and attributes, so that putting it back is a
//! rename, which a full disk allows. That there was no file is kept as an empty file of another name.

use std::os::fd::AsFd as _;

use rustix::fs::{fsync, renameat};
use rustix::io::Errno;

use super::super::DirHost;
use super::super::replace::copy_at;
use crate::error::{Error, Kind, Result};
use crate::host::step::Saved;
use crate::host::switch::Replacement;
use crate::host::{FileKind, Host as _, NewFile, ReadHost as _, Step, Switch, failed, real_path};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// Where each of these files is kept. What puts it back is added to the switch unless it is there.
pub(super) fn plan(switch: &mut Switch, name: &MigrationName, files: &[Replacement]) -> Vec<Saved> {
    let mut all = Vec::new();
    for Replacement { path, .. } in files {
        let known = switch.undo.iter().find_map(|step| match step {
            Step::Restore(saved) if saved.path == *path => Some(saved.clone()),
            _ => None,
        });
        all.push(known.unwrap_or_else(|| {
            let own = format!("kept-{}-{}", switch.epoch, switch.undo.len());
            let saved = Saved {
                path: path.clone(),
                kept: Receipt::directory(name).join(own),
            };
            switch.undo.push(Step::Restore(saved.clone()));
            saved
        }));
    }
    all
}

/// The mark that there was no file.
fn absence(saved: &Saved) -> HostPath {
    let mut name = saved.kept.file_name().to_vec();
    name.extend_from_slice(b".absent");
    saved.kept.parent().join(name)
}

/// Keeps a file as it is now, unless that was done before.
pub(super) fn save(host: &DirHost, saved: &Saved) -> Result<()> {
    let absence = absence(saved);
    if host.lstat(&saved.kept)?.is_some() || host.lstat(&absence)?.is_some() {
        return Ok(());
    }
    let path = real_path(host, &saved.path)?;
    match host.lstat(&path)? {
        None => host.replace(&absence, b"", NewFile::root(0o600)),
        Some(stat) if stat.kind == FileKind::File => copy(host, &path, &saved.kept),
        Some(_) => {
            let what = format!("{path} on {} is no regular file", host.label);
            Err(Error::new(Kind::Host, what))
        }
    }
}

/// Puts a file back as it was kept.
pub(super) fn restore(host: &DirHost, saved: &Saved) -> Result<()> {
    let path = real_path(host, &saved.path)?;
    if host.lstat(&absence(saved))?.is_some() {
        return host.remove_file(&path);
    }
    if host.lstat(&saved.kept)?.is_none() {
        return Ok(());
    }
    let (from_dir, from) = host.must_locate(&saved.kept)?;
    let (dir, name) = host.must_locate(&path)?;
    match renameat(&from_dir, &from, &dir, &name) {
        Ok(()) => fsync(&dir)
            .and_then(|()| fsync(&from_dir))
            .map_err(|errno| host.fail("put back", &path, errno)),
        // It is kept on another file system.
        Err(Errno::XDEV) => copy(host, &saved.kept, &path),
        Err(errno) => Err(host.fail("put back", &path, errno)),
    }
}

/// Nothing is kept any more.
pub(super) fn forget(host: &DirHost, saved: &Saved) -> Result<()> {
    host.remove_file(&saved.kept)?;
    host.remove_file(&absence(saved))
}

fn copy(host: &DirHost, from: &HostPath, to: &HostPath) -> Result<()> {
    let (from_dir, from_name) = host.must_locate(from)?;
    let (dir, name) = host.must_locate(to)?;
    copy_at((from_dir.as_fd(), &from_name), (dir.as_fd(), &name))
        .map_err(|error| failed(&host.label, &format!("copy {from} to"), to, error))
}
