//! The MTA's queue moves from host to host: nothing before authority has changed hands, everything
//! once when it has, nothing at all if it is taken back.
//!
//! The steps are asked for one by one here, on the hosts' disks, as a hand-over asks for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reconcile::apply::queue::{self as carrying, Counted, Means};
use reconcile::host::queue::QueueStep;
use reconcile::host::{DirHost, Step};
use reconcile::manifest::Manifest;
use reconcile::names::Side;
use reconcile::plan::hand_over::QueueCarry;
use reconcile::resource::{accounts, mta, queue};

use crate::host::Host;
use crate::lab::Lab;

/// A hand-over of the queue between two hosts of a lab.
struct Move<'a> {
    from: &'a Host,
    to: &'a Host,
    from_disk: DirHost,
    to_disk: DirHost,
    plan: QueueCarry,
}

impl<'a> Move<'a> {
    fn new(lab: &'a Lab, from: &str, to: &str) -> Self {
        let (from, to) = (lab.host(from), lab.host(to));
        let from_disk = DirHost::open(Side::Source, &root(lab, from)).unwrap();
        let to_disk = DirHost::open(Side::Target, &root(lab, to)).unwrap();
        let actual = queue::observe(Some(&from_disk), &to_disk).unwrap();
        let plan = queue::draft(&manifest(), Side::Source, Side::Target, &actual);
        Self {
            from,
            to,
            from_disk,
            to_disk,
            plan: plan.unwrap().unwrap(),
        }
    }

    /// As the freeze has it.
    fn stop(&self) -> &Self {
        self.from.run(STOP);
        self
    }

    fn carry(&self) -> Counted {
        let accounts = accounts::observe(Some(&self.from_disk), &self.to_disk).unwrap();
        let ids = accounts::resolve(&manifest(), &accounts, None).ids;
        let mut means = Means {
            ids: Arc::new(ids),
            stop: &AtomicBool::new(false),
            advance: &mut |change| {
                assert_eq!(change.side, Side::Target);
                self.perform(&self.to_disk, &change.steps);
                Ok(())
            },
        };
        carrying::carry(&self.from_disk, &self.to_disk, &self.plan, &mut means).unwrap()
    }

    fn perform(&self, disk: &DirHost, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Queue(step) => disk.queue(step).unwrap(),
                Step::Run(command) => {
                    self.to.run(
                        command
                            .argv()
                            .iter()
                            .map(|word| quoted(word))
                            .collect::<String>(),
                    );
                }
                other => panic!("{other}"),
            }
        }
    }

    /// Authority has changed hands. A host that dies does its part again.
    fn commit(&self) -> &Self {
        for _ in 0..2 {
            self.perform(&self.to_disk, &self.plan.commit_to);
            self.perform(&self.from_disk, &self.plan.commit_from);
        }
        self
    }

    /// It has not.
    fn take_back(&self) -> &Self {
        self.perform(&self.to_disk, &self.plan.begin.undo);
        self
    }
}

fn quoted(word: &str) -> String {
    format!("'{}' ", word.replace('\'', r"'\''"))
}

/// Whatever MTA it is.
const STOP: &str = "systemctl stop 'postfix@*.service' postfix.service 2>/dev/null || true
                    systemctl stop sendmail.service 2>/dev/null || true";

/// The same.
const START: &str =
    "systemctl start postfix.service 2>/dev/null || systemctl start sendmail.service";

fn manifest() -> Manifest {
    let text = "version: 1\nname: live\nsource: { host: 'dir:/old' }\ntarget: { host: 'dir:/new' }\n\
                serve_from: source\n";
    reconcile::manifest::load::parse("migration.yaml", text).unwrap()
}

/// A running host's root, as this machine sees it: that of the host's first process.
fn root(lab: &Lab, host: &Host) -> PathBuf {
    let lab = format!("reconcile-lab-{}", lab.dir().file_name().unwrap().display());
    let groups = [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup/systemd",
    ];
    let init = groups.iter().find_map(|group| {
        let scope = format!(
            "{group}/{lab}/{}/payload/init.scope/cgroup.procs",
            host.name()
        );
        fs::read_to_string(scope).ok()
    });
    let init = init.unwrap();
    PathBuf::from(format!("/proc/{}/root", init.lines().next().unwrap()))
}

