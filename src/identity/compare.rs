//! One user's mail on both hosts, compared as a client that knew the source would see the target.
//!
//! No differences, because no client can tell:
//!
//! - `\Recent`, which is gone after the next session on either side;
//! - a UIDNEXT above the source's: gaps between UIDs are allowed (RFC 3501 2.3.1.1), and new messages
//!   get UIDs that no client has seen in either case;
//! - UIDVALIDITY and unique ids of a folder that was never opened on the source: the values that we
//!   saw were invented when we asked. That its messages are all there is compared all the same;
//! - a folder that neither side can read, such as a file in the mail directory that is no mbox.

mod folder;
mod pop3;

use super::difference::Difference;
use super::mailbox::{Access, Folder, FolderName, Folders, Read, Refusal, Seen};
use super::verdict::{Again, Note, UserVerdict};
use crate::names::{Side, UserName};

/// Compares one user's mail.
pub fn user(user: &UserName, source: &Seen, target: &Seen) -> UserVerdict {
    let mut verdict = UserVerdict {
        user: user.clone(),
        pop3_messages: source
            .pop3
            .as_ref()
            .map_or(0, |drop| drop.messages.len() as u64),
        same_uidls: 0,
        folders: 0,
        imap_messages: 0,
        differences: Vec::new(),
        notes: Vec::new(),
        download: Again::default(),
        resync: Again::default(),
    };
    pop3::compare(source, target, &mut verdict);
    if let Some((before, after)) = both(source, target, &mut verdict) {
        folders(source, before, after, &mut verdict);
        subscriptions(before, after, &mut verdict);
    }
    match &target.inbox {
        None | Some(Ok(Access::ReadWrite)) => {}
        Some(Ok(Access::ReadOnly)) => verdict.differences.push(Difference::InboxReadOnly),
        // That is said already.
        Some(Err(_)) if target.imap.is_err() => {}
        Some(Err(words)) => {
            let words = words.clone();
            verdict.differences.push(Difference::InboxRefused { words });
        }
    }
    verdict
}

fn both<'a>(
    source: &'a Seen,
    target: &'a Seen,
    verdict: &mut UserVerdict,
) -> Option<(&'a Folders, &'a Folders)> {
    let mut readable = |side, read: &'a Read<Folders>| match read {
        Ok(folders) => Some(folders),
        Err(words) => {
            let words = words.clone();
            verdict
                .differences
                .push(Difference::ImapUnreadable { side, words });
            None
        }
    };
    let before = readable(Side::Source, &source.imap);
    let after = readable(Side::Target, &target.imap);
    before.zip(after)
}

fn folders(source: &Seen, before: &Folders, after: &Folders, verdict: &mut UserVerdict) {
    for (name, folder) in &before.folders {
        if let Folder::Mailbox(mailbox) = folder {
            verdict.folders += 1;
            verdict.imap_messages += mailbox.messages.len() as u64;
        }
        if let Some(other) = after.folders.get(name) {
            one(source, name, folder, other, verdict);
            continue;
        }
        let (folder, messages) = (name.clone(), messages(folder));
        verdict
            .differences
            .push(Difference::FolderMissing { folder, messages });
    }
    for (name, folder) in &after.folders {
        if !before.folders.contains_key(name) {
            let (folder, messages) = (name.clone(), messages(folder));
            verdict
                .differences
                .push(Difference::FolderExtra { folder, messages });
        }
    }
}

fn messages(folder: &Folder) -> u64 {
    match folder {
        Folder::Mailbox(mailbox) => mailbox.messages.len() as u64,
        Folder::Branch | Folder::Unreadable(_) => 0,
    }
}

fn one(
    source: &Seen,
    name: &FolderName,
    before: &Folder,
    after: &Folder,
    verdict: &mut UserVerdict,
) {
    let kind = |branch_on| Difference::FolderKind {
        folder: name.clone(),
        branch_on,
    };
    let unreadable = |side, words: &Refusal| Difference::FolderUnreadable {
        side,
        folder: name.clone(),
        words: words.clone(),
    };
    let difference = match (before, after) {
        (Folder::Branch, Folder::Branch) => return,
        (Folder::Mailbox(before), Folder::Mailbox(after)) => {
            return folder::compare(name, before, after, source.asked, verdict);
        }
        (Folder::Unreadable(_), Folder::Unreadable(words)) => {
            verdict.notes.push(Note::UnreadableOnBoth {
                folder: name.clone(),
                words: words.clone(),
            });
            return;
        }
        (Folder::Unreadable(words), Folder::Mailbox(_) | Folder::Branch) => {
            unreadable(Side::Source, words)
        }
        (Folder::Mailbox(_) | Folder::Branch, Folder::Unreadable(words)) => {
            unreadable(Side::Target, words)
        }
        (Folder::Branch, Folder::Mailbox(_)) => kind(Side::Source),
        (Folder::Mailbox(_), Folder::Branch) => kind(Side::Target),
    };
    verdict.differences.push(difference);
}

fn subscriptions(before: &Folders, after: &Folders, verdict: &mut UserVerdict) {
    let (before, after) = (&before.subscriptions, &after.subscriptions);
    let missing = before.difference(after).cloned();
    let extra = after.difference(before).cloned();
    verdict
        .differences
        .extend(missing.map(|folder| Difference::SubscriptionMissing { folder }));
    verdict
        .differences
        .extend(extra.map(|folder| Difference::SubscriptionExtra { folder }));
}

#[cfg(test)]
mod tests;
