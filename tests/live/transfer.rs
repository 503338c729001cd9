//! What goes over a network: a copy over a slow one, how much and how fast; and the program itself.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::lab::Lab;
use crate::operator::BINARY;

/// Bytes that a host has sent to the operator.
fn sent(host: &Host) -> u64 {
    let count = host.run("cat /sys/class/net/mgmt0/statistics/tx_bytes");
    count.trim().parse().unwrap()
}

/// Bytes that a host has got from the operator.
fn got(host: &Host) -> u64 {
    let count = host.run("cat /sys/class/net/mgmt0/statistics/rx_bytes");
    count.trim().parse().unwrap()
}

#[test]
fn hosts_that_keep_the_program_are_sent_it_once() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let hosts = [lab.host("old"), lab.host("new")];
    hosts[0].users(["alice"]);
    let size = fs::metadata(BINARY).unwrap().len();
    let kept = "/var/lib/reconcile/live/program";
    let sent_by = |arguments: [&str; 2]| {
        let before = hosts.map(got);
        lab.reconcile(arguments).exits(0).done();
        let after = hosts.map(got);
        [after[0] - before[0], after[1] - before[1]]
    };
    let rest = "dovecot: { accept: [userdb] }\n";
    lab.manifest("source", &format!("{rest}transfer: {{ program: keep }}\n"));
    for bytes in sent_by(["apply", "--yes"]) {
        assert!(bytes > size, "{bytes}");
    }
    for host in hosts {
        assert_eq!(host.run(format!("stat -c '%U %a' {kept}")), "root 700\n");
    }
    for bytes in sent_by(["plan", "--detailed-exitcode"]) {
        assert!(bytes < size / 10, "{bytes}");
    }
    // Another version of the same size is found out, and replaced once there is something to do.
    hosts[1].run(format!(
        "printf x | dd of={kept} seek={} bs=1 conv=notrunc",
        size - 1
    ));
    let [old, new] = sent_by(["apply", "--yes"]);
    assert!(old < size / 10 && new > size, "{old} {new}");
    let [old, new] = sent_by(["apply", "--yes"]);
    assert!(old < size / 10 && new < size / 10, "{old} {new}");
    // A torn one does not run.
    hosts[0].run(format!("head -c {size} /dev/zero >{kept}"));
    let [old, new] = sent_by(["plan", "--detailed-exitcode"]);
    assert!(old > size && new < size / 10, "{old} {new}");
    // It goes once it is not wanted any more; what the target has besides stays.
    lab.manifest("source", &format!("{rest}transfer: {{}}\n"));
    sent_by(["apply", "--yes"]);
    hosts[0].run("test ! -e /var/lib/reconcile");
    hosts[1].run(format!(
        "test ! -e {kept} && test -e /var/lib/reconcile/live/receipt.json"
    ));
}

/// 5 MB/s, as `tc tbf` makes it.
const SLOW: &str = "tc qdisc add dev mgmt0 root tbf rate 40mbit burst 64kb latency 400ms";

/// 24 MB of words, none of them where compressing still remembers the last time.
const LETTERS: &str = r#"
    awk 'BEGIN {
        srand(1)
        while (bytes < 4000000) {
            line = sprintf("From: u%d@example.org", rand() * 900)
            for (n = 0; n < 9; n++) line = line sprintf(" %dword", rand() * rand() * 5000)
            print line
            bytes += length(line) + 1
        }
    }' >/tmp/words
    for copy in 1 2 3 4 5 6; do cat /tmp/words; done >~alice/archive
"#;

#[test]
fn a_slow_network_is_spared_and_a_limit_is_kept() {
    let Some(lab) = Lab::start(["old=bookworm", "new=bookworm"]) else {
        return;
    };
    let old = lab.host("old");
    old.users(["alice"]).run(LETTERS);
    old.run(SLOW);
    lab.manifest(
        "source",
        "dovecot: { accept: [userdb] }\ntransfer: { path: relay }\n",
    );
    let before = sent(old);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    let took = sent(old) - before;
    assert!(took < 19_000_000, "{took} bytes for 24 MB of letters");

    // What does not shrink, and a limit below what the network takes.
    let limit = 2_000_000.0;
    old.run("head -c 12000000 /dev/urandom >~alice/photos");
    lab.manifest(
        "source",
        "dovecot: { accept: [userdb] }\ntransfer: { path: relay, limit: 2MB/s }\n",
    );
    let events = fs::File::create(lab.work("events")).unwrap();
    let mut apply = lab.operator(BINARY, ["apply", "--yes", "--json"]);
    let mut apply = apply.stdout(events).stderr(Stdio::null()).spawn().unwrap();
    let mut fastest: f64 = 0.0;
    let (mut since, mut before) = (Instant::now(), sent(old));
    let ended = loop {
        std::thread::sleep(Duration::from_secs(2));
        let (now, so_far) = (Instant::now(), sent(old));
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = (so_far - before) as f64 / now.duration_since(since).as_secs_f64();
        (since, before) = (now, so_far);
        fastest = fastest.max(rate);
        if let Some(ended) = apply.try_wait().unwrap() {
            break ended;
        }
    };
    assert!(ended.success(), "{ended}");
    assert!(fastest < limit * 1.5, "{fastest} bytes a second");
    assert!(fastest > limit * 0.3, "{fastest} bytes a second");
    let events = fs::read_to_string(lab.work("events")).unwrap();
    assert!(events.contains(r#""held_by":"limit""#), "{events}");
}
