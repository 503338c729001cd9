//! `reconcile watch`: not for people. Started on a host, by the host itself, when a dead man's switch
//! is armed there; see [`crate::host::switch`].

use clap::Args;

use super::Failure;
use super::agent::Which;
use crate::error::Exit;
use crate::host::{DirHost, Operator};
use crate::manifest::MigrationName;
use crate::names::Side;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The migration.
    name: MigrationName,
    /// Which side of the migration this host is.
    #[arg(value_enum)]
    side: Which,
}

pub(super) fn run(options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let side = Side::from(options.side);
    let host = DirHost::live(side, format!("the {side}"))?;
    host.watch_switch(&options.name, &operator.stop)?;
    Ok(Exit::Done)
}
