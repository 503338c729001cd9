//! The way that mail takes between two hosts: straight from one to the other, and through the operator's
//! machine only where it has to.

use std::net::IpAddr;

use crate::host::Host;
use crate::lab::Lab;

/// Mail of one user, which no compression makes smaller.
const MAIL: u64 = 60_000_000;

/// What the operator may hear of the hosts meanwhile: names, answers, progress.
const TALK: u64 = 6_000_000;

#[test]
fn mail_passes_the_operator_only_where_the_hosts_cannot_reach_each_other() {
    let Some(lab) = Lab::start(["old=bookworm", "new=bookworm"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.users(["alice"]);
    lab.manifest("source", "");

    fill(old, "first");
    let before = heard(&lab);
    let straight = lab.reconcile(["apply", "--yes"]).exits(0);
    let straight = straight.says("mail goes straight from host to host, to ");
    assert!(!straight.stderr.contains("through this machine"));
    let passed = heard(&lab) - before;
    assert!(passed < TALK, "{passed} bytes came to the operator");
    assert_eq!(sum(new, "first"), sum(old, "first"));
    // Nobody else can come.
    new.run("! ss --no-header --listening --tcp --numeric | grep -w 28730");

    // What the source sends, the target's firewall drops without a word.
    keep_apart(old, new);
    fill(old, "second");
    let before = heard(&lab);
    let around = lab.reconcile(["apply", "--yes"]).exits(0);
    let around =
        around.says("mail goes through this machine: source (ssh://root@old) cannot connect to");
    assert_eq!(around.stderr.matches("through this machine").count(), 1);
    assert!(heard(&lab) - before > MAIL);
    assert_eq!(sum(new, "second"), sum(old, "second"));

    // Who insists is told what stands in the way, and nothing was done.
    fill(old, "third");
    lab.manifest("source", "transfer: { path: direct }\n");
    lab.reconcile(["apply", "--yes"])
        .exits(1)
        .says("source (ssh://root@old) cannot connect to target (ssh://root@new)")
        .says(&format!(
            "{}:28730 does not answer",
            new.management_address()
        ))
        .says("let source (ssh://root@old) through to TCP port 28730")
        .done();
    new.run("test ! -e ~alice/third");

    // Who asks for it has it go through here without a word.
    lab.manifest("source", "transfer: { path: relay }\n");
    let relayed = lab.reconcile(["apply", "--yes"]).exits(0);
    assert!(
        !relayed.stderr.contains("mail goes"),
        "{}",
        relayed.describe()
    );
    assert_eq!(sum(new, "third"), sum(old, "third"));
}

/// Gives alice a file of [`MAIL`] bytes.
fn fill(old: &Host, name: &str) {
    old.run(format!(
        "head -c {MAIL} /dev/urandom >~alice/{name} && chown alice: ~alice/{name}"
    ));
}

fn sum(host: &Host, name: &str) -> String {
    host.run(format!("sha256sum ~alice/{name}"))
}

/// Nothing that the new host says reaches the old one.
fn keep_apart(old: &Host, new: &Host) {
    let number = old.management_address().rsplit('.').next().unwrap();
    let addresses = [
        old.management_address().to_owned(),
        old.mail_address().to_owned(),
        format!("2001:db8:51::{number}"),
    ];
    for address in addresses {
        let family = match address.parse().unwrap() {
            IpAddr::V4(_) => "-4",
            IpAddr::V6(_) => "-6",
        };
        new.run(format!(
            "ip {family} rule add pref 5 to {address} blackhole"
        ));
    }
}

/// Bytes that the hosts have sent to the operator. What they send each other passes the bridge and is
/// not counted on it.
fn heard(lab: &Lab) -> u64 {
    let table = lab.operate("cat", ["/proc/net/dev"]).exits(0).stdout;
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("mgmt:"));
    let first = line.unwrap().split_whitespace().next().unwrap();
    first.parse().unwrap()
}