/// Hands in a message as a person does: sender, recipients, subject.
fn hand_in(host: &Host, user: &str, options: &str, to: &str, subject: &str) {
    host.feed(
        &format!("runuser -u {user} -- /usr/sbin/sendmail -i {options} -- {to}"),
        message(subject),
    );
}

/// With what MTAs stumble over: a dot, `From `, eight bits, a long line, no newline at the end.
fn message(subject: &str) -> Vec<u8> {
    let long = "x".repeat(900);
    let head = format!("Subject: {subject}\nFrom: alice@example.org\n\n.\nFrom here\n{long}\n");
    [head.as_bytes(), b"\xe9\xe8 eight\nlast"].concat()
}

/// How often a user's mailbox has a message of this subject.
fn in_mailbox(host: &Host, user: &str, subject: &str) -> usize {
    let mailbox = host
        .command("cat")
        .arg(format!("/var/mail/{user}"))
        .output()
        .unwrap();
    let line = format!("Subject: {subject}");
    let lines = mailbox.stdout.split(|&byte| byte == b'\n');
    lines.filter(|found| *found == line.as_bytes()).count()
}

/// Waits until it is there.
fn await_in_mailbox(host: &Host, user: &str, subject: &str) {
    host.await_that(&format!("grep -qxa 'Subject: {subject}' /var/mail/{user}"));
}

/// Everything that waits, as the MTA itself tells it.
fn waits(host: &Host) -> String {
    host.run("mailq; mailq -Ac 2>/dev/null || true")
}

/// All files of the queues with their content, owners and times.
fn disk_of(host: &Host) -> String {
    host.run(
        "{ find /var/spool/postfix /var/spool/mqueue /var/spool/mqueue-client -type f \
             -regex '.*/\\(maildrop\\|hold\\|deferred\\|incoming\\|active\\|defer\\|bounce\\|mqueue\\|mqueue-client\\)/.*' \
             -printf '%p %u %g %m %T@ ' -exec sha256sum {} ';' 2>/dev/null || true; } | sort",
    )
}

/// One message of each kind; the MTA has stopped afterwards.
fn fill(host: &Host) {
    // Nobody resolves names in the lab: what goes abroad is put off.
    let options = "-f alice@example.org -V env1 -R hdrs -N failure,delay";
    hand_in(
        host,
        "root",
        options,
        "bob@example.org x@nowhere.example",
        "half",
    );
    hand_in(host, "root", "-f '<>'", "y@nowhere.example", "bounce");
    hand_in(
        host,
        "root",
        options,
        "'\"odd name\"@nowhere.example'",
        "odd",
    );
    host.await_that("test $(mailq | grep -c nowhere.example) -gt 3 || mailq -Ac | grep odd");
}

