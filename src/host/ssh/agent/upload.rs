//! The program's way into a directory on the host, and out of it again.
//!
//! ```text
//! /var/lib/reconcile/             root's alone; the receipts are here as well
//! /var/lib/reconcile/agent.ID/    root's alone; no migration has such a name
//! /var/lib/reconcile/agent.ID/reconcile
//! ```
//!
//! SFTP has one word for most failures, so after one the file system is asked whether it is full.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read as _, SeekFrom};
use std::path::Path;
use std::pin::pin;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf as _, Bytes};
use futures_core::Stream as _;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File as RemoteFile;
use openssh_sftp_client::fs::{DirEntry, Fs};
use openssh_sftp_client::metadata::{MetaData, Permissions};
use openssh_sftp_client::{Error as SftpError, UnixTimeStamp};
use tokio::io::AsyncSeekExt as _;
use tokio::task::JoinSet;

use crate::error::{Doing as _, Error, Kind, Result};
use crate::host::ssh::Connection;
use crate::host::ssh::failure::flat;
use crate::host::ssh::sftp::{CHUNK, Files, is_absent};

/// Name of the program in its directory.
pub(super) const NAME: &str = "reconcile";

/// Where agents are put. Not `/run` or `/tmp`, which are often mounted noexec; the receipts are here as
/// well.
const TOP: &str = "/var/lib/reconcile";

/// Begins the names of the directories.
const PREFIX: &str = "agent.";

/// For root alone.
const PRIVATE: u16 = 0o700;

/// Requests on their way at a time: more do not help over a wire of 20 ms.
const IN_FLIGHT: usize = 8;

/// Nobody uploads for longer than this, in seconds: what is older was left by a killed run.
const STALE: u32 = 3600;

/// A step that failed.
struct Failed {
    doing: &'static str,
    path: String,
    why: Why,
}

/// Why a step failed.
enum Why {
    /// What the server, or the wire to it, said.
    Said(SftpError),
    /// No space, or no inodes; bytes that are left.
    Full(u64),
    /// Mounted read-only.
    ReadOnly,
    /// Others than root may write to the directory, or it is none.
    NotPrivate,
    /// The user asked us to stop.
    Interrupted,
}

type Step<T> = std::result::Result<T, Failed>;

/// Names the step of an SFTP result.
trait At<T> {
    fn at(self, doing: &'static str, path: &str) -> Step<T>;
}

impl<T> At<T> for std::result::Result<T, SftpError> {
    fn at(self, doing: &'static str, path: &str) -> Step<T> {
        self.map_err(|error| Failed {
            doing,
            path: path.to_owned(),
            why: Why::Said(error),
        })
    }
}

impl Connection {
    /// Uploads a program; says in which directory it is. Sweeps away first what killed runs left.
    pub(super) fn upload(&self, program: &mut File) -> Result<String> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .doing(Kind::Internal, || "cannot get random bytes".to_owned())?;
        let dir = format!("{TOP}/{PREFIX}{:016x}", u64::from_ne_bytes(random));
        let size = program
            .metadata()
            .doing(Kind::Internal, || {
                "cannot look at our own program".to_owned()
            })?
            .len();
        self.with_files(|files| {
            let mut fs = files.sftp.fs();
            self.runtime.block_on(async {
                let put = match prepare(&mut fs, &dir).await {
                    Ok(()) => put(files, program, size, &dir, &self.stop).await,
                    Err(failed) => Err(failed),
                };
                let Err(failed) = put else {
                    return Ok(());
                };
                let failed = explain(&mut fs, size, failed).await;
                // What the host says against the removal says nothing new.
                remove(&mut fs, &dir).await.ok();
                Err(self.failed(&failed))
            })
        })?;
        Ok(dir)
    }

