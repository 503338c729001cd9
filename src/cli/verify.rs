//! `reconcile verify`: everything compared, every difference listed.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;

use super::plan::path_line;
use super::session::Session;
use super::{Failure, local, reporter, session};
use crate::error::{Error, Exit, Kind, Result};
use crate::host::Operator;
use crate::names::{Side, UserName};
use crate::plan::change::{Difference, TreeKind};
use crate::plan::{Change, Plan, render};
use crate::planner;
use crate::report::{Event, size};
use crate::resource::mail::Look;

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Print a summary as JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, options: &Options, operator: &Operator) -> Result<Exit, Failure> {
    let stop = operator.stop.as_ref();
    let manifest = session::manifest(path)?;
    let session = Session::open(manifest.clone(), path, operator)?;
    let what = "Comparing accounts, settings and every file's content and metadata".to_owned();
    reporter(false).event(&Event::Observing { what });
    let paths = AtomicU64::new(0);
    let quiet = options.json;
    let listener = |user: &UserName, kind: TreeKind, path: &[u8], differs: Difference| {
        paths.fetch_add(1, Ordering::Relaxed);
        if quiet {
            Ok(())
        } else {
            local::print(&path_line(user, kind, path, differs))
        }
    };
    let observation = session.observe(&Look::every_byte(stop).telling(&listener))?;
    let plan = planner::plan(&manifest, &observation)?;
    let mail_counts_on_target = plan.authority == Side::Target;
    let paths = paths.into_inner();
    let differences = other_differences(&plan, options.json)? + paths;
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
