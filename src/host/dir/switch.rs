//! The dead man's switch of the machine that we are on.

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::host::switch::{Advance, Arming, Settlement};
use crate::manifest::MigrationName;

fn missing() -> Error {
    Error::new(Kind::Internal, "the switch is not built yet")
}

pub(super) fn arm(_host: &DirHost, _arming: &Arming) -> Result<()> {
    Err(missing())
}

pub(super) fn advance(_host: &DirHost, _advance: &Advance) -> Result<()> {
    Err(missing())
}

pub(super) fn trip(_host: &DirHost, _name: &MigrationName) -> Result<()> {
    Err(missing())
}

pub(super) fn settle(_host: &DirHost, _settlement: &Settlement) -> Result<()> {
    Err(missing())
}
