//! How much mail there is, a timer that measures it, and old messages that leave the INBOX, on a server that
//! serves.

mod quota;
mod thousand;
mod timer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reconcile::identity::mailbox::{self, Folder, FolderName, Mailbox};
use serde_json::Value;

use crate::host::{Host, PASSWORD};
use crate::imap::Message;
use crate::lab::Lab;
use crate::letter::letter;
use crate::remembered::Reader;
use crate::server::Dialect;

/// With an mbox, and with a Maildir.
const USERS: [&str; 2] = ["anna", "vera"];

const HOUSEKEEPING: &str =
    "spool: { warn: 1kB, limit: 2GB, housekeeping: { move_older_than: 365d, to: Archive } }\n";

const OLD: &str = "01-Feb-2020 03:04:05 +0000";

/// A migration that is over: the target serves two people who came from a dead server's disk.
fn served(lab: &Lab, new: &Host, spool: &str) {
    let write = |path: &str, text: &str| {
        let path = lab.work("disk").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "etc/passwd",
        "anna:x:1500:1500::/home/anna:/bin/sh\nvera:x:1501:1501::/home/vera:/bin/sh\n",
    );
    write(
        "etc/shadow",
        "anna:!:20000:0:99999:7:::\nvera:!:20000:0:99999:7:::\n",
    );
    write("etc/group", "anna:x:1500:\nvera:x:1501:\nmail:x:12:\n");
    write("etc/gshadow", "anna:!::\nvera:!::\nmail:!::\n");
    write("home/anna/.forward", "");
    write("home/vera/.forward", "");
    write(
        "var/mail/anna",
        "From bob@example.com Tue Nov 24 07:00:00 2026\nSubject: 1\n\nhello\n\n",
    );
    maildirs(new, &[("vera", 1501)]);
    manifest(lab, new, spool);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    for user in USERS {
        new.run(format!(
            "echo '{user}:{PASSWORD}' | chpasswd
             chown -R {user}: /home/{user}
             [ ! -e /var/mail/{user} ] || {{
                 chown {user}:mail /var/mail/{user}
                 chmod 660 /var/mail/{user}
             }}"
        ));
    }
}

/// These users have a Maildir in ~/Maildir, also before the target has their accounts.
fn maildirs<S: AsRef<str>>(host: &Host, users: &[(S, u32)]) {
    let (fields, userdb) = match host.dialect() {
        Dialect::Dovecot2_3 => (
            "userdb_mail=maildir:~/Maildir",
            "userdb {\n  driver = passwd-file\n  args = /etc/dovecot/maildir-users\n}\n",
        ),
        Dialect::Dovecot2_4 => (
            "userdb_mail_driver=maildir userdb_mail_path=~/Maildir \
             userdb_mail_inbox_path=~/Maildir",
            "userdb passwd-file {\n  passwd_file_path = /etc/dovecot/maildir-users\n}\n",
        ),
    };
    let lines = users.iter().map(|(user, uid)| {
        let user = user.as_ref();
        format!("{user}::{uid}:{uid}::/home/{user}::{fields}\n")
    });
    let lines: String = lines.collect();
    host.file("/etc/dovecot/maildir-users", lines);
    host.file("/etc/dovecot/conf.d/05-maildir-users.conf", userdb);
}

/// From the disk of a dead server to a host that serves.
fn manifest(lab: &Lab, new: &Host, spool: &str) {
    let text = format!(
        "version: 1\nname: live\nsource: {{ host: 'dir:disk' }}\n\
         target: {{ host: 'ssh://root@{}' }}\nserve_from: target\n\
         dovecot: {{ uidl_format: '%08Xu%08Xv', accept: [userdb, mail_location] }}\n{spool}",
        new.name()
    );
    fs::write(lab.work("migration.yaml"), text).unwrap();
}

/// Everything of all users that a look must not change.
fn everything(host: &Host) -> String {
    host.run(
        "find /var/mail /home -printf '%p %m %U %s %T@ %C@\\n' | sort
         find /var/mail /home -type f | sort | xargs -d '\\n' sha256sum",
    )
}

