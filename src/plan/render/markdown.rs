//! The plan as markdown, for a comment on a pull request.

use std::fmt::Write as _;

use super::group::groups;
use super::{Paint, summary, text};
use crate::plan::{Level, Plan};
use crate::report::counted;

/// The plan as markdown: the summary, the warnings, a table of what is blocked, and the whole text
/// folded away.
pub fn markdown(plan: &Plan) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        writeln!(out, "{text}").expect("writing to a String cannot fail");
    };
    line(&format!("### reconcile plan `{}`", plan.manifest.name));
    line("");
    line(&format!("**{}**", summary(plan)));
    line("");
    for group in groups(plan) {
        line(&format!(
            "- {}: {} ({})",
            group.heading,
            group.because,
            counted(group.rows.len() as u64, "entry", "entries")
        ));
    }
    for note in plan.notes.iter().filter(|n| n.level == Level::Warning) {
        line(&format!("- **warning** `{}`: {}", note.resource, note.text));
    }
    if !plan.blocked.is_empty() {
        line("");
        line("| blocked | by |");
        line("| --- | --- |");
        for blocked in &plan.blocked {
            let by = blocked.by.to_string().replace('|', "\\|");
            line(&format!("| `{}` | {by} |", blocked.resource));
        }
    }
    line("");
    line("<details><summary>The whole plan</summary>");
    line("");
    let whole = text(plan, Paint::Plain);
    let fence = fence_for(&whole);
    line(&format!("{fence}diff"));
    line(whole.trim_end());
    line(&fence);
    line("");
    line("</details>");
    out
}

/// A fence longer than any run of backticks inside, so that no file's content can end the block.
fn fence_for(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
