//! The way back: what arrived, changed and went on the target since it has authority, for a source that
//! is to serve again.
//!
//! The source's trees are the written ones here. Nothing of them is lost: what is replaced or removed
//! is set aside ([`Extraneous::SetAside`]), and what somebody changed there by hand is a problem until
//! the manifest adopts it.

mod diff;
mod observe;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{UserMail, Volume};
use crate::names::UserName;

pub use diff::{copies_back, diff_back};
pub use observe::observe_back;

#[cfg(doc)]
use crate::plan::change::Extraneous;

/// What a reverse would bring back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Back {
    /// Each user whose trees this migration manages and whose account is on both hosts: what differs
    /// on the source.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<UserName, UserMail>,
    /// The source's file systems that will be written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Whether changes made by hand on the source can be told.
    #[serde(skip_serializing_if = "is_known")]
    pub seal: Seal,
}

/// Whether the moment is on record from which on nobody should have written the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seal {
    /// It is.
    #[default]
    Known,
    /// It is not.
    Unknown,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_known(seal: &Seal) -> bool {
    *seal == Seal::Known
}
