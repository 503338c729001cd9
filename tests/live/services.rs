//! The target's services: stopped, masked and quiet while its copy is incomplete, and serving once
//! its mail counts. The source is a dead server's disk, or a host that is only looked at.

use std::fs;

use serde_json::Value;

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;
use crate::operator::Run;

/// A lab's target, and what migrates to it.
struct Target<'a> {
    lab: &'a Lab,
    host: &'a Host,
}

/// The ports that a mail host of the lab offers.
const PORTS: [u16; 5] = [25, 110, 143, 993, 995];

impl Target<'_> {
    fn new<'a>(lab: &'a Lab, name: &str) -> Target<'a> {
        let host = lab.host(name);
        Target { lab, host }
    }

    /// The source is a dead server's disk, with one person on it.
    fn with_disk(&self) -> &Self {
        let write = |path: &str, text: &str| {
            let path = self.lab.work("disk").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/passwd", "alice:x:1500:1500::/home/alice:/bin/sh\n");
        write("etc/shadow", "alice:!:20000:0:99999:7:::\n");
        write("etc/group", "alice:x:1500:\nmail:x:12:\n");
        write("etc/gshadow", "alice:!::\nmail:!::\n");
        write("home/alice/.forward", "");
        write(
            "var/mail/alice",
            "From bob@example.com Tue Nov 24 07:00:00 2026\nSubject: 1\n\nhello\n\n",
        );
        self
    }

    fn manifest(&self, serve_from: &str, more: &str) -> &Self {
        let text = format!(
            "version: 1\nname: live\nsource: {{ host: 'dir:disk' }}\n\
             target: {{ host: 'ssh://root@{}' }}\nserve_from: {serve_from}\n\
             dovecot: {{ uidl_format: '%08Xu%08Xv' }}\n{more}",
            self.host.name()
        );
        fs::write(self.lab.work("migration.yaml"), text).unwrap();
        self
    }

    /// The plan, and the ids of its actions that are about services.
    #[track_caller]
    fn planned(&self) -> (Value, Vec<String>) {
        let run = self.lab.reconcile(["plan", "--format", "json"]);
        let plan: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| {
            panic!("{}", run.describe());
        });
        let ids = plan["actions"].as_array().unwrap().iter();
        let ids = ids.filter_map(|action| action["id"].as_str());
        let services = ids.filter(|id| id.starts_with("service/"));
        let services = services.map(str::to_owned).collect();
        (plan, services)
    }

    #[track_caller]
    fn plans(&self, expected: &[&str]) -> &Self {
        assert_eq!(self.planned().1, expected);
        self
    }

    /// Applies; afterwards there is nothing left to do.
    #[track_caller]
    fn applies(&self) -> &Self {
        self.lab.reconcile(["apply", "--yes"]).exits(0).done();
        self.lab
            .reconcile(["plan", "--detailed-exitcode"])
            .exits(0)
            .done();
        self
    }

    /// Applies, and dies there.
    #[track_caller]
    fn dies_at(&self, point: &str) -> &Self {
        let mut command = self
            .lab
            .operator(env!("CARGO_BIN_EXE_reconcile"), ["apply", "--yes"]);
        let output = command.env("RECONCILE_FAILPOINT", point).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_none(), "{point}: {said}");
        self
    }

    fn answers(&self, port: u16) -> bool {
        let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        self.host.attempt(&connect).status.success()
    }

    #[track_caller]
    fn is_quiet(&self) -> &Self {
        let open: Vec<u16> = PORTS
            .into_iter()
            .filter(|&port| self.answers(port))
            .collect();
        assert_eq!(open, [0_u16; 0], "{}", self.host.name());
        let processes = self.host.run("ps -eo args=");
        let words = ["dovecot", "postfix/sbin/master", "sendmail:"];
        let mail = |line: &&str| words.iter().any(|word| line.contains(word));
        let left: Vec<&str> = processes.lines().filter(mail).collect();
        assert_eq!(left, [""; 0], "{}", self.host.name());
        self
    }

    #[track_caller]
    fn serves(&self) -> &Self {
        let closed = PORTS.into_iter().filter(|&port| !self.answers(port));
        assert_eq!(
            closed.collect::<Vec<_>>(),
            [0_u16; 0],
            "{}",
            self.host.name()
        );
        self
    }

    /// Nobody starts it.
    #[track_caller]
    fn refuses(&self, unit: &str) -> &Self {
        let output = self.host.attempt(&format!("systemctl start {unit}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("masked"),
            "{unit}: {said}"
        );
        self
    }

    fn run(&self, script: &str) -> &Self {
        self.host.run(script);
        self
    }

    fn receipt(&self) -> Value {
        serde_json::from_slice(&self.host.read("/var/lib/reconcile/live/receipt.json")).unwrap()
    }
}

