//! Copies of another host's queue files become files of this host's MTA.
//!
//! The copies stay as they are, so that this can be done again from the start.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{create, entries, flush, make_dir, owner_of, real, remove_all};
use crate::error::{Error, Kind, Result};
use crate::host::queue::{
    Accepting, Carried, Left, QUARANTINE, QueueKind, QueueMove, StagedQueue, waiting,
};
use crate::host::{DirHost, Host as _, NewFile, failed};
use crate::queue_file::{postfix, sendmail};
use crate::raw::HostPath;

/// Queue files of Postfix, finished; submissions, likewise; logs of what happened to recipients; files
/// of sendmail: the modes that the MTAs give them.
const MESSAGE: u32 = 0o700;
const SUBMISSION: u32 = 0o744;
const PRIVATE: u32 = 0o600;

/// What Postfix will tell a sender is in files of the message's name.
const LOGS: [&str; 3] = ["bounce", "defer", "trace"];

pub(super) fn prepare(host: &DirHost, queue: &QueueMove) -> Result<()> {
    remove_all(host, &queue.ready)?;
    let ready = real(host, &queue.ready);
    let fail = |error| failed(&host.label, "make a queue ready in", &queue.ready, error);
    make_dir(&ready).map_err(fail)?;
    let mut carried = Carried::default();
    for staged in &queue.queues {
        let top = queue.staged.join(&staged.name);
        for (name, path) in waiting(host, staged.from.kind, &top)? {
            let message = Message {
                host,
                into: &queue.into,
                ready: &ready,
                top: real(host, &top),
                staged,
                queue: &name,
                path: real(host, &path),
            };
            match message.prepare() {
                Ok(files) => {
                    carried.messages += 1;
                    carried
                        .files
                        .extend(files.iter().map(|file| message.origin(file)));
                }
                Err(Refused::Message(why)) => carried.left.push(Left {
                    path: message.origin(&message.path),
                    why,
                }),
                Err(Refused::Host(error)) => return Err(fail(error)),
            }
        }
    }
    flush(&ready).map_err(fail)?;
    let json = serde_json::to_vec_pretty(&carried)
        .map_err(|error| Error::caused(Kind::Internal, "cannot write down the queue", error))?;
    host.replace(&Carried::path(&queue.staged), &json, NewFile::root(0o600))
}

/// Why a message is not ready.
enum Refused {
    /// It cannot be given to this MTA.
    Message(String),
    /// Nothing can be written here.
    Host(io::Error),
}

impl From<io::Error> for Refused {
    /// What a file holds is its own fault; all else is the host's.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Message(error.to_string()),
            io::ErrorKind::UnexpectedEof => Self::Message("it was never finished".to_owned()),
            _ => Self::Host(error),
        }
    }
}

/// A message to be made ready.
struct Message<'a> {
    host: &'a DirHost,
    into: &'a Accepting,
    ready: &'a Path,
    /// The copy of the whole queue directory.
    top: PathBuf,
    staged: &'a StagedQueue,
    /// Which queue it is in.
    queue: &'a str,
    /// The copy of its file.
    path: PathBuf,
}

