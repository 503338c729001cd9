//! Which parts of a home are copied.

use crate::manifest::{Homes, Manifest};
use crate::plan::change::Selection;
use crate::raw::Raw;

/// What `homes: mail-only` means: mail folders in all the places where servers and readers of the
/// last thirty years put them, and the dot files that steer delivery.
const MAIL_ONLY: [&str; 22] = [
    ".Maildir",
    ".addressbook",
    ".dovecot.sieve",
    ".dovecot.svbin",
    ".forward",
    ".imap",
    ".mailboxlist",
    ".mailfilter",
    ".maildir",
    ".procmail",
    ".procmailrc",
    ".qmail",
    ".spamassassin",
    ".subscriptions",
    ".vacation.db",
    ".vacation.msg",
    "Mail",
    "Maildir",
    "dovecot-uidlist",
    "mail",
    "mbox",
    "sieve",
];

/// The manifest's selection.
pub fn selection(manifest: &Manifest) -> Selection {
    let only = match manifest.mail.homes {
        Homes::Whole => None,
        Homes::MailOnly => Some(MAIL_ONLY.iter().map(|name| Raw::from(*name)).collect()),
    };
    Selection {
        only,
        exclude: manifest.mail.exclude.clone(),
    }
}
