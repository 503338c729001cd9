//! Verdicts for people: a table, the differences, and what they cost.

use super::verdict::{Again, Summary, UserVerdict};
use crate::report::{counted, size};

/// Width of the table's first column; a longer name shifts its line.
const NAME: usize = 16;

/// The table's head, with its line end.
pub fn head() -> String {
    format!(
        "{:NAME$} {:>9} {:>9} {:>7} {:>9}  {}\n",
        "user", "POP3", "same UIDL", "folders", "IMAP", "differences"
    )
}

/// A user's line of the table, and a line for each difference.
pub fn user(verdict: &UserVerdict) -> String {
    let differences = match verdict.differences.len() {
        0 => "none".to_owned(),
        many => many.to_string(),
    };
    let mut text = format!(
        "{:NAME$} {:>9} {:>9} {:>7} {:>9}  {differences}\n",
        verdict.user.to_string(),
        verdict.pop3_messages,
        verdict.same_uidls,
        verdict.folders,
        verdict.imap_messages,
    );
    for difference in &verdict.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    text
}

/// What the differences cost clients, or that there are none.
pub fn summary(summary: &Summary) -> String {
    let users = |count| counted(count, "user", "users");
    if summary.differences == 0 {
        return format!(
            "Clients of {} see the same on both hosts: {} by POP3, {} in {} by IMAP.\n",
            users(summary.users),
            counted(summary.pop3_messages, "message", "messages"),
            counted(summary.imap_messages, "message", "messages"),
            counted(summary.folders, "folder", "folders"),
        );
    }
    let load = |again: &Again| {
        let messages = counted(again.messages, "message", "messages");
        format!("{messages} ({})", size(again.bytes))
    };
    let mut text = format!(
        "{} for {} of {}.\n",
        counted(summary.differences, "difference", "differences"),
        summary.differing,
        users(summary.users)
    );
    text.push_str(&format!(
        "POP3 clients would re-download {} for {}.\n",
        load(&summary.download),
        users(summary.download_users)
    ));
    text.push_str(&format!(
        "IMAP clients would fetch {} in {} again for {}.\n",
        load(&summary.resync),
        counted(summary.resync.folders, "folder", "folders"),
        users(summary.resync_users)
    ));
    text
}