const HOLDS: [&str; 2] = ["service/target/dovecot/hold", "service/target/postfix/hold"];
const RELEASES: [&str; 2] = [
    "service/target/dovecot/release",
    "service/target/postfix/release",
];

#[test]
fn services_are_held_until_the_target_counts_and_then_serve() {
    let Some(lab) = Lab::start(["a=bookworm", "b=trixie"]) else {
        return;
    };
    for name in ["a", "b"] {
        let target = Target::new(&lab, name);
        target.serves().with_disk();
        target.manifest("source", "").plans(&HOLDS).applies();
        target.is_quiet();
        for unit in ["dovecot.service", "dovecot.socket", "postfix.service"] {
            target.refuses(unit);
        }
        // A mask is there after a reboot as well.
        target.host.reboot();
        target.is_quiet().plans(&[]);

        target.manifest("target", "").plans(&RELEASES).applies();
        target.serves();
        assert_eq!(target.receipt()["services"], Value::Null);
        target.run("systemctl stop dovecot.service");
        target.plans(&RELEASES[..1]).applies().serves();
    }
}

#[test]
fn what_a_hand_or_a_socket_started_is_stopped_too() {
    let Some(lab) = Lab::start(["a=trixie"]) else {
        return;
    };
    let target = Target::new(&lab, "a");
    // By its socket: the service itself is not up.
    target.run("systemctl stop dovecot.service postfix.service");
    target.run("systemctl start dovecot.socket").with_disk();
    target.manifest("source", "").applies().is_quiet();
    let ran = &target.receipt()["services"]["dovecot"]["running"];
    assert_eq!(*ran, serde_json::json!(["dovecot.socket"]));
    // By hand, past the mask.
    target.run("dovecot </dev/null >/dev/null 2>&1");
    assert!(target.answers(143));
    target.plans(&HOLDS[..1]).applies().is_quiet();
    // By an admin who did not know.
    target.run("systemctl unmask postfix.service");
    target.plans(&HOLDS[1..]).applies().is_quiet();
    target.refuses("postfix.service");

    target.manifest("target", "").applies().serves();
    // What an admin masks stays masked, and is said.
    target.run("systemctl mask --now dovecot.service");
    let run = lab.reconcile(["plan"]).exits(3);
    run.shows("`systemctl unmask dovecot.service`").done();
    target.run("systemctl unmask dovecot.service");
    target.applies().serves();
}

