//! The service addresses move there and back by what the library plans for it: what each host has now,
//! and what it has after a reboot.

use std::fs;
use std::net::IpAddr;

use reconcile::host::Step;
use reconcile::manifest::{Cutover, Manifest, MigrationName};
use reconcile::names::Side;
use reconcile::plan::Change;
use reconcile::plan::change::FileEdit;
use reconcile::plan::hand_over::HostChange;
use reconcile::planner::Observation;
use reconcile::receipt::Receipt;
use reconcile::resource::{address, edit};

use crate::address::SERVICES;
use crate::host::Host;
use crate::lab::Lab;

/// What both hosts are like now, as `reconcile observe` tells it.
fn seen(lab: &Lab) -> address::Actual {
    lab.reconcile(["observe", "-o", "seen.yaml"]).done();
    let text = fs::read_to_string(lab.work("seen.yaml")).unwrap();
    serde_yaml::from_str::<Observation>(&text).unwrap().address
}

fn make(host: &Host, edit: &FileEdit) {
    let path = edit.path.to_string();
    let before = host.attempt(&format!("cat {path}"));
    let before = before
        .status
        .success()
        .then(|| String::from_utf8(before.stdout).unwrap());
    let after = edit::apply(edit, before.as_deref()).unwrap();
    host.run(format!("mkdir -p $(dirname {path})"));
    host.file(&path, after);
}

fn run(host: &Host, step: &Step) {
    let argv = match step {
        Step::Run(command) => command.argv(),
        // As a person would do it; the product's own way has tests of its own.
        Step::TakeAddress(_) | Step::DropAddress(_) => {
            vec!["sh".to_owned(), "-c".to_owned(), step.to_string()]
        }
        _ => return,
    };
    let words: Vec<String> = argv.iter().map(|word| format!("'{word}'")).collect();
    host.run(words.join(" "));
}

fn perform(host: &Host, change: &HostChange) {
    for edit in &change.edits {
        make(host, edit);
    }
    for step in &change.steps {
        run(host, step);
    }
}

/// The host that serves gets its configuration.
fn configure(lab: &Lab, host: &Host, manifest: &Manifest, receipt: &Receipt) {
    let draft = address::diff(manifest, &seen(lab), Some(receipt));
    assert_eq!(draft.blocked, []);
    let mut edits = 0;
    for action in &draft.actions {
        if let Change::EditFile(edit) = &action.change {
            make(host, edit);
            if let Some(command) = &edit.then {
                run(host, &Step::Run(command.clone()));
            }
            edits += 1;
        }
    }
    assert!(edits > 0);
}

#[track_caller]
fn only_has(host: &Host, other: &Host) {
    for service in SERVICES {
        assert!(host.has(service), "{} lost {service}", host.name());
        assert!(!other.has(service), "{} has {service}", other.name());
    }
}

/// Waits until a host has the addresses for good.
fn await_addresses(host: &Host) {
    for service in SERVICES {
        host.await_that(&format!(
            "ip -o addr show to {service} -tentative | grep -q ."
        ));
    }
}

struct Move<'a> {
    lab: &'a Lab,
    cutover: &'a Cutover,
    name: &'a MigrationName,
}

impl Move<'_> {
    /// The addresses move, and each host remembers where they are.
    fn go(&self, from: (Side, &Host), to: (Side, &Host), manifest: &Manifest) {
        let actual = seen(self.lab);
        let friends: Vec<IpAddr> = Vec::new();
        let leave = address::leave(self.cutover, from.0, &actual, self.name).unwrap();
        let arrive = address::arrive(self.cutover, to.0, &actual, &friends).unwrap();
        perform(from.1, &leave);
        perform(to.1, &arrive);
        only_has(to.1, from.1);
        // A link that goes down and up brings nothing back once what follows is done.
        for step in address::settle(&leave) {
            run(from.1, &step);
        }
        let mut receipt = Receipt::new(self.name.clone(), jiff::Timestamp::UNIX_EPOCH);
        receipt.authority = to.0;
        receipt.epoch = 1;
        configure(self.lab, to.1, manifest, &receipt);
        // networkd may take what it reads in a file away for a moment, to add it as its own.
        await_addresses(to.1);
        only_has(to.1, from.1);
        let quiet = address::diff(manifest, &seen(self.lab), Some(&receipt));
        assert_eq!((quiet.actions.len(), quiet.blocked.len()), (0, 0));
        assert_eq!(
            address::drift(self.cutover, to.0, &seen(self.lab)),
            Ok(None)
        );
        for host in [from.1, to.1] {
            host.run("ip link set host0 down; ip link set host0 up");
        }
        std::thread::sleep(std::time::Duration::from_secs(4));
        for service in SERVICES {
            assert!(
                !from.1.has(service),
                "{} has {service} again",
                from.1.name()
            );
        }
        from.1.reboot();
        to.1.reboot();
        await_addresses(to.1);
        only_has(to.1, from.1);
        for host in [from.1, to.1] {
            assert!(host.has(host.mail_address().parse().unwrap()));
        }
    }
}

/// There and back between two hosts, and then the source is as it was.
fn there_and_back(old: &str, new: &str, networkd: &str) {
    let Some(lab) = Lab::start([old, new]) else {
        return;
    };
    lab.host(networkd).use_networkd();
    let (old, new) = (lab.host("old"), lab.host("new"));
    old.hold_service_address();
    let manifest = |serve_from: &str| -> Manifest {
        lab.cutover_manifest(serve_from, "", "");
        let text = fs::read_to_string(lab.work("migration.yaml")).unwrap();
        serde_yaml::from_str(&text).unwrap()
    };
    let there = manifest("target");
    let back = manifest("source");
    let moving = Move {
        lab: &lab,
        cutover: there.cutover.as_ref().unwrap(),
        name: &there.name,
    };
    moving.go((Side::Source, old), (Side::Target, new), &there);
    moving.go((Side::Target, new), (Side::Source, old), &back);
}

#[test]
fn from_ifupdown_to_networkd_and_back() {
    there_and_back("old=bookworm", "new=trixie", "new");
}

#[test]
fn from_networkd_to_ifupdown_and_back() {
    there_and_back("old=bullseye", "new=bookworm", "old");
}
