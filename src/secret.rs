//! Password hashes, and the only thing about them that may be shown.
//!
//! A [`Secret`] cannot be printed, serialised or compared with `==`; what leaves this module is a
//! keyed [`Digest`], useless without the key, and of that a person is shown four hex digits: safe in a
//! public pull request.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes that never reach a plan, log, error, JSON or readable file. Zeroed when dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for writing into a file that only root can read. Nothing else may call this.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The key of one migration's digests.
///
/// Derived from the whole of the source's shadow file, so that it is as secret as the hashes
/// themselves, needs no place to be kept, and is the same on each run until a password changes on
/// the source, which makes a saved plan stale anyway.
#[derive(Clone)]
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Derives the key from the source's secret material.
    pub fn derive(shadow: &[u8]) -> Self {
        Self(Zeroizing::new(blake3::derive_key(
            "reconcile 2026-11 password digest key",
            shadow,
        )))
    }

    /// What may be shown of a secret.
    pub fn digest(&self, secret: &Secret) -> Digest {
        let hash = blake3::keyed_hash(&self.0, secret.expose());
        Digest(hash.to_hex()[..32].to_owned())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// 128 bits of a keyed hash in hex: equal when and only when the secrets are. Shown cut to four digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(transparent)]
pub struct Digest(String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0.get(..4).unwrap_or(&self.0))
    }
}
