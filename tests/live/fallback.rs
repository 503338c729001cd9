//! A source that does not let the agent run: it is read by its own programs, and the copy is as good.

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

/// What there is in homes and spool: entries, of directories without their size, and sums of contents.
const LISTING: &str = r#"
    (cd / && for top in home var/mail; do
        find $top -mindepth 1 -type d -printf "$top/%P d %m %U %G %T@\0" -o \
            -printf "$top/%P %y %m %U %G %s %T@ %n -> %l\0"
        find $top -type f -print0 | xargs -0 sha256sum -z
    done) | sort -z | tr '\0\n' '\n?' | LC_ALL=C cat -v
"#;

#[test]
fn a_source_that_is_mounted_noexec_is_read_by_its_own_programs() {
    let Some(lab) = Lab::start(["old=bullseye", "new=bookworm"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.run(
        "mkdir -p /var/lib/reconcile && mount -t tmpfs -o noexec,mode=700 none /var/lib/reconcile",
    );
    people(old);
    let before = old.run(LISTING);
    // Only what belongs to the people moves.
    assert!(before.contains("latin"), "{before}");
    lab.manifest("source", "dovecot: { accept: [userdb] }\n");

    lab.reconcile(["plan"])
        .exits(0)
        .shows("reconcile cannot run on source (ssh://root@old)")
        .shows("it may not be executed in")
        .shows("read by find and tar")
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(old.run(LISTING), before, "the source is as it was");
    assert_eq!(of_people(&new.run(LISTING)), of_people(&before));
    let acls = "cd ~alice && getfacl -n mail mail/large";
    assert_eq!(new.run(acls), old.run(acls));
    assert!(new.run(acls).contains("user:1001:r--"));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();

    // What changes is carried over, and only that.
    old.deliver("alice", &letter("alice", "one more", "A line.\n"));
    old.run("cd ~bob && mv Maildir/cur/kept Maildir/cur/kept:2,S && rm ~alice/gone");
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(of_people(&new.run(LISTING)), of_people(&old.run(LISTING)));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    assert_eq!(
        old.run("find /var/lib/reconcile -mindepth 1"),
        "",
        "nothing is left there"
    );
}

/// An mbox, a Maildir, and what is hard to carry.
fn people(old: &Host) {
    old.users(["alice", "bob"]).maildir_users(["bob"]);
    for user in ["alice", "bob"] {
        old.deliver(user, &letter(user, "hello", "A line.\n"));
        let mut imap = old.imap(user);
        imap.create("Sent")
            .append("Sent", "\\Seen", &letter(user, "sent", "A line.\n"));
        imap.select("INBOX");
        imap.flag("1", "\\Flagged").logout();
    }
    old.run(
        r"cd ~alice
        mkdir $'mail/latin-1 \351t\351'
        echo x >$'mail/latin-1 \351t\351/new\nline'
        echo x >./-dash
        ln -- -dash gone
        ln -s $'nowhere \377' link
        head -c 3000000 /dev/urandom >mail/large
        truncate -s 20M mail/sparse
        setfacl -m u:bob:r mail/large
        setfacl -d -m u:bob:rx mail
        touch -d '2001-02-03 04:05:06.789' mail/large
        chown -hR alice:alice .
        echo x >~bob/Maildir/cur/kept
        chown bob:bob ~bob/Maildir/cur/kept",
    );
}

/// What of a listing is about the people's own.
fn of_people(listing: &str) -> Vec<&str> {
    let lines = listing.lines();
    let own = lines.filter(|line| line.contains("alice") || line.contains("bob"));
    own.collect()
}
