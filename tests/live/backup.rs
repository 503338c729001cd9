//! A backup mail exchanger: mail that comes while nobody else takes it arrives, once, and mail for nobody
//! is refused everywhere. The name server is a real one, in the operator's network.

use std::fs;

use crate::address::SERVICE;
use crate::host::Host;
use crate::lab::Lab;
use crate::operator::Run;

const REST: &str = "dovecot: { accept: [userdb, tls] }\nfreeze: { budget: 90s }\n";
const NAMED: &str = "  hostname: mail.example.org\n  probe: { user: zita }\n";

/// Where the operator's name server is.
const NAME_SERVER: &str = "198.51.100.1";

fn mx(backup: bool) -> String {
    let backup = if backup {
        "\n  backup: { host: ssh://root@mx2 }"
    } else {
        ""
    };
    format!("{REST}mx:\n  domain: example.org\n  nameservers: [{NAME_SERVER}]{backup}\n")
}

/// The zone: the service first, then the backup; and a domain that has no backup.
fn name_server(lab: &Lab, backup: &Host) {
    let zone = format!(
        "no-resolv\nno-hosts\nuser=root\npid-file=\nlisten-address={NAME_SERVER}\nbind-interfaces\n\
         local-ttl=60\nhost-record=mail.example.org,{SERVICE}\n\
         host-record=mx2.example.org,{}\nmx-host=example.org,mail.example.org,10\n\
         mx-host=example.org,mx2.example.org,20\nmx-host=alone.example,mail.example.org,10\n",
        backup.mail_address()
    );
    fs::write(lab.work("zone"), zone).unwrap();
    lab.operate("dnsmasq", ["--conf-file=zone"]).exits(0).done();
}

/// Sends by the exchangers that DNS names, and tries again soon.
fn sender(host: &Host) {
    host.run(format!(
        "echo nameserver {NAME_SERVER} >/etc/resolv.conf
         postconf -e mydestination=localhost relayhost= smtp_connect_timeout=2s \
             smtp_helo_timeout=5s minimal_backoff_time=5s maximal_backoff_time=5s queue_run_delay=3s \
             smtp_host_lookup=dns inet_protocols=ipv4 myorigin=example.com
         systemctl restart postfix"
    ));
}

/// Letters come all the time, numbered, one at a time.
const SENDS: &str = "\
    setsid -f bash -c 'n=0; while [ ! -e /stop ]; do n=$((n+1)); \
        printf \"Subject: number $n\\n\\ntext\\n\" | sendmail -f sender@example.com bela@example.org && echo $n >/sent; \
        sleep 0.5; done' >/dev/null 2>&1 </dev/null";

