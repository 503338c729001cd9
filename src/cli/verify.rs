//! `reconcile verify`: everything compared, every difference listed.

mod identity;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::plan::path_line;
use super::session::Session;
use super::{Failure, local, reporter, session};
use crate::error::{Error, Exit, Kind, Result};
use crate::host::{HostState, Operator, ReadHost};
use crate::names::{Side, UserName};
use crate::plan::change::{Difference, TreeKind};
use crate::plan::{Change, Plan, render};
use crate::planner;
use crate::report::{Event, counted, size};
use crate::resource::mail::Look;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print a summary as JSON instead of text.
    #[arg(long)]
    json: bool,
    /// Between live hosts, compare every file's content too. Directory roots always are.
    #[arg(long)]
    deep: bool,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let stop = operator.stop.as_ref();
    let manifest = session::manifest(path)?;
    let session = Session::open(manifest.clone(), path, operator)?;
    let live = |host: &dyn ReadHost| host.state() == HostState::Live;
    let both_live =
        session.source().is_some_and(live) && session.target().state() == HostState::Live;
    let (look, what) = if both_live && !options.deep {
        (
            Look::new(stop),
            "Comparing accounts, settings, files, and what mail clients see (one more login each)",
        )
    } else {
        (
            Look::every_byte(stop),
            "Comparing accounts, settings and every file's content and metadata",
        )
    };
    let what = what.to_owned();
    reporter(false).event(&Event::Observing { what });
    let (paths, kept) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let listener = |user: &UserName, kind: TreeKind, path: &[u8], differs: Difference| {
        if paths.fetch_add(1, Ordering::Relaxed) < SHOWN || !both_live {
            let line = path_line(user, kind, path, differs);
            if both_live {
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            } else if !options.json {
                return local::print(&line);
            }
        }
        Ok(())
    };
    let observation = session.observe(&look.telling(&listener))?;
    let plan = planner::plan(&manifest, &observation)?;
    let mail_counts_on_target = plan.authority == Side::Target;
    let mut paths = paths.into_inner();
    if both_live && paths > 0 {
        let serves = identity::target_serves(&observation);
        if !options.json {
            let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
            local::print(&files(paths, &kept, serves))?;
        }
        if serves {
            paths = 0;
        }
    }
    let mut differences = other_differences(&plan, options.json)? + paths;
    let identity = identity::compare(&session, &observation, options.json, stop)?;
    if let Some(found) = &identity {
        differences += found.summary.differences;
    }
    let users = observation.mail.users.len();
    let compared = observation
        .mail
        .users
        .values()
        .flat_map(|u| &u.trees)
        .fold((0, 0), |(files, bytes), tree| {
            (files + tree.size.files, bytes + tree.size.bytes)
        });
    if options.json {
        let summary = serde_json::json!({
            "differences": differences, "paths": paths, "users": users,
            "files": compared.0, "bytes": compared.1, "authority": plan.authority,
            "identity": identity.as_ref().map(|found| &found.summary),
            "differing": identity.as_ref().map(|found| &found.differing),
        });
        local::print(&format!("{summary}\n"))?;
    } else if mail_counts_on_target {
        local::print("The target's mail counts now; the source's is not compared any more.\n")?;
    } else {
        let (files, bytes) = (compared.0, size(compared.1));
        local::print(&format!(
            "Compared {users} users, {files} files and {bytes}.\n"
        ))?;
    }
    if differences == 0 {
        return Ok(Exit::Done);
    }
    let what = format!("{differences} differences between the hosts and the manifest");
    Err(Error::new(Kind::Verification, what)
        .hint("`reconcile plan` shows what would be done about them")
        .into())
}

/// So many paths are named between live hosts, where mail moves; `plan --full` names all.
const SHOWN: u64 = 20;

/// Files that differ between live hosts.
fn files(count: u64, lines: &[String], target_serves: bool) -> String {
    let mut text = lines.concat();
    let paths = counted(count, "path differs", "paths differ");
    text.push_str(&if target_serves {
        format!(
            "{paths} in all; the target's Dovecot serves and writes to the copy, so what clients see \
             decides.\n"
        )
    } else {
        format!("{paths} in all; `reconcile apply` brings the copy up to date.\n")
    });
    text
}

/// Everything but mail trees: accounts, settings, addresses, services that do not serve, and what is
/// blocked. A target that is not held is no difference: its Dovecot may run in order to be verified.
fn other_differences(plan: &Plan, json: bool) -> Result<u64> {
    let mut only = plan.clone();
    only.notes.clear();
    only.actions.retain(|action| {
        matches!(
            action.change,
            Change::MergeAccounts(_)
                | Change::EditFile(_)
                | Change::EnforceUidl(_)
                | Change::ReleaseService(_)
        ) && !waits_for_hand_over(plan, action)
    });
    let count = only.actions.len() + only.blocked.len();
    if count > 0 && !json {
        local::print(&render::text(&only, render::Paint::Plain))?;
    }
    Ok(count as u64)
}

/// What moves only with the hand-over is no difference before it.
fn waits_for_hand_over(plan: &Plan, action: &crate::plan::Action) -> bool {
    plan.authority == Side::Source
        && action
            .needs
            .contains(&crate::plan::Fact::Authority(Side::Target))
}
