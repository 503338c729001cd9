//! Identity on real Dovecots: mailboxes that Dovecot 2.3 made, copied to a machine with 2.4, and
//! read there and here by the servers' own code.
//!
//! The machines are Debian trees in namespaces (`machine`), without a network; nothing of this
//! machine is touched. The tests need root, and the trees of `tests/trees`; without them they are
//! left out and say why, and in CI (`CI` is set) they fail.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests prepare and inspect machines from outside, and panic where something is amiss"
)]

mod machine;
#[path = "../e2e/program.rs"]
mod program;
#[path = "../e2e/requirement.rs"]
#[expect(dead_code, reason = "what the other tests need")]
mod requirement;
#[path = "../e2e/snapshot.rs"]
#[expect(dead_code, reason = "what the other tests need")]
mod snapshot;

mod real;
mod speed;
