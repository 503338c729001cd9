//! Where Dovecot finds each user's mail when nothing says where it is: what the source really serves.
//!
//! As Dovecot 2.3 looks where `mail_location` is left empty (seen with 2.3.13 and 2.3.19):
//! `~/mdbox` or `~/sdbox` with `mailboxes` in it, then `~/Maildir`, then an mbox with the spool file as
//! INBOX and its folders in the first of `~/mail` and `~/Mail` that has `.imap`, `inbox` or `mbox` in it.
//! Who has none of these cannot read mail there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{Location, SPOOL};
use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::names::UserName;
use crate::parallel;
use crate::raw::{HostPath, Raw};
use crate::resource::accounts::Chosen;

/// Users whose mail is kept in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The way.
    pub location: Location,
    /// The users. Those without any mail are in none.
    pub users: Vec<UserName>,
}

/// Directories of a home, what must be in them (any of these; empty for nothing), and the format that
/// this says; the first match counts.
const SIGNS: [(&str, &[&str], &str); 5] = [
    ("mdbox", &["mailboxes"], "mdbox"),
    ("sdbox", &["mailboxes"], "sdbox"),
    ("Maildir", &[], "maildir"),
    ("mail", &[".imap", "inbox", "mbox"], "mbox"),
    ("Mail", &[".imap", "inbox", "mbox"], "mbox"),
];

/// Looks at every chosen user's home.
pub(super) fn observe(
    host: &dyn ReadHost,
    users: &BTreeMap<UserName, Chosen>,
) -> Result<Vec<Layout>> {
    let mut by_location: BTreeMap<Location, Vec<UserName>> = BTreeMap::new();
    let users: Vec<_> = users.iter().collect();
    let found = parallel::ask(&users, |(_, chosen)| of_user(host, &chosen.source_home));
    for ((name, _), location) in users.into_iter().zip(found) {
        if let Some(location) = location? {
            by_location.entry(location).or_default().push(name.clone());
        }
    }
    Ok(by_location
        .into_iter()
        .map(|(location, users)| Layout { location, users })
        .collect())
}

fn of_user(host: &dyn ReadHost, home: &HostPath) -> Result<Option<Location>> {
    // One listing tells which directories are worth a look.
    let there = entries(host, home)?.unwrap_or_default();
    for (directory, signs, driver) in SIGNS {
        if !has(&there, directory) {
            continue;
        }
        let Some(inside) = entries(host, &home.join(directory))? else {
            continue;
        };
        if signs.is_empty() || signs.iter().any(|sign| has(&inside, sign)) {
            let inbox = ("mail_inbox_path".to_owned(), format!("{SPOOL}/%{{user}}"));
            return Ok(Some(Location {
                driver: driver.to_owned(),
                path: format!("%{{home}}/{directory}"),
                options: (driver == "mbox").then_some(inbox).into_iter().collect(),
            }));
        }
    }
    Ok(None)
}

fn has(names: &[Raw], name: &str) -> bool {
    names.binary_search(&Raw::from(name.as_bytes())).is_ok()
}

/// The names in a directory; `None` if it is none.
fn entries(host: &dyn ReadHost, path: &HostPath) -> Result<Option<Vec<Raw>>> {
    match host.stat(path)? {
        Some(stat) if stat.kind == FileKind::Dir => host.list(path),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Side;
    use crate::resource::edit::fake::FakeHost;

    #[test]
    fn the_search_is_that_of_dovecot_2_3() {
        // What `doveadm -D mailbox status` of 2.3.19 said of such homes.
        for (files, found) in [
            (&["mail/folder"][..], None),
            (&["mail/.imap/x"], Some("mbox:~/mail:INBOX=/var/mail/%u")),
            (&["mail/inbox"], Some("mbox:~/mail:INBOX=/var/mail/%u")),
            (&["mail/mbox"], Some("mbox:~/mail:INBOX=/var/mail/%u")),
            (
                &["mail/folder", "Mail/.imap/x"],
                Some("mbox:~/Mail:INBOX=/var/mail/%u"),
            ),
            (&["Maildir/cur/x", "mail/inbox"], Some("maildir:~/Maildir")),
            (&["sdbox/x", "Maildir/cur/x"], Some("maildir:~/Maildir")),
            (&["sdbox/mailboxes/x"], Some("sdbox:~/sdbox")),
            (&[".bashrc"], None),
        ] {
            let paths: Vec<String> = files.iter().map(|f| format!("/home/a/{f}")).collect();
            let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
            let host = FakeHost::new(Side::Source, &files);
            let location = of_user(&host, &HostPath::from("/home/a")).unwrap();
            let said = location.map(|location| location.shown("/var/mail"));
            assert_eq!(said, found.map(|found| format!("`{found}`")), "{paths:?}");
        }
    }
}
