//! Who is at an end: a key pair that is made for one run.

use std::fmt;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// A key pair, Ed25519. It is never shown, stored or sent.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

/// The public half of another end's [`Identity`]: a `SubjectPublicKeyInfo` (RFC 5280), all that TLS
/// believes. It is not shown either: whoever can replace it on its way is the peer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey(pub(super) Vec<u8>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

impl Identity {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// [`Kind::Internal`] if the system has no random numbers.
    pub fn new() -> Result<Self> {
        let failed = || Error::new(Kind::Internal, "cannot make a key for the data connection");
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed())?;
        let pair = Secret::new(pair.as_ref().to_vec());
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(pair.expose()));
        let key = key.map_err(|_| failed())?;
        let public = key.public_key().ok_or_else(failed)?;
        // With bare keys this stands in the place of a certificate.
        let shown = CertificateDer::from(public.as_ref().to_vec());
        Ok(Self(Arc::new(CertifiedKey::new(vec![shown], key))))
    }

    /// What the other end has to be told.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.cert.iter().flat_map(|key| key.to_vec()).collect())
    }
}
