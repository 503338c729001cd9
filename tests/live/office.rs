//! Thirty people's mailboxes, made through a real server, and the clients that remember them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{Host, PASSWORD};
use crate::lab::Lab;
use crate::letter::letter;
use crate::server::Dialect;

/// People with an mbox in the spool and folders in `~/mail`.
pub(crate) const MBOX: [&str; 20] = [
    "anna", "bela", "carl", "dora", "emil", "fritz", "gerd", "hans", "ida", "jan", "karl", "lena",
    "max", "nora", "otto", "paul", "rosa", "sven", "tina", "udo",
];

/// People with a Maildir.
pub(crate) const MAILDIR: [&str; 8] = [
    "vera", "walter", "xenia", "yves", "zoe", "alma", "bert", "cora",
];

/// People with mail in the spool that no client has seen yet.
pub(crate) const NEVER_OPENED: [&str; 2] = ["doris", "eva"];

/// The folder whose name is not ASCII.
pub(crate) const NOT_ASCII: &str = "Entw\u{fc}rfe & Ablage";

/// All thirty.
pub(crate) fn everybody() -> Vec<&'static str> {
    [&MBOX[..], &MAILDIR, &NEVER_OPENED].concat()
}

/// Makes all people and their mailboxes on the old host.
pub(crate) fn move_in(old: &Host) {
    these_move_in(old, &MBOX, &MAILDIR, &NEVER_OPENED);
}

/// Makes people with an mbox, with a Maildir, and with mail that they have not seen.
pub(crate) fn these_move_in(old: &Host, mbox: &[&str], maildir: &[&str], never_opened: &[&str]) {
    let everybody = [mbox, maildir, never_opened].concat();
    old.users(&everybody).maildir_users(maildir);
    let mut smtp = old.smtp();
    for user in everybody {
        for number in 1..=3 {
            let text = letter(user, &format!("by SMTP {number}"), "A line.\n");
            smtp.send("sender@example.com", user, &text);
        }
    }
    smtp.quit();
    old.await_deliveries();
    let first = mbox[0];
    old.procmail(first, &letter(first, "by procmail", "A line.\n"));
    for user in mbox {
        fill(old, user, '/');
    }
    for user in maildir {
        fill(old, user, '.');
    }
}

/// A client at work: nested, empty and oddly named folders, keywords, flags, mail that is deleted
/// and not expunged.
fn fill(old: &Host, user: &str, separator: char) {
    let nested = format!("nest{separator}sub");
    let mut imap = old.imap(user);
    imap.create(&nested)
        .create(NOT_ASCII)
        .create("Trash")
        .create("Sent");
    imap.subscribe(&nested)
        .subscribe(NOT_ASCII)
        .subscribe("Sent");
    let text = |subject: &str| letter(user, subject, "Some lines\nof text.\n");
    let date = Some("01-Feb-2026 03:04:05 +0000");
    imap.append_dated(&nested, "\\Seen", date, &text("nested"))
        .append(NOT_ASCII, "$Label1 Urgent", &text("draft"))
        .append(NOT_ASCII, "\\Draft", &text("another draft"));
    for number in 1..=4 {
        imap.append("Sent", "\\Seen", &text(&format!("sent {number}")));
    }
    imap.select("Sent");
    imap.delete("2").expunge();
    imap.delete("3").flag("4", "\\Flagged");
    imap.select("INBOX");
    imap.flag("1", "\\Seen").flag("2", "\\Answered $Label2");
    imap.logout();
}