/// What somebody is told who asks for a recipient at an address.
fn asked(from: &Host, at: &str, recipient: &str) -> String {
    from.run(format!(
        "exec 3<>/dev/tcp/{at}/25
         say() {{ [ -z \"$1\" ] || printf '%s\\r\\n' \"$1\" >&3; while read -r -t 10 line <&3; do \
             case $line in ???-*) ;; *) break ;; esac; done; }}
         say ''; say 'EHLO sender.example.com'; say 'MAIL FROM:<>'; say 'RCPT TO:<{recipient}>'
         echo \"$line\"; say QUIT"
    ))
}

/// A night on which the primary is away, whose hours are seconds: what waits, waits on the backup, and while
/// that is away, too, on the sender. None of it is given up, however often it is tried, and it is a long
/// night: what has no backup comes back to its sender.
fn night(lab: &Lab) {
    let [old, backup, far] = ["old", "mx2", "far"].map(|name| lab.host(name));
    // Both of Debian's units: systemctl waits for what it is told to stop, and not for what goes with it.
    old.run("systemctl stop 'postfix*'");
    // Two procmails that meet at a mailbox wait for 8 s.
    old.run("postconf -e local_destination_concurrency_limit=1");
    // Debian tries again after 300 to 4000 s, for five days. Not by a reload: a letter that the queue manager
    // of before it defers meanwhile is not tried again for 300 s.
    backup.run(
        "postconf -e minimal_backoff_time=1s maximal_backoff_time=4s queue_run_delay=1s
         systemctl restart postfix@-.service",
    );
    let sends = |from: &str, to: &str, numbers: &str| {
        far.run(format!(
            "for n in {numbers}; do printf \"Subject: night $n\\n\\ntext\\n\" | sendmail -f {from} {to}; done"
        ));
    };
    let waits = |host: &Host, number: usize| {
        host.await_that(&format!("[ $(postqueue -j | wc -l) = {number} ]"));
    };
    sends("sender@example.com", "bela@example.org", "1 2 3");
    waits(backup, 3);
    // The backup itself is away for a while.
    backup.run("systemctl stop 'postfix*'");
    sends("sender@example.com", "bela@example.org", "4 5");
    far.await_that("[ $(postqueue -j | grep -c delay_reason) = 2 ]");
    backup.run("systemctl start postfix");
    waits(backup, 5);
    // Whoever sends gives up after 5 s.
    far.run("postconf -e maximal_queue_lifetime=5s && postfix reload");
    sends("admin@localhost", "bela@alone.example", "6");
    sends("sender@example.com", "bela@example.org", "7");
    far.await_that("grep 'Undelivered Mail Returned to Sender' /var/mail/admin");
    waits(backup, 6);
    backup.await_that("[ $(journalctl | grep -c status=deferred) -ge 24 ]");

    old.run("systemctl start postfix");
    old.await_that("[ $(grep -c '^Subject: night' /var/mail/bela) -ge 6 ]");
    backup.await_deliveries();
    let subjects = old.run("grep -h '^Subject: night' /var/mail/bela | sort");
    let expected = [1, 2, 3, 4, 5, 7].map(|number| format!("Subject: night {number}"));
    assert_eq!(subjects.lines().collect::<Vec<_>>(), expected);
    for (host, returned) in [(far, "1"), (backup, "0"), (old, "0")] {
        let log = "journalctl | grep -cE 'status=(bounced|expired)' || true";
        assert_eq!(host.run(log).trim(), returned, "{}", host.name());
    }
    far.run("postconf -X maximal_queue_lifetime && postfix reload");
}

/// A backup that would give up before the night is over is found, and one that takes whoever is named.
fn unfit(lab: &Lab) {
    let backup = lab.host("mx2");
    backup.run(
        "postconf -e maximal_queue_lifetime=10m smtpd_reject_unlisted_recipient=no
         postfix reload; sleep 1",
    );
    let run = lab.reconcile(["plan"]).exits(3);
    for problem in [
        "the backup's Postfix gives mail up after 10m",
        "the backup takes mail for people whom nobody knows",
    ] {
        tells(&run, problem);
    }
    backup.run(
        "postconf -X maximal_queue_lifetime smtpd_reject_unlisted_recipient minimal_backoff_time \
             maximal_backoff_time queue_run_delay
         postfix reload",
    );
}

/// Letters that came by the backup.
fn relayed(host: &Host) -> usize {
    let count = host.run("grep -c 'from mx2' /var/mail/bela || true");
    count.trim().parse().unwrap()
}

fn tells(run: &Run, text: &str) {
    let said = run.describe();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words.join(" ").contains(text), "not told {text:?}: {said}");
}

#[test]
fn mail_that_waits_on_the_backup_arrives_once_and_nobody_unknown_gets_any() {
    let specs = ["old=bookworm", "new=trixie", "mx2=bookworm", "far=bookworm"];
    let Some(lab) = Lab::start(specs) else {
        return;
    };
    let [old, new, backup, far] = ["old", "new", "mx2", "far"].map(|name| lab.host(name));
    old.hold_service_address().lock_as_procmail_does();
    old.users(["bela", "zita"]);
    old.run("echo 'office: bela' >>/etc/aliases && newaliases");
    new.run("sed -i '/example.org/!s/^mydestination = /&example.org, /' /etc/postfix/main.cf");
    // It relays for somebody else already, and takes everybody there.
    backup.run(
        "postconf -e mydestination=localhost mynetworks=127.0.0.0/8 'relay_domains = other.example'
         systemctl restart postfix; cp /etc/postfix/main.cf /root/main.cf",
    );
    name_server(&lab, backup);
    sender(far);

    lab.cutover_manifest("source", NAMED, &mx(true));
    tells(&lab.reconcile(["plan"]).exits(0), "queues for the domain");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    let at = backup.mail_address();
    for (recipient, code) in [
        ("bela@example.org", "250"),
        ("office@example.org", "250"),
        ("no-such-person@example.org", "550"),
        ("bela@sub.example.org", "550"),
        ("anybody@other.example", "250"),
        ("anybody@example.com", "454"), // Debian: defer_unauth_destination
    ] {
        let said = asked(far, at, recipient);
        assert!(said.starts_with(code), "{recipient}: {said}");
    }
    // What somebody changes there is put right.
    backup.run("echo >/etc/postfix/reconcile-live/recipients; postfix reload");
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();

    night(&lab);
    lab.cutover_manifest("target", NAMED, &mx(true));
    unfit(&lab);
    let by_night = relayed(old);
    far.run(SENDS);
    let run = lab.reconcile(["apply", "--yes"]).exits(0);
    let said = run.describe();
    eprintln!("{said}");
    far.run("touch /stop; sleep 2");
    far.run("for n in $(seq 30); do mailq | grep -q 'queue is empty' && break; postqueue -f; sleep 1; done");
    backup.await_deliveries();
    new.await_deliveries();
    let sent: usize = far.run("cat /sent").trim().parse().unwrap();
    let subjects = new.run("grep -h '^Subject: number' /var/mail/bela | sort | uniq -c");
    let all: Vec<&str> = subjects.lines().collect();
    assert_eq!(all.len(), sent, "{subjects}");
    assert!(
        all.iter().all(|line| line.trim_start().starts_with("1 ")),
        "{subjects}"
    );
    // Some of them went by the backup, and the run counted them.
    assert!(relayed(new) > by_night, "nothing came by the backup");
    assert!(said.contains("waited on the backup, 0 left"), "{said}");
    for address in [SERVICE.to_string().as_str(), at] {
        let said = asked(far, address, "no-such-person@example.org");
        assert!(said.starts_with("550"), "{address}: {said}");
    }

    // A relay for everybody is found.
    backup.run("postconf -e mynetworks=0.0.0.0/0 && postfix reload; sleep 1");
    tells(
        &lab.reconcile(["plan"]).exits(0),
        "the backup takes mail for domains that are not its",
    );
    backup.run("postconf -e mynetworks=127.0.0.0/8 && postfix reload");

    // Taken out of the manifest it is as it was.
    lab.cutover_manifest("target", NAMED, &mx(false));
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    backup.run("! ls /etc/postfix/reconcile-live && ! grep reconcile /etc/postfix/main.cf");
    backup.run("[ \"$(postconf -h relay_domains)\" = other.example ]");
}
