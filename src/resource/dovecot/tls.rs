//! The certificates that clients are shown. A private key is never read: where programs can run, the
//! host's own openssl says which public key belongs to it.

pub mod certificate;
mod compare;
mod files;
mod observe;

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

/// What clients look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Names and addresses that it is for: its subjectAltName, else its common name.
    pub names: BTreeSet<String>,
    /// Whose it is (RFC 4514).
    pub subject: String,
    /// Who issued it (RFC 4514).
    pub issuer: String,
    /// Whether that is somebody else.
    pub issued: Issued,
    /// Kind and size of the key.
    pub key_kind: String,
    /// Its last moment.
    pub not_after: Timestamp,
    /// Whether it is valid when it was looked at.
    #[serde(default)]
    pub validity: Validity,
    /// Certificates that follow it in the file, up to its root.
    #[serde(default)]
    pub chain: usize,
    /// Digest of the whole: equal when and only when the certificates are.
    pub digest: String,
}

/// Who issued a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Issued {
    /// Its owner: clients believe it only if they are told to.
    BySelf,
    /// Somebody else.
    ByAnother,
}

/// Whether a certificate is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// For more than [`SOON`] to come.
    #[default]
    Valid,
    /// Not for long.
    EndsSoon,
    /// No longer.
    Ended,
    /// Not yet.
    NotYet,
}

/// Days before its end from which a certificate needs attention.
pub const SOON: i64 = 30;

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
