//! The real binary on real trees: whole runs, looked at from outside.
//!
//! What is here never calls the library: it starts `reconcile` in a [`sandbox::Sandbox`] on two
//! directory roots and compares what is on disk before and afterwards, by its own eyes
//! ([`snapshot`]) or by other programs'. Every module of the first block is a means, every other is
//! a family of tests, each test named by the behaviour that it shows.
//!
//! The tests need root; without it, or without a program that they name, they are left out with a
//! word of explanation, and in CI (`CI` is set) they fail.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests prepare and inspect roots from outside, and panic where something is amiss"
)]

mod accounts;
mod hashes;
mod home;
mod program;
mod requirement;
mod root;
mod sandbox;
mod snapshot;
mod village;

mod crash;
mod dry_run;
mod exit_codes;
mod full_disk;
mod hand_over;
mod hostile;
mod hostile_accounts;
mod init;
mod interruption;
mod malformed;
mod office;
mod partial_failure;
mod saved_plan;
mod settings;
mod staging;
mod zone;
