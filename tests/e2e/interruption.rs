//! Ctrl-C: the run ends soon and says how to go on, nothing is half-done, and the next run
//! completes it.

use crate::accounts::Account;
use crate::home::Home;
use crate::requirement;
use crate::root::MAIL_GID;
use crate::sandbox::Sandbox;
use crate::village::village;

/// Enough that a copy takes a while on any machine.
const MESSAGES: u32 = 20_000;

/// The village, and somebody who never threw a message away.
fn with_a_collector() -> Sandbox {
    let sandbox = village();
    let source = sandbox.source();
    let erin = Account::person("erin", 1010);
    erin.join(&source);
    let home = Home {
        root: &source,
        of: &erin,
        mail_gid: MAIL_GID,
    };
    home.maildir();
    for number in 0..MESSAGES {
        home.file(format!("Maildir/cur/12{number:08}.M1P1.old:2,S"), b"seen\n");
    }
    home.age(5);
    sandbox
}

#[test]
fn ctrl_c_inside_a_long_copy_ends_with_130_and_the_next_run_completes() {
    if !requirement::root() {
        return;
    }
    let sandbox = with_a_collector();
    let mut running = sandbox.start(&["apply", "--yes", "--json"]);
    assert!(running.wait_for("{\"event\":\"action_started\",\"action\":\"mail/erin/copy\"}"));
    running.interrupt();
    let run = running.wait().exits(130).says("again to go on");
    assert!(
        !run.stdout
            .contains("\"action_done\",\"action\":\"mail/erin/copy\"")
    );
    sandbox
        .reconcile(["status"])
        .exits(0)
        .shows("mail/erin/copy")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn ctrl_c_while_looking_ends_with_130() {
    if !requirement::root() {
        return;
    }
    let sandbox = with_a_collector();
    let running = sandbox.start(&["plan"]);
    std::thread::sleep(std::time::Duration::from_millis(60));
    running.interrupt();
    running.wait().exits(130).done();
}
