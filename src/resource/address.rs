//! Stub.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is on the hosts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Actual {}

/// What is in the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
