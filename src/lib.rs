//! Move a Unix mail server without a user noticing.
//!
//! # Laws
//!
//! 1. Observe, then plan, then apply; each hands the next a value that can be printed, saved and
//!    compared.
//! 2. The planner is a pure function of manifest and observation: no IO, clock, randomness or
//!    environment.
//! 3. Executing holds no choices: the plan said everything.
//! 4. Applying twice changes nothing the second time; a run that dies anywhere can be run again.
//! 5. The source keeps everything: no file of a user there is deleted or rewritten until a reverse
//!    is asked for, and an offline source is never written at all.
//!
//! # Map
//!
//! ```text
//! manifest + hosts --observe--> Observation --plan--> Plan (DAG) --execute--> hosts, with Events
//! ```
//!
//! Imports only go down:
//!
//! | floor | module | what lives there |
//! | --- | --- | --- |
//! | 6 | `main`, [`cli`] | arguments, one file per command, exit codes |
//! | 5 | [`apply`] | lock, journal, receipt, the walk over the plan |
//! | 4 | [`init`] | looking at both hosts without a manifest, and drafting one |
//! | 4 | [`planner`] | observing everything, and the one pure function that plans |
//! | 3 | [`identity`] | what clients see of each mailbox, and the proof that it did not change |
//! | 3 | [`resource`] | accounts, mail, dovecot, services, address, mx, spool: each with `observe`, `diff`, `rows` |
//! | 3 | [`agent`] | this program as a helper on a host: serves it to a run elsewhere |
//! | 2 | [`plan`] | the plan as data, its order, its invariants, its rendering |
//! | 2 | [`host`] | hosts as files and fixed questions, here or behind ssh; the only control-plane IO |
//! | 2 | [`manifest`], [`receipt`] | what the admin wrote; what the hosts remember |
//! | 1 | [`replicate`] | the data plane: scan, compare, transfer, index |
//! | 1 | [`direct`] | an encrypted connection from one host to the other |
//! | 1 | [`dns`] | what the domain name system says of names |
//! | 1 | [`exposure`] | a mail service as clients and senders meet it at an address |
//! | 1 | [`wire`] | frames between a run and its agents |
//! | 1 | [`report`] | events, and who listens |
//! | 0 | [`queue_file`] | what an MTA keeps a waiting message in |
//! | 0 | [`error`], [`names`], [`raw`], [`secret`], [`uidl`], [`certificate`], [`failpoint`] | words that everything is said in |
//!
//! The one exception is that a plan's data names the conflict types that each resource defines beside
//! its own `diff`, so that they stay with the rules they come from.

pub mod agent;
pub mod apply;
pub mod certificate;
pub mod cli;
pub mod direct;
pub mod dns;
pub mod error;
pub mod exposure;
pub mod failpoint;
pub mod host;
pub mod identity;
pub mod init;
pub mod manifest;
pub mod names;
mod parallel;
pub mod plan;
pub mod planner;
pub mod queue_file;
pub mod raw;
pub mod receipt;
pub mod replicate;
pub mod report;
pub mod resource;
pub mod secret;
pub mod uidl;
pub mod wire;
