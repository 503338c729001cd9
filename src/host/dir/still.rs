//! Whether anything on this machine still changes mail: clocks, change times, open files.

use jiff::Timestamp;

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::host::Writer;
use crate::raw::HostPath;
use crate::replicate::OriginTree;

fn missing() -> Error {
    Error::new(Kind::Internal, "the proof is not built yet")
}

pub(super) fn clock(_host: &DirHost) -> Result<Timestamp> {
    Err(missing())
}

pub(super) fn changed_since(
    _host: &DirHost,
    _trees: &[OriginTree],
    _since: Timestamp,
    _most: usize,
) -> Result<Vec<HostPath>> {
    Err(missing())
}

pub(super) fn writers(_host: &DirHost, _paths: &[HostPath]) -> Result<Vec<Writer>> {
    Err(missing())
}
