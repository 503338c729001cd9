//! `reconcile spool`: how much mail there is on the host that serves, how it grows, and when something
//! will be full. Looks only; with `--record` it remembers what it saw. `--here` is what a timer runs on the
//! target itself (see [`crate::resource::spool::timer`]), `--install-timer` sets that up.

mod here;
mod prometheus;
mod table;
mod timer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::session::Session;
use super::{Failure, local, session};
use crate::error::{Error, Exit, Kind, Result};
use crate::host::{Host, Operator, ReadHost};
use crate::manifest::{MigrationName, Size, Spool};
use crate::names::{Side, UserName};
use crate::planner;
use crate::raw::HostPath;
use crate::report::terminal::tell;
use crate::resource::accounts;
use crate::resource::spool::measure::{Part, Usage, measure};
use crate::resource::spool::trend::{Forecast, History, Sample};
use crate::resource::spool::volumes::Volumes;
use crate::resource::spool::{Threshold, threshold};

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Options {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    /// Write it for the textfile collector of Prometheus' node exporter, in the place of this file.
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
    /// Remember this run on the target: growth and forecasts come from runs that were remembered.
    #[arg(long)]
    record: bool,
    /// Exit with 2 when somebody is above spool.warn or spool.limit.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Name every user, not only the largest.
    #[arg(long)]
    all: bool,
    /// Set up the manifest's spool.timer on the target, or one that measures daily: plans, asks and
    /// applies that alone.
    #[arg(long, conflicts_with_all = ["json", "prometheus", "record", "detailed_exitcode", "all", "here"])]
    install_timer: bool,
    /// With --install-timer: do not ask.
    #[arg(long, requires = "install_timer")]
    yes: bool,
    /// Measure the machine that this runs on, the target of this migration, without a manifest: what a
    /// timer runs.
    #[arg(long, value_name = "NAME")]
    here: Option<MigrationName>,
    /// With --here: the manifest's spool.warn.
    #[arg(long, value_name = "SIZE", requires = "here")]
    warn: Option<Size>,
    /// With --here: the manifest's spool.limit.
    #[arg(long, value_name = "SIZE", requires = "here")]
    limit: Option<Size>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    migration: MigrationName,
    /// The host that serves.
    host: Side,
    at: Timestamp,
    /// The run that growth is counted from.
    since: Option<Timestamp>,
    users: BTreeMap<UserName, User>,
    partitions: Vec<Partition>,
    /// Users that were asked for and that Dovecot does not know.
    unknown: Vec<UserName>,
    complaints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct User {
    #[serde(flatten)]
    usage: Usage,
    /// Bytes of INBOX and folders together since the last run.
    growth: Option<i64>,
    /// The threshold that the INBOX is above.
    above: Option<Threshold>,
    /// When the INBOX reaches `spool.limit`.
    limit: Option<Forecast>,
}

/// A file system with mail on it.
#[derive(Debug, Serialize)]
struct Partition {
    /// A directory of it.
    path: HostPath,
    kind: String,
    /// Bytes that are free.
    free: u64,
    /// Bytes of mail on it.
    mail: u64,
    /// How its room changed since the last run.
    growth: Option<i64>,
    full: Forecast,
}

/// Whose mail is measured where, against what.
struct Task<'a> {
    migration: &'a MigrationName,
    /// The host that serves.
    serving: &'a dyn ReadHost,
    /// Where runs are remembered.
    target: &'a dyn Host,
    users: BTreeSet<UserName>,
    limits: Spool,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    if options.install_timer {
        return timer::install(path, options.yes, operator);
    }
    if let Some(name) = &options.here {
        let limits = Spool {
            warn: options.warn,
            limit: options.limit,
            ..Spool::default()
        };
        return here::with(name, limits, |task| conclude(task, options));
    }
    let manifest = session::manifest(path)?;
    let session = Session::open(manifest, path, operator)?;
    conclude(&task(&session)?, options)
}

fn task(session: &Session) -> Result<Task<'_>> {
    let (manifest, target) = (&session.manifest, session.target());
    let receipt = planner::receipt(manifest, session.hosts())?;
    let serving: &dyn ReadHost = match receipt.as_ref().map(|receipt| receipt.authority) {
        Some(Side::Target) => target,
        Some(Side::Source) | None => session.source().ok_or_else(|| {
            Error::new(
                Kind::Host,
                "the source's mail counts, and it is out of reach",
            )
        })?,
    };
    let accounts = accounts::observe(session.source(), target)?;
    let chosen = accounts::resolve(manifest, &accounts, receipt.as_ref()).users;
    Ok(Task {
        migration: &manifest.name,
        serving,
        target,
        users: chosen.into_keys().collect(),
        limits: manifest.spool.clone().unwrap_or_default(),
    })
}

