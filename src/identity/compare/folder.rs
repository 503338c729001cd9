//! One folder that both sides have.

use std::collections::BTreeMap;

use crate::identity::difference::Difference;
use crate::identity::mailbox::{Flags, FolderName, Mailbox, Message, NumberSet};
use crate::identity::verdict::{Note, UserVerdict};

/// Compares a folder. `asked` is when the source was asked.
pub(super) fn compare(
    name: &FolderName,
    before: &Mailbox,
    after: &Mailbox,
    asked: u64,
    verdict: &mut UserVerdict,
) {
    let folder = || name.clone();
    let unseen = before.never_opened(asked);
    if unseen {
        verdict.notes.push(Note::NeverOpened { folder: folder() });
    } else if before.uid_validity != after.uid_validity {
        verdict.differences.push(Difference::UidValidity {
            folder: folder(),
            source: before.uid_validity,
            target: after.uid_validity,
        });
        verdict.resync.folders += 1;
        verdict.resync.messages += after.messages.len() as u64;
        verdict.resync.bytes += after.bytes();
        let same_uids = before.messages.iter().map(|message| message.uid);
        if !same_uids.eq(after.messages.iter().map(|message| message.uid)) {
            // UIDs mean nothing across it; only how many there are does.
            let counts = (before.messages.len() as u64, after.messages.len() as u64);
            if counts.0 != counts.1 {
                verdict.differences.push(Difference::MessageCount {
                    folder: folder(),
                    source: counts.0,
                    target: counts.1,
                });
            }
            return;
        }
    } else if after.uid_next < before.uid_next {
        verdict.differences.push(Difference::UidNext {
            folder: folder(),
            source: before.uid_next,
            target: after.uid_next,
        });
    }
    messages(name, before, after, verdict);
}

#[derive(Default)]
struct Found {
    missing: NumberSet,
    extra: NumberSet,
    extra_bytes: u64,
    sizes: NumberSet,
    dates: NumberSet,
    later: Option<Later>,
    flags: BTreeMap<(Flags, Flags), NumberSet>,
}

/// By how much dates differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Later {
    By(i64),
    Diverse,
}

impl Found {
    fn same_uid(&mut self, before: &Message, after: &Message) {
        if before.size != after.size {
            self.sizes.push(before.uid);
        }
        if before.date != after.date {
            self.dates.push(before.uid);
            let later = Later::By(after.date - before.date);
            self.later = Some(match self.later {
                None => later,
                Some(known) if known == later => later,
                Some(_) => Later::Diverse,
            });
        }
        if before.flags != after.flags {
            let pair = (Flags::clone(&before.flags), Flags::clone(&after.flags));
            self.flags.entry(pair).or_default().push(before.uid);
        }
    }
}

fn messages(name: &FolderName, before: &Mailbox, after: &Mailbox, verdict: &mut UserVerdict) {
    let mut found = Found::default();
    let mut rest = after.messages.iter().peekable();
    for message in &before.messages {
        while let Some(extra) = rest.next_if(|other| other.uid < message.uid) {
            found.extra.push(extra.uid);
            found.extra_bytes += extra.size;
        }
        match rest.next_if(|other| other.uid == message.uid) {
            Some(other) => found.same_uid(message, other),
            None => found.missing.push(message.uid),
        }
    }
    for extra in rest {
        found.extra.push(extra.uid);
        found.extra_bytes += extra.size;
    }
    report(name, found, verdict);
}

fn report(name: &FolderName, found: Found, verdict: &mut UserVerdict) {
    let folder = || name.clone();
    let differences = &mut verdict.differences;
    if !found.missing.is_empty() {
        differences.push(Difference::MessagesMissing {
            folder: folder(),
            uids: found.missing,
        });
    }
    if !found.extra.is_empty() {
        // Where UIDVALIDITY differs the UIDs are the same, so nothing is counted twice.
        verdict.resync.folders += 1;
        verdict.resync.messages += found.extra.count();
        verdict.resync.bytes += found.extra_bytes;
        differences.push(Difference::MessagesExtra {
            folder: folder(),
            uids: found.extra,
        });
    }
    if !found.sizes.is_empty() {
        differences.push(Difference::Sizes {
            folder: folder(),
            uids: found.sizes,
        });
    }
    if !found.dates.is_empty() {
        differences.push(Difference::Dates {
            folder: folder(),
            uids: found.dates,
            later: match found.later {
                Some(Later::By(seconds)) => Some(seconds),
                Some(Later::Diverse) | None => None,
            },
        });
    }
    for ((source, target), uids) in found.flags {
        differences.push(Difference::Flags {
            folder: folder(),
            uids,
            source,
            target,
        });
    }
}
