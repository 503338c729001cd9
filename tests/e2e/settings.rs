//! Dovecot's other settings: what blocks is mended by the very lines that the plan prints, and then
//! the real Dovecots of both sides serve the same mailboxes.

use std::fs;
use std::process::Command;

use crate::accounts::Account;
use crate::home::Home;
use crate::program;
use crate::requirement;
use crate::root::Root;
use crate::sandbox::Sandbox;

/// Group mail of Debian.
const MAIL_GID: u32 = 8;

/// Starts a host's Dovecot where nothing else is, asks it as each user, and ends it with its
/// namespaces. Arguments: root, user.
const CLIENTS: &str = r#"
set -eu
mount --make-rprivate /
cd "$1"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs run
printf 'log_path = /var/log/dovecot.log\n' > etc/dovecot/conf.d/98-log.conf
chroot . dovecot > /dev/null 2>&1
n=0
until [ -S run/dovecot/auth-userdb ]; do n=$((n + 1)); [ $n -lt 50 ]; sleep 0.1; done
imap() { printf "$1\r\n9 LOGOUT\r\n" | chroot . doveadm exec imap -u "$user" 2>/dev/null; }
user=$2
printf 'UIDL\r\nQUIT\r\n' | chroot . doveadm exec pop3 -u "$user" 2>/dev/null
imap '1 NAMESPACE' | grep '^\* NAMESPACE'
imap '1 LIST "" *' | grep '^\* LIST' | sort
imap '1 SELECT INBOX' | grep -E 'UIDVALIDITY|UIDNEXT|READ-'  | sed 's/ (.*secs).*//'
chroot . doveadm -f tab fetch -u "$user" 'mailbox uid flags hdr.subject' all | sort
"#;

#[track_caller]
fn as_clients_see_it(root: &Root, user: &str) -> String {
    let arguments = [
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--net",
        "sh",
        "-c",
        CLIENTS,
        "sh",
    ];
    let root = root.path().to_str().unwrap();
    program::run("unshare", arguments.into_iter().chain([root, user]))
}

/// A user, what the source is set to, and what the plan calls that which differs.
struct Case {
    user: &'static str,
    source: &'static str,
    blocked: &'static [&'static str],
    fill: fn(&Home<'_>),
}

fn mbox_elsewhere(home: &Home<'_>) {
    home.spool(
        "From a@example.org Thu Jan  1 00:00:00 2026\nFrom: a@example.org\nSubject: one\n\
         X-UIDL: uidl-of-the-server-before\nX-IMAPbase: 1234567890 0000000008\nX-UID: 7\nStatus: RO\n\n\
         hello\n\nFrom a@example.org Thu Jan  1 00:00:01 2026\nFrom: a@example.org\nSubject: two\n\
         X-UID: 8\nStatus: RO\n\nhello\n\n",
    );
    home.dir("Mail");
    home.file(
        "Mail/work",
        "From a@example.org Thu Jan  1 00:00:00 2026\nFrom: a@example.org\nSubject: three\n\
         X-IMAPbase: 1234567891 0000000003\nX-UID: 3\nStatus: RO\n\nhello\n\n",
    );
    home.file("Mail/.subscriptions", "work\n");
}

fn maildir(home: &Home<'_>) {
    for folder in ["Maildir", "Maildir/.work"] {
        home.dir(folder);
        for part in ["cur", "new", "tmp"] {
            home.dir(format!("{folder}/{part}"));
        }
        let name = "1290000001.M1P1.old";
        home.file(
            format!("{folder}/cur/{name}:2,S"),
            "From: a@example.org\nSubject: one\n\nhello\n",
        );
        home.file(
            format!("{folder}/dovecot-uidlist"),
            format!("3 V1290000000 N8\n7 :{name}:2,S\n"),
        );
    }
    home.file("Maildir/.work/maildirfolder", "");
    home.file("Maildir/subscriptions", "work\n");
}

