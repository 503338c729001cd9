//! Messages that are ready are given to the MTA, which may run: one rename each.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::{entries, flush, real, rename_new};
use crate::error::Result;
use crate::host::queue::{Accepting, QueueMove};
use crate::host::{DirHost, failed};

/// What is told of a message is there before the message is, and a body before what is made of it.
const POSTFIX: [&str; 6] = ["bounce", "defer", "trace", "hold", "deferred", "maildrop"];
const SENDMAIL: [&str; 1] = ["mqueue"];

pub(super) fn deliver(host: &DirHost, queue: &QueueMove) -> Result<()> {
    let ready = real(host, &queue.ready);
    let into = real(host, queue.into.path());
    let order: &[&str] = match queue.into {
        Accepting::Postfix { .. } => &POSTFIX,
        Accepting::Sendmail { .. } => &SENDMAIL,
    };
    let give = || {
        for part in order {
            // By name: `df` comes before `hf` and `qf`.
            for entry in entries(&ready.join(part))? {
                let place = place(&queue.into, &into, part, &entry.file_name())?;
                rename_new(&entry.path(), &place)?;
            }
        }
        if fs::symlink_metadata(&ready).is_ok() {
            flush(&ready)?;
        }
        Ok(())
    };
    give().map_err(|error: io::Error| {
        failed(&host.label, "put the queue into", queue.into.path(), error)
    })
}

/// Where the MTA looks for a file of a queue.
fn place(
    accepting: &Accepting,
    into: &Path,
    part: &str,
    name: &std::ffi::OsStr,
) -> io::Result<PathBuf> {
    let Accepting::Postfix { hashed, depth, .. } = accepting else {
        return Ok(into.join(name));
    };
    let mut dir = into.join(part);
    if hashed.contains(part) {
        // The first so many characters, a directory each: `dir_forest.c`.
        for &byte in name.as_bytes().iter().take(usize::from(*depth)) {
            let inner = dir.join(char::from(byte).to_string());
            make_like(&dir, &inner)?;
            dir = inner;
        }
    }
    Ok(dir.join(name))
}

/// A directory of the MTA's inside another, as it would make it itself.
fn make_like(outer: &Path, inner: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(inner) {
        Ok(()) => {
            let like = fs::symlink_metadata(outer)?;
            chown(inner, Some(like.uid()), Some(like.gid()))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
