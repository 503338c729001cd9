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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::difference::Difference;
    use crate::identity::mailbox::{FolderName, NumberSet};

    fn verdict(name: &str, differences: Vec<Difference>, again: Again) -> UserVerdict {
        UserVerdict {
            user: name.into(),
            pop3_messages: 8,
            same_uidls: 8 - again.messages,
            folders: 6,
            imap_messages: 14,
            differences,
            notes: Vec::new(),
            download: again,
            resync: Again::default(),
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_user_and_each_difference() {
        let mut uids = NumberSet::default();
        for uid in [1, 2, 3, 7] {
            uids.push(uid);
        }
        let folder = FolderName("Entwürfe".into());
        let again = Again {
            folders: 1,
            messages: 4,
            bytes: 2_500_000,
        };
        let verdicts = [
            verdict("alice", Vec::new(), Again::default()),
            verdict(
                "bob",
                vec![Difference::MessagesMissing { folder, uids }],
                again,
            ),
        ];
        let mut sum = Summary::default();
        let mut text = head();
        for verdict in &verdicts {
            sum.add(verdict);
            text.push_str(&user(verdict));
        }
        text.push_str(&summary(&sum));
        assert_eq!(
            text,
            "\
user                  POP3 same UIDL folders      IMAP  differences
alice                    8         8       6        14  none
bob                      8         4       6        14  1
  Entwürfe: 4 messages missing on the target: UID 1:3,7
1 difference for 1 of 2 users.
POP3 clients would re-download 4 messages (2.5 MB) for 1 user.
IMAP clients would fetch 0 messages (0 B) in 0 folders again for 0 users.
"
        );
    }

    #[test]
    fn without_differences_it_says_what_was_compared() {
        let mut sum = Summary::default();
        sum.add(&verdict("alice", Vec::new(), Again::default()));
        assert_eq!(
            summary(&sum),
            "Clients of 1 user see the same on both hosts: 8 messages by POP3, 14 messages in 6 \
             folders by IMAP.\n"
        );
    }
}
