//! `reconcile status`: whose mail counts, since when, what the last run did, what to do next.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::session::Session;
use super::{Failure, local, session};
use crate::apply::{Entry, Moment, Owner, RunLock, read_journal};
use crate::error::{Exit, Result};
use crate::host::{HostState, Operator, ReadHost, Switch};
use crate::manifest::MigrationName;
use crate::names::Side;
use crate::receipt::{Pending, Receipt};
use crate::report::counted;
use crate::resource::address;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    migration: String,
    authority: Side,
    since: Option<jiff::Timestamp>,
    accounts: usize,
    trees: usize,
    held: Vec<String>,
    /// Armed dead man's switches.
    armed: Vec<Armed>,
    /// What of the addresses is on the wrong host, and what to do about it.
    misplaced: Vec<String>,
    /// Whether a hand-over waits for `reconcile confirm`.
    waits: bool,
    running: Option<Owner>,
    last_run: LastRun,
    source_reachable: bool,
    next: String,
}

/// An armed dead man's switch.
#[derive(Debug, Serialize)]
struct Armed {
    side: Side,
    /// When the host gives up and takes back what was done there, by its own clock.
    deadline: jiff::Timestamp,
    /// Steps that it would take back.
    steps: usize,
    /// Why taking back did not get to its end; it goes on trying.
    stuck: Option<String>,
}

/// How the last run ended, from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
enum LastRun {
    Never,
    Well {
        at: jiff::Timestamp,
    },
    Failed {
        at: jiff::Timestamp,
        actions: Vec<String>,
    },
    Interrupted {
        at: jiff::Timestamp,
        during: Vec<String>,
    },
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let manifest = session::manifest(path)?;
    let session = Session::open(manifest, path, operator)?;
    let status = look(&session)?;
    if options.json {
        local::print(&format!("{}\n", serde_json::json!(status)))?;
    } else {
        local::print(&text(&status))?;
    }
    Ok(Exit::Done)
}

fn look(session: &Session) -> Result<Status> {
    let (manifest, target) = (&session.manifest, session.target());
    let on_target = Receipt::read(target, &manifest.name)?;
    let mut receipt = on_target;
    let mut armed = Vec::new();
    let mut waits = false;
    for host in [session.source(), Some(target)].into_iter().flatten() {
        armed.extend(armed_on(host, &manifest.name)?);
        waits |= Pending::read(host, &manifest.name)?.is_some();
        if let (Some(known), Some(own)) = (&mut receipt, Receipt::read(host, &manifest.name)?)
            && own.epoch > known.epoch
        {
            known.authority = own.authority;
            known.since = own.since;
            known.epoch = own.epoch;
        }
    }
    waits &= !armed.is_empty();
    let running = match target.try_lock()? {
        Some(_free) => None,
        None => RunLock::owner(target, &manifest.name)?,
    };
    let misplaced = misplaced(session, receipt.as_ref(), &armed)?;
    let last_run = last_run(&read_journal(target, &manifest.name)?, running.is_some());
    let authority = receipt
        .as_ref()
        .map_or(Side::Source, |receipt| receipt.authority);
    Ok(Status {
        migration: manifest.name.to_string(),
        authority,
        since: receipt.as_ref().map(|receipt| receipt.since),
        accounts: receipt.as_ref().map_or(0, |receipt| receipt.accounts.len()),
        trees: receipt
            .as_ref()
            .map_or(0, |receipt| receipt.trees.values().map(Vec::len).sum()),
        held: receipt.map_or_else(Vec::new, |r| r.services.into_keys().collect()),
        next: if misplaced.is_empty() {
            let open = (!armed.is_empty(), waits);
            next(
                &last_run,
                running.is_some(),
                open,
                manifest.serve_from,
                authority,
            )
            .to_owned()
        } else {
            "take the addresses from the wrong host, as above".to_owned()
        },
        misplaced,
        armed,
        waits,
        running,
        last_run,
        source_reachable: session.source().is_some(),
    })
}

/// Service addresses on the host whose mail does not count. In a hand-over they may be anywhere.
fn misplaced(session: &Session, receipt: Option<&Receipt>, armed: &[Armed]) -> Result<Vec<String>> {
    let manifest = &session.manifest;
    let moved = receipt.filter(|receipt| receipt.epoch > 0 && armed.is_empty());
    let (Some(cutover), Some(receipt)) = (&manifest.cutover, moved) else {
        return Ok(Vec::new());
    };
    let actual = address::observe(manifest, session.source(), session.target())?;
    let found = address::doubled(cutover, receipt.authority, receipt.epoch, &actual);
    let text = |(resource, problem)| format!("{resource}: {problem}");
    Ok(found.into_iter().map(text).collect())
}