#[test]
fn a_run_that_dies_anywhere_is_finished_by_the_next() {
    let Some(lab) = Lab::start(["a=bookworm"]) else {
        return;
    };
    if !cfg!(feature = "failpoints") {
        eprintln!("left out: this test needs `--features failpoints`");
        return;
    }
    let target = Target::new(&lab, "a");
    target.with_disk().manifest("source", "");
    for point in [
        "journal:begin:service/target/dovecot/hold",
        // The record is written, and nothing is stopped.
        "receipt:written",
        // Stopped and not masked; then masked.
        "service:dovecot:1",
        "service:dovecot:1",
        "service:postfix:1",
    ] {
        target.dies_at(point);
    }
    target.applies().is_quiet();
    let held = target.receipt()["services"].clone();
    for (service, unit) in [
        ("dovecot", "dovecot.service"),
        ("postfix", "postfix.service"),
    ] {
        let ran = held[service]["running"].as_array().unwrap();
        assert!(ran.iter().any(|ran| ran == unit), "{held}");
    }
    target.manifest("target", "");
    for point in [
        "journal:begin:service/target/dovecot/release",
        // Unmasked and not started.
        "service:dovecot:1",
    ] {
        target.dies_at(point);
    }
    target.applies().serves();
}

#[test]
fn a_server_of_other_people_is_stopped_only_if_the_manifest_says_so() {
    let Some(lab) = Lab::start(["a=trixie"]) else {
        return;
    };
    let target = Target::new(&lab, "a");
    target.with_disk().manifest("source", "");
    // What cron writes to its admin is no sign of other people.
    target.host.users(["ben"]);
    target.run("echo hello | sendmail -i -f root ben");
    target.host.await_that("grep -q hello /var/mail/ben");
    target.plans(&HOLDS);
    lab.reconcile(["plan"]).exits(0).done();
    // Mail from elsewhere is, and so is a client.
    target
        .host
        .deliver("ben", &letter("ben", "hello", "Only a line.\n"));
    let client = target.host.imap("ben");
    let run: Run = lab.reconcile(["apply", "--yes"]);
    run.exits(3)
        .shows("(mail of ben; sessions of ben)")
        .shows("`services.on_other_mail: stop`")
        .done();
    target.serves();
    drop(client);
    target.manifest("source", "services: { on_other_mail: stop }\n");
    target.applies().is_quiet();
    // Once they are held the question does not come again.
    target.manifest("source", "").plans(&[]);
    target.manifest("target", "").applies().serves();
}

#[test]
fn sendmail_is_held_and_a_live_source_is_only_looked_at() {
    let Some(lab) = Lab::start(["old=bookworm", "new=bookworm-sendmail"]) else {
        return;
    };
    lab.host("old").users(["alice"]);
    lab.host("old")
        .deliver("alice", &letter("alice", "hello", "Only a line.\n"));
    lab.manifest("source", "");
    let target = Target::new(&lab, "new");
    target.plans(&[HOLDS[0], "service/target/sendmail/hold"]);
    let plan = lab.reconcile(["plan"]).exits(0);
    let plan =
        plan.shows("postfix.service is active (exited), enabled; postfix@-.service is active");
    plan.shows("sendmail.service is active (running), generated")
        .done();
    lab.reconcile(["apply", "--yes"]).exits(0).done();
    target.is_quiet().refuses("sendmail.service");
    Target::new(&lab, "old").serves();
    lab.manifest("target", "");
    lab.reconcile(["plan"])
        .exits(3)
        .shows("the manifest names no address that moves")
        .done();
}

#[test]
fn a_unit_file_of_the_admin_is_in_the_way_of_a_mask() {
    let Some(lab) = Lab::start(["a=trixie"]) else {
        return;
    };
    let target = Target::new(&lab, "a");
    target.with_disk().manifest("source", "");
    target.run(
        "cp /lib/systemd/system/dovecot.service /etc/systemd/system/ && systemctl daemon-reload",
    );
    let run = lab.reconcile(["plan"]).exits(3);
    // The remedy is there to be pasted.
    let (_, after) = run.stdout.split_once("`mv ").unwrap();
    let (remedy, _) = after.split_once('`').unwrap();
    target.run(&format!(
        "mkdir -p /usr/local/lib/systemd/system && mv {remedy}"
    ));
    target.applies().is_quiet().refuses("dovecot.service");
    target.manifest("target", "").applies().serves();
}
