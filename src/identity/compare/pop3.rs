//! The maildrops.

use std::collections::{HashMap, HashSet};

use crate::identity::difference::Difference;
use crate::identity::mailbox::{
    Folder, FolderName, Mailbox, Maildrop, NumberSet, Pop3Message, Seen,
};
use crate::identity::verdict::UserVerdict;
use crate::names::Side;
use crate::raw::Raw;

/// Compares maildrops as a client that leaves mail on the server does: by unique id.
pub(super) fn compare(source: &Seen, target: &Seen, verdict: &mut UserVerdict) {
    let mut readable = true;
    for (side, seen) in [(Side::Source, source), (Side::Target, target)] {
        if let Err(words) = &seen.pop3 {
            let words = words.clone();
            verdict
                .differences
                .push(Difference::Pop3Unreadable { side, words });
            readable = false;
        }
    }
    let (Ok(before), Ok(after), true) = (&source.pop3, &target.pop3, readable) else {
        return;
    };
    let unseen = inbox(source).is_some_and(|inbox| inbox.never_opened(source.asked));
    if unseen {
        by_number(before, after, verdict);
    } else {
        by_uidl(before, after, same_in_imap(source, target), verdict);
    }
}

fn inbox(seen: &Seen) -> Option<&Mailbox> {
    match seen.imap.as_ref().ok()?.folders.get(&FolderName::inbox())? {
        Folder::Mailbox(mailbox) => Some(mailbox),
        Folder::Branch | Folder::Unreadable(_) => None,
    }
}

/// No client knows any id yet: the messages and their sizes are all that there is.
fn by_number(before: &Maildrop, after: &Maildrop, verdict: &mut UserVerdict) {
    let (source, target) = (before.messages.len() as u64, after.messages.len() as u64);
    verdict.same_uidls = source.min(target);
    if source != target {
        verdict
            .differences
            .push(Difference::Pop3Count { source, target });
        return;
    }
    let mut numbers = NumberSet::default();
    let pairs = before.messages.iter().zip(&after.messages);
    for (number, (before, after)) in (1..).zip(pairs) {
        if before.size != after.size {
            numbers.push(number);
        }
    }
    if !numbers.is_empty() {
        verdict.differences.push(Difference::Pop3Size { numbers });
    }
}

/// Whether IMAP shows the same messages under the same UIDs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InImap {
    Same,
    Different,
}

fn same_in_imap(source: &Seen, target: &Seen) -> InImap {
    let uids = |mailbox: &Mailbox| -> Vec<u32> { mailbox.messages.iter().map(|m| m.uid).collect() };
    match (inbox(source), inbox(target)) {
        (Some(before), Some(after))
            if before.uid_validity == after.uid_validity && uids(before) == uids(after) =>
        {
            InImap::Same
        }
        _ => InImap::Different,
    }
}

fn by_uidl(before: &Maildrop, after: &Maildrop, in_imap: InImap, verdict: &mut UserVerdict) {
    let known: HashMap<&[u8], u64> = sizes(&before.messages);
    let there: HashSet<&[u8]> = after.messages.iter().map(|m| &m.uidl[..]).collect();
    let (mut new, mut new_bytes, mut resized) = (NumberSet::default(), 0, NumberSet::default());
    for (number, message) in (1..).zip(&after.messages) {
        match known.get(&message.uidl[..]) {
            None => {
                new.push(number);
                new_bytes += message.size;
            }
            Some(size) if *size != message.size => resized.push(number),
            Some(_) => {}
        }
    }
    let mut gone = NumberSet::default();
    for (number, message) in (1..).zip(&before.messages) {
        if !there.contains(&message.uidl[..]) {
            gone.push(number);
        }
    }
    verdict.same_uidls = before.messages.len() as u64 - gone.count();
    if !new.is_empty() {
        verdict.download.folders = 1;
        verdict.download.messages = new.count();
        verdict.download.bytes = new_bytes;
    }
    let all = verdict.same_uidls == 0 && new.count() == gone.count();
    match (before.messages.first(), after.messages.first()) {
        (Some(first), Some(other)) if all && in_imap == InImap::Same => {
            verdict.differences.push(Difference::UidlFormat {
                messages: new.count(),
                source: Raw::from(&first.uidl[..]),
                target: Raw::from(&other.uidl[..]),
            });
        }
        _ => {
            if !gone.is_empty() {
                verdict
                    .differences
                    .push(Difference::UidlGone { numbers: gone });
            }
            if !new.is_empty() {
                let (numbers, bytes) = (new, new_bytes);
                verdict
                    .differences
                    .push(Difference::UidlNew { numbers, bytes });
            }
        }
    }
    if !resized.is_empty() {
        verdict
            .differences
            .push(Difference::Pop3Size { numbers: resized });
    }
    let common_before = before
        .messages
        .iter()
        .filter(|m| there.contains(&m.uidl[..]));
    let common_after = after
        .messages
        .iter()
        .filter(|m| known.contains_key(&m.uidl[..]));
    if !common_before
        .map(|m| &m.uidl)
        .eq(common_after.map(|m| &m.uidl))
    {
        verdict.differences.push(Difference::UidlOrder);
    }
}

fn sizes(messages: &[Pop3Message]) -> HashMap<&[u8], u64> {
    messages
        .iter()
        .map(|message| (&message.uidl[..], message.size))
        .collect()
}
