//! The resources of a migration: each a folder with the same doors.
//!
//! `observe` looks at hosts and returns a serialisable `Actual`; `diff` compares it with the manifest
//! and returns a [`crate::plan::Draft`], pure; `rows` shows a change to people; `predict` says what
//! an `Actual` will be after a change, for tests of the planner. Parsers take text; reading is
//! another function.

pub mod accounts;
pub mod address;
pub mod backup;
pub mod beside;
pub mod dovecot;
pub mod edit;
pub mod mail;
pub mod mta;
pub mod mx;
pub mod queue;
pub mod services;
pub mod spool;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::names::UserName;

/// Names and globs of a manifest as one matcher. Patterns that do not parse were refused when the
/// manifest was checked; here they match nothing.
pub fn patterns(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| Glob::new(glob).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// A user name as globs match it: bytes.
pub fn as_path(name: &UserName) -> &Path {
    Path::new(OsStr::from_bytes(name.as_bytes()))
}
