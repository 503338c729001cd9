//! The last line of a plan.

use crate::plan::change::Verb;
use crate::plan::{Change, Plan};
use crate::report::size;

/// One sentence that tells how much there is to do.
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "Nothing to do: the hosts are as the manifest says.".to_owned();
    }
    let (mut create, mut update, mut files, mut bytes, mut edits, mut remove) = (0, 0, 0, 0, 0, 0);
    for action in &plan.actions {
        match &action.change {
            Change::MergeAccounts(merge) => {
                let verbs = merge
                    .users
                    .iter()
                    .map(|u| u.verb)
                    .chain(merge.groups.iter().map(|g| g.verb));
                for verb in verbs {
                    match verb {
                        Verb::Create => create += 1,
                        Verb::Update => update += 1,
                    }
                }
            }
            Change::CopyMail(copy) => {
                files += copy.delta.create.files + copy.delta.update.files + copy.delta.touch.files;
                remove += copy.delta.remove.files;
                bytes += copy.delta.bytes();
            }
            Change::EditFile(_) => edits += 1,
            Change::ClaimTrees { .. }
            | Change::SetAside { .. }
            | Change::ProveMail(_)
            | Change::HandOver { .. } => {}
        }
    }
    let files = format!("{files} files to copy or touch ({})", size(bytes));
    let parts = [
        (create, format!("{create} accounts and groups to create")),
        (update, format!("{update} to change")),
        (u64::from(bytes > 0 || !files.starts_with('0')), files),
        (remove, format!("{remove} to remove")),
        (edits, format!("{edits} configuration files to edit")),
        (
            plan.blocked.len() as u64,
            format!("{} blocked", plan.blocked.len()),
        ),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(_, t)| t)
        .collect();
    let listed = if parts.is_empty() {
        "no file changes".to_owned()
    } else {
        parts.join(", ")
    };
    format!("Plan: {} actions; {listed}.", plan.actions.len())
}
