//! Read-only programs run over an ssh connection.

use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Doing as _, Kind, Result};
use crate::host::ssh::{Connection, Exec};
use crate::replicate::commands::{Finished, Output, Programs};

/// Programs of the host at the far end of a connection.
#[derive(Clone, Debug)]
pub struct OverSsh(pub Arc<Connection>);

impl Programs for OverSsh {
    fn label(&self) -> &str {
        self.0.label()
    }

    fn start_patiently(
        &self,
        argv: &[&[u8]],
        stdin: Vec<u8>,
        patience: Option<Duration>,
    ) -> Result<Box<dyn Output>> {
        Ok(Box::new(Running {
            exec: self.0.exec(argv, &stdin)?,
            connection: Arc::clone(&self.0),
            patience,
        }))
    }
}

struct Running {
    exec: Exec,
    connection: Arc<Connection>,
    patience: Option<Duration>,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(patience) = self.patience {
            let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
            let fd = self.exec.stdout.as_fd();
            loop {
                match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&patience)) {
                    Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.exec.stdout.read(buffer)
    }
}

impl Output for Running {
    fn end(mut self: Box<Self>) -> Result<Finished> {
        io::copy(&mut self.exec.stdout, &mut io::sink()).doing(Kind::Host, || {
            format!("cannot read from {}", self.connection.label())
        })?;
        let ended = self.exec.wait()?;
        // A signal there, or the end of the connection.
        if ended.status.is_none()
            && let Some(lost) = self.connection.lost()?
        {
            return Err(lost);
        }
        Ok(Finished {
            status: ended.status,
            stderr: ended.stderr,
        })
    }
}
