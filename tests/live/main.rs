//! Real Debian hosts: whole migrations between servers that serve mail, looked at from outside.
//!
//! Each test boots a [`lab::Lab`] of its own (see `tests/lab`) and gives its hosts users and mail
//! through their own servers: [`server`], [`smtp`], [`imap`], [`pop3`]. Three lines are enough:
//!
//! ```ignore
//! let Some(lab) = Lab::start(["old=bullseye", "new=bookworm"]) else { return };
//! lab.host("old").users(["alice", "bob"]);
//! lab.host("old").deliver("alice", &letter("alice", "hello", "Only a line.\n"));
//! ```
//!
//! The tests need root and systemd-nspawn; without them they are left out with a word of
//! explanation, and in CI (`CI` is set) they fail. Every module of the first block is a means, every
//! other is a family of tests.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests prepare and inspect hosts from outside, and panic where something is amiss"
)]

mod address;
mod cached;
mod colleague;
mod fault;
mod folder_name;
mod host;
mod imap;
mod kernel;
mod lab;
mod letter;
mod load;
mod machine;
mod office;
mod operator;
mod pop3;
mod power;
mod remembered;
mod server;
mod smtp;
mod wire;

mod backup;
mod cutover;
mod direct;
mod exposure;
mod fallback;
mod faults;
mod freeze;
mod hosts;
mod identity;
mod labs;
mod loads;
mod mail;
mod moving;
mod queue;
mod readme;
mod retired;
mod services;
mod spool;
mod staging;
mod status;
mod switch;
mod tracking;
mod transfer;
