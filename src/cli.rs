//! The command line: arguments to library calls to an exit code. One file per command.

mod agent;
mod apply;
mod confirm;
mod documents;
mod failure;
mod init;
mod local;
mod observe;
mod plan;
mod rollback;
mod session;
mod spool;
mod status;
mod validate;
mod verify;
mod watch;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use failure::Failure;

use crate::error::Exit;
use crate::host::Operator;
use crate::report::Reporter;
use crate::report::json::JsonLines;
use crate::report::terminal::{Bar, Plain};

/// Move a Unix mail server without a user noticing.
///
/// A YAML manifest says what a finished migration looks like. `plan` shows what differs and changes
/// nothing; `apply` does what the plan says and no more; both can be run at any time, any number of
/// times.
#[derive(Parser, Debug)]
#[command(name = "reconcile", version, max_term_width = 100)]
pub struct Arguments {
    /// The manifest.
    #[arg(
        short = 'f',
        long = "file",
        global = true,
        value_name = "FILE",
        default_value = "migration.yaml"
    )]
    manifest: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Draft a manifest from what is found on two hosts. Changes nothing on either.
    Init(init::Options),
    /// Check the manifest, without looking at any host.
    Validate,
    /// Show what differs from the manifest and what would be done. Changes nothing.
    Plan(plan::Options),
    /// Do what the plan says, after asking.
    Apply(apply::Options),
    /// Take the service back to the source: apply with `serve_from: source`.
    Rollback(rollback::Options),
    /// Say that a hand-over which waits for a person is good.
    Confirm(confirm::Options),
    /// Compare everything: accounts, and every file's content and metadata. Changes nothing.
    Verify(verify::Options),
    /// Tell whose mail counts, since when, and what to do next. Changes nothing.
    Status(status::Options),
    /// Show how much mail there is on the host that serves, how it grows, and what will be full.
    Spool(spool::Options),
    /// Save what is seen on both hosts, for `plan --observation`. Holds no secret.
    Observe(observe::Options),
    /// Print the JSON schema of the manifest or of the plan.
    Schema(documents::SchemaOptions),
    /// Print completions for a shell.
    Completions(documents::CompletionOptions),
    /// Print the manual page.
    Man,
    /// Serve this machine to a run elsewhere. Not for people.
    #[command(hide = true)]
    Agent(agent::Options),
    /// Watch this machine's dead man's switch. Not for people.
    #[command(hide = true)]
    Watch(watch::Options),
}

/// Runs a command for an operator.
pub fn run(arguments: Arguments, operator: &Operator) -> Result<Exit, Failure> {
    let manifest = arguments.manifest.as_path();
    match arguments.command {
        Command::Init(options) => init::run(manifest, &options, operator),
        Command::Validate => validate::run(manifest),
        Command::Plan(options) => plan::run(manifest, &options, operator),
        Command::Apply(options) => apply::run(manifest, &options, operator),
        Command::Rollback(options) => rollback::run(manifest, &options, operator),
        Command::Confirm(options) => confirm::run(manifest, &options, operator),
        Command::Verify(options) => verify::run(manifest, &options, operator),
        Command::Status(options) => status::run(manifest, &options, operator),
        Command::Spool(options) => spool::run(manifest, &options, operator),
        Command::Observe(options) => observe::run(manifest, &options, operator),
        Command::Schema(options) => documents::schema(&options),
        Command::Completions(options) => documents::completions(&options, Arguments::command()),
        Command::Man => documents::man(Arguments::command()),
        Command::Agent(options) => agent::run(options),
        Command::Watch(options) => watch::run(&options, operator),
    }
}

/// Who listens: JSON lines when asked for, a bar on a terminal, plain lines elsewhere.
fn reporter(json: bool) -> Box<dyn Reporter> {
    if json {
        Box::new(JsonLines)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bar::new())
    } else {
        Box::new(Plain::default())
    }
}
