//! Input from an operator who is heard every few seconds, or is gone.
//!
//! A machine that lost its network ends no connection: sshd would keep the agent, and the agent its
//! locks, for hours. So whoever is not heard for as long as ssh waits on the other side is taken for
//! dead. [`crate::host::remote`] says something every [`wire::HEARTBEAT`](crate::wire::HEARTBEAT),
//! whatever else it does.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A stream that is an error once nothing came for too long.
#[derive(Debug)]
pub struct Patient {
    stream: File,
    patience: Duration,
}

impl Patient {
    /// Waits so long for each piece.
    pub const fn new(stream: File, patience: Duration) -> Self {
        Self { stream, patience }
    }
}

impl Read for Patient {
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if nothing came.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = Timespec::try_from(self.patience).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
        match poll(&mut polled, Some(&wait)) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the operator has said nothing for {:?}", self.patience),
            )),
            Ok(_) => self.stream.read(buffer),
            // Whoever reads tries again.
            Err(Errno::INTR) => Err(io::ErrorKind::Interrupted.into()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn who_says_nothing_is_gone_and_who_says_something_is_not() {
        let (near, far) = io::pipe().unwrap();
        let stream = File::from(std::os::fd::OwnedFd::from(near));
        let mut patient = Patient::new(stream, Duration::from_millis(50));
        (&far).write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(patient.read(&mut byte).unwrap(), 1);
        let error = patient.read(&mut byte).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);
        assert_eq!(patient.read(&mut byte).unwrap(), 0, "an end is an end");
    }
}