#[test]
fn postfix_to_postfix() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    for host in [old, new] {
        host.users(["alice", "bob"]);
    }
    fill(old);
    await_in_mailbox(old, "bob", "half");
    hand_in(
        old,
        "root",
        "-f alice@example.org",
        "h@nowhere.example",
        "held",
    );
    old.await_that("test $(find /var/spool/postfix/deferred -type f | wc -l) = 4");
    old.run("postsuper -h $(postqueue -j | sed -n '/h@nowhere/s/.*\"queue_id\": \"\\([^\"]*\\)\".*/\\1/p')");
    old.run("postconf -e defer_transports=local && postfix reload");
    hand_in(old, "alice", "", "bob@example.org", "put-off");
    old.await_that("test $(find /var/spool/postfix/deferred -type f | wc -l) = 4");
    let queue = Move::new(&lab, "old", "new");
    queue.stop();
    hand_in(old, "alice", "", "bob@example.org", "while-stopped");
    old.run("postconf -X defer_transports");

    // Taken back: the old server has everything, the new one nothing.
    let before = disk_of(old);
    let counted = queue.carry();
    assert_eq!(counted.carried, 6, "{counted:?}");
    assert_eq!(counted.left, []);
    assert_eq!(counted.waiting["/var/spool/postfix/deferred"], 4);
    assert_eq!(counted.waiting["/var/spool/postfix/hold"], 1);
    assert_eq!(counted.waiting["/var/spool/postfix/maildrop"], 1);
    assert!(waits(new).contains("queue is empty"));
    // Postfix does not mind what is made ready inside its directory.
    assert_eq!(new.run("postfix check 2>&1"), "");
    queue.take_back();
    assert_eq!(disk_of(old), before);
    new.run(
        "test ! -e /var/spool/postfix/reconcile-live && test ! -e /var/lib/reconcile/live/queue",
    );

    queue.carry();
    queue.commit();
    for subject in ["put-off", "while-stopped"] {
        await_in_mailbox(new, "bob", subject);
    }
    new.await_that("test $(find /var/spool/postfix/deferred -type f | wc -l) = 3");
    let waiting = new.run("postqueue -j");
    assert_eq!(waiting.lines().count(), 4, "{waiting}");
    assert!(waiting.contains("\"queue_name\": \"hold\""), "{waiting}");
    assert!(!waiting.contains("bob@example.org"), "{waiting}");
    for address in [
        "x@nowhere.example",
        "y@nowhere.example",
        "odd name",
        "h@nowhere.example",
    ] {
        assert_eq!(waiting.matches(address).count(), 1, "{address}: {waiting}");
    }
    assert_eq!(in_mailbox(new, "bob", "put-off"), 1);
    assert_eq!(in_mailbox(new, "bob", "while-stopped"), 1);
    assert_eq!(in_mailbox(new, "bob", "half"), 0);
    // Nothing is renamed: the names are as Postfix itself gives them.
    assert_eq!(new.run("postsuper 2>&1"), "");
    // The old server, should it ever start again, sends nothing.
    old.run(START);
    assert!(waits(old).contains("queue is empty"));
    assert_eq!(
        old.run("find /var/lib/reconcile/live/queue-carried -type f -perm -100 | wc -l"),
        "6\n"
    );
    assert_eq!(in_mailbox(old, "bob", "while-stopped"), 0);
}

