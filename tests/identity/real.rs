//! Identical copies, and each way in which a copy is not identical.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicBool;

use reconcile::identity::{
    self, Difference, Note, Outcome, Party, Subject, Summary, Unable, UserVerdict, Way,
};
use reconcile::names::Side;
use reconcile::raw::HostPath;

use crate::machine::{Dovecot, Machine};
use crate::requirement;
use crate::snapshot::{Closeness, Snapshot};

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

/// The source with mailboxes of every kind, and the target with an exact copy.
fn machines() -> Option<(Machine, Machine)> {
    if !requirement::root() || !requirement::mounts() {
        return None;
    }
    let source = Machine::new(Side::Source, &requirement::tree("bookworm")?);
    source.run(include_str!("mailboxes.sh"));
    let target = Machine::new(Side::Target, &requirement::tree("trixie")?);
    target.run(include_str!("target.sh"));
    target.copy_mail(&source);
    Some((source, target))
}

pub(crate) fn subject(user: &str) -> Subject {
    Subject {
        user: user.into(),
        home: HostPath::from("/home").join(user),
        spool: HostPath::from("/var/mail").join(user),
    }
}

pub(crate) fn compare(
    source: &Machine,
    target: &Machine,
    users: &[&str],
) -> (Vec<UserVerdict>, Summary) {
    let pairs: Vec<_> = users
        .iter()
        .map(|user| (subject(user), subject(user)))
        .collect();
    let way = |machine: &Machine| match machine.dovecot {
        Dovecot::Serves => Way::Client,
        Dovecot::Stopped => Way::Aside,
    };
    let mut verdicts = Vec::new();
    let outcome = identity::compare(
        Party {
            host: source,
            way: way(source),
        },
        Party {
            host: target,
            way: way(target),
        },
        &pairs,
        &AtomicBool::new(false),
        &mut |verdict| verdicts.push(verdict.clone()),
    )
    .unwrap();
    match outcome {
        Outcome::Done(summary) => (verdicts, summary),
        Outcome::Unable(side, unable) => panic!("{side}: {unable}"),
    }
}

fn said(verdicts: &[UserVerdict]) -> Vec<String> {
    let lines = |v: &UserVerdict| {
        let user = v.user.clone();
        v.differences
            .iter()
            .map(move |d| format!("{user}: {d}"))
            .collect::<Vec<_>>()
    };
    verdicts.iter().flat_map(lines).collect()
}

#[test]
fn a_copy_is_identical_and_nothing_of_it_is_touched() {
    let Some((source, target)) = machines() else {
        return;
    };
    let snapshots = || {
        [&source, &target]
            .into_iter()
            .flat_map(|machine| ["home", "mail", "etc"].map(|dir| Snapshot::of(&machine.own(dir))))
            .collect::<Vec<_>>()
    };
    let before = snapshots();
    let (verdicts, summary) = compare(&source, &target, &USERS);
    assert_eq!(said(&verdicts), [""; 0]);
    assert_eq!((summary.users, summary.differing), (6, 0));
    let counts: Vec<_> = verdicts
        .iter()
        .map(|v| (v.pop3_messages, v.same_uidls, v.folders, v.imap_messages))
        .collect();
    assert_eq!(
        counts,
        [
            (8, 8, 6, 14),
            (5, 5, 3, 8),
            (4, 4, 1, 4),
            (6, 6, 1, 6),
            (0, 0, 1, 0),
            (41, 41, 1, 41)
        ]
    );
    for (verdict, never) in verdicts
        .iter()
        .zip([false, false, true, false, true, false])
    {
        let opened = Note::NeverOpened {
            folder: identity::mailbox::FolderName::inbox(),
        };
        assert_eq!(verdict.notes.contains(&opened), never, "{verdict:?}");
    }
    for (before, after) in before.iter().zip(snapshots()) {
        before.assert_same(&after, Closeness::Untouched, "mailboxes were read");
    }
}

