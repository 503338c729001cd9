//! The data connection: TCP and TLS 1.3 straight between two hosts, so that mail does not go through the
//! operator's machine.
//!
//! Each end makes a key pair for this run ([`Identity`]); the private half never leaves its process,
//! the public one is told to the other end over ssh. TLS authenticates both ends by these bare keys
//! (RFC 7250): there is no certificate to parse and no authority to trust, and nobody but the one peer
//! gets past the handshake. One end listens ([`listen`]) until that peer has come, the other connects
//! ([`connect`]). Strangers are bounded in number and time, and make way for whoever comes after them.
//!
//! What is said over it belongs to [`crate::agent`], and which host does what to
//! [`crate::host::remote`].

mod connect;
mod key;
mod listen;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use connect::{Refusal, connect};
pub use key::{Identity, PublicKey};
pub use listen::{Listening, PORT, listen};
pub use stream::{HangUp, Incoming, Outgoing, Secured};

/// How long it takes at most until two ends have met, or know that they will not: a firewall may drop
/// everything without a word, and somebody waits.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often each end says something.
pub const HEARTBEAT: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 3000 });

/// An end that neither says nor takes anything for so long is gone. Shorter than what a frozen host is
/// given by default, as the copy goes on by another way.
pub const SILENCE: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 15 });