/// Measures, and tells.
fn conclude(task: &Task<'_>, options: &Options) -> Result<Exit, Failure> {
    let report = look(task, options.record)?;
    if let Some(file) = &options.prometheus {
        let text = prometheus::text(&report, &task.limits);
        local::write_for_all(file, text.as_bytes())?;
        // The table says so, too.
        if !options.json {
            tell(&table::above(&report));
        }
    }
    if options.json {
        local::print(&format!("{}\n", serde_json::json!(report)))?;
    } else if options.prometheus.is_none() {
        local::print(&table::text(&report, options.all))?;
    }
    for complaint in &report.complaints {
        tell(&format!("warning: {complaint}\n"));
    }
    let above = report.users.values().any(|user| user.above.is_some());
    Ok(if above && options.detailed_exitcode {
        Exit::Changes
    } else {
        Exit::Done
    })
}

fn look(task: &Task<'_>, record: bool) -> Result<Report> {
    let Task {
        migration,
        serving,
        target,
        users,
        limits,
    } = task;
    let side = serving.side();
    let measured = measure(*serving, users.iter(), None)?;
    let history = History::read(*target, migration)?;
    let mut partitions = partitions(*serving, &measured.users)?;
    let now = sample(side, &measured.users, &partitions);
    let last = history.last(side);
    for partition in &mut partitions {
        let before = last.and_then(|last| last.free.get(&partition.path));
        partition.growth = before.map(|before| difference(*before, partition.free));
        partition.full = history.room(&now, &partition.path);
    }
    let user = |(name, usage): (UserName, Usage)| {
        let bytes = usage.inbox.bytes;
        let limit = limits.limit.map(|l| history.inbox(&now, &name, l.bytes));
        let before = last.and_then(|last| last.users.get(&name));
        let user = User {
            growth: total(usage.inbox, usage.folders)
                .zip(before.and_then(|(inbox, folders)| Some((*inbox)? + (*folders)?)))
                .map(|(now, before)| difference(before, now)),
            above: bytes
                .and_then(|bytes| threshold(limits, bytes))
                .map(|(name, _)| name),
            limit,
            usage,
        };
        (name, user)
    };
    let known = &measured.users;
    let unknown = users.iter().filter(|name| !known.contains_key(*name));
    let report = Report {
        migration: (*migration).clone(),
        host: side,
        at: now.at,
        since: last.map(|last| last.at),
        unknown: unknown.cloned().collect(),
        users: measured.users.into_iter().map(user).collect(),
        partitions,
        complaints: measured.complaints,
    };
    if record {
        let mut history = history;
        history.add(now);
        history.write(*target, migration)?;
    }
    Ok(report)
}

/// The file systems that hold mail.
fn partitions(host: &dyn ReadHost, users: &BTreeMap<UserName, Usage>) -> Result<Vec<Partition>> {
    let mut volumes = Volumes::default();
    let mut found: BTreeMap<HostPath, Partition> = BTreeMap::new();
    for (user, usage) in users {
        let parts = [
            (usage.inboxes(user), usage.inbox.bytes),
            (usage.homes(user), usage.folders.bytes),
        ];
        for (directory, bytes) in parts {
            let (path, space) = volumes.of(host, &directory)?;
            let partition = found.entry(path.clone()).or_insert_with(|| Partition {
                path,
                kind: space.kind,
                free: space.bytes,
                mail: 0,
                growth: None,
                full: Forecast::Steady,
            });
            partition.mail += bytes.unwrap_or(0);
        }
    }
    Ok(found.into_values().collect())
}

fn sample(side: Side, users: &BTreeMap<UserName, Usage>, partitions: &[Partition]) -> Sample {
    let free = partitions.iter().map(|p| (p.path.clone(), p.free));
    let users = users.iter().map(|(name, usage)| {
        let bytes = (usage.inbox.bytes, usage.folders.bytes);
        (name.clone(), bytes)
    });
    Sample {
        at: Timestamp::now(),
        side,
        free: free.collect(),
        users: users.collect(),
    }
}

fn total(inbox: Part, folders: Part) -> Option<u64> {
    Some(inbox.bytes? + folders.bytes?)
}

fn difference(before: u64, now: u64) -> i64 {
    let distance = i64::try_from(before.abs_diff(now)).unwrap_or(i64::MAX);
    if now >= before { distance } else { -distance }
}
