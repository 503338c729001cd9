//! Accounts and groups: people's lines of passwd, shadow, group and gshadow, as one resource,
//! because the four files are one transaction.
//!
//! [`observe`] reads both hosts into an [`Actual`]; [`resolve`] says which accounts this is about and
//! which numbers they have on the target; [`diff`] says what to do, [`rows`] shows it, [`merge`] does
//! it. Accounts are never deleted, and system accounts never touched. Files and their owners do
//! not belong here: they follow the [`crate::plan::change::IdMap`] that comes out of [`resolve`].

mod actual;
mod back;
mod conflict;
mod diff;
mod edit;
mod files;
mod group;
mod gshadow;
mod login_defs;
mod numbers;
mod observe;
mod passwd;
mod predict;
mod resolve;
mod rows;
mod scheme;
mod select;
mod shadow;
mod table;
mod write;

pub use actual::{Actual, Database, Elsewhere, Group, Presence, Ranges, User};
pub use back::{diff_back, ids_back};
pub use conflict::Conflict;
pub use diff::diff;
pub use observe::observe;
pub use predict::predict;
pub use resolve::{Chosen, ChosenGroup, Clearance, Resolved, resolve};
pub use rows::rows;
pub use scheme::Crypt;
pub use write::merge;

#[cfg(test)]
mod tests;
