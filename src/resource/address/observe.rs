//! Looking at the hosts.

use super::backend;
use super::files::Files;
use super::{Actual, HOSTS};
use crate::error::Result;
use crate::host::ReadHost;
use crate::manifest::Manifest;
use crate::resource::edit;

/// Reads what `diff` needs; nothing for a migration without `cutover`. A file of the target that is
/// not what its format says is an error that names it.
pub fn observe(
    manifest: &Manifest,
    source: Option<&dyn ReadHost>,
    target: &dyn ReadHost,
) -> Result<Actual> {
    if manifest.cutover.is_none() {
        return Ok(Actual::default());
    }
    let target_files = read(target)?;
    let source_files = match source {
        Some(source) => read(source)?,
        None => Files::default(),
    };
    Ok(Actual {
        target_files,
        hosts: edit::text(target, &HOSTS.into())?,
        source_files,
    })
}

fn read(host: &dyn ReadHost) -> Result<Files> {
    let files = backend::collect(host)?;
    backend::read(&files).map_err(|bad| bad.on(&host.label()))?;
    Ok(files)
}
