//! `reconcile agent`: not for people. Started on a host by a run elsewhere; see [`crate::agent`].

use std::fs::File;
use std::os::fd::AsFd as _;

use clap::{Args, ValueEnum};

use super::Failure;
use crate::agent;
use crate::error::{Doing as _, Exit, Kind};
use crate::names::Side;
use crate::wire;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Which side of the migration this host is.
    #[arg(long, value_enum)]
    side: Which,
    /// How messages name this host.
    #[arg(long)]
    label: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Which {
    Source,
    Target,
}

impl From<Which> for Side {
    fn from(which: Which) -> Self {
        match which {
            Which::Source => Self::Source,
            Which::Target => Self::Target,
        }
    }
}

pub(super) fn run(options: Options) -> Result<Exit, Failure> {
    let side = Side::from(options.side);
    // Frames have buffers of their own.
    let stream = |stream: std::io::Result<std::os::fd::OwnedFd>| {
        stream
            .map(File::from)
            .doing(Kind::Host, || "cannot use the standard streams".to_owned())
    };
    let input = stream(std::io::stdin().as_fd().try_clone_to_owned())?;
    let output = stream(std::io::stdout().as_fd().try_clone_to_owned())?;
    agent::serve(
        side,
        options.label,
        std::io::BufReader::with_capacity(256 * 1024, agent::Patient::new(input, wire::PATIENCE)),
        std::io::BufWriter::with_capacity(64 * 1024, output),
    )?;
    Ok(Exit::Done)
}
