//! A first manifest from what two hosts are like: `reconcile init`.
//!
//! [`observe`] looks at both hosts and decides nothing, [`render`] is a pure function of its
//! [`Findings`], so that a saved one is a test case. What the manifest means, and whether the plan
//! will stop at something, is not known here a second time: accounts are put to the planner's own
//! [`crate::resource::accounts::resolve`], UIDL formats to [`crate::resource::dovecot`].
//!
//! Names, comments and paths come from hosts that nobody trusts; what is printed passes through
//! `yaml`, which lets nothing out of a comment or a string.

mod findings;
mod name;
mod observe;
mod page;
mod proposal;
mod render;
mod yaml;

pub use findings::{Findings, HostFindings, Mailbox, Mta, Network, Occupied, StaticAddress};
pub use observe::{Place, observe};
pub use page::Level;
pub use render::{Draft, render};

#[cfg(test)]
mod tests;
