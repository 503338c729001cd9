//! The cutover between two live hosts, and the way back, as clients and senders see them.

use crate::address::{SERVICE, SERVICE_6, SERVICES};
use crate::host::Host;
use crate::lab::Lab;
use crate::load::{Load, Protocol};
use crate::office::{MAILDIR, everybody, expect_maildirs};

/// What the manifests of these tests say besides.
const REST: &str = "dovecot: { accept: [userdb, tls] }\nfreeze: { budget: 90s }\n";

/// Keys of `cutover`: the users' domain follows from the name.
const NAMED: &str = "  hostname: mail.example.org\n  probe: { user: anna }\n";

/// Who has the service's addresses.
#[track_caller]
fn assert_serves(lab: &Lab, name: &str) {
    for host in ["old", "new"].map(|name| lab.host(name)) {
        for address in SERVICES {
            assert_eq!(
                host.has(address),
                host.name() == name,
                "{address} on {}",
                host.name()
            );
        }
    }
}

fn move_in(old: &Host, new: &Host) {
    old.hold_service_address().lock_as_procmail_does();
    old.users(everybody()).maildir_users(MAILDIR);
    expect_maildirs(old, new, &MAILDIR);
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_there_and_back() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new, clients) = (lab.host("old"), lab.host("new"), lab.machine(2));
    move_in(old, new);
    let load = Load::start(&clients, &SERVICES, everybody());
    lab.cutover_manifest("source", NAMED, REST);
    lab.reconcile(["apply", "--yes"]).exits(0).done();

    lab.cutover_manifest("target", NAMED, REST);
    lab.reconcile(["plan"]).exits(0).done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert_serves(&lab, "new");
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    lab.reconcile(["status"])
        .exits(0)
        .shows("on the target")
        .done();
    load.await_service();
    let settled = load.settle();
    settled.assert_nothing_lost(&clients, new);
    for protocol in Protocol::ALL {
        eprintln!("downtime by {protocol}: {:?}", settled.downtime(protocol));
    }
    assert!(old.has(SERVICE) != new.has(SERVICE) && !old.has(SERVICE_6));
}
