//! `reconcile apply`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::session::Session;
use super::{Failure, local, plan, reporter, session};
use crate::apply::{Outcome, Run, RunLock, execute};
use crate::error::{Error, Exit, Kind, Result};
use crate::host::Operator;
use crate::manifest::{Manifest, SentProgram};
use crate::names::{Side, UserName};
use crate::plan::{PLAN_VERSION, Plan, Resource, render};
use crate::planner;
use crate::report::terminal::tell;
use crate::report::{Event, Reporter, counted};
use crate::resource::mail::Look;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// A plan that `plan -o` saved; refused if either host changed since.
    #[arg(value_name = "PLANFILE")]
    saved: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// How a plan is carried out.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
    /// Tell what happens as JSON, one event per line on stdout.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let saved = options.saved.as_deref().map(saved_plan).transpose()?;
    let manifest = match &saved {
        Some(plan) => plan.manifest.clone(),
        None => session::manifest(path)?,
    };
    let saved = saved.as_ref();
    apply_part(Part::All, &manifest, path, saved, options.manner, operator)
}

/// What of a plan is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// The timer that measures the spool.
    Timer,
}

impl Part {
    fn of(self, mut plan: Plan) -> Result<Plan> {
        if self == Self::All {
            return Ok(plan);
        }
        if plan.authority != Side::Target || plan.manifest.serve_from != Side::Target {
            let what = "the mail is measured on the target while its mail counts, and stays there";
            return Err(Error::new(Kind::Blocked, what).hint(
                "write spool.timer in the manifest: the hand-over to the target sets it up then",
            ));
        }
        if plan.ends_leftovers() {
            let what = "a run that died left something half-done";
            return Err(Error::new(Kind::Blocked, what).hint("run `reconcile apply` first"));
        }
        let timer = |of: &Resource| *of == Resource::SpoolTimer;
        plan.actions.retain(|action| timer(&Resource::of(action)));
        plan.blocked.retain(|blocked| timer(&blocked.resource));
        plan.notes.retain(|note| timer(&note.resource));
        plan.renumbered.clear();
        Ok(plan)
    }
}

/// Plans, asks, carries out, and looks again. What a run that died left half-done is ended first, and
/// planned anew then.
pub(super) fn apply(
    manifest: &Manifest,
    path: &Path,
    options: Manner,
    operator: &Operator,
) -> Result<Exit, Failure> {
    apply_part(Part::All, manifest, path, None, options, operator)
}

/// The same with the timer that measures the spool, and nothing else.
pub(super) fn timer(
    manifest: &Manifest,
    path: &Path,
    options: Manner,
    operator: &Operator,
) -> Result<Exit, Failure> {
    apply_part(Part::Timer, manifest, path, None, options, operator)
}

fn apply_part(
    part: Part,
    manifest: &Manifest,
    path: &Path,
    saved: Option<&Plan>,
    options: Manner,
    operator: &Operator,
) -> Result<Exit, Failure> {
    let stop = operator.stop.as_ref();
    let session = Session::open(manifest.clone(), path, operator)?;
    let _lock = RunLock::take(session.target(), &manifest.name)?;
    let reporter = reporter(options.json);
    let look = Look::new(stop);
    loop {
        reporter.event(&Event::Observing {
            what: "Looking at both hosts".to_owned(),
        });
        let fresh = part.of(planner::plan(manifest, &session.observe(&look)?)?)?;
        if let Some(saved) = saved {
            refuse_stale(saved, &fresh)?;
        }
        if !options.json || !fresh.blocked.is_empty() {
            show(&fresh, options.json)?;
        }
        if !fresh.blocked.is_empty() {
            return Ok(Exit::Blocked);
        }
        if !fresh.actions.is_empty() && !options.yes {
            ask(&fresh)?;
        }
        keep_program(&session, reporter.as_ref());
        if fresh.actions.is_empty() {
            return Ok(Exit::Done);
        }
        let moving = carry_out(&session, &fresh, reporter.as_ref(), stop)?;
        if !fresh.ends_leftovers() {
            let look = if fresh.hands_over() {
                look
            } else {
                look.only(&moving)
            };
            return look_again(part, &session, &look);
        }
    }
}

/// Has the hosts keep what was sent to them, or not keep it any more. One that has no room for it is
/// sent it each time.
fn keep_program(session: &Session, reporter: &dyn Reporter) {
    let Manifest { name, transfer, .. } = &session.manifest;
    let source = session.change_source().and_then(|source| source.remote());
    for host in [source, session.target().remote()].into_iter().flatten() {
        let keep = transfer.program == SentProgram::Keep;
        if let Err(error) = host.keep_program(name, keep) {
            let text = crate::error::chain(&error);
            reporter.event(&Event::Warning { text });
        }
    }
}

