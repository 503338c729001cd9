//! Believing one host key, known by its fingerprint, wherever the connection leads through.
//!
//! `ssh-keyscan` does not follow `ProxyJump`, so ssh itself asks: its `KnownHostsCommand` (OpenSSH 8.5)
//! is told the fingerprint of the key that the host sent, and answers with a line of `known_hosts`
//! for this very key if the fingerprint is the pinned one, and with nothing otherwise. It is not asked
//! about jump hosts, for which `known_hosts` decides. It also notes down what it was asked about, which
//! ssh itself tells nobody.

use std::path::Path;

/// Arguments: the pin; fingerprint, name, type and key as ssh expands them; where to note the fingerprint.
/// Before there is a key at all, ssh asks about `NONE`.
const ANSWER: &str =
    r#"/bin/sh -c 'test "$1" = NONE || echo "$1" >"$5"; test "$1" != "$0" || echo "$2 $3 $4"'"#;

/// Options under which ssh believes this key only; no file of known hosts has a say. The fingerprint of
/// the key that the host sends comes to stand in `note`.
pub(super) fn options(pin: &str, note: &Path) -> [String; 4] {
    [
        "UserKnownHostsFile=/dev/null".to_owned(),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        // The form that a pin has, and %f then gets.
        "FingerprintHash=sha256".to_owned(),
        format!(
            "KnownHostsCommand={ANSWER} {pin} %f %H %t %K \"{}\"",
            note.display()
        ),
    ]
}

/// What ssh asks a host for when the key that the host prefers is not the pinned one: each other kind
/// that it may have. A certificate's key is among them as a plain one.
pub(super) const KINDS: [&str; 3] = [
    "HostKeyAlgorithms=ssh-ed25519",
    "HostKeyAlgorithms=ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256,ssh-rsa",
];
