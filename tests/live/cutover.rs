//! The cutover between two live hosts, and the way back, as clients and senders see them.

use std::time::{Duration, Instant};

use crate::address::{INTERFACE, SERVICE, SERVICES};
use crate::host::Host;
use crate::lab::Lab;
use crate::load::{Load, Pace, Protocol};
use crate::machine::Machine;
use crate::office::{MAILDIR, everybody, expect_maildirs};

/// What the manifests of these tests say besides.
const REST: &str = "dovecot: { accept: [userdb, tls] }\nfreeze: { budget: 90s }\n";

/// Keys of `cutover`: the users' domain follows from the name.
const NAMED: &str = "  hostname: mail.example.org\n  probe: { user: zita }\n";

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
    // Of the load nobody changes a password, or gets a message that is removed again.
    old.users(everybody())
        .users(["zita"])
        .maildir_users(MAILDIR);
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
    let load = Load::start(&clients, &SERVICES, everybody(), Pace::Brisk);
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

    // A password is changed, and goes back with the mail.
    new.run("echo 'zita:another password' | chpasswd");
    lab.reconcile(["rollback", "--yes"])
        .exits(0)
        .says("Commit `serve_from: source`")
        .done();
    assert_serves(&lab, "old");
    let hash = "getent shadow zita | cut -d: -f2";
    assert_eq!(old.run(hash), new.run(hash));
    load.await_service();
    let settled = load.settle();
    settled.assert_nothing_lost(&clients, old);
    for protocol in Protocol::ALL {
        eprintln!("downtime by {protocol}: {:?}", settled.downtime(protocol));
    }
}

/// A greeting of the service, from a machine; empty if nobody answers it.
fn greeting(machine: &Machine) -> String {
    let knock = format!(
        "timeout 3 bash -c 'exec 3<>/dev/tcp/{SERVICE}/25; read -r line <&3; echo \"$line\"' 2>/dev/null || true"
    );
    machine.run(&knock)
}

#[test]
fn what_is_not_still_or_not_confirmed_goes_back_and_a_person_may_look_first() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let (old, new) = (lab.host("old"), lab.host("new"));
    let (stranger, friend) = (lab.machine(2), lab.machine(3));
    old.hold_service_address().users(["bela", "zita"]);
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
    lab.cutover_manifest("source", NAMED, REST);
    lab.reconcile(["apply", "--yes"]).exits(0).done();

    // Somebody's program goes on writing: nothing is cut over, and the source serves on.
    old.run(
        "setsid -f runuser -u bela -- sh -c 'while :; do echo x >>~/diary; sleep 0.3; done' \
         >/dev/null 2>&1 </dev/null",
    );
    lab.cutover_manifest("target", NAMED, REST);
    lab.reconcile(["apply", "--yes"])
        .exits(3)
        .says("diary")
        .done();
    assert_serves(&lab, "old");
    assert!(greeting(&stranger).contains("old"));
    old.run("pkill -u bela; sleep 1");

    // A person is asked, and says nothing.
    let person = format!(
        "{NAMED}  confirm: person\n  confirm_within: 30s\n  try_from: [\"{}\"]\n",
        friend.address()
    );
    lab.cutover_manifest("target", &person, REST);
    lab.reconcile(["apply", "--yes"]).exits(5).done();
    assert_serves(&lab, "old");
    assert!(greeting(&stranger).contains("old"));
    lab.reconcile(["status"])
        .exits(0)
        .shows("on the source")
        .done();

    // A person looks, from a machine that may, and confirms. Nobody else reaches the service before.
    let person = person.replace("30s", "120s");
    lab.cutover_manifest("target", &person, REST);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.reconcile(["apply", "--yes"]));
        let began = Instant::now();
        while !lab
            .reconcile(["status"])
            .describe()
            .contains("reconcile confirm")
        {
            assert!(began.elapsed() < Duration::from_mins(3), "nobody is asked");
        }
        let heard = (0..5)
            .map(|_| greeting(&friend))
            .find(|line| !line.is_empty());
        assert!(heard.is_some_and(|line| line.contains("new")));
        assert_eq!(greeting(&stranger), "");
        lab.reconcile(["confirm", "--yes"])
            .exits(0)
            .says("the target serves")
            .done();
        waiting.join().unwrap().exits(0).done();
    });
    assert_serves(&lab, "new");
    assert!(greeting(&stranger).contains("new"));

    // The old server is switched off and on: it does not take the address, and serves nobody. Without it
    // there is nothing to do either.
    old.reboot();
    assert_serves(&lab, "new");
    let services = "systemctl is-active dovecot postfix cron | grep -c '^active' || true";
    assert_eq!(old.run(services), "0\n");
    old.power_off();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    // What the target lost is given back.
    new.run(format!("ip addr del {SERVICE}/32 dev {INTERFACE}"));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    assert!(new.has(SERVICE));
}
