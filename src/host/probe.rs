//! The closed list of read-only questions that are answered by a host's own programs.
//!
//! A probe never changes the host: on an offline root the program runs inside the root as nobody,
//! without an environment and with nothing on stdin.

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// The value of a Dovecot setting as a POP3 session sees it: `doveconf -f protocol=pop3 -h KEY`.
    Pop3Setting(&'static str),
    /// `dovecot --version`.
    DovecotVersion,
}

impl Probe {
    /// Program and arguments.
    pub fn argv(&self) -> Vec<&'static str> {
        match self {
            Self::Pop3Setting(key) => {
                vec!["/usr/bin/doveconf", "-f", "protocol=pop3", "-h", key]
            }
            Self::DovecotVersion => vec!["/usr/sbin/dovecot", "--version"],
        }
    }
}

/// What the program said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}