    /// Whether a program of this size is there that nobody but root can have put there or changed.
    pub(super) fn is_there(&self, program: &str, size: u64) -> Result<bool> {
        let holders = Path::new(program).ancestors().skip(1);
        let holders = holders.take_while(|holder| holder.starts_with(TOP));
        let mut looks = JoinSet::new();
        self.with_files(|files| {
            self.runtime.block_on(async {
                for (path, file) in std::iter::once((Path::new(program), true))
                    .chain(holders.map(|dir| (dir, false)))
                {
                    let (mut fs, path) = (files.sftp.fs(), path.to_owned());
                    looks.spawn(async move {
                        let Ok(found) = fs.symlink_metadata(path).await else {
                            return false;
                        };
                        let fits = match found.file_type() {
                            Some(kind) if file => kind.is_file() && found.len() == Some(size),
                            Some(kind) => kind.is_dir(),
                            None => false,
                        };
                        fits && is_private(&found)
                    });
                }
                let mut there = true;
                while let Some(look) = looks.join_next().await {
                    there &= look.unwrap_or(false);
                }
                Ok(there)
            })
        })
    }

    /// Takes a program away again that does not run.
    pub(super) fn remove_upload(&self, dir: &str) -> Result<()> {
        self.with_files(|files| {
            self.runtime
                .block_on(remove(&mut files.sftp.fs(), dir))
                .map_err(|failed| self.failed(&failed))
        })
    }

    fn failed(&self, failed: &Failed) -> Error {
        if let Ok(Some(lost)) | Err(lost) = self.lost() {
            return lost;
        }
        let Failed { doing, path, why } = failed;
        let label = self.label();
        let what = format!("cannot {doing} {path} on {label}");
        match why {
            Why::Said(error) => Error::caused(Kind::Host, what, flat(error)),
            Why::Full(left) => {
                let cause = format!("the file system is full: {left} bytes are left");
                Error::caused(Kind::Host, what, cause)
                    .hint("make room on that file system and run again")
            }
            Why::ReadOnly => Error::caused(Kind::Host, what, "the file system is read-only")
                .hint("remount it read-write and run again"),
            Why::NotPrivate => {
                Error::new(Kind::Host, format!("{path} on {label} is not root's alone")).hint(
                    format!("see who made it; then: chown root {path} && chmod 700 {path}"),
                )
            }
            Why::Interrupted => Error::new(
                Kind::Interrupted,
                format!("interrupted while connecting to {label}"),
            ),
        }
    }
}

/// SFTP does not tell a full or read-only file system from other failures, but can be asked.
async fn explain(fs: &mut Fs, size: u64, failed: Failed) -> Failed {
    let Why::Said(SftpError::SftpError(SftpErrorKind::Failure | SftpErrorKind::PermDenied, _)) =
        failed.why
    else {
        return failed;
    };
    // Whatever of the path there is; its root there always is.
    for place in Path::new(TOP).ancestors() {
        // That there is no answer explains nothing.
        let Ok(there) = fs.statvfs(place).await else {
            continue;
        };
        let left = there.bfree.saturating_mul(there.frsize);
        // Some file systems do not count their inodes.
        let no_inodes = there.files > 0 && there.ffree == 0;
        // ST_RDONLY of statvfs(3).
        if there.flag & 1 != 0 {
            return Failed {
                why: Why::ReadOnly,
                ..failed
            };
        }
        if left < size || no_inodes {
            return Failed {
                why: Why::Full(left),
                ..failed
            };
        }
        break;
    }
    failed
}

/// Makes the directories, each for root alone, and sweeps.
async fn prepare(fs: &mut Fs, dir: &str) -> Step<()> {
    match fs.symlink_metadata(TOP).await {
        Ok(found) => {
            let is_dir = found.file_type().is_some_and(|kind| kind.is_dir());
            if !is_dir || !is_private(&found) {
                return Err(Failed {
                    doing: "use",
                    path: TOP.to_owned(),
                    why: Why::NotPrivate,
                });
            }
        }
        Err(error) if is_absent(&error) => make(fs, TOP).await?,
        Err(error) => return Err(error).at("look at", TOP),
    }
    make(fs, dir).await?;
    sweep(fs, dir).await
}

/// Whether nobody but root may write to it.
fn is_private(found: &MetaData) -> bool {
    let open = |mode: Permissions| mode.write_by_group() || mode.write_by_other();
    found.uid() == Some(0) && !found.permissions().is_none_or(open)
}

