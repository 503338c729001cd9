//! The dead man's switch of a host: what a host gives back by itself, whoever and whatever dies.
//!
//! The switch is worked by this same program, run again as the lab's operator ([`inside`]), which
//! reaches the host by ssh as a run of `reconcile` does.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use reconcile::host::ssh::Environment;
use reconcile::host::step::{Assignment, OnInterface};
use reconcile::host::switch::{Advance, Arming, Moment, Replacement, Settlement};
use reconcile::host::{Command, Operator, Step, reach_target};
use reconcile::manifest::{MigrationName, Source};

use crate::host::Host;
use crate::lab::Lab;

/// Beside the hosts' own addresses on the mail network; nobody has it at first.
const SERVICE: &str = "198.51.100.25";

/// Where a host keeps what belongs to a migration.
const RECORDS: &str = "/var/lib/reconcile/move";

/// What the operator asks of a host.
#[derive(Clone, Serialize, Deserialize)]
enum Order {
    Arm(Arming),
    Advance(Advance),
    Trip(MigrationName),
    Settle(Settlement),
    Wait(Duration),
}

#[derive(Serialize, Deserialize)]
struct Orders {
    host: String,
    orders: Vec<Order>,
}

/// The operator: does what is ordered, and says what came of each.
#[test]
#[ignore = "run by the other tests, as the operator"]
fn inside() {
    let Ok(orders) = std::fs::read("orders.json") else {
        return;
    };
    let Orders { host, orders } = serde_json::from_slice(&orders).unwrap();
    let source = Source {
        host: host.parse().unwrap(),
        host_key: None,
        become_root: None,
    };
    let operator = Operator {
        environment: Environment {
            home: std::env::var_os("HOME").map(PathBuf::from),
            runtime_dir: None,
            temp_dir: std::env::var_os("TMPDIR").map(PathBuf::from),
        },
        program: PathBuf::from(env!("CARGO_BIN_EXE_reconcile")),
        base: PathBuf::new(),
        migration: None,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let host = reach_target(&source, &operator).unwrap();
    for order in orders {
        let done = match order {
            Order::Arm(arming) => host.arm(&arming),
            Order::Advance(advance) => host.advance(&advance),
            Order::Trip(name) => host.trip(&name),
            Order::Settle(settlement) => host.settle(&settlement),
            Order::Wait(time) => {
                std::thread::sleep(time);
                Ok(())
            }
        };
        let answer = match done {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{:?}: {}", error.kind(), reconcile::error::chain(&error)),
        };
        eprintln!("answer: {answer}");
    }
}

fn name() -> MigrationName {
    "move".parse().unwrap()
}

fn arm(seconds: u64, commit: &[Step]) -> Order {
    Order::Arm(Arming {
        name: name(),
        epoch: 1,
        within: Duration::from_secs(seconds),
        commit: commit.to_vec(),
    })
}

fn advance(undo: &[Step], steps: &[Step]) -> Order {
    advance_with(undo, Vec::new(), steps)
}

fn advance_with(undo: &[Step], files: Vec<Replacement>, steps: &[Step]) -> Order {
    Order::Advance(Advance {
        name: name(),
        epoch: 1,
        undo: undo.to_vec(),
        files,
        steps: steps.to_vec(),
    })
}

fn settle(moment: Moment) -> Order {
    Order::Settle(Settlement {
        name: name(),
        epoch: 1,
        receipt: br#"{"version":1,"epoch":1}"#.to_vec(),
        moment,
    })
}

fn stop(unit: &str) -> Step {
    Step::Run(Command::StopUnits(vec![unit.to_owned()]))
}

fn start(unit: &str) -> Step {
    Step::Run(Command::StartUnits(vec![unit.to_owned()]))
}

fn mask(unit: &str) -> Step {
    Step::Run(Command::MaskUnits(vec![unit.to_owned()]))
}

fn unmask(unit: &str) -> Step {
    Step::Run(Command::UnmaskUnits(vec![unit.to_owned()]))
}

fn assignment() -> Assignment {
    Assignment {
        net: format!("{SERVICE}/32").parse().unwrap(),
        interface: "host0".to_owned(),
    }
}

fn on_interface() -> OnInterface {
    OnInterface {
        address: SERVICE.parse().unwrap(),
        interface: "host0".to_owned(),
    }
}

/// Dovecot is stopped and masked, and comes back.
fn freeze() -> Order {
    let unit = "dovecot.service";
    advance(&[start(unit), unmask(unit)], &[mask(unit), stop(unit)])
}

impl Lab {
    /// An operator that works a host's switch; its answers come on standard error.
    fn order(&self, host: &str, orders: Vec<Order>) -> Child {
        let host = format!("ssh://root@{host}");
        let orders = serde_json::to_vec(&Orders { host, orders }).unwrap();
        std::fs::write(self.work("orders.json"), orders).unwrap();
        let program = std::env::current_exe().unwrap();
        let arguments = ["switch::inside", "--exact", "--ignored", "--nocapture"];
        let mut command = self.operator(program.to_str().unwrap(), arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The same to its end: what came of each order.
    fn orders(&self, host: &str, orders: Vec<Order>) -> Vec<String> {
        let count = orders.len();
        let mut child = self.order(host, orders);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{said:#?}");
        let answers = said.iter().filter_map(|line| line.strip_prefix("answer: "));
        let answers: Vec<String> = answers.map(str::to_owned).collect();
        assert_eq!(answers.len(), count, "{said:#?}");
        answers
    }

    /// All is done.
    #[track_caller]
    fn done(&self, host: &str, orders: Vec<Order>) {
        let answers = self.orders(host, orders);
        assert!(answers.iter().all(|answer| answer == "done"), "{answers:?}");
    }
}

/// Waits until the operator has had so many answers.
#[track_caller]
fn hear(child: &mut Child, count: usize) {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut answers = lines
        .map(Result::unwrap)
        .filter(|l| l.starts_with("answer: "));
    for _ in 0..count {
        assert_eq!(answers.next().unwrap(), "answer: done");
    }
}

impl Host {
    /// Nothing of a switch is left: no service, no program, no process, no record.
    #[track_caller]
    fn has_no_trace_but(&self, records: &str) {
        self.await_that(
            "! pgrep -f '[r]econcile watch' && test ! -e /etc/systemd/system/reconcile-move.service \
             && test ! -e /etc/systemd/system/multi-user.target.wants/reconcile-move.service \
             && test ! -e /etc/init.d/reconcile-move",
        );
        let left =
            self.run("cd /var/lib/reconcile 2>/dev/null && find . -mindepth 1 | sort || true");
        assert_eq!(left, records);
    }
}

#[test]
fn a_host_gives_back_by_itself_what_nobody_confirms() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    for name in ["old", "new"] {
        let host = lab.host(name);
        let hosts = host.read("/etc/hosts");
        let replaced = Replacement {
            path: "/etc/hosts".into(),
            content: b"127.0.0.1 localhost\n".to_vec(),
            mode: 0o644,
        };
        let began = Instant::now();
        lab.done(
            name,
            vec![
                arm(15, &[]),
                freeze(),
                advance_with(
                    &[Step::DropAddress(assignment())],
                    vec![replaced],
                    &[Step::TakeAddress(assignment())],
                ),
            ],
        );
        eprintln!("armed and advanced after {:?}", began.elapsed());
        // The connection is gone.
        host.run("systemctl is-active reconcile-move && systemctl is-enabled reconcile-move");
        host.run(format!("ip addr show dev host0 | grep -F {SERVICE}/32"));
        let state = host.attempt("systemctl is-enabled dovecot").stdout;
        assert_eq!(state, b"masked\n");
        assert_eq!(host.read("/etc/hosts"), b"127.0.0.1 localhost\n");
        host.await_that("systemctl is-active dovecot");
        assert!(
            began.elapsed() > Duration::from_secs(15),
            "it waits for its deadline"
        );
        host.has_no_trace_but("");
        host.run(format!("! ip addr show dev host0 | grep -F {SERVICE}/32"));
        assert_eq!(host.read("/etc/hosts"), hosts);
    }
    // Late is late, and trip is trip.
    let old = lab.host("old");
    let wait = Order::Wait(Duration::from_secs(3));
    let answers = lab.orders(
        "old",
        vec![arm(2, &[]), freeze(), wait, freeze(), settle(Moment::Now)],
    );
    assert_eq!(answers[..3], ["done", "done", "done"]);
    assert!(answers[3].starts_with("Blocked: "), "{answers:?}");
    assert!(answers[4].starts_with("Blocked: "), "{answers:?}");
    old.await_that("systemctl is-active dovecot");
    let trip = Order::Trip(name());
    lab.done(
        "old",
        vec![
            arm(60, &[]),
            freeze(),
            trip.clone(),
            trip.clone(),
            arm(60, &[]),
            freeze(),
            trip,
        ],
    );
    old.run("systemctl is-active dovecot");
    old.has_no_trace_but("");
}

#[test]
fn an_operator_that_is_killed_or_hangs_keeps_no_host_from_giving_back() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let old = lab.host("old");
    // A service that takes longer to stop than anybody has patience.
    old.file(
        "/etc/systemd/system/slow.service",
        "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 50\nTimeoutStopSec=60\n",
    );
    old.run("systemctl daemon-reload && systemctl start slow");
    let hanging = || vec![arm(8, &[]), freeze(), advance(&[], &[stop("slow.service")])];
    let mut killed = lab.order("old", hanging());
    hear(&mut killed, 2);
    old.await_that("[[ $(systemctl is-active slow) == deactivating ]]");
    killed.kill().unwrap();
    killed.wait().unwrap();
    old.await_that("systemctl is-active dovecot");
    old.has_no_trace_but("");
    old.await_that("[[ $(systemctl is-active slow) == inactive ]]");
    old.run("systemctl start slow");
    // The operator lives, and what it waits for hangs.
    let began = Instant::now();
    let mut waiting = lab.order("old", hanging());
    hear(&mut waiting, 2);
    old.await_that("systemctl is-active dovecot");
    old.has_no_trace_but("");
    assert!(
        began.elapsed() < Duration::from_secs(45),
        "{:?}",
        began.elapsed()
    );
    waiting.wait().unwrap();
}

#[test]
fn a_host_that_was_without_power_gives_back_when_it_is_booted() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let old = lab.host("old");
    lab.done("old", vec![arm(3600, &[]), freeze()]);
    old.cut_power().power_on();
    old.await_that("systemctl is-active dovecot");
    old.has_no_trace_but("");
    // Committed, and the power is cut before anything followed.
    lab.done(
        "old",
        vec![arm(3600, &[start("dovecot.service")]), freeze()],
    );
    old.run("pkill -STOP -f '[r]econcile watch'");
    old.feed(
        &format!("cat >{RECORDS}/receipt.json"),
        r#"{"version":1,"epoch":1}"#,
    );
    old.cut_power();
    old.power_on();
    // Masked is what it was when authority changed hands: only the commit steps are done.
    old.await_that(&format!("grep -q 'start dovecot' {RECORDS}/switch.json"));
    old.run("systemctl unmask dovecot");
    old.await_that("systemctl is-active dovecot");
    old.has_no_trace_but("./move\n./move/receipt.json\n");
}

#[test]
fn an_agent_that_dies_after_the_commit_point_leaves_the_rest_to_the_host() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    new.run("systemctl stop dovecot");
    let commit = [start("dovecot.service"), Step::Announce(on_interface())];
    let take = advance(&[], &[Step::TakeAddress(assignment())]);
    lab.done("new", vec![arm(3600, &commit), take]);
    new.feed(
        &format!("cat >{RECORDS}/receipt.json"),
        r#"{"version":1,"epoch":1}"#,
    );
    new.await_that("systemctl is-active dovecot");
    new.await_that(&format!("test ! -e {RECORDS}/switch.json"));
    // It tells the neighbours for a minute, and is in nobody's way.
    new.await_that(&format!("test ! -e {RECORDS}/switch.lock"));
    new.run("test ! -e /etc/systemd/system/reconcile-move.service");
    assert_eq!(new.run("ls /var/lib/reconcile/move"), "receipt.json\n");
    new.run("pgrep -f '[r]econcile watch'");
    // Settled by the operator: the host is left alone as well.
    let answers = lab.orders("new", vec![settle(Moment::Now), settle(Moment::Past)]);
    assert_eq!(answers, ["done", "done"]);
    new.run("ip addr del 198.51.100.25/32 dev host0");
    new.has_no_trace_but("./move\n./move/receipt.json\n");
}

