//! The timer that `spool.timer` has on the target: set up, fired, mended, removed.

use super::{dies, manifest, served};
use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

/// As on a host with prometheus-node-exporter of Debian.
const COLLECTOR: &str = "/var/lib/prometheus/node-exporter";

const TIMER: &str = "spool: { warn: 20kB, timer: { \
                     prometheus: /var/lib/prometheus/node-exporter/spool.prom } }\n";

const UNIT: &str = "reconcile-spool@live";
const PROGRAM: &str = "/var/lib/reconcile/live/reconcile-spool";

/// Nothing of it is there, and systemd knows of nothing.
#[track_caller]
fn nothing_is_left(host: &Host) {
    host.run(format!(
        "! ls -d /etc/systemd/system/reconcile-spool@* /etc/systemd/system/*.wants/reconcile-spool@* \
             /var/lib/reconcile/live/reconcile-spool* {COLLECTOR}/*prom* \
             /var/lib/systemd/timers/*reconcile*
         [ -z \"$(systemctl list-units --all --no-legend 'reconcile-spool@*')\" ]
         [ -z \"$(systemctl list-unit-files --no-legend 'reconcile-spool@*')\" ]"
    ));
}

#[track_caller]
fn is_settled(lab: &Lab) {
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

/// How the service ended.
fn ended(host: &Host) -> String {
    host.run("systemctl show -p Result,ExecMainStatus --value reconcile-spool@live.service")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// It fires by itself, with an admin's own times in a drop-in.
#[track_caller]
fn fires(host: &Host) {
    host.run(format!(
        "rm {COLLECTOR}/spool.prom; mkdir /etc/systemd/system/{UNIT}.timer.d
         printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:*\\nAccuracySec=100ms\\n' \
             >/etc/systemd/system/{UNIT}.timer.d/soon.conf
         systemctl daemon-reload; systemctl restart {UNIT}.timer"
    ));
    host.await_that(&format!("test -s {COLLECTOR}/spool.prom"));
    host.run(format!(
        "rm -r /etc/systemd/system/{UNIT}.timer.d; systemctl daemon-reload
         systemctl restart {UNIT}.timer
         while systemctl is-active {UNIT}.service; do sleep 0.2; done"
    ));
}

/// It fails with exit code 2 once somebody has too much, and says who.
#[track_caller]
fn tells_of_too_much(host: &Host) {
    assert_eq!(ended(host), "success 0");
    host.deliver("anna", &letter("anna", "large", &"A line.\n".repeat(4000)));
    host.run(format!("! systemctl start {UNIT}.service"));
    assert_eq!(ended(host), "exit-code 2");
    host.run(format!(
        "journalctl -u {UNIT}.service | grep 'anna: .* is above spool.warn'
         grep 'reconcile_spool_threshold_bytes.threshold=\"warn\". 20000$' {COLLECTOR}/spool.prom"
    ));
    let metrics = host.run(format!(
        "sed -n 's/^reconcile_spool_bytes.user=\"anna\",part=\"inbox\". //p' {COLLECTOR}/spool.prom"
    ));
    assert_eq!(metrics, host.run("stat -c %s /var/mail/anna"));
}

#[test]
fn a_timer_measures_the_spool_until_the_manifest_asks_for_none() {
    let Some(lab) = Lab::start(["new=trixie", "twelve=bookworm"]) else {
        return;
    };
    let host = lab.host("new");
    served(&lab, host, "");
    nothing_is_left(host);
    // What would fail is an obstacle.
    manifest(&lab, host, TIMER);
    lab.reconcile(["plan"])
        .exits(3)
        .shows("prometheus-node-exporter")
        .done();
    host.run(format!("mkdir -p {COLLECTOR}"));
    // Wherever a run dies.
    dies(&lab, "timer:unit");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    is_settled(&lab);
    host.run(format!(
        "systemctl is-enabled {UNIT}.timer; systemctl is-active {UNIT}.timer
         [ $(stat -c '%a %U' {COLLECTOR}/spool.prom | tr ' ' :) = 644:root ]
         [ $(stat -c '%a %U' {PROGRAM} | tr ' ' :) = 700:root ]
         test -s /var/lib/reconcile/live/spool.json"
    ));
    fires(host);
    tells_of_too_much(host);
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .shows("`journalctl -u reconcile-spool@live.service`")
        .done();

    // What somebody changes is mended; that somebody has too much is no failure of that.
    host.run(format!(
        "sed -i s/daily/weekly/ /etc/systemd/system/{UNIT}.timer; systemctl disable --now {UNIT}.timer
         echo >>{PROGRAM}"
    ));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("+OnCalendar=daily")
        .shows(&format!("put this program at {PROGRAM}"))
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    host.run(format!("systemctl is-active {UNIT}.timer"));
    // Of another migration there is nothing here.
    host.run(format!(
        "[ $({PROGRAM} spool --here other >/dev/null 2>&1; echo $?) = 64 ]"
    ));

    // Another file; then nothing of it.
    host.run("mkdir /srv/metrics");
    let other = "spool: { timer: { prometheus: /srv/metrics/mail.prom } }\n";
    manifest(&lab, host, other);
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    host.run(format!(
        "test -s /srv/metrics/mail.prom; ! ls {COLLECTOR}/*prom*"
    ));
    manifest(&lab, host, "");
    dies(&lab, "timer:removed");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_left(host);
    host.run("! ls /srv/metrics/*");

    // By the command line.
    lab.reconcile(["spool", "--install-timer", "--yes"])
        .exits(0)
        .says("Commit `spool: { timer: { every: daily } }`")
        .done();
    host.run(format!(
        "systemctl is-active {UNIT}.timer; journalctl -u {UNIT}.service | grep 'vera .* '"
    ));
    lab.reconcile(["spool", "--install-timer", "--yes"])
        .exits(0)
        .shows("Nothing to do")
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_left(host);

    // On Debian 12, at the hand-over itself.
    let host = lab.host("twelve");
    host.run(format!("mkdir -p {COLLECTOR}"));
    served(&lab, host, TIMER);
    is_settled(&lab);
    fires(host);
    tells_of_too_much(host);
    manifest(&lab, host, "");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_left(host);
    is_settled(&lab);
}