#[test]
fn sizes_and_numbers_agree_with_stat_and_doveadm_and_looking_changes_nothing() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    served(&lab, new, "spool: { warn: 1kB, limit: 2GB }\n");
    for user in USERS {
        let mut imap = new.imap(user);
        imap.create("Sent");
        for number in 1..=5 {
            let text = letter(user, &format!("letter {number}"), &"A line.\n".repeat(99));
            imap.append_dated("INBOX", "\\Seen", Some(OLD), &text);
            imap.append("Sent", "\\Seen", &text);
        }
        imap.logout();
        // Delivered, and seen by no client.
        new.deliver(user, &letter(user, "new", "A line.\n"));
    }
    new.await_deliveries();
    new.run("doveadm mailbox status -u anna messages INBOX >/dev/null");
    new.deliver("anna", &letter("anna", "newer", "A line.\n"));
    new.await_deliveries();
    let before = everything(new);
    let run = lab.reconcile(["spool", "--json"]).exits(0);
    assert_eq!(everything(new), before);
    new.run("test ! -e /var/lib/reconcile/live/spool.json");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let bytes = |find: &str| -> u64 {
        let script =
            format!("find {find} -type f -printf '%s\\n' | awk '{{ s += $1 }} END {{ print s }}'");
        new.run(script).trim().parse().unwrap()
    };
    let messages = |user: &str, folder: &str| -> u64 {
        let script = format!("doveadm -f tab mailbox status -u {user} messages {folder} | sed 1d");
        let row = new.run(script);
        row.trim().split('\t').nth(1).unwrap().parse().unwrap()
    };
    for (user, inbox, folders) in [
        ("anna", "/var/mail/anna", "/home/anna/mail/Sent"),
        (
            "vera",
            "/home/vera/Maildir/cur /home/vera/Maildir/new",
            "/home/vera/Maildir/.Sent/cur",
        ),
    ] {
        let seen = &report["users"][user];
        assert_eq!(seen["inbox"]["bytes"], bytes(inbox), "{user}: {seen}");
        assert_eq!(seen["folders"]["bytes"], bytes(folders), "{user}: {seen}");
        assert_eq!(
            seen["inbox"]["messages"],
            messages(user, "INBOX"),
            "{user}: {seen}"
        );
        assert_eq!(
            seen["folders"]["messages"],
            messages(user, "Sent"),
            "{user}: {seen}"
        );
        let oldest = seen["inbox"]["oldest"].as_str().unwrap();
        assert!(
            user != "vera" || oldest.starts_with("2020-02-01T03:04:05"),
            "{user}: {seen}"
        );
        assert_eq!(seen["growth"], Value::Null);
    }

    let file = lab.work("spool.prom");
    lab.reconcile([
        "spool",
        "--record",
        "--prometheus",
        "spool.prom",
        "--detailed-exitcode",
    ])
    .exits(2)
    .done();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let metrics = fs::read_to_string(&file).unwrap();
    let line = format!(
        "reconcile_spool_bytes{{user=\"anna\",part=\"inbox\"}} {}\n",
        bytes("/var/mail/anna")
    );
    assert!(metrics.contains(&line), "{metrics}");
    new.run("test \"$(stat -c %a /var/lib/reconcile/live/spool.json)\" = 600");
    new.deliver("anna", &letter("anna", "more", &"A line.\n".repeat(999)));
    new.await_deliveries();
    let run = lab.reconcile(["spool", "--json"]).exits(0);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let growth = report["users"]["anna"]["growth"].as_i64().unwrap();
    assert!((8_000..12_000).contains(&growth), "{growth}");
    assert_eq!(report["partitions"][0]["full"]["forecast"], "too_few");
    lab.reconcile(["spool"])
        .exits(0)
        .shows("above spool.warn")
        .shows("no forecast")
        .done();
}

/// What a client sees of a folder: messages by UID, with their subjects.
type Seen = BTreeMap<u32, (Message, String)>;

fn seen(host: &Host, user: &str, folder: &str) -> (u32, Seen) {
    let mut imap = host.imap(user);
    let opened = imap.examine(folder);
    let messages = imap.messages();
    let seen = messages.into_iter().map(|message| {
        let body = imap.body(message.uid);
        let subject = body.lines().find(|line| line.starts_with("Subject: "));
        (
            message.uid,
            (message.clone(), subject.unwrap_or_default().to_owned()),
        )
    });
    let seen = seen.collect();
    imap.logout();
    (opened.uid_validity, seen)
}

fn subjects(seen: &Seen) -> Vec<String> {
    let mut subjects: Vec<_> = seen.values().map(|(_, subject)| subject.clone()).collect();
    subjects.sort();
    subjects
}

