//! `reconcile observe`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::session::Session;
use super::{Failure, local, session};
use crate::error::{Error, Exit, Kind};
use crate::host::Operator;
use crate::resource::mail::Look;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Where to save it; standard output if absent.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let stop = operator.stop.as_ref();
    let manifest = session::manifest(path)?;
    let session = Session::open(manifest, path, operator)?;
    let observation = session.observe(&Look::new(stop))?;
    let yaml = serde_yaml::to_string(&observation)
        .map_err(|error| Error::caused(Kind::Internal, "cannot write the observation", error))?;
    match &options.output {
        Some(file) => local::write(file, yaml.as_bytes())?,
        None => local::print(&yaml)?,
    }
    Ok(Exit::Done)
}