#[test]
fn an_address_is_taken_back_when_nobody_answers_for_it() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    old.run(format!("ip addr add {SERVICE}/32 dev host0"));
    let undo = [
        Step::Announce(on_interface()),
        Step::TakeAddress(assignment()),
        Step::AwaitFree(on_interface()),
    ];
    let let_go = advance(&undo, &[Step::DropAddress(assignment())]);
    let orders = vec![arm(8, &[]), freeze(), let_go];
    lab.done("old", orders.clone());
    new.run(format!("ip addr add {SERVICE}/32 dev host0"));
    old.await_that(&format!("grep -q '\"stuck\"' {RECORDS}/switch.json"));
    std::thread::sleep(Duration::from_secs(6));
    old.run(format!("! ip addr show dev host0 | grep -F {SERVICE}/32"));
    let state = old.attempt("systemctl is-enabled dovecot").stdout;
    assert_eq!(state, b"masked\n", "nothing is done behind a barrier");
    let answers = lab.orders("old", vec![Order::Trip(name())]);
    assert!(answers[0].starts_with("Host: "), "{answers:?}");
    new.run(format!("ip addr del {SERVICE}/32 dev host0"));
    old.await_that("systemctl is-active dovecot");
    old.run(format!("ip addr show dev host0 | grep -F {SERVICE}/32"));
    old.await_that("test ! -e /etc/systemd/system/reconcile-move.service");
    // The other host keeps it: authority has changed hands, late as it may be.
    old.run("pkill -f '[r]econcile watch'");
    lab.done("old", orders);
    new.run(format!("ip addr add {SERVICE}/32 dev host0"));
    old.await_that(&format!("grep -q '\"stuck\"' {RECORDS}/switch.json"));
    lab.done("old", vec![settle(Moment::Past)]);
    old.has_no_trace_but("./move\n./move/receipt.json\n");
    let state = old.attempt("systemctl is-enabled dovecot").stdout;
    assert_eq!(state, b"masked\n");
}

