//! `reconcile observe`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::session::Session;
use super::{Failure, local, session};
use crate::error::{Error, Exit, Kind};
use crate::resource::mail::Look;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Where to save it; standard output if absent.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(path: &Path, options: &Options, stop: &AtomicBool) -> Result<Exit, Failure> {
    let manifest = session::manifest(path)?;
    let Some(session) = Session::open(manifest, path)? else {
        let what = "this version can look at dir: hosts only";
        return Err(Error::new(Kind::Blocked, what)
            .hint("`reconcile plan` says what to do")
            .into());
    };
    let observation = session.observe(&Look::new(stop))?;
    let yaml = serde_yaml::to_string(&observation)
        .map_err(|error| Error::caused(Kind::Internal, "cannot write the observation", error))?;
    match &options.output {
        Some(file) => local::write(file, yaml.as_bytes())?,
        None => local::print(&yaml)?,
    }
    Ok(Exit::Done)
}