async fn make(fs: &mut Fs, dir: &str) -> Step<()> {
    let mut builder = fs.dir_builder();
    builder.permissions(Permissions::from(PRIVATE));
    builder.create(dir).await.at("make", dir)
}

async fn put(
    files: &Files,
    program: &mut File,
    size: u64,
    dir: &str,
    stop: &AtomicBool,
) -> Step<()> {
    let path = format!("{dir}/{NAME}");
    let mut options = files.sftp.options();
    options.read(true).write(true).create_new(true);
    let mut file = options.open(&path).await.at("make", &path)?;
    file.set_permissions(Permissions::from(PRIVATE))
        .await
        .at("set the mode of", &path)?;
    let mut writes = JoinSet::new();
    let mut at = 0;
    loop {
        let mut chunk = Vec::new();
        let read = program.take(u64::from(CHUNK)).read_to_end(&mut chunk);
        let read = read
            .map_err(SftpError::from)
            .at("copy the program to", &path)?;
        if read == 0 {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Failed {
                doing: "write",
                path,
                why: Why::Interrupted,
            });
        }
        if writes.len() >= IN_FLIGHT {
            joined(writes.join_next().await, &path)?;
        }
        writes.spawn(write_at(file.clone(), at, Bytes::from(chunk)));
        at += read as u64;
    }
    while !writes.is_empty() {
        joined(writes.join_next().await, &path)?;
    }
    let there = file.metadata().await.at("look at", &path)?;
    if there.len() != Some(size) {
        let short = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(SftpError::from(short)).at("write", &path);
    }
    // A program that is open for writing cannot be started.
    file.close().await.at("close", &path)
}

type Written = std::result::Result<std::result::Result<(), SftpError>, tokio::task::JoinError>;

fn joined(written: Option<Written>, path: &str) -> Step<()> {
    match written {
        None => Ok(()),
        Some(Ok(written)) => written.at("write", path),
        Some(Err(error)) => Err(SftpError::from(error)).at("write", path),
    }
}

async fn write_at(
    mut file: RemoteFile,
    mut at: u64,
    mut rest: Bytes,
) -> std::result::Result<(), SftpError> {
    while !rest.is_empty() {
        file.seek(SeekFrom::Start(at)).await?;
        // A write of a slice is serialised byte by byte.
        let written = file.write_zero_copy(slice::from_ref(&rest)).await?;
        rest.advance(written);
        at += written as u64;
    }
    Ok(())
}

/// Removes the directories of runs that were killed before their agent could do it. The host's own
/// clock decides: that of the directory that was just made.
async fn sweep(fs: &mut Fs, fresh: &str) -> Step<()> {
    let made = fs.symlink_metadata(fresh).await.at("look at", fresh)?;
    let now = made.modified().map_or(0, UnixTimeStamp::into_raw);
    for entry in list(fs, TOP).await? {
        let Some(name) = entry.filename().to_str() else {
            continue;
        };
        if !name.starts_with(PREFIX) {
            continue;
        }
        let dir = format!("{TOP}/{name}");
        // The time of the directory is that of the upload's beginning.
        let began = entry
            .metadata()
            .modified()
            .map_or(now, UnixTimeStamp::into_raw);
        if now.saturating_sub(began) > STALE {
            remove(fs, &dir).await?;
        }
    }
    Ok(())
}

async fn list(fs: &mut Fs, dir: &str) -> Step<Vec<DirEntry>> {
    let opened = fs.open_dir(dir).await.at("list", dir)?;
    let mut entries = pin!(opened.read_dir());
    let mut listed = Vec::new();
    while let Some(entry) = poll_fn(|cx| entries.as_mut().poll_next(cx)).await {
        listed.push(entry.at("list", dir)?);
    }
    Ok(listed)
}

/// Removes a program and its directory; that they are gone is as good.
async fn remove(fs: &mut Fs, dir: &str) -> Step<()> {
    let path = format!("{dir}/{NAME}");
    absent_is_fine(fs.remove_file(&path).await).at("remove", &path)?;
    absent_is_fine(fs.remove_dir(dir).await).at("remove", dir)
}

fn absent_is_fine(
    result: std::result::Result<(), SftpError>,
) -> std::result::Result<(), SftpError> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        result => result,
    }
}