#[test]
fn sendmail_to_postfix_and_back() {
    let Some(lab) = Lab::start(["old=bookworm-sendmail", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    for host in [old, new] {
        host.users(["alice", "bob"]);
    }
    fill(old);
    let queue = Move::new(&lab, "old", "new");
    queue.stop();
    hand_in(old, "alice", "", "bob@example.org", "while-stopped");
    let before = disk_of(old);
    let counted = queue.carry();
    assert_eq!(counted.left, []);
    assert!(waits(new).contains("queue is empty"));
    queue.take_back();
    assert_eq!(disk_of(old), before);

    queue.carry();
    queue.commit();
    await_in_mailbox(new, "bob", "while-stopped");
    new.await_that("test $(find /var/spool/postfix/deferred -type f | wc -l) = 3");
    let waiting = new.run("postqueue -j");
    for address in ["x@nowhere.example", "y@nowhere.example", "odd name"] {
        assert_eq!(waiting.matches(address).count(), 1, "{address}: {waiting}");
    }
    assert!(!waiting.contains("bob@example.org"), "{waiting}");
    assert_eq!(in_mailbox(new, "bob", "while-stopped"), 1);
    // Its client queue could not canonify the addresses, so this one waited for everybody.
    assert_eq!(in_mailbox(new, "bob", "half"), 1);
    let body = new.read("/var/mail/bob");
    let eight = b"\xe9\xe8 eight\nlast\n";
    assert!(body.windows(eight.len()).any(|part| part == eight));
    old.run(START);
    old.await_deliveries();
    assert_eq!(in_mailbox(old, "bob", "while-stopped"), 0);

    // And back, with what came meanwhile.
    let queue = Move::new(&lab, "new", "old");
    queue.stop();
    hand_in(new, "alice", "", "bob@example.org", "back");
    let counted = queue.carry();
    assert_eq!(counted.left, []);
    assert_eq!(counted.carried, 4, "{counted:?}");
    queue.commit();
    await_in_mailbox(old, "bob", "back");
    let waiting = waits(old);
    for address in ["x@nowhere.example", "y@nowhere.example", "odd name"] {
        assert_eq!(waiting.matches(address).count(), 1, "{address}: {waiting}");
    }
    assert_eq!(in_mailbox(old, "bob", "back"), 1);
    new.run(START);
    assert!(waits(new).contains("queue is empty"));
}

#[test]
fn sendmail_to_sendmail() {
    let Some(lab) = Lab::start(["old=bookworm-sendmail", "new=bookworm-sendmail"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    for host in [old, new] {
        host.users(["alice", "bob"]);
    }
    fill(old);
    let queue = Move::new(&lab, "old", "new");
    queue.stop();
    hand_in(old, "alice", "", "bob@example.org", "while-stopped");
    let counted = queue.carry();
    assert_eq!(counted.left, []);
    queue.commit();
    await_in_mailbox(new, "bob", "while-stopped");
    let waiting = waits(new);
    for address in ["x@nowhere.example", "y@nowhere.example", "odd name"] {
        assert_eq!(waiting.matches(address).count(), 1, "{address}: {waiting}");
    }
    assert_eq!(in_mailbox(new, "bob", "while-stopped"), 1);
    old.run(START);
    old.await_deliveries();
    // A file that nobody wants any more is a step that was done.
    queue.perform(
        &queue.from_disk,
        &[Step::Queue(QueueStep::SetAside(queue.plan.aside.clone()))],
    );
}

#[test]
fn what_would_be_refused_is_said_with_the_line_that_mends_it() {
    let Some(lab) = Lab::start(["old=bookworm-sendmail", "new=trixie"]) else {
        return;
    };
    let [old, new] = ["old", "new"].map(|name| lab.host(name));
    let source = DirHost::open(Side::Source, &root(&lab, old)).unwrap();
    let target = DirHost::open(Side::Target, &root(&lab, new)).unwrap();
    let problems = |from, to| {
        let queues = queue::observe(Some(&source), &target).unwrap();
        let seen = mta::observe(&manifest(), Some(&source), &target, &queues).unwrap();
        let open = mta::Open {
            now: BTreeSet::from([25, 587]),
            otherwise: BTreeSet::new(),
        };
        let found = mta::compare(&manifest(), from, to, &seen, &open);
        found
            .problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let forth = || problems(Side::Source, Side::Target);
    // Debian's sendmail takes submissions, and its Postfix does not.
    let submission = "exec 3<>/dev/tcp/127.0.0.1/587";
    old.await_that(submission);
    assert!(!new.attempt(submission).status.success());
    let [closed, problem] = &forth()[..] else {
        panic!("{:?}", forth());
    };
    assert!(closed.contains("port 587 (submission)"), "{closed}");
    assert!(problem.contains("mail for mail.example.org"), "{problem}");
    for problem in [closed, problem] {
        new.run(problem.split('`').nth(1).unwrap());
    }
    new.run("systemctl restart postfix");
    new.await_that(submission);
    assert_eq!(forth(), [""; 0]);
    // As it was said.
    new.users(["alice"]);
    hand_in(new, "root", "", "alice@mail.example.org", "mended");
    await_in_mailbox(new, "alice", "mended");
    new.run("postconf -e mailbox_command= home_mailbox=Maildir/ && postfix reload");
    let [problem] = &forth()[..] else {
        panic!("{:?}", forth());
    };
    assert!(problem.contains("into ~/Maildir/"), "{problem}");
    new.run(problem.split('`').nth(1).unwrap());
    assert_eq!(forth(), [""; 0]);
    // The other way: sendmail knows its own name, and not the new server's; it has no certificate.
    let back = problems(Side::Target, Side::Source);
    let [smtp, submission] = &back[..] else {
        panic!("{back:?}");
    };
    for (problem, port) in [(smtp, 25), (submission, 587)] {
        let lacks = format!("not offer TLS on port {port}");
        assert!(problem.contains(&lacks), "{problem}");
    }
    // As it was said, with the certificate that Debian's scripts make.
    old.run(
        "/usr/share/sendmail/update_tls new >/dev/null 2>&1 || true
         sed -i \"/provider.m4/a include(\\`/etc/mail/tls/starttls.m4')dnl\" /etc/mail/sendmail.mc
         yes | sendmailconfig >/dev/null 2>&1 || true
         grep -n ServerCertFile= /etc/mail/sendmail.cf",
    );
    assert_eq!(problems(Side::Target, Side::Source), [""; 0]);
    old.await_that(
        "exec 3<>/dev/tcp/127.0.0.1/25; echo EHLO me >&3; timeout 8 grep -m1 STARTTLS <&3",
    );
}
