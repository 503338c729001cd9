//! Holding and starting the services of a host that runs: this host.
//!
//! These tests stop, mask and start the mail services of the machine that they run on, so they are
//! ignored unless they are asked for by name, which `tests/live` does inside hosts of the lab.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test makes the source's files and asks the host itself"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use reconcile::apply::{Run, execute};
use reconcile::error::chain;
use reconcile::host::DirHost;
use reconcile::manifest::{Manifest, load};
use reconcile::names::Side;
use reconcile::plan::{Plan, render};
use reconcile::planner::{self, Hosts};
use reconcile::receipt::Receipt;
use reconcile::report::{Event, Reporter};
use reconcile::resource::mail::Look;

struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Event) {}
}

/// A dead server's disk, and the host that we are on.
struct Pair {
    disk: tempfile::TempDir,
    target: DirHost,
    stop: AtomicBool,
}

impl Pair {
    fn new() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = disk.path().join(path);
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
            "From bob@example.org Tue Nov 24 07:00:00 2026\nSubject: 1\n\nhello\n\n",
        );
        Self {
            disk,
            target: DirHost::live(Side::Target, "target (this host)".to_owned()).unwrap(),
            stop: AtomicBool::new(false),
        }
    }

    fn manifest(serve_from: &str, more: &str) -> Manifest {
        let text = format!(
            "version: 1\nname: live\nsource: {{ host: 'dir:/mnt/old' }}\n\
             target: {{ host: 'ssh://root@new' }}\nserve_from: {serve_from}\n\
             dovecot: {{ uidl_format: '%08Xu%08Xv' }}\n{more}"
        );
        load::parse_bytes("migration.yaml", text.as_bytes()).unwrap()
    }

    fn source(&self) -> DirHost {
        DirHost::open(Side::Source, self.disk.path()).unwrap()
    }

    fn plan(&self, manifest: &Manifest) -> Plan {
        let source = self.source();
        let hosts = Hosts {
            source: Some(&source),
            target: &self.target,
        };
        let observation = planner::observe(manifest, hosts, &Look::new(&self.stop)).unwrap();
        planner::plan(manifest, &observation).unwrap()
    }

    /// Applies, and shows the plan when something goes wrong.
    fn apply(&self, manifest: &Manifest) -> Plan {
        let plan = self.plan(manifest);
        let text = render::text(&plan, render::Paint::Plain);
        assert!(plan.blocked.is_empty(), "{text}");
        let source = self.source();
        let outcome = execute(&Run {
            plan: &plan,
            ids: Arc::new(plan.ids.clone()),
            source: Some(&source),
            target: &self.target,
            reporter: &Silent,
            stop: &self.stop,
        })
        .unwrap();
        let failed: Vec<String> = outcome
            .failed
            .iter()
            .map(|(id, error)| format!("{id}: {}", chain(error)))
            .collect();
        assert!(failed.is_empty(), "{failed:?}\n{text}");
        plan
    }

    fn apply_until_empty(&self, manifest: &Manifest) -> Plan {
        let plan = self.apply(manifest);
        let again = self.plan(manifest);
        assert!(
            again.is_empty(),
            "{}",
            render::text(&again, render::Paint::Plain)
        );
        plan
    }

    fn receipt(&self) -> Receipt {
        let name = "live".parse().unwrap();
        Receipt::read(&self.target, &name).unwrap().unwrap()
    }
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.actions.iter().map(|a| a.id.0.as_str()).collect()
}

fn systemctl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemctl").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8(text).unwrap().trim().to_owned(),
    )
}

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// The MTA that is installed here.
fn mta() -> &'static str {
    if Path::new("/usr/sbin/postfix").exists() {
        "postfix"
    } else {
        "sendmail"
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).status();
    status.unwrap().success()
}

/// An open port answers.
fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

const MAIL_PORTS: [u16; 5] = [25, 110, 143, 993, 995];

