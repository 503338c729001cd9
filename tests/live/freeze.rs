//! A host that is frozen, proven still or found out, and thawed: what the library plans and proves, by
//! way of its agent, on hosts that are at work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use std::{env, fs};

use reconcile::apply::prove;
use reconcile::error::{Error, Kind, chain};
use reconcile::host::ssh::Environment;
use reconcile::host::{Operator, Step, reach_target};
use reconcile::manifest::{Manifest, load};
use reconcile::names::{Side, Uid};
use reconcile::plan::change::{Selection, TreeKind};
use reconcile::plan::hand_over::Freeze;
use reconcile::raw::HostPath;
use reconcile::replicate::OriginTree;
use reconcile::resource::services;

use crate::host::Host;
use crate::lab::Lab;
use crate::letter::letter;

/// What the operator's part is told to do.
const TASK: &str = "RECONCILE_FREEZE_TASK";

/// Whose mail would move.
const USERS: [&str; 2] = ["alice", "bob"];

/// A host of a lab, and what was done to it.
struct Subject<'a> {
    lab: &'a Lab,
    host: &'a Host,
}

impl Subject<'_> {
    fn new<'a>(lab: &'a Lab, name: &str) -> Subject<'a> {
        let host = lab.host(name);
        host.users(USERS);
        // Debian's script of sendmail says that it has started before it listens.
        host.await_that("exec 3<>/dev/tcp/127.0.0.1/25");
        host.deliver("alice", &letter("alice", "hello", "Only a line.\n"));
        Subject { lab, host }
    }

    /// Has the operator do something to the host; what came of it.
    #[track_caller]
    fn does(&self, task: &str) -> String {
        let program = env::current_exe().unwrap();
        let began = Instant::now();
        let arguments = ["freeze::operator", "--exact", "--ignored", "--nocapture"];
        let output = self
            .lab
            .operator(program.to_str().unwrap(), arguments)
            .env(TASK, format!("{task} {}", self.host.name()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr);
        let (name, took) = (self.host.name(), began.elapsed());
        eprintln!("{name}, {task}: {took:?}\n{said}{problem}");
        assert!(output.status.success(), "{task}: {said}{problem}");
        let (_, came) = said.split_once("CAME OF IT: ").unwrap();
        came.lines().next().unwrap().to_owned()
    }

    #[track_caller]
    fn is_still_after(&self, task: &str) -> &Self {
        assert_eq!(self.does(task), "still", "{}", self.host.name());
        self
    }

    /// It is frozen, and found not to be still, for this reason; then it is thawed.
    #[track_caller]
    fn is_found_out(&self, reasons: &[&str]) -> &Self {
        let said = self.does("freeze");
        self.does("thaw");
        for reason in reasons {
            assert!(said.contains(reason), "no {reason:?} in {said:?}");
        }
        self
    }

    /// All that is up, sessions of logins aside, and all that is masked.
    fn state(&self) -> BTreeSet<String> {
        let state = self.host.run(
            "systemctl list-units --plain --no-legend --state=active \
                 --type=service,socket,timer,path,target | awk '{ print $1, $3, $4 }'
             systemctl list-unit-files --no-legend --state=masked | awk '{ print $1, \"masked\" }'",
        );
        let of_login = |line: &&str| line.starts_with("user@") || line.starts_with("user-runtime");
        let lines = state.lines().filter(|line| !of_login(line));
        lines.map(str::to_owned).collect()
    }

    /// Nobody answers there, and nothing that the freeze stopped is up.
    #[track_caller]
    fn is_down(&self) -> &Self {
        for port in [25, 110, 143, 993, 995] {
            let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
            let open = self.host.attempt(&connect).status.success();
            assert!(!open, "{} listens on {port}", self.host.name());
        }
        let up = self.state();
        let stopped = ["dovecot", "postfix", "sendmail", "cron"];
        let left = up
            .iter()
            .filter(|line| stopped.iter().any(|name| line.starts_with(name)))
            .filter(|line| !line.ends_with("masked"));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{}", self.host.name());
        self
    }

    /// A program of a user that goes on by itself.
    fn program(&self, user: &str, script: &str) -> Program {
        let mut command = self.host.command("setpriv");
        let ids = [format!("--reuid={user}"), format!("--regid={user}")];
        command
            .args(ids)
            .args(["--init-groups", "bash", "-c", script]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Program(child.unwrap())
    }
}

/// It ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn busy_hosts_are_frozen_survive_a_reboot_and_run_again_what_they_ran() {
    let Some(lab) = Lab::start(["a=bookworm", "b=bookworm-sendmail", "c=bullseye"]) else {
        return;
    };
    std::thread::scope(|scope| {
        let lab = &lab;
        let tests = ["a", "b", "c"].map(|name| scope.spawn(move || busy(&Subject::new(lab, name))));
        for test in tests {
            test.join().unwrap();
        }
    });
}

