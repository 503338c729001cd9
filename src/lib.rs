//! Move a Unix mail server without a user noticing.

pub mod apply;
pub mod cli;
pub mod error;
pub mod failpoint;
pub mod host;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod planner;
pub mod raw;
pub mod receipt;
pub mod replicate;
pub mod report;
pub mod resource;
pub mod secret;