const CASES: [Case; 3] = [
    Case {
        user: "anna",
        source: "mail_location = mbox:~/Mail:INBOX=/var/mail/%u\ndisable_plaintext_auth = no\n\
                 auth_mechanisms = plain login\n\
                 protocol pop3 {\n  pop3_reuse_xuidl = yes\n}\n\
                 namespace inbox {\n  prefix = INBOX/\n  separator = /\n}\n\
                 service imap-login {\n  inet_listener odd {\n    port = 1143\n  }\n}\n",
        blocked: &[
            "auth_mechanisms",
            "cleartext",
            "mail_location",
            "namespace",
            "ports",
            "pop3_reuse_xuidl",
        ],
        fill: mbox_elsewhere,
    },
    Case {
        user: "bert",
        source: "mail_location = maildir:~/Maildir\n",
        blocked: &["mail_location"],
        fill: maildir,
    },
    Case {
        user: "carl",
        source: "mail_location =\n",
        blocked: &["mail_location"],
        fill: maildir,
    },
];

/// The obstacles about Dovecot's settings: name, file, lines.
fn obstacles(sandbox: &Sandbox) -> Vec<(String, String, Vec<String>)> {
    let run = sandbox.reconcile(["plan", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", run.describe()));
    let blocked = plan["blocked"].as_array().unwrap();
    let differs = blocked.iter().map(|blocked| {
        let by = &blocked["by"]["dovecot"]["problem"]["differs"];
        assert!(by.is_object(), "nothing else is in the way: {blocked}");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let lines = by["lines"].as_array().unwrap().iter().map(text).collect();
        (text(&by["setting"]), text(&by["file"]), lines)
    });
    let mut found: Vec<_> = differs.collect();
    found.sort();
    found
}

#[test]
fn the_printed_lines_mend_a_2_4() {
    mend("trixie");
}

#[test]
fn the_printed_lines_mend_a_2_3() {
    mend("bookworm");
}

fn mend(suite: &str) {
    if !requirement::root() || !requirement::mounts() {
        return;
    }
    let trees = [requirement::tree("bookworm"), requirement::tree(suite)];
    let [Some(source), Some(target)] = trees else {
        return;
    };
    let sandbox = Sandbox::large();
    program::copy_tree(&source, &sandbox.path("source"));
    program::copy_tree(&target, &sandbox.path("target"));
    let [source, target] = [sandbox.source(), sandbox.target()];
    for (number, case) in (1000..).zip(&CASES) {
        let account = Account::person(case.user, number);
        account.join(&source);
        let home = Home {
            root: &source,
            of: &account,
            mail_gid: MAIL_GID,
        };
        (case.fill)(&home);
        // One user at a time: one setting serves all of them.
        let only = format!(
            "users: {{ include: [{0}], uid: {number}..{number} }}\n",
            case.user
        );
        sandbox.manifest("source", &only);
        source.file("etc/dovecot/local.conf", case.source);
        let local = target.join("etc/dovecot/local.conf");
        if local.exists() {
            fs::remove_file(&local).unwrap();
        }

        let found = obstacles(&sandbox);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let mut expected = case.blocked.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", case.user);
        for (_, file, lines) in &found {
            let file = target.join(file.trim_start_matches('/'));
            let before = fs::read_to_string(&file).unwrap_or_default();
            fs::write(&file, format!("{before}{}\n", lines.join("\n"))).unwrap();
        }
        assert_eq!(obstacles(&sandbox), Vec::new(), "{}", case.user);

        let known = as_clients_see_it(&source, case.user);
        sandbox.reconcile(["apply", "--yes"]).exits(0).done();
        let seen = as_clients_see_it(&target, case.user);
        assert!(
            known.contains("READ-WRITE") && known.contains("work"),
            "{known}"
        );
        assert_eq!(known, seen, "{}", case.user);
        let valid = Command::new("chroot")
            .arg(target.path())
            .args(["doveconf", "-n"])
            .output()
            .unwrap();
        assert!(valid.status.success());
    }
}
