//! TLS for looking only. Any certificate is accepted, for nothing secret is ever sent: which one was
//! shown is what is looked for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme,
};

use super::Presented;
use super::line::{Patient, Trouble};
use crate::certificate;

/// What a handshake told.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) version: String,
    pub(super) fingerprint: String,
    pub(super) certificate: Presented,
}

/// Shakes hands, with no host named (RFC 6066 knows no addresses).
pub(super) fn shake_hands(
    peer: IpAddr,
    stream: &mut Patient,
) -> Result<(ClientConnection, Session), Trouble> {
    let broken = |error: rustls::Error| Trouble::Broken(io::Error::other(error));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let name = ServerName::IpAddress(peer.into());
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(broken)?;
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    let session = session(&connection)?;
    Ok((connection, session))
}

fn session(connection: &ClientConnection) -> Result<Session, Trouble> {
    let none = || Trouble::Broken(io::Error::other("it shows no certificate"));
    let chain = connection.peer_certificates().ok_or_else(none)?;
    let (first, rest) = chain.split_first().ok_or_else(none)?;
    let certificate = match certificate::read_der(first, rest.len(), Timestamp::now()) {
        Ok(certificate) => Presented::Certificate(certificate),
        Err(why) => Presented::Unreadable(why),
    };
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        other => format!("{other:?}"),
    };
    Ok(Session {
        version,
        fingerprint: fingerprint(first),
        certificate,
    })
}

/// As openssl writes it: `AB:01:...`.
fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let bytes: Vec<String> = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    bytes.join(":")
}

/// Accepts every certificate and every proof that the server owns it.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            // Of servers and certificates of another age.
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ]
    }
}
