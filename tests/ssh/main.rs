//! The SSH transport against a real sshd on the loopback: everything that can go wrong on the way to a
//! host, what is said then, and what is left behind.
//!
//! Each test starts its own sshd ([`server`]) in a mount namespace of its own, so that what is put
//! under `/var/lib/reconcile` and who may become root there concerns nobody else, and comes as its own
//! operator ([`operator`]) with a home of his own. The tests need root; without it they are left out
//! with a word of explanation, and in CI (`CI` is set) they fail.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests prepare and inspect hosts from outside, and panic where something is amiss"
)]

mod operator;
mod server;

mod agent;
mod commands;
mod host_keys;
mod leftovers;
mod no_connection;
mod sudo;