/// Tells the new host, before it has the accounts, who will have a Maildir.
pub(crate) fn expect_maildirs(old: &Host, new: &Host, users: &[&str]) {
    let mut lines = String::new();
    let fields = match new.dialect() {
        Dialect::Dovecot2_3 => "userdb_mail=maildir:~/Maildir",
        Dialect::Dovecot2_4 => {
            "userdb_mail_driver=maildir userdb_mail_path=~/Maildir \
             userdb_mail_inbox_path=~/Maildir"
        }
    };
    for user in users {
        let line = old.run(format!("getent passwd {user}"));
        let parts: Vec<&str> = line.trim().split(':').collect();
        let (uid, gid, home) = (parts[2], parts[3], parts[5]);
        writeln!(lines, "{user}::{uid}:{gid}::{home}::{fields}").unwrap();
    }
    new.file("/etc/dovecot/maildir-users", lines);
    let userdb = match new.dialect() {
        Dialect::Dovecot2_3 => {
            "userdb {\n  driver = passwd-file\n  args = /etc/dovecot/maildir-users\n}\n"
        }
        Dialect::Dovecot2_4 => {
            "userdb passwd-file {\n  passwd_file_path = /etc/dovecot/maildir-users\n}\n"
        }
    };
    new.file("/etc/dovecot/conf.d/05-maildir-users.conf", userdb);
}

/// The name by which clients know the server, wherever it is.
const NAME: &str = "mail.example.org";

/// Has the name lead to a host, for whoever runs beside the operator.
pub(crate) fn lead_to(lab: &Lab, host: &Host) {
    let file = lab.dir().join("operator/etc/hosts");
    let text = fs::read_to_string(&file).unwrap();
    let others = text.lines().filter(|line| !line.ends_with(NAME));
    let ours = format!("{} {NAME}", host.mail_address());
    let lines: Vec<&str> = others.chain([ours.as_str()]).collect();
    fs::write(file, lines.join("\n") + "\n").unwrap();
}

/// What fetchmail, which keeps mail on the server and remembers UIDLs, fetches for a user.
pub(crate) fn fetchmail(lab: &Lab, user: &str) -> usize {
    let [rc, ids, got] =
        ["rc", "ids", "got"].map(|what| lab.work(&format!("fetchmail-{user}.{what}")));
    fs::write(
        &rc,
        format!(
            "poll {NAME} protocol pop3 uidl username {user} password \"{PASSWORD}\" sslproto ''\n"
        ),
    )
    .unwrap();
    fs::write(&got, "").unwrap();
    let script = format!(
        "chmod 600 {rc} && fetchmail -f {rc} --keep --nosyslog --idfile {ids} \
         --pidfile {ids}.pid --mda \"sh -c 'cat >/dev/null; echo got >>{got}'\" 2>&1",
        rc = rc.display(),
        ids = ids.display(),
        got = got.display()
    );
    let output = lab.operator("sh", ["-c", &script]).output().unwrap();
    // fetchmail(1): 0 something was fetched, 1 nothing is new.
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    fs::read_to_string(got).unwrap().lines().count()
}

/// What mbsync has of a user's mail once it has pulled: the files of its Maildirs, whose names tell
/// UIDs and flags.
pub(crate) fn mbsync(lab: &Lab, user: &str) -> BTreeSet<PathBuf> {
    let near = lab.work(&format!("mbsync-{user}"));
    fs::create_dir_all(&near).unwrap();
    let rc = near.join("rc");
    fs::write(
        &rc,
        format!(
            "IMAPAccount far\nHost {NAME}\nUser {user}\nPass \"{PASSWORD}\"\nSSLType None\n\
             AuthMechs LOGIN\n\nIMAPStore far\nAccount far\n\nMaildirStore near\nPath {near}/\n\
             Inbox {near}/INBOX\nSubFolders Verbatim\n\nChannel all\nFar :far:\nNear :near:\n\
             Patterns *\nCreate Near\nSync Pull\nSyncState *\n",
            near = near.display()
        ),
    )
    .unwrap();
    lab.operate("mbsync", ["-c", rc.to_str().unwrap(), "all"])
        .exits(0)
        .done();
    let mut messages = BTreeSet::new();
    messages_in(&near, &mut messages);
    messages
}

/// Every message in the Maildirs beneath a directory.
fn messages_in(dir: &Path, messages: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            messages_in(&path, messages);
        } else if dir.ends_with("cur") || dir.ends_with("new") {
            messages.insert(path);
        }
    }
}
