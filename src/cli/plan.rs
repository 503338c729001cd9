//! `reconcile plan`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::session::Session;
use super::{Failure, local, reporter, session};
use crate::error::{Error, Exit, Kind, Result};
use crate::host::Operator;
use crate::names::UserName;
use crate::plan::change::{Difference, TreeKind};
use crate::plan::{Plan, render};
use crate::planner::{self, OBSERVATION_VERSION, Observation};
use crate::raw::escape;
use crate::report::Event;
use crate::resource::mail::{self, Look};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// How to show the plan.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// List every path that would be copied, changed or removed.
    #[arg(long)]
    full: bool,
    /// Save the plan (JSON), for `apply FILE`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 2 when changes are pending.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Plan from a saved observation instead of looking at the hosts.
    #[arg(long, value_name = "FILE", conflicts_with = "full")]
    observation: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// For a terminal.
    Text,
    /// For programs; `reconcile schema plan` describes it.
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// The graph of actions, for graphviz.
    Dot,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let stop = operator.stop.as_ref();
    let manifest = session::manifest(path)?;
    let (session, observation) = if let Some(file) = &options.observation {
        (None, saved_observation(file)?)
    } else {
        let session = Session::open(manifest.clone(), path, operator)?;
        let what = "Looking at both hosts".to_owned();
        reporter(false).event(&Event::Observing { what });
        let observation = session.observe(&Look::new(stop))?;
        (Some(session), observation)
    };
    let plan = planner::plan(&manifest, &observation)?;
    if let Some(file) = &options.output {
        local::write(file, render::json(&plan).as_bytes())?;
    }
    show(&plan, options.format)?;
    if let (true, Some(session)) = (options.full, &session) {
        list_paths(session, stop)?;
    }
    Ok(exit(&plan, options.detailed_exitcode))
}

/// The exit code that a plan stands for.
fn exit(plan: &Plan, detailed: bool) -> Exit {
    if !plan.blocked.is_empty() {
        Exit::Blocked
    } else if detailed && !plan.actions.is_empty() {
        Exit::Changes
    } else {
        Exit::Done
    }
}

fn show(plan: &Plan, format: Format) -> Result<()> {
    match format {
        Format::Text => print_text(plan),
        Format::Json => local::print(&render::json(plan)),
        Format::Markdown => local::print(&render::markdown(plan)),
        Format::Dot => local::print(&render::dot(plan)),
    }
}

/// Shows a plan to people, in colour where that is wanted.
pub(super) fn print_text(plan: &Plan) -> Result<()> {
    let colour = std::io::stdout().is_terminal()
        && anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let paint = if colour {
        render::Paint::Colour
    } else {
        render::Paint::Plain
    };
    local::print(&render::text(plan, paint))
}

fn saved_observation(file: &Path) -> Result<Observation> {
    let what = || format!("{} is no observation", file.display());
    let observation: Observation =
        serde_yaml::from_slice(&local::read(file)?).map_err(|error| {
            Error::caused(Kind::Usage, what(), error)
                .hint("make one with `reconcile observe -o FILE`")
        })?;
    if observation.version == OBSERVATION_VERSION {
        return Ok(observation);
    }
    Err(Error::new(
        Kind::Usage,
        format!("{} of a version that this program knows", what()),
    ))
}

/// Walks the trees once more and prints each path as it is met, so that no list of them is kept.
fn list_paths(session: &Session, stop: &AtomicBool) -> Result<()> {
    local::print("\nPaths\n")?;
    let listener = |user: &UserName, kind: TreeKind, path: &[u8], differs: Difference| {
        local::print(&path_line(user, kind, path, differs))
    };
    session.observe(&Look::new(stop).telling(&listener).in_order())?;
    Ok(())
}

/// One difference as a line: `mail/alice  home: Maildir/cur/1  (missing on the target)`.
pub(super) fn path_line(
    user: &UserName,
    kind: TreeKind,
    path: &[u8],
    differs: Difference,
) -> String {
    let tree = mail::tree_name(kind);
    format!(
        "  mail/{user}  {tree}: {}  ({})\n",
        escape(path),
        mail::difference(differs)
    )
}
