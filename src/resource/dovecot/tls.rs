//! The certificates that clients are shown. A private key is never read: where programs can run, the
//! host's own openssl says which public key belongs to it.

mod compare;
mod files;
mod observe;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::certificate::{Certificate, Issued, SOON, Validity};
use crate::raw::HostPath;
pub(super) use compare::{compare, notes};
pub(super) use observe::observe;

/// A certificate that a program shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Which program.
    pub by: Program,
    /// The file that holds it.
    pub file: HostPath,
    /// The file of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<HostPath>,
    /// What is in the file.
    #[serde(flatten)]
    pub content: Content,
    /// Whether the key belongs to it.
    #[serde(default)]
    pub key: Key,
}

/// A program that shows certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Dovecot, to everyone who reads mail.
    Dovecot,
    /// Postfix, to everyone who sends mail.
    Postfix,
    /// Sendmail, likewise.
    Sendmail,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dovecot => "Dovecot",
            Self::Postfix => "Postfix",
            Self::Sendmail => "Sendmail",
        })
    }
}

/// What is in a certificate file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// There is no such file.
    Absent(Nothing),
    /// It cannot be read as a certificate; the text says why.
    Unreadable(String),
    /// A certificate.
    Certificate(Certificate),
}

/// Nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nothing {
    /// There is no such file.
    NoSuchFile,
}

/// Whether a key belongs to a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// It does.
    Fits,
    /// It is the key of another one.
    Other,
    /// No file is there, or none is named.
    Missing,
    /// It cannot be told; the text says why.
    Unknown(String),
    /// It was not looked at: programs of that host cannot be run.
    #[default]
    NotTried,
}

impl Shown {
    /// The certificate, if there is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.content {
            Content::Certificate(certificate) => Some(certificate),
            Content::Absent(_) | Content::Unreadable(_) => None,
        }
    }
}
