//! `reconcile status`: who serves and whose mail counts, since when, what runs and how far it is, what
//! is armed, what to do next.
//!
//! It needs nothing but the manifest and one host that can be reached: what it tells is on the hosts.

mod known;
mod next;
mod runs;
mod text;

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::session::{self, Reached};
use super::{Failure, local};
use crate::apply::{Owner, RunLock, read_journal};
use crate::error::{Error, Exit, Result};
use crate::host::{Operator, ReadHost, SourceHost};
use crate::manifest::Manifest;
use crate::names::Side;
use crate::resource::address;
use known::{Armed, Known, Standing};
use runs::{LastRun, Progress};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    migration: String,
    /// Whose mail counts; `None` if only a host that is out of reach knows.
    authority: Option<Side>,
    since: Option<jiff::Timestamp>,
    accounts: usize,
    trees: usize,
    /// What hosts that run have and offer.
    hosts: Vec<Standing>,
    /// Hosts that do not answer, or are not who they should be.
    missing: Vec<Missing>,
    /// Armed dead man's switches.
    armed: Vec<Armed>,
    /// What of the addresses is on the wrong host, and what to do about it.
    misplaced: Vec<String>,
    /// Whether a hand-over waits for `reconcile confirm`.
    waits: bool,
    /// Whether a run is at work.
    busy: bool,
    /// Whose it is, once it has begun with its actions.
    running: Option<Owner>,
    /// What it does.
    progress: Option<Progress>,
    /// The last run that is over; `None` if only a host that is out of reach knows.
    last_run: Option<LastRun>,
    next: String,
}

#[derive(Debug, Serialize)]
struct Missing {
    side: Side,
    why: String,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let manifest = session::manifest(path)?;
    let reached = Reached::open(&manifest, path, operator).sorted(&manifest)?;
    let status = look(&manifest, &reached)?;
    if options.json {
        local::print(&format!("{}\n", serde_json::json!(status)))?;
    } else {
        local::print(&text::text(&status))?;
    }
    Ok(Exit::Done)
}

fn look(manifest: &Manifest, reached: &Reached) -> Result<Status> {
    let source = reached.source.as_ref().ok().map(SourceHost::read);
    let target = reached.target.as_ref().ok();
    let mut known = Vec::new();
    for host in source.into_iter().chain(target.map(|host| &**host as _)) {
        known.push(Known::of(host, manifest)?);
    }
    let receipts = || known.iter().filter_map(|host| host.receipt.as_ref());
    let latest = receipts().max_by_key(|receipt| receipt.epoch);
    let epoch = latest.map_or(0, |receipt| receipt.epoch);
    // The target's tells what is managed.
    let managed = receipts().next_back();
    let (mut busy, mut running) = (false, None);
    let (mut progress, mut last_run) = (None, None);
    if let Some(target) = target {
        busy = target.try_lock()?.is_none();
        let entries = read_journal(target.as_ref(), &manifest.name)?;
        progress = runs::progress(&entries, busy);
        if progress.is_some() {
            running = RunLock::owner(target.as_ref(), &manifest.name)?;
        }
        last_run = Some(runs::last_run(&entries, busy));
    }
    let authority = known::authority(&known);
    let armed: Vec<Armed> = known.iter().filter_map(|host| host.armed(epoch)).collect();
    let misplaced = match (target, authority) {
        // In a hand-over the addresses may be anywhere.
        (Some(target), Some(authority)) if epoch > 0 && armed.is_empty() => {
            misplaced(manifest, source, target.as_ref(), (authority, epoch))?
        }
        _ => Vec::new(),
    };
    let status = Status {
        migration: manifest.name.to_string(),
        authority,
        since: latest.map(|receipt| receipt.since),
        accounts: managed.map_or(0, |receipt| receipt.accounts.len()),
        trees: managed.map_or(0, |receipt| receipt.trees.values().map(Vec::len).sum()),
        armed,
        misplaced,
        waits: known.iter().any(|host| host.waits(epoch)),
        hosts: known.into_iter().filter_map(|host| host.standing).collect(),
        missing: missing(&reached.source, &reached.target),
        busy,
        running,
        progress,
        last_run,
        next: String::new(),
    };
    let next = next::next(&status, manifest.serve_from);
    Ok(Status { next, ..status })
}

/// Service addresses on the host whose mail does not count since this epoch.
fn misplaced(
    manifest: &Manifest,
    source: Option<&dyn ReadHost>,
    target: &dyn ReadHost,
    (authority, epoch): (Side, u32),
) -> Result<Vec<String>> {
    let Some(cutover) = &manifest.cutover else {
        return Ok(Vec::new());
    };
    let actual = address::observe(manifest, source, target)?;
    let found = address::doubled(cutover, authority, epoch, &actual);
    let text = |(resource, problem)| format!("{resource}: {problem}");
    Ok(found.into_iter().map(text).collect())
}

fn missing<S, T>(source: &Result<S>, target: &Result<T>) -> Vec<Missing> {
    let both: [(Side, Option<&Error>); 2] = [
        (Side::Source, source.as_ref().err()),
        (Side::Target, target.as_ref().err()),
    ];
    let missing = both.into_iter().filter_map(|(side, error)| {
        let why = crate::error::chain(error?);
        Some(Missing { side, why })
    });
    missing.collect()
}
