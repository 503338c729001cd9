//! The exit codes that scripts branch on, and the words that go with them.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

use crate::accounts::Account;
use crate::requirement;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Snapshot};
use crate::village::village;

#[test]
fn zero_for_a_plan_and_two_for_pending_changes_only_when_asked_for() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.reconcile(["plan"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
}

#[test]
fn one_while_another_run_holds_the_target() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let top = File::open(sandbox.target().path()).unwrap();
    flock(&top, FlockOperation::NonBlockingLockExclusive).unwrap();
    let before = Snapshot::of(sandbox.target().path());
    sandbox
        .reconcile(["apply", "--yes"])
        .exits(1)
        .says("another run is at work")
        .done();
    sandbox.reconcile(["plan"]).exits(0).done();
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, "a run that was locked out");
    // Not by closing it: a program that another test starts may share it for a moment.
    flock(&top, FlockOperation::Unlock).unwrap();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
}

#[test]
fn one_for_a_root_that_is_not_there() {
    let sandbox = Sandbox::small();
    sandbox.manifest("source", "");
    sandbox
        .reconcile(["plan"])
        .exits(1)
        .says("cannot open the target root")
        .done();
}

#[test]
fn three_for_a_conflict_and_nothing_is_written() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    Account::person("mallory", 1001).join(&sandbox.target());
    let before = Snapshot::of(sandbox.target().path());
    sandbox.reconcile(["plan"]).exits(3).shows("mallory").done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(3)
        .done();
    sandbox
        .reconcile(["apply", "--yes"])
        .exits(3)
        .shows("mallory")
        .done();
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, "a blocked apply");
}

#[test]
fn three_when_no_account_is_chosen() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.manifest("source", "users:\n  uid: 3000..3999\n");
    sandbox.reconcile(["plan"]).exits(3).done();
    sandbox.reconcile(["apply", "--yes"]).exits(3).done();
}

#[test]
fn one_for_a_host_that_cannot_be_reached() {
    let sandbox = Sandbox::small();
    sandbox.manifest_text(
        "version: 1\nname: far\nsource:\n  host: ssh://root@old.invalid\n\
         target:\n  host: ssh://root@new.invalid\nserve_from: source\n",
    );
    sandbox.reconcile(["validate"]).exits(0).done();
    for command in ["plan", "verify", "status"] {
        sandbox
            .reconcile([command])
            .exits(1)
            .says("ssh://root@new.invalid")
            .done();
    }
}

#[test]
fn four_when_a_verification_finds_a_difference_and_every_one_is_listed() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["verify"])
        .exits(0)
        .shows("Compared 4 users")
        .done();
    let target = sandbox.target();
    // Behind the index's back as far as that is possible: same size, same time.
    let path = target.join("var/mail/alice");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    target.edit("var/mail/alice", "X-Status: F", "X-Status: A");
    File::open(&path).unwrap().set_modified(time).unwrap();
    target.mode("home/bob/Maildir/subscriptions", 0o644);
    target.remove("home/alice/mail/nest/sub");
    target.file("home/carol/extra", "");
    let run = sandbox.reconcile(["verify"]).exits(4);
    let run = run
        .shows("alice")
        .shows("Maildir/subscriptions")
        .shows("mail/nest/sub");
    run.shows("extra").says("differences").done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn sixty_four_for_a_misspelt_key_with_its_place_and_a_guess() {
    let sandbox = Sandbox::small();
    sandbox.manifest("source", "sevices:\n  mta: auto\n");
    for command in ["validate", "plan", "apply", "verify", "status"] {
        let run = sandbox
            .reconcile([command])
            .exits(64)
            .says("sevices")
            .says("services");
        run.says("migration.yaml:8").done();
    }
}

#[test]
fn sixty_four_for_arguments_that_make_no_sense() {
    let sandbox = Sandbox::small();
    sandbox.reconcile(["plna"]).exits(64).says("plan").done();
    sandbox
        .reconcile(["plan", "--formt", "json"])
        .exits(64)
        .done();
    sandbox
        .reconcile(["plan"])
        .exits(64)
        .says("migration.yaml")
        .done();
    sandbox.reconcile(["--help"]).exits(0).shows("Usage").done();
    sandbox
        .reconcile(["--version"])
        .exits(0)
        .shows("reconcile ")
        .done();
}

