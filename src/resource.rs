//! The resources of a migration: each a folder with the same doors.
//!
//! `observe` looks at hosts and returns a serialisable `Actual`; `diff` compares it with the manifest
//! and returns a [`crate::plan::Draft`], pure; `rows` shows a change to people; `predict` says what
//! an `Actual` will be after a change, for tests of the planner. Parsers take text; reading is
//! another function.

pub mod accounts;
pub mod address;
pub mod dovecot;
pub mod edit;
pub mod mail;
pub mod spool;
