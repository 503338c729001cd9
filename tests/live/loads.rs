//! The load itself: what it proves on a quiet host, over an outage, and that it sees what is wrong.

use std::net::IpAddr;
use std::time::Duration;

use crate::address::{INTERFACE, SERVICE, SERVICE_6, SERVICES};
use crate::cached::Watch;
use crate::host::Host;
use crate::lab::Lab;
use crate::load::{Load, Pace, Protocol};
use crate::office::everybody;

/// People with Maildirs, and the others.
fn move_in(host: &Host) {
    host.hold_service_address().lock_as_procmail_does();
    host.users(everybody());
    host.maildir_users(crate::office::MAILDIR);
}

#[test]
fn a_service_address_stays_where_it_is_configured() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let client = lab.machine(2);
    lab.host("new").use_networkd();
    for host in ["old", "new"].map(|name| lab.host(name)) {
        host.hold_service_address();
        for boot in ["first", "second"] {
            for address in SERVICES {
                assert!(host.has(address), "{address} on {}, {boot}", host.name());
                let knock =
                    format!("exec 3<>/dev/tcp/{address}/25; read -r line <&3; echo \"$line\"");
                let said = client.run(&format!("ip neigh flush all; bash -euc '{knock}'"));
                assert!(
                    said.contains(host.name()),
                    "{address} on {}: {said}",
                    host.name()
                );
            }
            lab.operate("ssh", [host.name(), "true"]).exits(0).done();
            host.run(format!("ping -c 1 -W 2 {}", client.address()));
            if boot == "first" {
                host.reboot();
            }
        }
        host.power_off();
        assert!(!host.has(SERVICE) && !host.has(SERVICE_6));
    }
}

#[test]
fn nothing_of_a_load_is_lost_on_a_quiet_host() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let (host, clients) = (lab.host("old"), lab.machine(2));
    move_in(host);
    let load = Load::start(&clients, &SERVICES, everybody(), Pace::Brisk);
    std::thread::sleep(Duration::from_secs(15));
    assert!(load.acknowledged() > 0);
    load.await_service();
    let settled = load.settle();
    assert!(settled.letters() >= 30, "{}", settled.letters());
    settled.assert_nothing_lost(&clients, host);
}

#[test]
fn a_load_gets_over_an_outage_and_says_how_long_it_was() {
    let Some(lab) = Lab::start(["old=trixie"]) else {
        return;
    };
    let (host, clients) = (lab.host("old"), lab.machine(2));
    move_in(host);
    let load = Load::start(&clients, &SERVICES, everybody(), Pace::Brisk);
    std::thread::sleep(Duration::from_secs(5));
    host.run("systemctl stop dovecot.service 'postfix*'; sleep 5; systemctl start dovecot postfix");
    load.await_service();
    let settled = load.settle();
    settled.assert_nothing_lost(&clients, host);
    for protocol in Protocol::ALL {
        let downtime = settled.downtime(protocol);
        assert!(
            downtime >= Duration::from_secs(5),
            "{protocol}: {downtime:?}"
        );
    }
}

/// What is done to a mailbox behind the clients' backs, and what the load says of it.
const FOUL: [(&str, &[&str]); 5] = [
    // The first letter of the mbox, away.
    (
        "formail -s sh -c 'if test $FILENO -gt 0; then cat; else cat >/dev/null; fi' <box >other",
        &["is lost, by IMAP", "is lost, by files", "vanished"],
    ),
    // The mbox twice.
    (
        "cat box >other; formail -I X-UID: -I Status: -I X-Status: -I X-IMAP: -I X-IMAPbase: \
         -I X-Keywords: -s <box >>other",
        &[
            "is there 2 times, by IMAP",
            "is there 2 times, by files",
            "came as new again",
        ],
    ),
    // All flags and keywords, away.
    (
        "formail -I Status: -I X-Status: -I X-Keywords: -s <box >other",
        &["has lost \\Flagged $Label1", "has lost some of"],
    ),
    // A letter that a client expunged, there again.
    (
        "cat box >other; run=$(grep -o '@.*load.example.com>' box | tail -n 1)
         formail +0 -1 -I X-UID: -I Status: -I X-IMAP: -I X-IMAPbase: \
             -I \"Message-ID: <2$run\" -s <box >>other",
        &["letter 2 to anna: was removed, and is "],
    ),
    // Another's letters.
    ("cat box /var/mail/bela >other", &["is another's"]),
];

#[test]
fn a_load_sees_what_is_done_behind_its_back() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let (host, clients) = (lab.host("old"), lab.machine(2));
    host.hold_service_address().lock_as_procmail_does();
    host.users(["anna", "bela"]);
    for (foul, expected) in FOUL {
        let load = Load::start(&clients, &[SERVICE], ["anna", "bela"], Pace::Brisk);
        load.await_clients();
        host.run(format!(
            "systemctl stop 'postfix@*' dovecot
             cd /var/mail && cp anna /tmp/box && cd /tmp
             {foul}
             cat other >/var/mail/anna && rm -rf ~anna/mail/.imap && rm box other
             systemctl start postfix@- dovecot"
        ));
        load.await_service();
        let problems = load.settle().problems(&clients, host).join("\n");
        for expected in expected {
            assert!(
                problems.contains(expected),
                "{foul}: {expected}\n{problems}"
            );
        }
    }
}

#[test]
fn a_cached_neighbour_entry_outlives_a_move_that_nobody_announces() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    let moves = |address: IpAddr, from: &Host, to: &Host, announce: &str| {
        let watch = Watch::begin(&lab, address, 25, from, to);
        let length = if address.is_ipv4() { 32 } else { 128 };
        from.run(format!("ip addr del {address}/{length} dev {INTERFACE}"));
        to.run(format!(
            "{announce}ip addr add {address}/{length} dev {INTERFACE}"
        ));
        if address.is_ipv4() && !announce.is_empty() {
            to.run(format!("arping -q -U -c 2 -I {INTERFACE} {address}"));
        }
        watch.reached(Duration::from_secs(6))
    };
    old.hold_service_address();
    for address in SERVICES {
        let silent = moves(address, old, new, "");
        assert!(silent.fresh.is_some(), "{address}: {silent:?}");
        assert_eq!(silent.cached, None, "{address}");
        // Back, with a word: the kernel's own for IPv6, after duplicate address detection.
        let announce = format!("echo 1 >/proc/sys/net/ipv6/conf/{INTERFACE}/ndisc_notify; ");
        let told = moves(address, new, old, &announce);
        eprintln!("{address}: {:?}", told.lag());
        assert!(told.lag() < Duration::from_secs(1), "{address}: {told:?}");
    }
}