/// Adds lines to the target's configuration.
fn configure(target: &Machine, lines: &str) {
    let path = target.own("etc/dovecot/local.conf");
    let old = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{old}{lines}\n")).unwrap();
}

#[test]
fn another_uidl_format_costs_pop3_clients_every_message() {
    let Some((source, target)) = machines() else {
        return;
    };
    configure(&target, "pop3_uidl_format = %{uidvalidity}-%{uid}");
    let (verdicts, summary) = compare(&source, &target, &USERS);
    let [
        Difference::UidlFormat {
            messages: 8,
            source: before,
            target: after,
        },
    ] = &verdicts[0].differences[..]
    else {
        panic!("{:?}", said(&verdicts))
    };
    let (before, after) = (before.as_str().unwrap(), after.as_str().unwrap());
    let uid_validity = u32::from_str_radix(&before[8..], 16).unwrap();
    assert_eq!(&before[..8], "00000001");
    assert_eq!(after, format!("{uid_validity}-1"));
    // carol's and erin's were never opened.
    assert_eq!(
        (summary.download_users, summary.download.messages),
        (4, 8 + 5 + 6 + 41)
    );
    assert!(summary.resync.is_nothing());
}

#[test]
fn another_mail_path_hides_folders_and_subscriptions() {
    let Some((source, target)) = machines() else {
        return;
    };
    configure(&target, "mail_path = %{home}/Mail");
    let (verdicts, _) = compare(&source, &target, &["alice"]);
    let said = said(&verdicts).join("\n");
    for line in [
        "alice: Entwürfe: missing on the target, with 2 messages",
        "alice: nest/sub: missing on the target, with 2 messages",
        "alice: nest/sub: no longer subscribed",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn users_below_first_valid_uid_are_not_let_in() {
    let Some((source, target)) = machines() else {
        return;
    };
    configure(&target, "first_valid_uid = 1002");
    let (verdicts, _) = compare(&source, &target, &["alice", "bob"]);
    assert!(verdicts[1].identical());
    let said = said(&verdicts);
    assert!(
        said.iter()
            .all(|line| line.contains("Mail access for users with UID 1001 not permitted")),
        "{said:?}"
    );
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn a_spool_that_the_mail_group_cannot_write_is_found() {
    let Some((source, target)) = machines() else {
        return;
    };
    fs::set_permissions(target.own("mail"), fs::Permissions::from_mode(0o755)).unwrap();
    let (verdicts, summary) = compare(&source, &target, &USERS);
    assert_eq!(verdicts[0].differences, [Difference::InboxReadOnly]);
    // bob's is in his home.
    assert!(verdicts[1].identical(), "{:?}", said(&verdicts));
    assert_eq!(summary.download.messages, 0);
}

#[test]
fn an_index_without_its_mbox_is_found_and_not_made_worse() {
    let Some((source, target)) = machines() else {
        return;
    };
    fs::remove_file(target.own("mail/alice")).unwrap();
    let before = ["home", "mail"].map(|dir| Snapshot::of(&target.own(dir)));
    let (verdicts, _) = compare(&source, &target, &["alice"]);
    let missing = said(&verdicts).join("\n");
    // So answers 2.4.1, beside an overlay or not, when the index of a mailbox holds changes that its
    // mbox does not have yet; else it shows an empty maildrop.
    assert!(
        missing.contains("POP3 on the target: -ERR [SYS/PERM] Mailbox isn't a valid mbox file"),
        "{missing}"
    );
    assert!(
        missing.contains("INBOX: 8 messages missing on the target: UID 1:8"),
        "{missing}"
    );
    for (before, dir) in before.iter().zip(["home", "mail"]) {
        let after = Snapshot::of(&target.own(dir));
        before.assert_same(&after, Closeness::Untouched, "an incomplete copy was read");
    }
    // And so the copy can still be completed.
    std::fs::copy(source.own("mail/alice"), target.own("mail/alice")).unwrap();
    target.run("chown alice:mail /var/mail/alice; chmod 0660 /var/mail/alice");
    let (verdicts, _) = compare(&source, &target, &["alice"]);
    assert_eq!(said(&verdicts), [""; 0]);
}

#[test]
fn a_missing_uidlist_gives_every_message_a_new_uid() {
    let Some((source, target)) = machines() else {
        return;
    };
    fs::remove_file(target.own("home/bob/Maildir/dovecot-uidlist")).unwrap();
    let (verdicts, _) = compare(&source, &target, &["bob"]);
    assert_eq!(verdicts[0].download.messages, 5, "{:?}", said(&verdicts));
    assert_eq!(verdicts[0].resync.messages, 5);
}

#[test]
fn an_empty_folder_without_its_index_has_another_uidvalidity() {
    let Some((source, target)) = machines() else {
        return;
    };
    fs::remove_dir_all(target.own("home/alice/mail/.imap")).unwrap();
    let (verdicts, _) = compare(&source, &target, &["alice"]);
    let said = said(&verdicts);
    assert!(
        said.iter()
            .any(|line| line.starts_with("alice: Trash: UIDVALIDITY: ")),
        "{said:?}"
    );
}

#[test]
fn a_flag_set_on_the_source_after_the_copy_is_found() {
    let Some((source, target)) = machines() else {
        return;
    };
    source.run(
        "dovecot; printf '1 SELECT INBOX\r\n2 STORE 6 +FLAGS (\\Flagged)\r\n3 LOGOUT\r\n' |
         doveadm exec imap -u alice >/dev/null 2>&1; doveadm stop",
    );
    let (verdicts, _) = compare(&source, &target, &["alice"]);
    assert_eq!(
        said(&verdicts),
        [r"alice: INBOX: flags: \Flagged -> none: UID 6"]
    );
}

#[test]
fn servers_that_serve_are_asked_as_clients_ask() {
    let Some((mut source, mut target)) = machines() else {
        return;
    };
    source.dovecot = Dovecot::Serves;
    target.dovecot = Dovecot::Serves;
    let (verdicts, _) = compare(&source, &target, &USERS);
    assert_eq!(said(&verdicts), [""; 0]);
    assert_eq!(verdicts[0].imap_messages, 14);
}

#[test]
fn where_a_copy_may_be_incomplete_no_server_that_serves_is_asked() {
    let Some((source, mut target)) = machines() else {
        return;
    };
    target.dovecot = Dovecot::Serves;
    assert!(matches!(unable(&source, &target), Unable::Serves(_)));
}

#[test]
fn without_overlays_nothing_is_opened() {
    let Some((source, target)) = machines() else {
        return;
    };
    let first = target.own("etc/first");
    fs::create_dir(&first).unwrap();
    let no_overlay = "#!/bin/sh\ncase \"$*\" in *overlay*) echo unknown filesystem type >&2; exit 32 ;; \
                      esac\nexec /usr/bin/mount \"$@\"\n";
    fs::write(first.join("mount"), no_overlay).unwrap();
    fs::set_permissions(first.join("mount"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = ["home", "mail"].map(|dir| Snapshot::of(&target.own(dir)));
    let unable = unable(&source, &target);
    assert_eq!(unable, Unable::Cover("unknown filesystem type".to_owned()));
    for (before, dir) in before.iter().zip(["home", "mail"]) {
        before.assert_same(
            &Snapshot::of(&target.own(dir)),
            Closeness::Untouched,
            "nothing was read",
        );
    }
}

fn unable(source: &Machine, target: &Machine) -> Unable {
    let pairs = [(subject("alice"), subject("alice"))];
    let party = |host| Party {
        host,
        way: Way::Aside,
    };
    let stop = AtomicBool::new(false);
    match identity::compare(party(source), party(target), &pairs, &stop, &mut |_| {}).unwrap() {
        Outcome::Unable(Side::Target, unable) => unable,
        other => panic!("{other:?}"),
    }
}