#[test]
fn sixty_four_for_an_apply_that_can_ask_nobody() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let before = Snapshot::of(sandbox.target().path());
    sandbox.reconcile(["apply"]).exits(64).says("--yes").done();
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, "an apply that asked nobody");
}

#[test]
fn on_a_terminal_apply_asks_and_only_yes_is_a_yes() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let before = Snapshot::of(sandbox.target().path());
    for no in ["no\n", "y\n", "\n", ""] {
        let run = sandbox.on_a_terminal("apply", no).exits(130);
        run.shows("Only `yes` is a yes")
            .shows("not confirmed")
            .done();
        let after = Snapshot::of(sandbox.target().path());
        after.assert_same(
            &before,
            Closeness::Untouched,
            "an apply that was not confirmed",
        );
    }
    sandbox.on_a_terminal("apply", "yes\n").exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

#[test]
fn events_are_one_json_object_per_line() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let run = sandbox.reconcile(["apply", "--yes", "--json"]).exits(0);
    let events: Vec<serde_json::Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!(
        (of("run_started"), of("run_ended"), of("action_failed")),
        (1, 1, 0)
    );
    assert!(of("action_started") >= 6, "{events:?}");
    assert_eq!(of("action_started"), of("action_done"));
    let ended = events
        .iter()
        .find(|event| event["event"] == "run_ended")
        .unwrap();
    assert_eq!(ended["failed"], 0);
    assert!(ended["bytes"].as_u64().unwrap() > 1000, "{ended}");
}

#[test]
fn what_programs_read_is_valid_in_its_format() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let plan = sandbox
        .reconcile(["plan", "--format", "json"])
        .exits(0)
        .stdout;
    let schema = sandbox.reconcile(["schema", "plan"]).exits(0).stdout;
    let [plan, schema] = [plan, schema].map(|text| serde_json::from_str(&text).unwrap());
    jsonschema::validate(&schema, &plan).unwrap();
    sandbox
        .reconcile(["observe", "-o", "observation.yaml"])
        .exits(0)
        .done();
    let shown = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let offline = [
        "plan",
        "--format",
        "json",
        "--observation",
        "observation.yaml",
    ];
    assert_eq!(shown(sandbox.reconcile(offline).exits(0).stdout), plan);
    let status = shown(sandbox.reconcile(["status", "--json"]).exits(0).stdout);
    assert_eq!(status["authority"], "source");
    sandbox
        .reconcile(["completions", "bash"])
        .exits(0)
        .shows("reconcile")
        .done();
    sandbox.reconcile(["man"]).exits(0).shows(".TH").done();
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    for line in [
        "\"$reconcile\" plan --full | true",
        "\"$reconcile\" plan --format json | head -c 1",
        "\"$reconcile\" plan > /dev/full",
        "\"$reconcile\" plan 2> /dev/full",
        "\"$reconcile\" plan >&- 2>&-",
        "\"$reconcile\" --help | true",
        "\"$reconcile\" schema manifest | true",
    ] {
        let run = sandbox.shell(line);
        assert!(!run.stderr.contains("panicked"), "{}", run.describe());
        assert!(matches!(run.code(), Some(0 | 1)), "{}", run.describe());
    }
}

#[test]
fn a_run_whose_reader_goes_away_still_ends_its_work() {
    if !requirement::root() {
        return;
    }
    for line in [
        "\"$reconcile\" apply --yes --json | true",
        "\"$reconcile\" apply --yes 2>&1 | true",
        "\"$reconcile\" apply --yes --json 2> /dev/full",
    ] {
        let sandbox = village();
        let run = sandbox.shell(line);
        assert!(!run.stderr.contains("panicked"), "{}", run.describe());
        sandbox
            .reconcile(["plan", "--detailed-exitcode"])
            .exits(0)
            .done();
    }
}
