//! SFTP for files that we name ourselves: the agent's upload, and control files where no agent runs.
//!
//! Never for walking: a name that is not UTF-8 ends the whole session. Every read and write says where
//! in the file it is, as the client's own idea of it is wrong after a short read; and nothing waits half
//! a millisecond for company, which is what the client does by itself.

use std::fmt;
use std::io::SeekFrom;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openssh::{OwningCommand, Session, Stdio};
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::{Error as SftpError, Sftp, SftpAuxiliaryData, SftpOptions};
use tokio::io::AsyncSeekExt as _;

use super::failure::{Failure, flat, refusal_of_sudo};
use super::process::Tail;
use super::{Connection, quote};
use crate::error::{Error, Kind, Result};
use crate::host::CONTROL_FILE_LIMIT;
use crate::raw::HostPath;

/// An SFTP session.
pub(super) struct Files {
    pub(super) sftp: Sftp,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// As much as a server of OpenSSH takes or gives at once.
pub(super) const CHUNK: u32 = 255 << 10;

impl Connection {
    /// Reads a regular file whole, at most [`CONTROL_FILE_LIMIT`] bytes of it; `None` if absent. The
    /// name has to be UTF-8.
    pub fn read_file(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        let failed = |cause: String| {
            let what = format!("cannot read {path} on {}", self.login.label);
            Error::caused(Kind::Host, what, cause)
        };
        let name = std::str::from_utf8(path.as_bytes())
            .map_err(|_| failed("SFTP cannot carry a name that is not UTF-8".to_owned()))?;
        self.with_files(|files| {
            self.runtime
                .block_on(read(&files.sftp, name))
                .map_err(|error| match self.lost() {
                    Ok(Some(lost)) | Err(lost) => lost,
                    Ok(None) => failed(flat(&error)),
                })
        })
    }

    /// Does something with the SFTP session, which is opened when it is first needed.
    pub(super) fn with_files<T>(&self, work: impl FnOnce(&Files) -> Result<T>) -> Result<T> {
        let mut slot = self.sftp.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match &mut *slot {
            Some(files) => files,
            none => none.insert(self.open_files()?),
        };
        let done = work(files);
        if done.is_err() {
            // A session can be broken for good after an error.
            *slot = None;
        }
        done
    }

    fn open_files(&self) -> Result<Files> {
        let session = Arc::clone(&self.session);
        let (mut command, what): (OwningCommand<Arc<Session>>, _) = if self.through_sudo() {
            let server = self.sftp_server()?;
            let argv = [b"sudo".as_slice(), b"-n", b"--", server.as_bytes()];
            let line = quote::command(&argv);
            let line = String::from_utf8(line).expect("made of UTF-8");
            (Session::to_raw_command(session, line), "sftp-server")
        } else {
            (Session::to_subsystem(session, "sftp"), "the SFTP subsystem")
        };
        let (tail, stderr) = Tail::start()
            .map_err(|error| Error::caused(Kind::Internal, "cannot make a pipe", error))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(OwnedFd::from(stderr));
        let opened = self.runtime.block_on(async {
            let mut child = command.spawn().await?;
            let (stdin, stdout) = (child.stdin().take(), child.stdout().take());
            Ok((
                child,
                stdin.expect("stdin is piped"),
                stdout.expect("stdout is piped"),
            ))
        });
        drop(command);
        let (child, stdin, stdout) = opened.map_err(|error| self.channel(what, &error))?;
        let options = SftpOptions::new().flush_interval(Duration::ZERO);
        let owner = SftpAuxiliaryData::Boxed(Box::new(child));
        let sftp = Sftp::new_with_auxiliary(stdin, stdout, options, owner);
        match self.runtime.block_on(sftp) {
            Ok(sftp) => Ok(Files { sftp }),
            Err(error) => Err(self.no_sftp(&tail.finish(), &error)),
        }
    }

    fn sftp_server(&self) -> Result<String> {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.facts().sftp_server.clone().ok_or_else(|| {
            Failure::NoSftp("the host has no sftp-server".to_owned()).into_error(&self.login)
        })
    }

    fn no_sftp(&self, said: &[u8], error: &SftpError) -> Error {
        let said = String::from_utf8_lossy(said);
        if let Some(refused) = self
            .through_sudo()
            .then(|| refusal_of_sudo(&said))
            .flatten()
        {
            return refused.into_error(&self.login);
        }
        match self.lost() {
            Ok(Some(lost)) | Err(lost) => lost,
            Ok(None) => {
                let said = said.lines().map(str::trim).rfind(|line| !line.is_empty());
                let cause = said.map_or_else(|| flat(error), str::to_owned);
                Failure::NoSftp(cause).into_error(&self.login)
            }
        }
    }
}

/// Whether the server says that there is nothing of that name.
pub(super) fn is_absent(error: &SftpError) -> bool {
    matches!(error, SftpError::SftpError(SftpErrorKind::NoSuchFile, _))
}

async fn read(sftp: &Sftp, name: &str) -> std::result::Result<Option<Vec<u8>>, SftpError> {
    let mut file = match sftp.open(Path::new(name)).await {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    loop {
        file.seek(SeekFrom::Start(content.len() as u64)).await?;
        let no_buffer: &[u8] = &[];
        let Some(more) = file.read(CHUNK, no_buffer.into()).await? else {
            break;
        };
        content.extend_from_slice(&more);
        if content.len() as u64 > CONTROL_FILE_LIMIT {
            let error = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(error.into());
        }
    }
    file.close().await?;
    Ok(Some(content))
}
