//! `reconcile confirm`: a person says that a hand-over is good.

use std::path::Path;

use clap::Args;

use super::session::Session;
use super::{Failure, apply, session};
use crate::apply::confirm;
use crate::error::{Error, Exit, Kind};
use crate::host::Operator;
use crate::report::terminal::tell;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    manner: apply::Manner,
}

/// Settles on both hosts. The run that waits for this goes on then; if there is none any more, what it
/// would have done is done here.
pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let manifest = session::manifest(path)?;
    {
        let session = Session::open(manifest.clone(), path, operator)?;
        let Some(source) = session.change_source() else {
            let what = "the source is out of reach, and has to be told too";
            return Err(Error::new(Kind::Host, what)
                .hint("bring it back and confirm again before the hosts give up")
                .into());
        };
        let to = confirm(source, session.target(), &manifest.name)?;
        tell(&format!("Confirmed: the {to} serves.\n"));
        if session.target().try_lock()?.is_none() {
            tell("The run that waited for this does the rest.\n");
            return Ok(Exit::Done);
        }
    }
    apply::apply(&manifest, path, options.manner, operator)
}