/// On `--json`, stdout belongs to the events.
fn show(plan: &Plan, json: bool) -> Result<()> {
    if json {
        let text = render::text(plan, render::Paint::Plain);
        tell(&text);
        return Ok(());
    }
    plan::print_text(plan)
}

fn saved_plan(file: &Path) -> Result<Plan> {
    let what = || format!("{} is no saved plan", file.display());
    let plan: Plan = serde_json::from_slice(&local::read(file)?).map_err(|error| {
        Error::caused(Kind::Usage, what(), error).hint("save one with `reconcile plan -o FILE`")
    })?;
    if plan.version == PLAN_VERSION {
        return Ok(plan);
    }
    Err(Error::new(
        Kind::Usage,
        format!("{} of a version that this program knows", what()),
    ))
}

/// A saved plan is obeyed to the letter or not at all.
fn refuse_stale(saved: &Plan, fresh: &Plan) -> Result<()> {
    if saved.is_same_but_for_new_mail(fresh) {
        return Ok(());
    }
    let [old, new] = [saved, fresh].map(|plan| render::text(plan, render::Paint::Plain));
    let diff = similar::TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header("saved plan", "plan now")
        .to_string();
    let shown = if diff.is_empty() {
        "what would be copied is no longer the same\n".to_owned()
    } else {
        diff
    };
    tell(&shown);
    let what = "the hosts changed since the plan was saved; nothing was done";
    Err(Error::new(Kind::Stale, what).hint("plan again, review it, and apply the new plan"))
}

fn ask(plan: &Plan) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(Kind::Usage, "there is no terminal to ask on")
            .hint("review the plan, then run `reconcile apply --yes`"));
    }
    tell(&format!(
        "\nApply these {} actions? Only `yes` is a yes: ",
        plan.actions.len()
    ));
    let mut answer = String::new();
    let answered = std::io::stderr()
        .flush()
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
        .map_err(|error| Error::caused(Kind::Usage, "cannot read the answer", error))?;
    if answered > 0 && answer.trim() == "yes" {
        return Ok(());
    }
    Err(Error::new(
        Kind::Interrupted,
        "not confirmed; nothing was done",
    ))
}

fn carry_out(
    session: &Session,
    plan: &Plan,
    reporter: &dyn Reporter,
    stop: &AtomicBool,
) -> Result<BTreeSet<UserName>> {
    let target = session.target();
    let outcome = execute(&Run {
        plan,
        ids: Arc::new(plan.ids.clone()),
        source: session.source(),
        change_source: session.change_source(),
        third: session.third(),
        backup: session.backup(),
        target,
        reporter,
        stop,
    })?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::new(Kind::Interrupted, "stopped by a signal")
            .hint("nothing is half-done; run `reconcile apply` again to go on from here"));
    }
    conclude(outcome)
}

/// Whose mail still moves, or what went wrong.
fn conclude(outcome: Outcome) -> Result<BTreeSet<UserName>> {
    let mut failed = outcome.failed.into_iter();
    let Some((action, error)) = failed.next() else {
        return Ok(outcome.moving);
    };
    // A refusal in the middle of a run is no "blocked": that would say that nothing was changed.
    let kind = match error.kind() {
        Kind::Verification => Kind::Verification,
        _ => Kind::Host,
    };
    let more = match failed.len() + outcome.skipped.len() {
        0 => String::new(),
        n => format!(", and {n} more were not carried out"),
    };
    let hint = error.remedy().map(str::to_owned);
    let what = format!("{action} failed{more}; {} actions are done", outcome.done);
    let error = Error::caused(kind, what, error);
    Err(error.hint(hint.unwrap_or_else(|| {
        "mend the cause and run `reconcile apply` again: it does only what is missing".to_owned()
    })))
}

/// Success means that the state afterwards was observed to be right. Mail trees were looked at after
/// they were copied, or needed no copy.
fn look_again(part: Part, session: &Session, look: &Look<'_>) -> Result<Exit, Failure> {
    let plan = part.of(planner::plan(&session.manifest, &session.observe(look)?)?)?;
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    if plan.is_new_mail_only() {
        let users = counted(plan.actions.len() as u64, "user", "users");
        tell(&format!(
            "The mail of {users} changed on the source meanwhile: run `reconcile apply` again to bring \
             it over.\n"
        ));
        return Ok(Exit::Done);
    }
    if plan.is_housekeeping_only() {
        tell("Old messages were read meanwhile: the next run moves them.\n");
        return Ok(Exit::Done);
    }
    tell(&render::text(&plan, render::Paint::Plain));
    let what = "everything was applied, and the plan is still not empty";
    Err(Error::new(Kind::Verification, what)
        .hint("files may have changed meanwhile; run `reconcile apply` again")
        .into())
}
