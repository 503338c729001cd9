//! When one thing fails, everything that does not depend on it is done, what failed and what waits
//! for it is named, and the next run does only what is missing.

use std::path::PathBuf;

use crate::home::message;
use crate::program;
use crate::requirement;
use crate::sandbox::Sandbox;
use crate::village::village;

/// A directory in which not even root can write; mended with this value's end.
struct Immutable(PathBuf);

impl Immutable {
    fn new(path: PathBuf) -> Self {
        program::run("chattr", ["+i".as_ref(), path.as_os_str()]);
        Self(path)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        program::run("chattr", ["-i".as_ref(), self.0.as_os_str()]);
    }
}

/// Mail for two people, and one of them has no luck.
fn with_bad_luck_for_bob() -> (Sandbox, Immutable) {
    let sandbox = village();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let source = sandbox.source();
    source.append("var/mail/alice", message(13, "new"));
    source.file("home/bob/Maildir/new/1800000000.M1P1.new", "new\n");
    let stuck = Immutable::new(sandbox.target().join("home/bob/Maildir/new"));
    (sandbox, stuck)
}

#[test]
fn one_user_who_cannot_be_copied_does_not_stop_the_others() {
    if !requirement::root() || !requirement::program("chattr") {
        return;
    }
    let (sandbox, stuck) = with_bad_luck_for_bob();
    let run = sandbox.reconcile(["apply", "--yes"]).exits(1);
    run.says("mail/bob/copy")
        .says("Operation not permitted")
        .says("again")
        .done();
    let [old, new] = [sandbox.source(), sandbox.target()].map(|host| host.read("var/mail/alice"));
    assert!(old == new, "alice had to wait for bob");
    sandbox
        .reconcile(["status"])
        .exits(0)
        .shows("mail/bob/copy")
        .done();
    sandbox
        .reconcile(["verify"])
        .exits(4)
        .shows("1800000000.M1P1.new")
        .done();
    drop(stuck);
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn the_hand_over_waits_for_every_user_and_says_for_whom() {
    if !requirement::root() || !requirement::program("chattr") {
        return;
    }
    let (sandbox, stuck) = with_bad_luck_for_bob();
    sandbox.manifest("target", "");
    let run = sandbox.reconcile(["apply", "--yes", "--json"]).exits(1);
    let events = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let skipped: Vec<serde_json::Value> = events
        .filter(|event: &serde_json::Value| event["event"] == "action_skipped")
        .collect();
    assert!(
        skipped
            .iter()
            .any(|event| event["action"] == "mail/bob/prove"),
        "{skipped:?}"
    );
    let status = sandbox.reconcile(["status", "--json"]).exits(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["authority"], "source");
    drop(stuck);
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["status"])
        .exits(0)
        .shows("on the target")
        .done();
}

#[test]
fn a_target_that_cannot_be_written_at_all_is_an_error_that_says_so() {
    if !requirement::root() || !requirement::program("chattr") {
        return;
    }
    let sandbox = village();
    let stuck = Immutable::new(sandbox.target().join("etc"));
    sandbox.reconcile(["plan"]).exits(0).done();
    let run = sandbox.reconcile(["apply", "--yes"]).exits(1);
    run.says("Operation not permitted").says("/etc").done();
    drop(stuck);
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}
