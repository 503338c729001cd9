//! A whole staging between live servers: the copy follows while mail arrives, and in the end no
//! client sees that it is on another server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::lab::Lab;
use crate::letter::letter;
use crate::office::{
    MAILDIR, MBOX, everybody, expect_maildirs, fetchmail, lead_to, mbsync, move_in,
};

#[test]
fn thirty_people_move_from_debian_12_to_debian_13() {
    move_with_clients("old=bookworm", "new=trixie");
}

#[test]
fn thirty_people_move_from_debian_11_to_debian_12() {
    move_with_clients("old=bullseye", "new=bookworm");
}

fn move_with_clients(old: &str, new: &str) {
    let Some(lab) = Lab::start([old, new]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    move_in(old);
    expect_maildirs(old, new, &MAILDIR);
    lab.manifest("source", "dovecot: { accept: [userdb] }\n");

    // Two real clients that remember what they saw.
    lead_to(&lab, old);
    let clients = [MBOX[0], MBOX[1], MAILDIR[0]];
    for user in clients {
        assert!(fetchmail(&lab, user) >= 3);
        assert_eq!(fetchmail(&lab, user), 0, "fetchmail remembers");
        mbsync(&lab, user);
    }

    // The copy is made, and brought up to date, while mail arrives.
    lab.reconcile(["plan"]).exits(0).done();
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut smtp = old.smtp();
            for number in 0.. {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let user = everybody()[number % 30];
                let text = letter(user, &format!("meanwhile {number}"), "A line.\n");
                smtp.send("sender@example.com", user, &text);
                std::thread::sleep(Duration::from_millis(200));
            }
            smtp.quit();
        });
        for _ in 0..2 {
            lab.reconcile(["apply", "--yes"]).exits(0).done();
        }
        enough.store(true, Ordering::Relaxed);
    });
    old.await_deliveries();
    let known = clients.map(|user| {
        fetchmail(&lab, user);
        mbsync(&lab, user)
    });

    // The last copy, with the source's services stopped by hand.
    old.run("systemctl stop 'postfix*' dovecot.socket dovecot.service");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    lab.reconcile(["verify"]).exits(0).shows("30 users").done();

    // The target's Dovecot started by hand: the clients find what they know.
    new.run("systemctl unmask dovecot.service dovecot.socket; systemctl start dovecot.service");
    lab.reconcile(["verify"]).exits(0).done();
    lead_to(&lab, new);
    for (user, known) in clients.into_iter().zip(known) {
        assert_eq!(fetchmail(&lab, user), 0, "{user} downloads nothing again");
        assert!(known.len() >= 8, "{user}: {known:?}");
        assert_eq!(mbsync(&lab, user), known, "{user} has what it had");
    }
}

/// A client opens a Maildir between the first copy of it and the look that follows: its new messages
/// move to `cur`. The names that the target has by then are the run's own, and go.
#[test]
fn messages_that_are_opened_during_the_first_copy_are_copied_once() {
    if !cfg!(feature = "failpoints") {
        eprintln!("left out: this test needs `--features failpoints`");
        return;
    }
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.users(["alice"]).maildir_users(["alice"]);
    expect_maildirs(old, new, &["alice"]);
    for number in 1..=5 {
        old.procmail("alice", &letter("alice", &format!("{number}"), "A line.\n"));
    }
    lab.manifest("source", "dovecot: { accept: [userdb] }\n");
    let apply = lab.apply_until("mail:written");
    let messages = "cd ~alice/Maildir && find new cur -type f | sort";
    let copied = new.run(messages);
    assert!(
        copied.lines().count() == 5 && copied.lines().all(|name| name.starts_with("new/")),
        "{copied}"
    );
    old.imap("alice").select("INBOX");
    let moved = old.run(messages);
    assert!(
        moved.lines().all(|name| name.starts_with("cur/")),
        "{moved}"
    );
    apply.ends_well();
    assert_eq!(new.run(messages), moved);
}
