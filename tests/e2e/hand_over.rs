//! Once the target's mail counts, no run touches it again.

use std::fs;

use crate::hashes;
use crate::home::message;
use crate::requirement;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

/// Both hosts after the target took over, and people used their mail there.
fn handed_over_and_used() -> Option<Sandbox> {
    if !requirement::root() {
        return None;
    }
    let sandbox = village();
    sandbox.manifest("target", "");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();

    let target = sandbox.target();
    target.append("var/mail/alice", message(13, "arrived on the target"));
    target.edit("var/mail/alice", "X-Status: F", "X-Status: A");
    target.file(
        "home/bob/Maildir/new/1800000000.M1P1.new",
        "arrived on the target\n",
    );
    let cur = target.join("home/bob/Maildir/cur");
    fs::rename(
        cur.join("1290000001.M1P1.old,S=12,W=13:2,S"),
        cur.join("1290000001.M1P1.old,S=12,W=13:2,RS"),
    )
    .unwrap();
    target.remove("home/bob/Maildir/.Archive.2009/cur/1230000000.M9P9.old:2,S");
    target.remove("home/alice/mail/nest");
    Some(sandbox)
}

fn mail(sandbox: &Sandbox) -> Snapshot {
    let all = Snapshot::of(sandbox.target().path());
    let mut mail = all.clone().below("home");
    mail.0.extend(all.below("var/mail").0);
    mail
}

/// Runs what an admin would run, several times.
fn run_everything(sandbox: &Sandbox) {
    for _ in 0..2 {
        sandbox
            .reconcile(["plan", "--detailed-exitcode"])
            .exits(0)
            .done();
        sandbox.reconcile(["apply", "--yes"]).exits(0).done();
        sandbox.reconcile(["verify"]).exits(0).done();
        sandbox
            .reconcile(["status"])
            .exits(0)
            .shows("on the target")
            .done();
    }
}

#[test]
fn mail_that_arrived_on_the_target_survives_every_later_run() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = mail(&sandbox);
    run_everything(&sandbox);
    mail(&sandbox).assert_same(&before, Closeness::Untouched, "after later runs");
}

#[test]
fn what_changes_on_the_old_source_is_ignored_after_the_hand_over() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = mail(&sandbox);
    let source = sandbox.source();
    source.append("var/mail/alice", message(13, "too late"));
    source.remove("home/bob/Maildir").remove("var/mail/carol");
    run_everything(&sandbox);
    mail(&sandbox).assert_same(&before, Closeness::Untouched, "after later runs");
}

#[test]
fn the_source_is_not_needed_after_the_hand_over() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = mail(&sandbox);
    fs::remove_dir_all(sandbox.source().path()).unwrap();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["status"])
        .exits(0)
        .shows("source")
        .done();
    mail(&sandbox).assert_same(&before, Closeness::Untouched, "without a source");
}

#[test]
fn a_manifest_under_another_name_does_not_start_anew() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = Snapshot::of(sandbox.target().path());
    let renamed = format!(
        "version: 1\nname: again\nsource: {{ host: 'dir:{}' }}\ntarget: {{ host: 'dir:{}' }}\n\
         serve_from: target\nmail: {{ adopt: ['*'] }}\n",
        sandbox.source().path().display(),
        sandbox.target().path().display(),
    );
    sandbox.manifest_text(&renamed);
    for arguments in [&["plan"][..], &["apply", "--yes"]] {
        sandbox
            .start(arguments)
            .wait()
            .exits(3)
            .shows("the migration `e2e` manages")
            .done();
    }
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(
        &before,
        Closeness::Untouched,
        "the target under another name",
    );
}

#[test]
fn mail_does_not_go_back_to_an_offline_source() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = Snapshot::of(sandbox.target().path());
    let source = Snapshot::of(sandbox.source().path());
    sandbox.manifest("source", "");
    sandbox.reconcile(["plan"]).exits(3).done();
    sandbox.reconcile(["apply", "--yes"]).exits(3).done();
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(
        &before,
        Closeness::Untouched,
        "the target after a refused reverse",
    );
    let after = Snapshot::of(sandbox.source().path());
    after.assert_same(
        &source,
        Closeness::Untouched,
        "the source after a refused reverse",
    );
}

#[test]
fn a_password_changed_on_the_target_stays_after_the_hand_over() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let target = sandbox.target();
    target.edit("etc/shadow", hashes::DES, hashes::SHA256);
    let before = target.read("etc/shadow");
    run_everything(&sandbox);
    assert!(
        target.read("etc/shadow") == before,
        "the target's shadow changed"
    );
}

#[test]
fn drift_in_the_uidl_format_is_mended_and_the_mail_left_alone() {
    let Some(sandbox) = handed_over_and_used() else {
        return;
    };
    let before = mail(&sandbox);
    let target = sandbox.target();
    let dir = target.join("etc/dovecot/conf.d");
    let ours = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .next();
    let ours = ours.expect("the hand-over wrote a drop-in");
    let text = fs::read_to_string(&ours).unwrap();
    assert!(text.contains("%{uidvalidity}.%{uid}"), "{text}");
    fs::remove_file(&ours).unwrap();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("uidl_format")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(fs::read_to_string(&ours).unwrap(), text);
    mail(&sandbox).assert_same(&before, Closeness::Untouched, "after the drift was mended");
}

#[test]
fn the_source_is_never_written() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let before = Snapshot::of(sandbox.source().path());
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox.manifest("target", "");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let after = Snapshot::of(sandbox.source().path());
    after.assert_same(
        &before,
        Closeness::Untouched,
        "the source after staging and hand-over",
    );
}