fn assert_quiet() {
    for port in MAIL_PORTS {
        assert!(!answers(port), "port {port} answers");
    }
    let processes = Command::new("ps").args(["-eo", "args="]).output().unwrap();
    let processes = String::from_utf8(processes.stdout).unwrap();
    let words = ["dovecot", "postfix/sbin/master", "sendmail:"];
    let mail = |line: &&str| words.iter().any(|word| line.contains(word));
    // The command line of the test itself has none of the words.
    assert_eq!(processes.lines().filter(mail).collect::<Vec<_>>(), [""; 0]);
}

fn assert_serving() {
    for port in MAIL_PORTS {
        assert!(answers(port), "port {port} does not answer");
    }
}

#[test]
#[ignore = "stops the mail services of this host"]
fn services_are_held_until_the_target_counts_and_then_serve() {
    assert_serving();
    let pair = Pair::new();
    let staging = Pair::manifest("source", "");
    let plan = pair.apply_until_empty(&staging);
    let mta = mta();
    let held = ["dovecot", mta].map(|name| format!("service/target/{name}/hold"));
    assert_eq!(ids(&plan)[1..3], held);
    assert_quiet();
    if has_systemd() {
        let mta = format!("{mta}.service");
        for unit in ["dovecot.service", "dovecot.socket", &mta] {
            let (started, said) = systemctl(&["start", unit]);
            assert!(!started && said.contains("masked"), "{unit}: {said}");
        }
        assert_quiet();
    }

    let plan = pair.apply_until_empty(&Pair::manifest("target", ""));
    let released = ["dovecot", mta].map(|name| format!("service/target/{name}/release"));
    assert_eq!(ids(&plan)[ids(&plan).len() - 2..], released);
    assert_serving();
    assert!(pair.receipt().services.is_empty());

    // What stops later is started again.
    if has_systemd() {
        assert!(systemctl(&["stop", "dovecot.service"]).0);
    } else {
        assert!(run("/etc/init.d/dovecot", &["stop"]));
    }
    let plan = pair.apply_until_empty(&Pair::manifest("target", ""));
    assert_eq!(ids(&plan), ["service/target/dovecot/release"]);
    assert_serving();
}

#[test]
#[ignore = "stops the mail services of this host"]
fn what_a_hand_or_a_socket_started_is_stopped_too() {
    let pair = Pair::new();
    let staging = Pair::manifest("source", "");
    // By its socket: the service itself is not up.
    assert!(systemctl(&["stop", "dovecot.service", "postfix.service"]).0);
    assert!(systemctl(&["start", "dovecot.socket"]).0);
    pair.apply_until_empty(&staging);
    assert_quiet();
    assert!(
        pair.receipt().services["dovecot"]
            .running
            .contains("dovecot.socket")
    );
    // By hand, past the mask.
    assert!(run("/usr/sbin/dovecot", &[]));
    assert!(answers(143));
    let plan = pair.apply_until_empty(&staging);
    assert_eq!(ids(&plan), ["service/target/dovecot/hold"]);
    assert_quiet();
    // What an admin masked stays masked, and is said.
    assert!(systemctl(&["unmask", "postfix.service"]).0);
    let plan = pair.apply_until_empty(&staging);
    assert_eq!(ids(&plan), ["service/target/postfix/hold"]);
    pair.apply_until_empty(&Pair::manifest("target", ""));
    assert!(systemctl(&["mask", "--now", "dovecot.service"]).0);
    let plan = pair.plan(&Pair::manifest("target", ""));
    let by = plan.blocked[0].by.to_string();
    assert!(by.contains("systemctl unmask dovecot.service"), "{by}");
    assert!(systemctl(&["unmask", "dovecot.service", "dovecot.socket"]).0);
    pair.apply_until_empty(&Pair::manifest("target", ""));
    assert_serving();
}

#[test]
#[ignore = "stops the mail services of this host"]
fn a_unit_of_the_admins_own_cannot_be_masked_and_that_is_said_before() {
    let pair = Pair::new();
    let [from, to] = ["/lib/systemd/system", "/etc/systemd/system"]
        .map(|dir| Path::new(dir).join("dovecot.service"));
    fs::copy(from, &to).unwrap();
    assert!(systemctl(&["daemon-reload"]).0);
    let plan = pair.plan(&Pair::manifest("source", ""));
    let by: Vec<String> = plan.blocked.iter().map(|b| b.by.to_string()).collect();
    assert!(
        by.len() == 1 && by[0].contains("mv /etc/systemd/system/dovecot.service"),
        "{by:?}"
    );
    fs::remove_file(&to).unwrap();
    assert!(systemctl(&["daemon-reload"]).0);
}