/// The switch of a live host.
fn armed_on(host: &dyn ReadHost, name: &MigrationName) -> Result<Option<Armed>> {
    if host.state() == HostState::Offline {
        return Ok(None);
    }
    Ok(Switch::read(host, name)?.map(|switch| Armed {
        side: host.side(),
        deadline: switch.deadline,
        steps: switch.undo.len(),
        stuck: switch.stuck,
    }))
}

fn last_run(entries: &[Entry], running: bool) -> LastRun {
    let Some(start) = entries
        .iter()
        .rposition(|e| e.action.is_none() && e.moment == Moment::Begin)
    else {
        return LastRun::Never;
    };
    let run = &entries[start..];
    let last = &run[run.len() - 1];
    let with = |moment| {
        let of = run
            .iter()
            .filter(move |entry: &&Entry| entry.moment == moment);
        of.filter_map(|entry| entry.action.clone())
    };
    match (last.action.is_none(), last.moment) {
        (true, Moment::Done) => LastRun::Well { at: last.at },
        (true, Moment::Failed) => {
            let actions = with(Moment::Failed)
                .map(|action| action.to_string())
                .collect();
            LastRun::Failed {
                at: last.at,
                actions,
            }
        }
        _ if running => LastRun::Never,
        _ => {
            let ended: Vec<_> = with(Moment::Done).chain(with(Moment::Failed)).collect();
            let during = with(Moment::Begin).filter(|action| !ended.contains(action));
            LastRun::Interrupted {
                at: last.at,
                during: during.map(|a| a.to_string()).collect(),
            }
        }
    }
}

fn next(
    last: &LastRun,
    running: bool,
    (armed, waits): (bool, bool),
    wanted: Side,
    authority: Side,
) -> &'static str {
    match (last, wanted, authority) {
        _ if waits => {
            "look at the service from a machine in cutover.try_from and run `reconcile confirm`; without \
             it everything goes back"
        }
        _ if armed && !running => {
            "wait until the hosts have taken back by themselves, or run `reconcile apply`, which ends it \
             at once"
        }
        _ if running => "wait for the run that is at work",
        (LastRun::Never, ..) => "run `reconcile plan`, then `reconcile apply`",
        (LastRun::Interrupted { .. } | LastRun::Failed { .. }, ..) => {
            "mend what stopped the last run and run `reconcile apply` again"
        }
        (_, Side::Source, Side::Source) => {
            "run `reconcile apply` to bring the copy up to date, or set serve_from: target"
        }
        (_, Side::Target, Side::Source) => "run `reconcile apply` to hand over to the target",
        (_, Side::Target, Side::Target) => "nothing; `reconcile plan` shows drift, if any",
        (_, Side::Source, Side::Target) => {
            "run `reconcile apply` to take the mail back to a live source, or set serve_from: target"
        }
    }
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        writeln!(out, "{label:<11} {text}").expect("writing to a String cannot fail");
    };
    line("migration", &status.migration);
    let since = status
        .since
        .map_or("nothing was applied yet".to_owned(), |since| {
            format!("since {since}")
        });
    line(
        "mail counts",
        &format!("on the {} ({since})", status.authority),
    );
    line(
        "managed",
        &format!("{} accounts, {} trees", status.accounts, status.trees),
    );
    if !status.held.is_empty() {
        let held = status.held.join(", ");
        line(
            "held",
            &format!("{held} on the target, until its mail counts"),
        );
    }
    for text in &status.misplaced {
        line("wrong host", text);
    }
    for armed in &status.armed {
        let steps = counted(armed.steps as u64, "step", "steps");
        let stuck = armed
            .stuck
            .as_ref()
            .map_or(String::new(), |why| format!("; stuck: {why}"));
        let text = format!(
            "on the {}: takes back {steps} at {} unless the hand-over is made{stuck}",
            armed.side, armed.deadline
        );
        line("armed", &text);
    }
    if let Some(owner) = &status.running {
        let Owner {
            machine,
            pid,
            since,
        } = owner;
        line(
            "running",
            &format!("process {pid} on {machine}, since {since}"),
        );
    }
    let last = match &status.last_run {
        LastRun::Never => "none has ended".to_owned(),
        LastRun::Well { at } => format!("ended well at {at}"),
        LastRun::Failed { at, actions } => format!("failed at {at}: {}", actions.join(", ")),
        LastRun::Interrupted { at, during } if during.is_empty() => {
            format!("died after {at}, between two actions")
        }
        LastRun::Interrupted { at, during } => {
            format!("died after {at}, during {}", during.join(", "))
        }
    };
    line("last run", &last);
    if !status.source_reachable {
        line("source", "not there; it is not needed any more");
    }
    line("next", &status.next);
    out
}