impl Message<'_> {
    /// Where a file of the copy came from.
    fn origin(&self, file: &Path) -> HostPath {
        let inside = file.strip_prefix(&self.top).unwrap_or(file);
        self.staged.from.path.join(inside.as_os_str().as_bytes())
    }

    /// All files of the copy that went into it.
    fn prepare(&self) -> Result<Vec<PathBuf>, Refused> {
        match (self.staged.from.kind, self.into) {
            (QueueKind::Postfix, Accepting::Postfix { path, .. }) => self.postfix_itself(path),
            (QueueKind::Postfix, Accepting::Sendmail { path }) => self.sendmail_of_postfix(path),
            (_, Accepting::Postfix { path, .. }) => self.postfix_of_sendmail(path),
            (_, Accepting::Sendmail { path }) => self.sendmail_itself(path),
        }
    }

    /// Postfix's own file, as it is: with its age, its next try, and recipients that are done. Its name
    /// tells the inode that it has; postsuper(1) would rename any other.
    fn postfix_itself(&self, dir: &HostPath) -> Result<Vec<PathBuf>, Refused> {
        let old_name = self.path.file_name().expect("it was listed").as_bytes();
        if self.queue == "maildrop" {
            let meta = fs::symlink_metadata(&self.path)?;
            let to = self.place("maildrop")?;
            let (_, group) = self.owner(dir, "maildrop")?;
            let file = copied(&self.path, &to.join("new"))?;
            settle(
                &file,
                (meta.uid(), group),
                SUBMISSION,
                Some(meta.modified()?),
            )?;
            fs_rename(&to.join("new"), &to.join(queue_id(old_name, &file)?))?;
            return Ok(vec![self.path.clone()]);
        }
        // What was under way is tried again at once, and what is held is held.
        let (queue, next_try) = match self.queue {
            "hold" => ("hold", Some(fs::symlink_metadata(&self.path)?.modified()?)),
            "deferred" => (
                "deferred",
                Some(fs::symlink_metadata(&self.path)?.modified()?),
            ),
            _ => ("deferred", None),
        };
        let owner = self.owner(dir, "incoming")?;
        let to = self.place(queue)?;
        let file = copied(&self.path, &to.join("new"))?;
        settle(&file, owner, MESSAGE, next_try)?;
        let name = queue_id(old_name, &file)?;
        let mut files = vec![self.path.clone()];
        for log in LOGS {
            if let Some(found) = find(&self.top.join(log), self.path.file_name(), 4)? {
                let to = self.place(log)?;
                let file = copied(&found, &to.join("new"))?;
                settle(&file, owner, PRIVATE, None)?;
                fs_rename(&to.join("new"), &to.join(&name))?;
                files.push(found);
            }
        }
        fs_rename(&to.join("new"), &to.join(&name))?;
        Ok(files)
    }

    /// A submission, made of sendmail's files. It is Postfix's own, as a message is that postsuper(1)
    /// puts back into the queue: it was filtered when it came in.
    fn postfix_of_sendmail(&self, dir: &HostPath) -> Result<Vec<PathBuf>, Refused> {
        // It would be delivered at once. A plan is blocked while any waits; this one came since.
        if self.queue == QUARANTINE {
            return Err(Refused::Message("it is quarantined".to_owned()));
        }
        let (control, body_path) = self.control_and_body()?;
        let (envelope, headers) = sendmail::read(&control).map_err(Refused::Message)?;
        if envelope.recipients.is_empty() {
            return Err(Refused::Message("it has no recipient any more".to_owned()));
        }
        let (user, _) = self.owner(dir, "incoming")?;
        let (_, group) = self.owner(dir, "maildrop")?;
        let to = self.place("maildrop")?;
        let mut body = BufReader::new(File::open(&body_path)?);
        let mut new = BufWriter::new(create(&to.join("new"))?);
        postfix::submission(&envelope, &headers, &mut body, &mut new)?;
        let file = new.into_inner().map_err(io::IntoInnerError::into_error)?;
        settle(&file, (user, group), SUBMISSION, time(envelope.arrived))?;
        fs_rename(&to.join("new"), &to.join(queue_id(b"", &file)?))?;
        Ok(vec![self.path.clone(), body_path])
    }

    /// sendmail's own files, as they are; but what waited for a daemon is the daemon's now, and loses
    /// what only a submission has (`${daemon_flags}c u`: names are still to be completed).
    fn sendmail_itself(&self, dir: &HostPath) -> Result<Vec<PathBuf>, Refused> {
        let (mut control, body_path) = self.control_and_body()?;
        if self.staged.from.kind == QueueKind::SendmailClient {
            let (envelope, headers) = sendmail::read(&control).map_err(Refused::Message)?;
            control = sendmail::write(&envelope, &headers);
        }
        let name = self.path.file_name().expect("it was listed").as_bytes();
        let prefix = if name.starts_with(b"hf") { "hf" } else { "qf" };
        let body = File::open(&body_path)?;
        self.sendmail_pair(dir, prefix, &name[2..], &control, |new| {
            io::copy(&mut &body, new).map(|_| ())
        })?;
        Ok(vec![self.path.clone(), body_path])
    }

    /// sendmail's files, made of Postfix's. What is held is quarantined.
    fn sendmail_of_postfix(&self, dir: &HostPath) -> Result<Vec<PathBuf>, Refused> {
        let mut file = BufReader::new(File::open(&self.path)?);
        let envelope = postfix::envelope(&mut file)?;
        if envelope.recipients.is_empty() {
            return Err(Refused::Message("it has no recipient any more".to_owned()));
        }
        let mut logs = LOGS.iter().filter(|log| **log != "defer");
        if let Some(log) = logs.find_map(|log| {
            find(&self.top.join(log), self.path.file_name(), 4)
                .map(|found| found.map(|_| *log))
                .transpose()
        }) {
            let why = format!("its sender is still to be told something ({})", log?);
            return Err(Refused::Message(why));
        }
        file.rewind()?;
        let headers = postfix::message(&mut file, &mut io::sink())?;
        let mut control = sendmail::write(&envelope, &headers);
        let prefix = if self.queue == "hold" { "hf" } else { "qf" };
        if prefix == "hf" {
            control = sendmail::quarantined(&control);
        }
        let id = self.path.file_name().expect("it was listed").as_bytes();
        file.rewind()?;
        self.sendmail_pair(dir, prefix, id, &control, |new| {
            postfix::message(&mut file, new).map(|_| ())
        })?;
        let mut files = vec![self.path.clone()];
        files.extend(find(&self.top.join("defer"), self.path.file_name(), 4)?);
        Ok(files)
    }

    /// A control file and the body beside it.
    fn control_and_body(&self) -> Result<(Vec<u8>, PathBuf), Refused> {
        let name = self.path.file_name().expect("it was listed").as_bytes();
        let id = std::ffi::OsStr::from_bytes(&name[2..]);
        let mut body = std::ffi::OsString::from("df");
        body.push(id);
        let body = self.path.with_file_name(body);
        match fs::symlink_metadata(&body) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => return Err(Refused::Message("its body is no file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Refused::Message("its body is not there".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
        #[expect(clippy::disallowed_methods, reason = "host/ is where files are read")]
        Ok((fs::read(&self.path)?, body))
    }

    /// Body and control file under an ID that is free; the owner is the queue's.
    fn sendmail_pair(
        &self,
        dir: &HostPath,
        prefix: &str,
        id: &[u8],
        control: &[u8],
        write_body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<(), Refused> {
        let there = real(self.host, dir);
        let owner = owner_of(&there)?;
        let to = self.place("mqueue")?;
        let mut id = String::from_utf8_lossy(id).into_owned();
        let taken = |id: &str| {
            ["qf", "hf", "df"].iter().any(|kind| {
                let name = format!("{kind}{id}");
                [&there, &to]
                    .iter()
                    .any(|dir| fs::symlink_metadata(dir.join(&name)).is_ok())
            })
        };
        while taken(&id) {
            id.push('r');
        }
        let mut body = BufWriter::new(create(&to.join(format!("df{id}")))?);
        write_body(&mut body)?;
        let body = body.into_inner().map_err(io::IntoInnerError::into_error)?;
        settle(&body, owner, PRIVATE, None)?;
        let mut file = create(&to.join("new"))?;
        file.write_all(control)?;
        settle(&file, owner, PRIVATE, None)?;
        fs_rename(&to.join("new"), &to.join(format!("{prefix}{id}")))?;
        Ok(())
    }

    /// A directory of what is ready.
    fn place(&self, queue: &str) -> io::Result<PathBuf> {
        let place = self.ready.join(queue);
        make_dir(&place)?;
        // What a message left that could not be made ready.
        #[expect(
            clippy::disallowed_methods,
            reason = "host/ is where files are removed"
        )]
        match fs::remove_file(place.join("new")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(place),
        }
    }

    fn owner(&self, dir: &HostPath, queue: &str) -> io::Result<(u32, u32)> {
        owner_of(&real(self.host, dir).join(queue))
    }
}

