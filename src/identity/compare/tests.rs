use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::user;
use crate::identity::difference::Difference;
use crate::identity::mailbox::{
    Access, Flags, Folder, FolderName, Folders, Mailbox, Maildrop, Message, Pop3Message, Refusal,
    Seen,
};
use crate::identity::verdict::{Again, Note, UserVerdict};
use crate::names::Side;

const ASKED: u64 = 1_800_000_000;

fn flags(names: &[&str]) -> Arc<Flags> {
    Arc::new(Flags(names.iter().map(|&name| name.into()).collect()))
}

fn mailbox(uid_validity: u32, uids: impl IntoIterator<Item = u32>) -> Mailbox {
    let messages: Vec<_> = uids
        .into_iter()
        .map(|uid| Message {
            uid,
            size: 1000 + u64::from(uid),
            date: 1_700_000_000,
            flags: flags(&["\\Seen"]),
        })
        .collect();
    Mailbox {
        uid_validity,
        uid_next: messages.last().map_or(1, |last| last.uid + 1),
        messages,
    }
}

/// Three messages in the INBOX, UIDs 1, 2 and 4; two in a folder that is subscribed to.
fn seen() -> Seen {
    let inbox = mailbox(17, [1, 2, 4]);
    let messages = inbox.messages.iter();
    let maildrop = messages.map(|message| Pop3Message {
        uidl: format!("{:08x}00000011", message.uid).into_bytes().into(),
        size: message.size,
    });
    Seen {
        asked: ASKED,
        pop3: Ok(Maildrop {
            messages: maildrop.collect(),
        }),
        imap: Ok(Folders {
            folders: BTreeMap::from([
                (FolderName::inbox(), Folder::Mailbox(inbox)),
                (name("Sent"), Folder::Mailbox(mailbox(18, [1, 2]))),
                (name("tree"), Folder::Branch),
            ]),
            subscriptions: BTreeSet::from([name("Sent")]),
        }),
        inbox: None,
    }
}

fn name(name: &str) -> FolderName {
    FolderName(name.into())
}

fn folders(seen: &mut Seen) -> &mut BTreeMap<FolderName, Folder> {
    &mut seen.imap.as_mut().unwrap().folders
}

fn inbox(seen: &mut Seen) -> &mut Mailbox {
    match folders(seen).get_mut(&FolderName::inbox()) {
        Some(Folder::Mailbox(mailbox)) => mailbox,
        other => panic!("{other:?}"),
    }
}

fn maildrop(seen: &mut Seen) -> &mut Vec<Pop3Message> {
    &mut seen.pop3.as_mut().unwrap().messages
}

/// The verdict on a target that is the source with a change.
fn changed(change: impl FnOnce(&mut Seen)) -> UserVerdict {
    let mut target = seen();
    change(&mut target);
    user(&"alice".into(), &seen(), &target)
}