/// A second instance of Postfix.
fn add_instance(host: &Host) {
    host.run(
        "postmulti -e init
         postmulti -e create -I postfix-out
         postconf -c /etc/postfix-out -MX smtp/inet
         postconf -c /etc/postfix-out -e 'master_service_disable =' \
             'inet_interfaces = loopback-only'
         postmulti -i postfix-out -e enable
         systemctl daemon-reload
         systemctl restart postfix",
    );
    host.await_that("systemctl is-active postfix@postfix-out");
}

#[test]
fn deliveries_of_every_instance_end_before_it_is_stopped() {
    let Some(lab) = Lab::start(["a=bookworm"]) else {
        return;
    };
    let subject = Subject::new(&lab, "a");
    let host = subject.host;
    add_instance(host);
    host.run(
        "postconf -c /etc/postfix-out -e 'mydestination = out.example.org' \
             'mailbox_command = procmail -a \"$EXTENSION\"' 'authorized_submit_users = static:anyone'
         systemctl reload postfix@postfix-out",
    );
    // Each message is in the mailbox long before its delivery has ended. One whose delivery is killed
    // is delivered again.
    for user in USERS {
        host.run(format!(
            "printf ':0 c\\n/var/mail/{user}\\n\\n:0\\n| cat >/dev/null; sleep 9\\n' \
                 >/home/{user}/.procmailrc
             chown {user}: /home/{user}/.procmailrc"
        ));
    }
    let before = subject.state();
    host.run(
        "printf 'Subject: inner\\n\\nx\\n' | sendmail -i alice
         printf 'Subject: outer\\n\\nx\\n' | sendmail -C /etc/postfix-out -i bob@out.example.org",
    );
    for (user, subject) in [("alice", "inner"), ("bob", "outer")] {
        host.await_that(&format!("grep -qx 'Subject: {subject}' /var/mail/{user}"));
    }
    host.run("test \"$(pgrep -cx sleep)\" = 2");
    subject.is_still_after("freeze").is_down();
    assert_eq!(subject.does("thaw"), "thawed");
    assert_eq!(subject.state(), before);
    host.run("postqueue -f; postqueue -c /etc/postfix-out -f");
    host.await_that("! find /var/spool/postfix*/{incoming,active,deferred} -type f | grep .");
    for (user, subject) in [("alice", "inner"), ("bob", "outer")] {
        let count = format!("grep -cx 'Subject: {subject}' /var/mail/{user}");
        assert_eq!(host.run(count), "1\n", "{user}");
    }
}

fn busy(subject: &Subject<'_>) {
    let host = subject.host;
    if host.name() == "a" {
        add_instance(host);
    }
    host.run("echo '* * * * * echo once >>cron.log' | crontab -u bob -");
    // Dovecot by its socket, with a session that has written a flag to its index only.
    host.run("systemctl stop dovecot && systemctl start dovecot.socket");
    let mut session = host.imap("alice");
    session.select("INBOX");
    session.flag("1", "\\Flagged");
    // Whoever sends goes on to: what is taken is counted.
    let sender = subject.program(
        "bob",
        "while :; do
             date | sendmail -i alice && echo sent >>/var/tmp/sent
             sleep 1
         done",
    );
    host.await_that("test -s /var/tmp/sent");
    let before = subject.state();
    // A delivery that takes its time, and that its agent, on a busy host, has not begun yet.
    let slow = host.name() != "b";
    if slow {
        host.run(
            "printf ':0\\n| sleep 2; cat >>$HOME/slow\\n' >~bob/.procmailrc
             chown bob ~bob/.procmailrc
             pkill -STOP -x local
             echo 'came once' | sendmail -i bob
             sleep 1
             setsid -f sh -c 'sleep 2; pkill -CONT -x local' >/dev/null 2>&1 </dev/null",
        );
    }

    subject.is_still_after("freeze").is_down();
    let mbox = String::from_utf8(host.read("/var/mail/alice")).unwrap();
    assert!(
        mbox.contains("\nX-Status: F"),
        "the flag is in the mailbox: {mbox}"
    );
    // A client and a hand start nothing.
    for unit in ["dovecot.socket", "cron.service", "dovecot.service"] {
        assert!(
            !host
                .attempt(&format!("systemctl start {unit}"))
                .status
                .success()
        );
    }
    drop(sender);
    host.reboot();
    subject.is_down().is_still_after("prove");

    assert_eq!(subject.does("thaw"), "thawed");
    assert_eq!(subject.state(), before, "{}", host.name());
    // All that was taken arrives.
    let sent = host.run("wc -l </var/tmp/sent").trim().to_owned();
    host.run("postqueue -f 2>/dev/null || { sendmail -q; sendmail -Ac -q; }");
    host.await_that(&format!(
        "test \"$(grep -c '^From ' /var/mail/alice)\" -gt {sent}"
    ));
    assert!(host.imap("alice").select("INBOX").writable);
    if slow {
        // Before the freeze, or now if nobody had begun it.
        host.await_deliveries();
        assert_eq!(host.run("grep -c 'came once' ~bob/slow"), "1\n");
    }
}