/// Seconds since the epoch; `None` if nobody knows.
fn time(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// A name that Postfix gives a queue file: five digits of microseconds, and the inode in hexadecimal
/// (`mail_queue.h`). No other file has the inode, so nobody has the name.
fn queue_id(old: &[u8], file: &File) -> io::Result<String> {
    let digits = old
        .get(..5)
        .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let digits = String::from_utf8_lossy(digits.unwrap_or(b"00000")).to_ascii_uppercase();
    Ok(format!("{digits}{:X}", file.metadata()?.ino()))
}

/// A copy of a regular file; a link is not followed.
fn copied(from: &Path, to: &Path) -> io::Result<File> {
    let mut new = create(to)?;
    io::copy(&mut File::open(from)?, &mut new)?;
    Ok(new)
}

/// Gives a file its owner, mode and time.
fn settle(
    file: &File,
    (user, group): (u32, u32),
    mode: u32,
    time: Option<SystemTime>,
) -> io::Result<()> {
    fchown(file, Some(user), Some(group))?;
    file.set_permissions(Permissions::from_mode(mode))?;
    match time {
        Some(time) => file.set_times(FileTimes::new().set_accessed(time).set_modified(time)),
        None => Ok(()),
    }
}

fn fs_rename(from: &Path, to: &Path) -> io::Result<()> {
    super::rename_new(from, to)
}

/// A file of this name in a directory or those inside.
fn find(dir: &Path, name: Option<&std::ffi::OsStr>, depth: u8) -> io::Result<Option<PathBuf>> {
    for entry in entries(dir)? {
        let kind = entry.file_type()?;
        if kind.is_file() && Some(entry.file_name().as_os_str()) == name {
            return Ok(Some(entry.path()));
        }
        if kind.is_dir()
            && depth > 0
            && let Some(found) = find(&entry.path(), name, depth - 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
