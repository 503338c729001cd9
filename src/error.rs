//! What can go wrong, said so that a person can act on it, and the exit code that goes with it.
//!
//! Every failure carries a [`Kind`] (which decides the exit code), what we were doing (a lowercase
//! fragment that names host and path or resource), the cause chain, and, where there is one, a
//! remedy. Spanned manifest diagnostics do not belong here: they are [`crate::manifest::Invalid`].

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a run ended. The numbers are an interface: scripts branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do: the state afterwards was observed to be right.
    Done,
    /// An error; the message says what was and what was not done.
    Error,
    /// With `--detailed-exitcode` only: changes are pending, or mail is above a threshold.
    Changes,
    /// A gate said no; nothing was changed.
    Blocked,
    /// What is there is not what should be there.
    VerificationFailed,
    /// A cutover did not succeed and everything went back.
    RolledBack,
    /// The command line or the manifest is wrong (`EX_USAGE` of sysexits.h).
    Usage,
    /// Interrupted by the user (128 + SIGINT).
    Interrupted,
}

impl Exit {
    /// The process exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Blocked => 3,
            Self::VerificationFailed => 4,
            Self::RolledBack => 5,
            Self::Usage => 64,
            Self::Interrupted => 130,
        }
    }
}

/// What kind of failure this is; decides the exit code and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The command line asks for something that makes no sense.
    Usage,
    /// A host cannot be reached or read, or a file on it cannot be written.
    Host,
    /// A file on a host is not what its format says.
    Malformed,
    /// A gate said no before anything was changed.
    Blocked,
    /// The state changed since the plan was made.
    Stale,
    /// Another run holds the lock.
    Locked,
    /// An action ran and its subject is not as it should be, or a verification found differences.
    Verification,
    /// A hand-over did not succeed, and everything went back.
    RolledBack,
    /// Nobody here can tell whether authority changed hands: the hosts end it by themselves.
    Undecided,
    /// The user asked us to stop.
    Interrupted,
    /// A defect of reconcile itself.
    Internal,
}

impl Kind {
    /// The exit code for a run that ends with this kind of failure.
    pub const fn exit(self) -> Exit {
        match self {
            Self::Usage => Exit::Usage,
            Self::Blocked | Self::Stale => Exit::Blocked,
            Self::Verification => Exit::VerificationFailed,
            Self::RolledBack => Exit::RolledBack,
            Self::Interrupted => Exit::Interrupted,
            Self::Host | Self::Malformed | Self::Locked | Self::Undecided | Self::Internal => {
                Exit::Error
            }
        }
    }
}

/// A failure: kind, what we were doing, cause, remedy.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with no deeper cause. `what` is a lowercase fragment without a final period.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            hint: None,
            source: None,
        }
    }

    /// The same failure, of another kind if it is of this one.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind, other: Kind) -> Self {
        if self.kind == kind {
            self.kind = other;
        }
        self
    }

    /// The same failure with the action that failed.
    #[must_use]
    pub fn during(self, action: &impl fmt::Display) -> Self {
        let (kind, hint) = (self.kind, self.hint.clone());
        Self {
            hint,
            ..Self::caused(kind, format!("{action} failed"), self)
        }
    }

    /// A failure caused by another. The cause is printed after `what`, never inside it.
    pub fn caused(
        kind: Kind,
        what: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            hint: None,
            source: Some(Arc::from(source.into())),
        }
    }

    /// Adds the remedy: one sentence, best with a command that can be pasted.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The remedy, if there is one.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn StdError + 'static))
    }
}

/// A failure and its causes on one line, joined by colons.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Wraps the error of a `Result` with what we were doing.
pub trait Doing<T> {
    /// `what` is computed only on failure.
    fn doing(self, kind: Kind, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, kind: Kind, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::caused(kind, what(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_numbers() {
        let table = [
            (Exit::Done, 0),
            (Exit::Error, 1),
            (Exit::Changes, 2),
            (Exit::Blocked, 3),
            (Exit::VerificationFailed, 4),
            (Exit::RolledBack, 5),
            (Exit::Usage, 64),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
