//! What ssh, sshd and sudo say when they fail, understood: a cause that names what is wrong, and a
//! remedy to paste.
//!
//! The texts are those of OpenSSH 7 to 10 and sudo 1.8 to 1.9, in English: ssh does not translate, and
//! sudo is asked in the C locale. What is not recognised is passed on as it was said.

mod hint;
mod read;

use thiserror::Error;

use super::Login;
use crate::error::{self, Kind};

pub(super) use read::{refusal_of_sudo, understand};

/// Why there is no connection, or not the one that is needed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Failure {
    /// There is no ssh on this machine.
    #[error("there is no ssh on this machine")]
    NoClient,
    /// This machine's ssh does not know an option that a pin needs.
    #[error("ssh on this machine is older than 8.5 and cannot check a pinned host key")]
    OldClient,
    /// The name does not resolve; this may be the name of a jump host.
    #[error("the name {0} is unknown")]
    UnknownName(String),
    /// Nothing listens there: `host port`.
    #[error("{0} refused the connection")]
    Refused(String),
    /// No answer in time, or no way there.
    #[error("the host does not answer: {0}")]
    Unreachable(String),
    /// `known_hosts` does not have the host.
    #[error("the {kind} host key of {host} is unknown{}", shown(.fingerprint.as_ref()))]
    UnknownKey {
        /// As ssh names it: `[192.0.2.20]:2222`. This may be a jump host.
        host: String,
        /// `ED25519`, `RSA`, ...
        kind: String,
        /// The key that the host sent.
        fingerprint: Option<String>,
    },
    /// `known_hosts` has another key for the host.
    #[error("the host key of {host} has changed: {}", pair(.recorded.as_ref(), .offered.as_ref()))]
    ChangedKey {
        /// As ssh names it.
        host: String,
        /// The file that holds the other key, and its line.
        place: Option<(String, usize)>,
        /// The key in that file.
        recorded: Option<String>,
        /// The key that the host sent.
        offered: Option<String>,
    },
    /// None of the host's keys is the pinned one.
    #[error("the host key is not the pinned one: {}", pair(Some(.pinned), .offered.as_ref()))]
    NotPinned {
        /// What the manifest says.
        pinned: String,
        /// The key that the host prefers.
        offered: Option<String>,
    },
    /// `known_hosts` says that the key must not be believed any more.
    #[error("the host key is revoked: {0}")]
    RevokedKey(String),
    /// No key of ours is accepted.
    #[error("the host does not let us in: {0}")]
    Denied(String),
    /// The two sides have no algorithm in common: mostly a very old host.
    #[error("ssh here and there have nothing in common: {0}")]
    NoCommonAlgorithm(String),
    /// The login is not made for running commands, or writes before they do.
    #[error("the login does not run commands: {0}")]
    NoCommands(String),
    /// The login's shell prints something before every command.
    #[error("the login's shell writes before a command does: {0}")]
    Noise(String),
    /// The host runs another system; holds what `uname -s` says.
    #[error("the host runs {0}, not Linux")]
    NotLinux(String),
    /// The login is not root and the manifest does not say how to become it; holds its uid.
    #[error("the login is not root (its uid is {0})")]
    NotRoot(u32),
    /// sudo wants what we cannot give.
    #[error("sudo refused: {0}")]
    SudoRefused(String),
    /// sshd has no SFTP subsystem, or the host has no sftp-server.
    #[error("there is no SFTP: {0}")]
    NoSftp(String),
    /// The connection was there and is not any more.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// Anything else, as ssh said it.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The failure to connect, in full.
    pub(super) fn into_error(self, login: &Login) -> error::Error {
        let what = match &self {
            Self::SudoRefused(_) | Self::NotRoot(_) => "become root on",
            Self::NoSftp(_) => "copy files to",
            Self::Lost(_) => "go on with",
            Self::NotLinux(_) => "use",
            _ => "connect to",
        };
        let hint = hint::hint(&self, login);
        error::Error::caused(Kind::Host, format!("cannot {what} {}", login.label), self).hint(hint)
    }
}

fn shown(fingerprint: Option<&String>) -> String {
    fingerprint.map_or(String::new(), |fingerprint| format!(" ({fingerprint})"))
}

fn pair(expected: Option<&String>, offered: Option<&String>) -> String {
    let name = |key: Option<&String>| key.map_or("a key that is not told".to_owned(), Clone::clone);
    format!("expected {}, got {}", name(expected), name(offered))
}

/// An error of a library with all its causes in one text, for a place where only text goes.
pub(super) fn flat(error: &(dyn std::error::Error + 'static)) -> String {
    error::chain(error).trim_end_matches('.').to_owned()
}
