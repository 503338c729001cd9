//! Looking changes nothing: neither content nor any time that a look is able to leave alone.

use crate::home::message;
use crate::requirement;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

/// Every command that only looks, and one that asks and gets no answer.
fn look_at_everything(sandbox: &Sandbox) {
    let hosts = || ["source", "target"].map(|host| Snapshot::of(&sandbox.path(host)));
    let before = hosts();
    let runs: [&[&str]; 15] = [
        &["-f", "-", "init", "dir:../source", "dir:../target"],
        &["validate"],
        &["plan"],
        &["plan", "--full"],
        &["plan", "--detailed-exitcode"],
        &["plan", "--format", "json"],
        &["plan", "--format", "markdown"],
        &["plan", "--format", "dot"],
        &["plan", "-o", "plan.json"],
        &["observe", "-o", "observation.yaml"],
        &["plan", "--observation", "observation.yaml"],
        &["verify"],
        &["verify", "--json"],
        &["status"],
        &["apply"],
    ];
    for arguments in runs {
        let run = sandbox.start(arguments).wait();
        let code = run.code();
        assert!(matches!(code, Some(0 | 2 | 4 | 64)), "{}", run.describe());
        let after = hosts();
        for (after, before) in after.iter().zip(&before) {
            after.assert_same(before, Closeness::Untouched, &arguments.join(" "));
        }
    }
}

#[test]
fn looking_changes_nothing_before_the_first_apply() {
    if requirement::root() {
        look_at_everything(&village());
    }
}

#[test]
fn looking_changes_nothing_after_an_apply() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    look_at_everything(&sandbox);
    sandbox
        .source()
        .append("var/mail/alice", message(13, "new on the source"));
    sandbox
        .target()
        .append("var/mail/carol", message(3, "new on the target"));
    look_at_everything(&sandbox);
}

#[test]
fn looking_changes_nothing_after_the_hand_over() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.manifest("target", "");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    look_at_everything(&sandbox);
}
