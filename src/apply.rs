//! Carrying out a plan: lock, journal, receipt, the actions in order, and a look at each result.
//!
//! No choices are made here; see [`crate::plan::change`]. What an action does to files is written
//! beside its resource.

mod backup;
mod execute;
mod freeze;
mod hand_over;
mod housekeeping;
mod journal;
mod lock;
mod mail;
mod probe;
mod progress;
pub mod queue;
mod services;
mod store;
mod timer;
mod tracking;
mod transfer;
mod uidl;

pub use execute::{Outcome, Run, execute};
pub use freeze::{look, prove, serving};
pub use hand_over::confirm;
pub use journal::{Entry, Journal, Moment, read_journal};
pub use lock::{Owner, RunLock};
pub use probe::{Probed, Vantage, probe, survey};
pub use store::Store;