fn said(verdict: &UserVerdict) -> Vec<String> {
    verdict
        .differences
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_same_is_no_difference() {
    let verdict = changed(|_| {});
    assert!(verdict.identical());
    assert_eq!(verdict.notes, []);
    let counts = (
        verdict.pop3_messages,
        verdict.same_uidls,
        verdict.folders,
        verdict.imap_messages,
    );
    assert_eq!(counts, (3, 3, 2, 5));
}

#[test]
fn what_no_client_can_tell_is_no_difference() {
    let verdict = changed(|target| {
        inbox(target).uid_next += 20;
        target.asked += 100;
        target.inbox = Some(Ok(Access::ReadWrite));
    });
    assert_eq!(said(&verdict), [""; 0]);
}

#[test]
fn a_changed_uidvalidity_is_a_whole_folder_fetched_again() {
    let verdict = changed(|target| inbox(target).uid_validity = 99);
    assert_eq!(said(&verdict), ["INBOX: UIDVALIDITY: 17 -> 99"]);
    let all = Again {
        folders: 1,
        messages: 3,
        bytes: 3007,
    };
    assert_eq!(verdict.resync, all);
    let verdict = changed(|target| *inbox(target) = mailbox(99, 12..17));
    assert_eq!(
        said(&verdict),
        ["INBOX: UIDVALIDITY: 17 -> 99", "INBOX: messages: 3 -> 5"]
    );
}

#[test]
fn new_uids_are_messages_missing_and_messages_fetched_again() {
    // As where an mbox came after its index was opened without it (FACTS 2.4).
    let verdict = changed(|target| {
        *inbox(target) = mailbox(17, 21..24);
        for (message, uid) in maildrop(target).iter_mut().zip(21..) {
            message.uidl = format!("{uid:08x}00000011").into_bytes().into();
        }
    });
    assert_eq!(
        said(&verdict),
        [
            "POP3: UIDLs of 3 messages are gone: 1:3 of the source",
            "POP3: 3 messages with UIDLs that the source does not have: 1:3",
            "INBOX: 3 messages missing on the target: UID 1:2,4",
            "INBOX: 3 messages only on the target: UID 21:23",
        ]
    );
    assert_eq!(verdict.download.messages, 3);
    assert_eq!(verdict.resync.messages, 3);
    assert_eq!(verdict.same_uidls, 0);
}

#[test]
fn other_uidls_of_the_same_messages_are_another_format() {
    let verdict = changed(|target| {
        for (message, uid) in maildrop(target).iter_mut().zip([1, 2, 4]) {
            message.uidl = format!("17-{uid}").into_bytes().into();
        }
    });
    assert_eq!(
        said(&verdict),
        ["POP3: other UIDLs for 3 messages: 0000000100000011 -> 17-1 (another pop3_uidl_format?)"]
    );
    let all = Again {
        folders: 1,
        messages: 3,
        bytes: 3007,
    };
    assert_eq!(verdict.download, all);
}

#[test]
fn pop3_clients_see_order_and_sizes() {
    let verdict = changed(|target| maildrop(target).swap(0, 2));
    assert_eq!(said(&verdict), ["POP3: the same messages in another order"]);
    assert!(verdict.download.is_nothing());
    let verdict = changed(|target| maildrop(target)[1].size += 1);
    assert_eq!(said(&verdict), ["POP3: other sizes: 2"]);
    let verdict = changed(|target| drop(maildrop(target).remove(1)));
    assert_eq!(
        said(&verdict),
        ["POP3: UIDLs of 1 message are gone: 2 of the source"]
    );
}

#[test]
fn imap_clients_see_flags_sizes_dates_and_uidnext() {
    let verdict = changed(|target| {
        let inbox = inbox(target);
        inbox.messages[0].flags = flags(&["\\Seen", "Work"]);
        inbox.messages[1].flags = flags(&[]);
        inbox.messages[2].flags = flags(&["Work", "\\Seen"]);
        inbox.messages[1].size += 1;
        for message in &mut inbox.messages {
            message.date += 3600;
        }
        inbox.uid_next -= 1;
    });
    assert_eq!(
        said(&verdict),
        [
            "INBOX: UIDNEXT: 5 -> 4",
            "INBOX: other sizes: UID 2",
            "INBOX: dates later by 3600 s: UID 1:2,4",
            "INBOX: flags: \\Seen -> none: UID 2",
            "INBOX: flags: \\Seen -> Work \\Seen: UID 1,4",
        ]
    );
    assert!(verdict.resync.is_nothing());
}

#[test]
fn folders_and_subscriptions_are_seen() {
    let verdict = changed(|target| {
        let sent = folders(target).remove(&name("Sent")).unwrap();
        folders(target).insert(name("Gesendet"), sent);
        folders(target).insert(name("tree"), Folder::Mailbox(mailbox(5, [])));
        target.imap.as_mut().unwrap().subscriptions = BTreeSet::from([name("Gesendet")]);
    });
    assert_eq!(
        said(&verdict),
        [
            "Sent: missing on the target, with 2 messages",
            "tree: holds no messages on the source",
            "Gesendet: only on the target, with 2 messages",
            "Sent: no longer subscribed",
            "Gesendet: subscribed on the target only",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_not_proven() {
    let words = || Refusal("Permission denied".to_owned());
    let verdict = changed(|target| {
        target.pop3 = Err(words());
        target.imap = Err(words());
        target.inbox = Some(Err(words()));
    });
    assert_eq!(
        said(&verdict),
        [
            "POP3 on the target: Permission denied",
            "IMAP on the target: Permission denied"
        ]
    );
    let broken = |seen: &mut Seen| {
        folders(seen).insert(name("Sent"), Folder::Unreadable(words()));
    };
    let verdict = changed(broken);
    assert_eq!(
        said(&verdict),
        ["Sent: cannot be read on the target: Permission denied"]
    );
    let mut source = seen();
    broken(&mut source);
    let verdict = user(&"alice".into(), &source, &source);
    assert!(verdict.identical());
    assert!(matches!(verdict.notes[..], [Note::UnreadableOnBoth { .. }]));
    let verdict = user(&"alice".into(), &source, &seen());
    assert!(matches!(
        verdict.differences[..],
        [Difference::FolderUnreadable {
            side: Side::Source,
            ..
        }]
    ));
}

#[test]
fn an_inbox_that_cannot_be_written_is_found() {
    let verdict = changed(|target| target.inbox = Some(Ok(Access::ReadOnly)));
    assert_eq!(verdict.differences, [Difference::InboxReadOnly]);
    let words = Refusal("NO [NOPERM]".to_owned());
    let verdict = changed(|target| target.inbox = Some(Err(words.clone())));
    assert_eq!(verdict.differences, [Difference::InboxRefused { words }]);
}

#[test]
fn of_a_folder_that_nobody_opened_only_the_messages_count() {
    let invented = |seen: &mut Seen, value: u32| {
        inbox(seen).uid_validity = value;
        for message in maildrop(seen) {
            let uid = String::from_utf8_lossy(&message.uidl[..8]).into_owned();
            message.uidl = format!("{uid}{value:08x}").into_bytes().into();
        }
    };
    let (mut source, mut target) = (seen(), seen());
    invented(&mut source, 1_800_000_001);
    invented(&mut target, 1_800_000_007);
    let verdict = user(&"carol".into(), &source, &target);
    assert_eq!(said(&verdict), [""; 0]);
    assert_eq!(
        verdict.notes,
        [Note::NeverOpened {
            folder: FolderName::inbox()
        }]
    );
    assert_eq!(verdict.same_uidls, 3);

    maildrop(&mut target).pop();
    inbox(&mut target).messages.pop();
    let verdict = user(&"carol".into(), &source, &target);
    assert_eq!(
        said(&verdict),
        [
            "POP3: messages: 3 -> 2",
            "INBOX: 1 message missing on the target: UID 4"
        ]
    );

    // One second older than the question: somebody has seen it.
    invented(&mut source, 1_799_999_999);
    let verdict = user(&"carol".into(), &source, &target);
    assert!(
        said(&verdict)[0].starts_with("POP3: UIDLs of 3 messages are gone"),
        "{verdict:?}"
    );
}

#[test]
fn differences_are_json_too() {
    let verdict = changed(|target| inbox(target).messages[1].flags = flags(&[]));
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["differences"][0]["kind"], "flags");
    assert_eq!(json["differences"][0]["uids"], "2");
    assert_eq!(json["differences"][0]["source"][0], "\\Seen");
}
