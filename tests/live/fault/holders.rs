//! Who has the service's addresses, looked at all the time: never two.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use crate::address::SERVICES;
use crate::host::Host;
use crate::lab::Lab;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Of SMTP, POP3 and IMAP.
const PORTS: [u16; 3] = [25, 110, 143];

/// Looks at both hosts as long as the scope runs; in the end, what was seen of an address on both.
pub(super) fn watch<'scope>(
    scope: &'scope Scope<'scope, '_>,
    lab: &'scope Lab,
    enough: &'scope AtomicBool,
) -> std::thread::ScopedJoinHandle<'scope, Vec<String>> {
    scope.spawn(move || {
        let [old, new] = ["old", "new"].map(|name| lab.host(name));
        let mut seen = Vec::new();
        while !enough.load(Ordering::Relaxed) {
            for address in held(old) {
                // The one may let go, and the other take, between two looks: look again.
                if held(new).contains(&address) && held(old).contains(&address) {
                    seen.push(format!("{address} is on both hosts"));
                }
            }
            std::thread::sleep(EVERY);
        }
        seen
    })
}

/// The service's addresses that a host has; none if it is off.
fn held(host: &Host) -> Vec<IpAddr> {
    SERVICES
        .into_iter()
        .filter(|address| host.has(*address))
        .collect()
}

/// The hosts that have one of the addresses, and those that have all.
pub(super) fn holders(lab: &Lab) -> (Vec<&'static str>, Vec<&'static str>) {
    some_and_all(SERVICES.len(), |name| held(lab.host(name)).len())
}

/// The hosts on which one of the mail ports is open, and those on which all are.
pub(super) fn servers(lab: &Lab) -> (Vec<&'static str>, Vec<&'static str>) {
    let open = |name: &str| {
        let host = lab.host(name);
        PORTS.into_iter().filter(|port| host.listens(*port)).count()
    };
    some_and_all(PORTS.len(), open)
}

/// The hosts with one of so many, and those with all.
fn some_and_all(
    all: usize,
    count: impl Fn(&str) -> usize,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let counts = ["old", "new"].map(|name| (name, count(name)));
    let with = |least: usize| {
        let found = counts.iter().filter(|(_, count)| *count >= least);
        found.map(|(name, _)| *name).collect()
    };
    (with(1), with(all))
}
