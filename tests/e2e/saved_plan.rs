//! A saved plan is obeyed to the letter or not at all.

use crate::hashes;
use crate::home::message;
use crate::requirement;
use crate::root::Root;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

/// Two hosts and a plan for them in `plan.json`.
fn planned() -> Sandbox {
    let sandbox = village();
    sandbox
        .reconcile(["plan", "-o", "plan.json"])
        .exits(0)
        .done();
    sandbox
}

#[test]
fn a_saved_plan_is_carried_out() {
    if !requirement::root() {
        return;
    }
    let sandbox = planned();
    sandbox
        .reconcile(["apply", "plan.json", "--yes"])
        .exits(0)
        .done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

/// A name for the change, and the change.
type Change = (&'static str, fn(&Root));

/// One change after the other, on hosts of its own; the plan is refused and nothing is written.
fn refused_after(host: &str, changes: &[Change]) {
    for (what, change) in changes {
        let sandbox = planned();
        change(&Root::at(&sandbox.path(host)));
        let before = Snapshot::of(sandbox.target().path());
        let run = sandbox.reconcile(["apply", "plan.json", "--yes"]);
        assert_eq!(run.code(), Some(3), "after {what}: {}", run.describe());
        run.says("plan again").done();
        let after = Snapshot::of(sandbox.target().path());
        after.assert_same(&before, Closeness::Untouched, what);
    }
}

#[test]
fn a_saved_plan_is_refused_after_any_change_on_the_source() {
    if !requirement::root() {
        return;
    }
    refused_after(
        "source",
        &[
            ("mail that arrived", |root| {
                root.append("var/mail/alice", message(13, "new"));
            }),
            (
                "a flag set within an mbox, its size and time kept",
                |root| {
                    let meta = std::fs::metadata(root.join("var/mail/alice")).unwrap();
                    root.edit("var/mail/alice", "X-Status: F", "X-Status: A");
                    let file = std::fs::File::open(root.join("var/mail/alice")).unwrap();
                    file.set_modified(meta.modified().unwrap()).unwrap();
                },
            ),
            ("a new mode", |root| {
                root.mode("home/alice/.procmailrc", 0o640);
            }),
            ("a file that went", |root| {
                root.remove("home/bob/Maildir/subscriptions");
            }),
            ("a new password", |root| {
                root.edit("etc/shadow", hashes::DES, hashes::SHA256);
            }),
            ("a new name", |root| {
                root.edit("etc/passwd", "bob:/home", "Robert:/home");
            }),
            ("another UIDL format", |root| {
                root.with_dovecot_2_3("%u");
            }),
        ],
    );
}

#[test]
fn a_saved_plan_is_refused_after_any_change_on_the_target() {
    if !requirement::root() {
        return;
    }
    refused_after(
        "target",
        &[
            ("mail that arrived", |root| {
                root.file("var/mail/alice", message(1, "new"));
            }),
            ("a home that was made", |root| {
                root.dir("home/bob", 0o755).file("home/bob/.profile", "");
            }),
            ("an account that joined", |root| {
                root.append("etc/passwd", "bob:x:1001:1001::/home/bob:/bin/sh\n");
                root.append("etc/group", "bob:x:1001:\n");
            }),
            ("a setting of Dovecot", |root| {
                root.file("etc/dovecot/local.conf", "pop3_uidl_format = %{uid}\n");
            }),
        ],
    );
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox
        .reconcile(["apply", "migration.yaml", "--yes"])
        .exits(64)
        .says("no saved plan")
        .done();
    sandbox
        .reconcile(["apply", "absent.json", "--yes"])
        .exits(64)
        .says("absent.json")
        .done();
}
