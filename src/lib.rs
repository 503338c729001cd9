//! Move a Unix mail server without a user noticing.

pub mod error;
pub mod failpoint;
pub mod host;
pub mod manifest;
pub mod names;
pub mod plan;
pub mod raw;
pub mod receipt;
pub mod replicate;
pub mod resource;
pub mod secret;