#[test]
fn who_goes_on_writing_is_named() {
    let Some(lab) = Lab::start(["a=bookworm"]) else {
        return;
    };
    let subject = Subject::new(&lab, "a");
    let host = subject.host;
    let before = subject.state();
    {
        let _loop = subject.program(
            "bob",
            "mkdir -p ~bob/mail; while :; do echo x >>~bob/mail/log; sleep 0.5; done",
        );
        host.await_that("test -s ~bob/mail/log");
        subject.is_found_out(&[
            "blocked: ",
            "something that is no service changes /home/bob/mail/log",
        ]);
    }
    {
        let _editor = subject.program("bob", "exec 3<>~bob/.draft.swp; read -t 1000 <> <(:)");
        host.await_that("test -e ~bob/.draft.swp");
        subject.is_found_out(&[
            "blocked: ",
            "bash (process ",
            ") writes /home/bob/.draft.swp",
        ]);
    }
    // A session that survived the stop, and a job of a user that cron does not stop.
    host.run("echo '* * * * * exec sleep 1000' | crontab -u alice -");
    host.await_that("pgrep -u alice sleep");
    let _session = subject.program("bob", "exec -a dovecot/pop3 sleep 1000");
    subject.is_found_out(&[
        "blocked: ",
        "a process of dovecot without its master runs",
        "a job of cron runs",
    ]);
    assert_eq!(subject.state(), before);
}

/// Not a test of its own: the part of the others that the operator runs.
#[test]
#[ignore = "the operator of a lab that the other tests make runs it"]
fn operator() {
    let task = env::var(TASK).expect("one of the other tests runs this");
    let (task, name) = task.split_once(' ').unwrap();
    let came = match task {
        "freeze" => Work::begin(name).freeze(),
        "prove" => Work::begin(name).prove(),
        "thaw" => Work::begin(name).thaw(),
        other => panic!("no such task: {other}"),
    };
    println!("\nCAME OF IT: {came}");
}

struct Work {
    host: Box<dyn reconcile::host::Host>,
    manifest: Manifest,
    /// Where the freeze is written down.
    file: PathBuf,
}

impl Work {
    fn begin(name: &str) -> Self {
        let text = format!(
            "version: 1\nname: live\nsource: {{ host: 'dir:disk' }}\n\
             target: {{ host: 'ssh://root@{name}' }}\nserve_from: target\n"
        );
        let manifest = load::parse("migration.yaml", &text).unwrap();
        let path = |variable| env::var_os(variable).map(PathBuf::from);
        let operator = Operator {
            environment: Environment {
                home: path("HOME"),
                runtime_dir: None,
                temp_dir: path("TMPDIR"),
            },
            program: PathBuf::from(env!("CARGO_BIN_EXE_reconcile")),
            base: PathBuf::new(),
            migration: None,
            stop: Arc::new(AtomicBool::new(false)),
        };
        Self {
            host: reach_target(&manifest.target, &operator).unwrap(),
            manifest,
            file: Path::new(&format!("{name}.json")).to_owned(),
        }
    }

    fn trees() -> Vec<OriginTree> {
        let tree = |kind, path: String| OriginTree {
            kind,
            path: HostPath::from(&*path),
            select: Selection::default(),
            owner: Uid(0),
            tracking: None,
        };
        let of = |user| {
            [
                tree(TreeKind::Home, format!("/home/{user}")),
                tree(TreeKind::Spool, format!("/var/mail/{user}")),
            ]
        };
        USERS.into_iter().flat_map(of).collect()
    }

    fn freeze(&self) -> String {
        let seen = services::look(&self.manifest.services, &*self.host).unwrap();
        let trees = Self::trees().into_iter().map(|tree| tree.path).collect();
        let freeze = services::freeze(&self.manifest, Side::Target, &seen, trees).unwrap();
        fs::write(&self.file, serde_json::to_vec(&freeze).unwrap()).unwrap();
        let began = Instant::now();
        self.carry_out(freeze.change.steps.iter());
        eprintln!("stopped after {:?}", began.elapsed());
        let came = self.prove();
        eprintln!("proven or not after {:?}", began.elapsed());
        came
    }

    fn frozen(&self) -> Freeze {
        serde_json::from_slice(&fs::read(&self.file).unwrap()).unwrap()
    }

    fn prove(&self) -> String {
        let named = &self.manifest.services;
        match prove(&*self.host, named, &self.frozen(), &Self::trees()) {
            Ok(_) => "still".to_owned(),
            Err(error) => told(&error),
        }
    }

    fn thaw(&self) -> String {
        self.carry_out(self.frozen().change.undo.iter().rev());
        "thawed".to_owned()
    }

    fn carry_out<'a>(&self, steps: impl Iterator<Item = &'a Step>) {
        for step in steps {
            let Step::Run(command) = step else {
                panic!("a freeze is made of commands: {step}");
            };
            let answer = self.host.run(command).unwrap();
            let problem = String::from_utf8_lossy(&answer.stderr);
            assert_eq!(answer.status, Some(0), "{command}: {problem}");
        }
    }
}

fn told(error: &Error) -> String {
    assert!(error.remedy().is_some());
    match error.kind() {
        Kind::Blocked => format!("blocked: {}", chain(error)),
        _ => chain(error),
    }
}
