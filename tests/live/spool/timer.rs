//! The timer that `spool.timer` has on the target: set up, fired, mended, removed.

use super::{dies, manifest, served};
use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

/// As on a host with prometheus-node-exporter of Debian.
const COLLECTOR: &str = "/var/lib/prometheus/node-exporter";

const TIMER: &str = "spool: { warn: 20kB, timer: { \
                     prometheus: /var/lib/prometheus/node-exporter/spool.prom } }\n";

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

fn try_it(lab: &Lab, host: &Host) {
    served(lab, host, "");
    nothing_is_left(host);
    // What would fail is an obstacle.
    manifest(lab, host, TIMER);
    lab.reconcile(["plan"])
        .exits(3)
        .shows("prometheus-node-exporter")
        .done();
    host.run(format!("mkdir -p {COLLECTOR}"));
    // Wherever a run dies.
    for point in ["timer:program", "timer:unit", "timer:unit"] {
        dies(lab, point);
    }
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    is_settled(lab);
    let unit = "reconcile-spool@live";
    host.run(format!(
        "systemctl is-enabled {unit}.timer; systemctl is-active {unit}.timer
         [ $(stat -c '%a %U' {COLLECTOR}/spool.prom | tr ' ' :) = 644:root ]
         [ $(stat -c '%a %U' /var/lib/reconcile/live/reconcile-spool | tr ' ' :) = 700:root ]
         test -s /var/lib/reconcile/live/spool.json"
    ));
    assert_eq!(ended(host), "success 0");

    // It fires by itself, with an admin's own times in a drop-in.
    host.run(format!(
        "rm {COLLECTOR}/spool.prom; mkdir /etc/systemd/system/{unit}.timer.d
         printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:*\\nAccuracySec=100ms\\n' \
             >/etc/systemd/system/{unit}.timer.d/soon.conf
         systemctl daemon-reload; systemctl restart {unit}.timer"
    ));
    host.await_that(&format!("test -s {COLLECTOR}/spool.prom"));
    host.run(format!(
        "rm -r /etc/systemd/system/{unit}.timer.d; systemctl daemon-reload
         systemctl restart {unit}.timer
         while systemctl is-active {unit}.service; do sleep 0.2; done"
    ));
    is_settled(lab);

    // Somebody has too much.
    host.deliver("anna", &letter("anna", "large", &"A line.\n".repeat(4000)));
    host.run(format!("! systemctl start {unit}.service"));
    assert_eq!(ended(host), "exit-code 2");
    host.run(format!(
        "journalctl -u {unit}.service | grep 'anna: .* is above spool.warn'
         grep 'reconcile_spool_threshold_bytes.threshold=\"warn\". 20000$' {COLLECTOR}/spool.prom"
    ));
    let metrics = host.run(format!(
        "sed -n 's/^reconcile_spool_bytes.user=\"anna\",part=\"inbox\". //p' {COLLECTOR}/spool.prom"
    ));
    assert_eq!(metrics, host.run("stat -c %s /var/mail/anna"));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .shows("`journalctl -u reconcile-spool@live.service`")
        .done();

    // What somebody changes is mended; that somebody has too much is no failure of that.
    host.run(format!(
        "sed -i s/daily/weekly/ /etc/systemd/system/{unit}.timer; systemctl disable --now {unit}.timer
         echo >>/var/lib/reconcile/live/reconcile-spool"
    ));
    lab.reconcile(["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("+OnCalendar=daily")
        .shows("put this program at /var/lib/reconcile/live/reconcile-spool")
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    is_settled(lab);
    host.run(format!("systemctl is-active {unit}.timer"));

    // Only there.
    let here = "/var/lib/reconcile/live/reconcile-spool spool --here";
    host.run(format!("[ $({here} other >/dev/null 2>&1; echo $?) = 64 ]"));

    // Another file; then nothing of it.
    host.run("mkdir /srv/metrics");
    manifest(
        lab,
        host,
        "spool: { timer: { prometheus: /srv/metrics/mail.prom } }\n",
    );
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    host.run(format!(
        "test -s /srv/metrics/mail.prom; ! ls {COLLECTOR}/*prom*"
    ));
    assert_eq!(ended(host), "success 0");
    manifest(lab, host, "");
    for point in ["timer:removed", "timer:removed#3"] {
        dies(lab, point);
    }
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_left(host);
    host.run("! ls /srv/metrics/*");
    is_settled(lab);

    // By the command line.
    lab.reconcile(["spool", "--install-timer", "--yes"])
        .exits(0)
        .says("Commit `spool: { timer: { every: daily } }`")
        .done();
    host.run(format!(
        "systemctl is-active {unit}.timer; journalctl -u {unit}.service | grep 'vera .* '"
    ));
    manifest(lab, host, "spool: { timer: {} }\n");
    lab.reconcile(["spool", "--install-timer", "--yes"])
        .exits(0)
        .shows("Nothing to do")
        .done();
    is_settled(lab);
    manifest(lab, host, "");
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    nothing_is_left(host);
}

#[test]
fn a_timer_measures_the_spool_until_the_manifest_asks_for_none() {
    let Some(lab) = Lab::start(["new=trixie", "twelve=bookworm"]) else {
        return;
    };
    for name in ["new", "twelve"] {
        try_it(&lab, lab.host(name));
    }
}