#[test]
fn a_host_whose_disk_is_full_gives_back_all_the_same() {
    let Some(lab) = Lab::start(["new=trixie"]) else {
        return;
    };
    let new = lab.host("new");
    new.run("mkdir -p /var/lib/reconcile && mount -t tmpfs -o size=450m,mode=700 none /var/lib/reconcile");
    let take = advance(
        &[Step::DropAddress(assignment())],
        &[Step::TakeAddress(assignment())],
    );
    lab.done("new", vec![arm(12, &[]), freeze(), take]);
    new.run("! cat /dev/zero >/var/lib/reconcile/full 2>/dev/null");
    new.run(format!("ip addr show dev host0 | grep -F {SERVICE}/32"));
    new.await_that(&format!("! ip addr show dev host0 | grep -F {SERVICE}/32"));
    new.await_that("systemctl is-active dovecot");
    new.has_no_trace_but("./full\n");
    // Nothing is begun that could not be taken back.
    let answers = lab.orders("new", vec![Order::Trip(name())]);
    assert_eq!(answers, ["done"]);
}

#[test]
fn a_host_without_systemd_gives_back_likewise() {
    let Some(lab) = Lab::start(["old=bookworm"]) else {
        return;
    };
    let old = lab.host("old");
    // sd_booted(3) looks here.
    old.run("mv /run/systemd/system /run/systemd/hidden");
    let take = || {
        advance(
            &[Step::DropAddress(assignment())],
            &[Step::TakeAddress(assignment())],
        )
    };
    lab.done("old", vec![arm(10, &[]), take()]);
    old.run("test -x /etc/init.d/reconcile-move && ls /etc/rc2.d | grep reconcile-move");
    // As after a boot.
    old.run("pkill -KILL -f '[r]econcile watch' && /etc/init.d/reconcile-move start");
    old.await_that(&format!("! ip addr show dev host0 | grep -F {SERVICE}/32"));
    old.has_no_trace_but("");
    old.run("! ls /etc/rc2.d | grep reconcile-move; mv /run/systemd/hidden /run/systemd/system");
}
