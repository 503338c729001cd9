//! `reconcile rollback`: apply with `serve_from: source`, whatever the manifest says.

use std::path::Path;

use clap::Args;

use super::{Failure, apply, session};
use crate::error::Exit;
use crate::host::Operator;
use crate::names::Side;
use crate::report::terminal::tell;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    manner: apply::Manner,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let mut manifest = session::manifest(path)?;
    let differs = manifest.serve_from != Side::Source;
    manifest.serve_from = Side::Source;
    let exit = apply::apply(&manifest, path, options.manner, operator)?;
    if differs && exit == Exit::Done {
        tell(&format!(
            "The source serves. Commit `serve_from: source` in {} now: as it stands, the next apply would \
             cut over again.\n",
            path.display()
        ));
    }
    Ok(exit)
}
