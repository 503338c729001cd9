//! Mail in the lab: what comes in by SMTP or procmail is what clients see, on each suite and MTA.

use std::collections::BTreeSet;

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::{letter, on_the_network};

#[test]
fn a_letter_by_smtp_is_seen_by_imap_and_pop3_on_each_suite() {
    let Some(lab) = Lab::start([
        "a=bullseye",
        "b=bookworm",
        "c=trixie",
        "d=bookworm-sendmail",
    ]) else {
        return;
    };
    for name in ["a", "b", "c", "d"] {
        let host = lab.host(name);
        host.users(["alice", "bob"]).maildir_users(["bob"]);
        for user in ["alice", "bob"] {
            eprintln!("{user} on {name}");
            letters_arrive(host, user);
        }
        assert!(host.run("cat /var/mail/alice").starts_with("From "));
        host.run("test -d ~bob/Maildir/cur && test ! -s /var/mail/bob");
    }
}

fn letters_arrive(host: &Host, user: &str) {
    let first = letter(user, "first", "One line.\n.a dot ahead\n");
    let second = letter(user, "second", "Another line.\n");
    host.deliver(user, &first).procmail(user, &second);

    let mut imap = host.imap(user);
    let opened = imap.select("INBOX");
    assert_eq!(
        (opened.exists, opened.uid_next, opened.writable),
        (2, 3, true)
    );
    let messages = imap.messages();
    assert_eq!(messages.len(), 2);
    for (message, sent) in messages.iter().zip([&first, &second]) {
        let body = imap.body(message.uid);
        assert_eq!(body.len() as u64, message.size);
        assert!(body.ends_with(sent_body(sent)), "{body}");
        assert!(body.contains(sent_subject(sent)), "{body}");
    }
    imap.logout();

    let mut pop3 = host.pop3(user);
    // Debian's format on each version: uid and UIDVALIDITY, both as eight hexadecimal digits.
    let expected: Vec<(u32, String)> = [1, 2]
        .map(|uid| (uid, format!("{uid:08x}{:08x}", opened.uid_validity)))
        .to_vec();
    assert_eq!(pop3.uidl(), expected);
    let sizes: Vec<u64> = messages.iter().map(|message| message.size).collect();
    assert_eq!(pop3.sizes(), sizes);
    let text = String::from_utf8(pop3.retrieve(1)).unwrap();
    assert!(text.contains(sent_subject(&first)), "{text}");
    pop3.delete(1).quit();
    assert_eq!(
        host.pop3(user).uidl(),
        expected[1..]
            .iter()
            .map(|(_, id)| (1, id.clone()))
            .collect::<Vec<_>>()
    );
}

fn sent_subject(letter: &str) -> &str {
    letter
        .lines()
        .find(|line| line.starts_with("Subject: "))
        .unwrap()
}

/// The last line, with the network's end.
fn sent_body(letter: &str) -> &'static str {
    if on_the_network(letter).ends_with(".a dot ahead\r\n") {
        ".a dot ahead\r\n"
    } else {
        "Another line.\r\n"
    }
}

#[test]
fn clients_work_in_folders() {
    let Some(lab) = Lab::start(["old=bullseye", "new=trixie"]) else {
        return;
    };
    for host in ["old", "new"].map(|name| lab.host(name)) {
        host.users(["alice", "bob"]).maildir_users(["bob"]);
        client_works(host, "alice", '/');
        client_works(host, "bob", '.');
        // mbox: nested, and not ASCII on disk.
        host.run("test -f ~alice/mail/nest/Entw'&APw-'rfe");
        host.run("test -d ~bob/Maildir/.nest.Entw'&APw-'rfe");
    }
}

fn client_works(host: &Host, user: &str, separator: char) {
    let drafts = format!("nest{separator}Entw\u{fc}rfe");
    let mut imap = host.imap(user);
    imap.create(&drafts).create("Tom & Jerry").create("empty");
    imap.subscribe(&drafts).subscribe("INBOX");
    for number in 1..=4 {
        let text = letter(user, "draft", &format!("Number {number}.\n"));
        imap.append_dated(
            &drafts,
            "\\Seen $Label1",
            Some("01-Feb-2026 03:04:05 +0000"),
            &text,
        );
    }
    imap.append("Tom & Jerry", "", &letter(user, "plain", "A line.\n"));

    imap.select(&drafts);
    imap.flag("2", "\\Flagged").unflag("2", "\\Seen");
    imap.delete("1").expunge();
    imap.move_to("3", "Tom & Jerry").delete("4");
    let seen: Vec<(u32, BTreeSet<String>)> = imap
        .messages()
        .into_iter()
        .inspect(|message| assert!(message.date.starts_with("01-Feb-2026"), "{message:?}"))
        .map(|message| (message.uid, message.flags))
        .collect();
    let flags = |flags: &[&str]| flags.iter().map(|&flag| flag.to_owned()).collect();
    assert_eq!(
        seen,
        [
            (2, flags(&["\\Flagged", "$Label1"])),
            (4, flags(&["\\Seen", "\\Deleted", "$Label1"]))
        ]
    );
    let other = imap.examine("Tom & Jerry");
    assert_eq!((other.exists, other.writable), (2, false));
    assert_eq!(imap.messages().len(), 2);
    assert_eq!(imap.examine("empty").exists, 0);
    assert_eq!(imap.messages(), []);

    let folders = imap.folders();
    for folder in ["INBOX", "empty", "Tom & Jerry", &drafts] {
        assert!(folders.contains(folder), "{folder}: {folders:?}");
    }
    let subscribed = [drafts, "INBOX".to_owned()].into();
    assert_eq!(imap.subscriptions(), subscribed);
    imap.logout();
}

/// Hashes of `open sesame`, made by openssl-passwd(1) and perl's crypt(3).
const HASHES: [(&str, &str); 4] = [
    ("des", "ab/G8gtZdMwak"),
    ("md5", "$1$saltsalt$Yo6tRKYGO/jWyb1etwHDS/"),
    (
        "sha256",
        "$5$saltsalt$yrhPKxCqiWcCE9h0g86j6Ugz7SDFdFm.BjU.d8RaQnC",
    ),
    (
        "sha512",
        "$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1",
    ),
];

#[test]
fn settings_and_password_hashes_are_as_a_test_wants_them() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    for (name, setting) in [
        ("old", "pop3_uidl_format = %v.%u"),
        ("new", "pop3_uidl_format = %{uidvalidity}.%{uid}"),
    ] {
        let host = lab.host(name);
        host.dovecot(setting);
        for (user, hash) in HASHES {
            host.users([user]).password_hash(user, hash);
            host.procmail(user, &letter(user, "hello", "A line.\n"));
            let uid_validity = host.imap(user).select("INBOX").uid_validity;
            let expected = (1, format!("{uid_validity}.1"));
            assert_eq!(host.pop3(user).uidl(), [expected], "{user} on {name}");
        }
    }
}

#[test]
fn a_session_that_is_cut_deletes_nothing() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let host = lab.host("old");
    host.users(["alice"]);
    host.deliver("alice", &letter("alice", "hello", "A line.\n"));
    let mut pop3 = host.pop3("alice");
    pop3.delete(1);
    drop(pop3);
    let dead = "! pgrep --exact pop3 >/dev/null";
    assert_eq!(host.await_that(dead).pop3("alice").uidl().len(), 1);
}
