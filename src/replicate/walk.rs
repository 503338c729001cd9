//! The walk (in progress).
use super::{Copied, Depth, Job, Report};
use crate::error::{Error, Kind, Result};
use crate::plan::change::{Difference, TreeKind};

pub(super) fn compare(
    _: &Job<'_>,
    _: Depth,
    _: &mut dyn FnMut(TreeKind, &[u8], Difference),
) -> Result<Report> {
    Err(Error::new(Kind::Internal, "the data plane is being built"))
}
pub(super) fn copy(_: &Job<'_>) -> Result<Copied> {
    Err(Error::new(Kind::Internal, "the data plane is being built"))
}
