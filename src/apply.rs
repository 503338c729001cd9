//! Carrying out a plan: lock, journal, receipt, the actions in order, and a look at each result.
//!
//! No choices are made here; see [`crate::plan::change`]. What an action does to files is written
//! beside its resource.

mod execute;
mod freeze;
mod journal;
mod lock;
mod mail;
mod progress;
mod services;
mod store;
mod uidl;

pub use execute::{Outcome, Run, execute};
pub use freeze::{look, prove, serving};
pub use journal::{Entry, Journal, Moment, read_journal};
pub use lock::{Owner, RunLock};
pub use store::Store;
