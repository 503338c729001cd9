//! TLS 1.3 between two ends that know each other's key and nothing else.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, ServerConfig, ServerConnection, SignatureScheme,
};

use super::{Identity, PublicKey};
use crate::error::{Doing as _, Kind, Result};

/// What the end that listens goes by.
pub(super) fn server(identity: &Identity, peer: &PublicKey) -> Result<Arc<ServerConfig>> {
    let provider = provider();
    let only = Only::new(peer, &provider);
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .doing(Kind::Internal, unusable)?;
    let keys = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&identity.0));
    let mut config = builder
        .with_client_cert_verifier(only)
        .with_cert_resolver(Arc::new(keys));
    // There is nothing to come back to.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// What the end that connects goes by.
pub(super) fn client(identity: &Identity, peer: &PublicKey) -> Result<Arc<ClientConfig>> {
    let provider = provider();
    let only = Only::new(peer, &provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .doing(Kind::Internal, unusable)?;
    let keys = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&identity.0));
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(only)
        .with_client_cert_resolver(Arc::new(keys));
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable() -> String {
    "cannot set up TLS".to_owned()
}

/// Shakes hands with whoever connected, who is the peer if this succeeds.
pub(super) fn accept(
    config: &Arc<ServerConfig>,
    socket: &TcpStream,
    until: Instant,
) -> io::Result<Connection> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut connection = Connection::from(connection);
    shake_hands(&mut connection, &mut Timed { socket, until })?;
    Ok(connection)
}

/// Shakes hands with whoever listens there, who is the peer, and has taken us for its own, if this
/// succeeds: it has said something.
pub(super) fn offer(
    config: &Arc<ClientConfig>,
    peer: IpAddr,
    socket: &TcpStream,
    until: Instant,
) -> io::Result<Connection> {
    let name = ServerName::IpAddress(peer.into());
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut connection = Connection::from(connection);
    let mut timed = Timed { socket, until };
    shake_hands(&mut connection, &mut timed)?;
    // A client is done before the server has looked at its key (RFC 8446, 2).
    while heard(&mut connection)? == 0 {
        if connection.read_tls(&mut timed)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(connection)
}

fn shake_hands(connection: &mut Connection, timed: &mut Timed<'_>) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(timed)?;
    }
    while connection.wants_write() {
        connection.write_tls(timed)?;
    }
    Ok(())
}

/// How many bytes for us were taken out of what came.
fn heard(connection: &mut Connection) -> io::Result<usize> {
    match connection.process_new_packets() {
        Ok(state) => Ok(state.plaintext_bytes_to_read()),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// A socket that is patient up to a moment, however little comes at a time.
struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a socket reports when its time is over, socket(7).
pub(super) fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Believes one key.
#[derive(Debug)]
struct Only {
    key: PublicKey,
    provider: Arc<CryptoProvider>,
}

impl Only {
    fn new(key: &PublicKey, provider: &Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self {
            key: key.clone(),
            provider: Arc::clone(provider),
        })
    }

    /// Whether it is that key; that the peer has the private half, its signature shows.
    fn is_it(&self, shown: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if shown.as_ref() == self.key.0.as_slice() {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn signed(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn not_1_3() -> rustls::Error {
    rustls::Error::General("nothing but TLS 1.3 is spoken here".to_owned())
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.is_it(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(not_1_3())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Only {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.is_it(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(not_1_3())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
