//! `reconcile schema`, `completions` and `man`: documents made from the program itself.

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use super::{Failure, local};
use crate::error::{Doing as _, Exit, Kind};

#[derive(Args, Debug)]
pub(super) struct SchemaOptions {
    /// Of what.
    #[arg(value_enum, default_value_t = Document::Manifest)]
    of: Document,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Document {
    /// The manifest.
    Manifest,
    /// The plan's JSON form.
    Plan,
}

#[derive(Args, Debug)]
pub(super) struct CompletionOptions {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn schema(options: &SchemaOptions) -> Result<Exit, Failure> {
    let schema = match options.of {
        Document::Manifest => crate::manifest::schema(),
        Document::Plan => crate::plan::schema(),
    };
    local::print(&format!("{schema:#}\n"))?;
    Ok(Exit::Done)
}

pub(super) fn completions(
    options: &CompletionOptions,
    mut command: Command,
) -> Result<Exit, Failure> {
    let mut out = Vec::new();
    clap_complete::generate(options.shell, &mut command, "reconcile", &mut out);
    local::print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}

/// The page of the program, then those of its commands.
pub(super) fn man(mut command: Command) -> Result<Exit, Failure> {
    command.build();
    let mut out = Vec::new();
    let page = |command: Command, out: &mut Vec<u8>| {
        clap_mangen::Man::new(command)
            .render(out)
            .doing(Kind::Internal, || "cannot write the manual page".to_owned())
    };
    page(command.clone(), &mut out)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let name = format!("reconcile-{}", sub.get_name());
        page(sub.clone().name(name), &mut out)?;
    }
    local::print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Done)
}
