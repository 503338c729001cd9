//! What would make clients download or resynchronise is found before any client could see it.

use crate::host::{Host, PASSWORD};
use crate::lab::Lab;
use crate::letter::letter;

/// A user with an mbox and a folder, one with a Maildir.
fn staged(lab: &Lab) -> (&Host, &Host) {
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.users(["anna", "vera"]).maildir_users(["vera"]);
    for user in ["anna", "vera"] {
        for number in 1..=3 {
            let text = letter(user, &format!("letter {number}"), "A line.\n");
            old.deliver(user, &text);
        }
        let mut imap = old.imap(user);
        imap.create("Sent").subscribe("Sent");
        imap.append("Sent", "\\Seen", &letter(user, "sent", "A line.\n"));
        imap.select("INBOX");
        imap.flag("1", "\\Seen");
        imap.logout();
        old.pop3(user).quit();
    }
    crate::office::expect_maildirs(old, new, &["vera"]);
    lab.manifest("source", "dovecot: { accept: [userdb] }\n");
    old.run("systemctl stop 'postfix*' dovecot.socket dovecot.service");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["verify"]).exits(0).shows("none").done();
    (old, new)
}

#[test]
fn settings_of_the_target_that_clients_would_notice_are_found() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (_, new) = staged(&lab);
    let file = "/etc/dovecot/conf.d/zzz-wrong.conf";
    for (setting, found) in [
        (
            "protocol pop3 {\n  pop3_uidl_format = %{uidvalidity}-%{uid}\n}\n",
            "would re-download 6 messages",
        ),
        ("mail_path = %{home}/Mail\n", "Sent"),
        ("first_valid_uid = 30000\n", "anna"),
    ] {
        new.file(file, setting);
        lab.reconcile(["verify"]).exits(4).shows(found).done();
        new.run(format!("rm {file}"));
    }
    new.run("chmod 0755 /var/mail");
    lab.reconcile(["verify"]).exits(4).shows("INBOX").done();
    new.run("chmod 2775 /var/mail");
    lab.reconcile(["verify"]).exits(0).done();
}

#[test]
fn an_incomplete_or_outdated_copy_is_found_and_looking_does_not_spoil_it() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new) = staged(&lab);
    let mends = || {
        lab.reconcile(["apply", "--yes"]).exits(0).done();
        lab.reconcile(["verify"]).exits(0).done();
    };
    // The index without its mbox: who opens it with nothing in between expunges everything.
    new.run("test -d ~anna/mail/.imap/INBOX && rm /var/mail/anna");
    lab.reconcile(["verify"]).exits(4).shows("anna").done();
    mends();
    new.run("rm ~vera/Maildir/dovecot-uidlist");
    lab.reconcile(["verify"]).exits(4).shows("vera").done();
    mends();
    // A flag of the same size in the same second.
    old.run("systemctl start dovecot");
    let before = old.run("stat -c '%s %Y' /var/mail/anna");
    let mut imap = old.imap("anna");
    imap.select("INBOX");
    imap.flag("2", "\\Flagged");
    imap.logout();
    old.run("systemctl stop dovecot.socket dovecot.service");
    let size = |stat: &str| stat.split(' ').next().map(str::to_owned);
    let after = old.run("stat -c '%s %Y' /var/mail/anna");
    assert_eq!(size(&before), size(&after), "padding takes the flag");
    old.run(format!(
        "touch -d @{} /var/mail/anna",
        before.trim().split(' ').nth(1).unwrap()
    ));
    lab.reconcile(["verify"]).exits(4).shows("Flagged").done();
    mends();
}

#[test]
fn passwords_of_all_schemes_open_the_mailbox_on_the_target() {
    let Some(lab) = Lab::start(["old=bullseye", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    // Salts of crypt(5), by scheme; the host's own crypt makes the hashes.
    let schemes = [
        ("des", "ab"),
        ("md5", "$1$saltsalt$"),
        ("sha256", "$5$saltsalt$"),
        ("sha512", "$6$saltsalt$"),
        ("yescrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$"),
    ];
    for (user, salt) in schemes {
        old.users([user]);
        let hash = old.run(format!("perl -e 'print crypt(q({PASSWORD}), q({salt}))'"));
        assert!(hash.starts_with(salt), "{user}: {hash}");
        old.password_hash(user, hash.trim());
        old.deliver(user, &letter(user, "hello", "A line.\n"));
        assert_eq!(old.pop3(user).uidl().len(), 1, "{user} on the source");
    }
    lab.manifest("source", "");
    old.run("systemctl stop 'postfix*' dovecot.socket dovecot.service");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    new.run("systemctl unmask dovecot.service dovecot.socket; systemctl start dovecot.service");
    for (user, _) in schemes {
        assert_eq!(new.pop3(user).uidl().len(), 1, "{user} on the target");
    }
}
