//! What clients see of each mailbox on both hosts, as part of `reconcile verify`.

use std::sync::atomic::AtomicBool;

use crate::cli::local;
use crate::cli::session::Session;
use crate::error::{Error, Kind, Result};
use crate::host::HostState;
use crate::identity::{self, Outcome, Party, Subject, Summary, UserVerdict, Way, render};
use crate::names::{Side, UserName};
use crate::plan::change::{TreeKind, TreePaths};
use crate::planner::Observation;
use crate::resource::mail::UserMail;
use crate::resource::services::Program;

/// What was found.
pub(super) struct Found {
    pub(super) summary: Summary,
    /// Users whose clients would notice; only kept for JSON.
    pub(super) differing: Vec<UserVerdict>,
}

/// Whether the target's Dovecot serves: then it writes to the copy, and files differ for that alone.
pub(super) fn target_serves(observation: &Observation) -> bool {
    let target = observation.services.target.as_ref();
    target.is_some_and(|target| target.programs.contains(&Program::Dovecot))
}

/// Reads and compares everybody's mailboxes by the servers' own code. `None` where a host does not
/// run. Prints a table as it goes, unless `quiet`.
pub(super) fn compare(
    session: &Session,
    observation: &Observation,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Option<Found>> {
    let (Some(source), target) = (session.source(), session.target()) else {
        return Ok(None);
    };
    let users = &observation.mail.users;
    if source.state() == HostState::Offline
        || target.state() == HostState::Offline
        || users.is_empty()
    {
        return Ok(None);
    }
    let pairs: Vec<_> = users
        .iter()
        .filter_map(|(name, user)| {
            let on = |path| subject(name, user, path);
            on(|paths| &paths.source).zip(on(|paths| &paths.target))
        })
        .collect();
    let way = if target_serves(observation) {
        Way::Client
    } else {
        Way::Aside
    };
    let source = Party {
        host: source,
        way: Way::Client,
    };
    let target = Party { host: target, way };
    if !quiet {
        local::print(&render::head())?;
    }
    let (mut differing, mut printed) = (Vec::new(), Ok(()));
    let outcome = identity::compare(source, target, &pairs, stop, &mut |verdict| {
        if quiet {
            if !verdict.identical() {
                differing.push(verdict.clone());
            }
        } else if printed.is_ok() {
            printed = local::print(&render::user(verdict));
        }
    })?;
    printed?;
    match outcome {
        Outcome::Done(summary) => {
            if !quiet {
                local::print(&render::summary(&summary))?;
            }
            Ok(Some(Found { summary, differing }))
        }
        Outcome::Unable(side, unable) => {
            let host = match side {
                Side::Source => source.host,
                Side::Target => target.host,
            };
            let what = format!(
                "what clients see cannot be compared: {}: {unable}",
                host.label()
            );
            Err(Error::new(Kind::Verification, what).hint(unable.remedy()))
        }
    }
}

/// A user on one host; `None` without a home, which is said elsewhere.
fn subject(
    name: &UserName,
    user: &UserMail,
    on: fn(&TreePaths) -> &crate::raw::HostPath,
) -> Option<Subject> {
    let path = |kind| {
        let tree = user.trees.iter().find(|tree| tree.paths.kind == kind);
        tree.map(|tree| on(&tree.paths).clone())
    };
    Some(Subject {
        user: name.clone(),
        home: path(TreeKind::Home)?,
        spool: path(TreeKind::Spool)?,
    })
}