/// Old messages that were read, one that was not, one that is flagged, and new ones.
fn fill(host: &Host, user: &str, round: &str) {
    let mut imap = host.imap(user);
    let text = |what: &str| letter(user, &format!("{round} {what}"), &"A line.\n".repeat(9));
    for number in 1..=3 {
        imap.append_dated(
            "INBOX",
            "\\Seen \\Answered $Label1",
            Some(OLD),
            &text(&format!("old {number}")),
        );
    }
    imap.append_dated("INBOX", "", Some(OLD), &text("unread"));
    imap.append_dated("INBOX", "\\Seen \\Flagged", Some(OLD), &text("flagged"));
    imap.append("INBOX", "\\Seen", &text("new"));
    imap.logout();
}

/// A message as both folders must have it.
fn as_moved(seen: &Seen) -> BTreeSet<(String, BTreeSet<String>, u64, String)> {
    let moved = seen
        .values()
        .filter(|(_, subject)| subject.contains(" old "));
    let moved = moved.map(|(m, subject)| {
        let (flags, date) = (m.flags.clone(), m.date.clone());
        (subject.clone(), flags, m.size, date)
    });
    moved.collect()
}

/// After a run that died: nothing is lost. After the next: everything is where it should be, once.
#[track_caller]
fn check(host: &Host, before: &BTreeMap<&str, (u32, Seen)>, archived: &BTreeMap<&str, Seen>) {
    for user in USERS {
        let (validity, inbox) = &before[user];
        let (validity_after, after) = seen(host, user, "INBOX");
        assert_eq!(*validity, validity_after, "{user}");
        let stays = inbox
            .iter()
            .filter(|(_, (_, subject))| !subject.contains(" old "));
        let stays: Seen = stays.map(|(uid, seen)| (*uid, seen.clone())).collect();
        assert_eq!(stays, after, "{user}");
        let (_, archive) = seen(host, user, "Archive");
        let mut expected = as_moved(inbox);
        expected.extend(as_moved(&archived[user]));
        assert_eq!(expected, as_moved(&archive), "{user}");
        assert_eq!(expected.len(), archive.len(), "{user}: {archive:?}");
    }
}

/// What POP3 and IMAP clients remember of what stays is as it was, read by the program itself.
#[track_caller]
fn is_remembered(
    before: &BTreeMap<&str, (u32, Seen)>,
    was: &BTreeMap<&str, mailbox::Seen>,
    is: &BTreeMap<&str, mailbox::Seen>,
) {
    for user in USERS {
        let inbox = |seen: &mailbox::Seen| -> Mailbox {
            match &seen.imap.as_ref().unwrap().folders[&FolderName::inbox()] {
                Folder::Mailbox(inbox) => inbox.clone(),
                other => panic!("{user}: {other:?}"),
            }
        };
        let (mut was_inbox, is_inbox) = (inbox(&was[user]), inbox(&is[user]));
        // The maildrop is the INBOX in its order.
        let mut drop = was[user].pop3.clone().unwrap().messages;
        assert_eq!(drop.len(), was_inbox.messages.len(), "{user}");
        let (_, seen) = &before[user];
        let stays: Vec<bool> = was_inbox
            .messages
            .iter()
            .map(|message| !seen[&message.uid].1.contains(" old "))
            .collect();
        assert!(stays.contains(&false), "{user}");
        let (mut of_inbox, mut of_drop) = (stays.iter(), stays.iter());
        was_inbox.messages.retain(|_| *of_inbox.next().unwrap());
        drop.retain(|_| *of_drop.next().unwrap());
        assert_eq!(was_inbox, is_inbox, "{user}");
        assert_eq!(drop, is[user].pop3.as_ref().unwrap().messages, "{user}");
    }
}

/// Every message is in the INBOX or in the folder.
#[track_caller]
fn nothing_is_lost(host: &Host, before: &BTreeMap<&str, (u32, Seen)>) {
    for user in USERS {
        let mut there = subjects(&seen(host, user, "INBOX").1);
        let folders = host.run(format!("doveadm mailbox list -u {user}"));
        if folders.contains("Archive") {
            there.extend(subjects(&seen(host, user, "Archive").1));
        }
        let all = subjects(&before[user].1);
        assert!(
            all.iter().all(|one| there.contains(one)),
            "{user}: {there:?}"
        );
    }
}

