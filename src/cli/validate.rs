//! `reconcile validate`.

use std::path::Path;

use super::{Failure, local, session};
use crate::error::Exit;

pub(super) fn run(manifest: &Path) -> Result<Exit, Failure> {
    let parsed = session::manifest(manifest)?;
    local::print(&format!(
        "{} is valid: {} moves from {} to {}, serve_from is {}.\n",
        manifest.display(),
        parsed.name,
        parsed.source.host,
        parsed.target.host,
        parsed.serve_from
    ))?;
    Ok(Exit::Done)
}