fn obstacles(plan: &Plan) -> Vec<String> {
    plan.blocked.iter().map(|b| b.by.to_string()).collect()
}

/// Waits for what happens by itself.
fn wait_for(what: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < until, "it never happened");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "stops the mail services of this host"]
fn a_server_of_other_people_is_stopped_only_if_the_manifest_says_so() {
    let pair = Pair::new();
    let staging = Pair::manifest("source", "");
    assert!(run("useradd", &["-m", "-u", "1900", "ben"]));
    let mbox = Path::new("/var/mail/ben");
    // What cron writes to its admin is no sign of other people.
    let cron = "echo hello | /usr/sbin/sendmail -i -f root ben";
    assert!(run("sh", &["-c", cron]));
    wait_for(|| fs::read_to_string(mbox).is_ok_and(|mail| mail.contains("hello")));
    assert_eq!(obstacles(&pair.plan(&staging)), [""; 0]);
    // Mail from elsewhere is, and so is a client.
    let outside = "echo hi | /usr/sbin/sendmail -i -f anna@example.net ben";
    assert!(run("sh", &["-c", outside]));
    wait_for(|| fs::read_to_string(mbox).is_ok_and(|mail| mail.contains("From anna@example.net")));
    assert!(run("sh", &["-c", "echo ben:secret | chpasswd"]));
    let mut client = TcpStream::connect(("127.0.0.1", 143)).unwrap();
    client.write_all(b"1 LOGIN ben secret\r\n").unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(client.try_clone().unwrap());
    while !said.contains("1 OK") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        assert!(!said.contains("1 NO"), "{said}");
    }
    let found = obstacles(&pair.plan(&staging));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("(mail of ben; sessions of ben)"),
        "{found:?}"
    );
    assert!(answers(143));

    let decided = Pair::manifest("source", "services: { on_other_mail: stop }\n");
    pair.apply_until_empty(&decided);
    assert_quiet();
    // Once it is held the question does not come again.
    assert!(pair.plan(&staging).is_empty());
    pair.apply_until_empty(&Pair::manifest("target", ""));
    assert_serving();
    assert!(run("userdel", &["-r", "-f", "ben"]));
}

/// Run after run dies after another of its commands; the last one finishes.
#[cfg(feature = "failpoints")]
#[test]
#[ignore = "stops the mail services of this host"]
fn a_hold_that_dies_anywhere_is_finished_by_the_next_run() {
    const ARMED: &str = "LIVE_SERVICES_DIE_AT";
    if let Ok(point) = std::env::var(ARMED) {
        reconcile::failpoint::arm(&point);
        let to = if point.ends_with("release") {
            "target"
        } else {
            "source"
        };
        Pair::new().apply(&Pair::manifest(to, ""));
        panic!("it should have died at {point}");
    }
    let die_at = |point: &str| {
        let me = std::env::current_exe().unwrap();
        let name = "a_hold_that_dies_anywhere_is_finished_by_the_next_run";
        let child = Command::new(me)
            .args(["--ignored", "--exact", name])
            .env(ARMED, point)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.code().is_none(), "{point}: {said}");
    };
    let points = [
        "journal:begin:service/target/dovecot/hold",
        "receipt:written",
        "service:dovecot:1",
        "service:dovecot:1",
        "service:postfix:1",
        "service:postfix:1",
    ];
    for point in points {
        die_at(point);
    }
    let pair = Pair::new();
    pair.apply_until_empty(&Pair::manifest("source", ""));
    assert_quiet();
    let held = pair.receipt().services;
    assert!(held["dovecot"].was_running() && held["postfix"].was_running());
    die_at("journal:begin:service/target/dovecot/release");
    pair.apply_until_empty(&Pair::manifest("target", ""));
    assert_serving();
}