fn dies(lab: &Lab, point: &str) {
    let mut command = lab.operator(env!("CARGO_BIN_EXE_reconcile"), ["apply", "--yes"]);
    let output = command.env("RECONCILE_FAILPOINT", point).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_none(), "{point}: {said}");
}

fn wrap_doveadm(host: &Host, script: &str) {
    host.run("mv /usr/bin/doveadm /usr/bin/doveadm.real");
    host.file("/usr/bin/doveadm", script);
    host.run("chmod 755 /usr/bin/doveadm");
}

#[test]
fn what_a_client_archives_during_a_move_is_not_lost() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    served(&lab, new, HOUSEKEEPING);
    // Between the look at the INBOX before copying and the next command.
    wrap_doveadm(
        new,
        "#!/bin/sh
/usr/bin/doveadm.real \"$@\"
status=$?
if [ \"$3 $5 $8\" = 'fetch vera INBOX' ]; then
    if [ -e /run/looked ] && [ ! -e /run/archived ]; then
        touch /run/archived
        /usr/bin/doveadm.real move -u vera Archive mailbox INBOX subject 'old 2' >&2
    fi
    touch /run/looked
fi
exit $status
",
    );
    for user in USERS {
        fill(new, user, "archived");
    }
    let before: BTreeMap<&str, (u32, Seen)> =
        USERS.map(|user| (user, seen(new, user, "INBOX"))).into();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    new.run("test -e /run/archived");
    nothing_is_lost(new, &before);
    let (_, archive) = seen(new, "vera", "Archive");
    assert_eq!(archive.len(), 3, "{archive:?}");
}

#[test]
fn old_messages_are_moved_once_wherever_a_run_dies() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    served(&lab, new, HOUSEKEEPING);
    // Of vera: killed while it appends to an mbox, Dovecot takes a newline from the message before.
    wrap_doveadm(
        new,
        "#!/bin/sh
if [ \"$3 $4 $5\" = \"mailbox status -u\" ] && [ -e /run/no-status ]; then
    exit 75
fi
if [ \"$1 $3\" = \"copy vera\" ] && [ -e /run/kill-copy ]; then
    rm /run/kill-copy
    /usr/bin/doveadm.real \"$@\" &
    sleep 0.05
    kill -9 $!
    kill -9 $$
fi
exec /usr/bin/doveadm.real \"$@\"
",
    );
    let reader = Reader::start(new);
    let mut archived: BTreeMap<&str, Seen> = USERS.map(|user| (user, Seen::new())).into();
    for point in [
        "housekeeping:piece",
        "housekeeping:copied",
        "housekeeping:expunged",
        "doveadm",
    ] {
        for user in USERS {
            fill(new, user, point);
            if point == "doveadm" {
                let mut imap = new.imap(user);
                for number in 1..=6 {
                    let large = "A line of text.\n".repeat(100_000);
                    let text = letter(user, &format!("doveadm old large {number}"), &large);
                    imap.append_dated("INBOX", "\\Seen", Some(OLD), &text);
                }
                imap.logout();
            }
        }
        let before: BTreeMap<&str, (u32, Seen)> =
            USERS.map(|user| (user, seen(new, user, "INBOX"))).into();
        let was = reader.read(&USERS);
        if archived["anna"].is_empty() {
            lab.reconcile(["plan"])
                .exits(0)
                .shows("move 3 messages")
                .shows("6 messages of 2 users leave what POP3 clients see")
                .done();
        }
        match point {
            "doveadm" => {
                new.run("touch /run/kill-copy");
                lab.reconcile(["apply", "--yes"]).exits(1).done();
            }
            point => dies(&lab, point),
        }
        nothing_is_lost(new, &before);
        if point == "housekeeping:piece" {
            // Copies of two runs lie there now.
            dies(&lab, point);
            nothing_is_lost(new, &before);
            // Nobody answers for users: that says nothing of folders.
            new.run("touch /run/no-status");
            lab.reconcile(["apply", "--yes"]).exits(1).done();
            new.run("rm /run/no-status");
        }
        lab.reconcile(["apply", "--yes"]).exits(0).done();
        lab.reconcile(["plan", "--detailed-exitcode"])
            .exits(0)
            .done();
        check(new, &before, &archived);
        is_remembered(&before, &was, &reader.read(&USERS));
        archived = USERS
            .map(|user| (user, seen(new, user, "Archive").1))
            .into();
        new.run("test -z \"$(ls /var/lib/reconcile/live/housekeeping)\"");
    }
}
