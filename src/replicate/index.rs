//! The index (in progress).
use crate::error::Result;

/// An index that was written beside the old one.
#[derive(Debug)]
pub struct PendingIndex;

impl PendingIndex {
    /// Puts the new index in place of the old one. Call after [`super::sync`] of the trees.
    pub fn commit(self) -> Result<()> {
        Ok(())
    }
}
