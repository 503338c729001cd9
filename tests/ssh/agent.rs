//! Bringing a program over and starting it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reconcile::error::Kind;
use reconcile::host::ssh::{Connection, Running, Start};
use reconcile::raw::HostPath;

use crate::operator::{Operator, root_at, told};
use crate::server::{Server, Special, or_leave_out};

/// Stands in for the agent: says its version, then what it is told.
const CAT: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "stand-in 1.2"; exit; fi
printf '%s|' "$0" "$@"
exec cat
"#;

pub(crate) fn program(operator: &Operator, text: &str) -> PathBuf {
    let path = operator.home().join("program");
    fs::write(&path, text).unwrap();
    path
}

fn running(start: Start) -> Running {
    match start {
        Start::Running(running) => running,
        Start::CannotRun(why) => panic!("{}", why.why()),
    }
}

fn connected(server: &Server) -> (Operator, Connection) {
    let operator = Operator::of(server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    (operator, connection)
}

const LIST: &str = "ls -A /var/lib/reconcile";

#[test]
fn a_program_is_root_s_alone_and_speaks_over_its_pipes() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    let binary = program(&operator, CAT);
    let started = connection.start_agent(&binary, &["agent", "two words"]);
    let mut agent = running(started.unwrap());
    assert_eq!(agent.version, "stand-in 1.2");
    let stat =
        "cd /var/lib && stat -c '%n %U %G %a' reconcile reconcile/agent.* reconcile/agent.*/*";
    let there = server.look(stat);
    let modes: Vec<&str> = there
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(modes, ["root root 700"; 3], "{there}");

    agent.stdin.write_all(b"hello").unwrap();
    drop(agent.stdin);
    let mut output = String::new();
    agent.stdout.read_to_string(&mut output).unwrap();
    let said: Vec<&str> = output.split('|').collect();
    assert!(said[0].starts_with("/var/lib/reconcile/agent."), "{output}");
    assert_eq!(said[1..], ["agent", "two words", "hello"]);
    assert_eq!(agent.remote.wait().unwrap().status, Some(0));
}

#[test]
fn a_program_of_many_megabytes_arrives_whole() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    let mut big = CAT.as_bytes().to_vec();
    big.extend_from_slice(b"exit\n");
    let mut random = fastrand::Rng::with_seed(7);
    big.resize_with(40 << 20, || random.u8(..));
    let path = operator.home().join("program");
    fs::write(&path, &big).unwrap();
    let began = Instant::now();
    let agent = running(connection.start_agent(&path, &[]).unwrap());
    eprintln!("40 MiB and a start in {:?}", began.elapsed());
    let there = server.look("cat /var/lib/reconcile/agent.*/reconcile | sha256sum");
    let here = server.look(&format!("sha256sum <{}", path.display()));
    assert_eq!(there, here);
    drop(agent);
}

#[test]
fn an_upload_can_be_interrupted() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let login = root_at(server.port);
    let connection = Connection::open(&login, &operator.environment(), &stop).unwrap();
    stop.store(true, Ordering::Relaxed);
    let error = connection
        .start_agent(&program(&operator, CAT), &[])
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert_eq!(server.look(LIST), "");
}

#[test]
fn the_end_of_a_connection_is_the_end_of_what_ran_over_it() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    let binary = program(&operator, &CAT.replace("exec cat", "cat; touch \"$1\""));
    let mark = server.path("it-ended");
    let start = connection.start_agent(&binary, &[mark.to_str().unwrap()]);
    let mut agent = running(start.unwrap());
    // A session that is open has not begun its program yet; this one says when it has.
    agent.stdout.read_exact(&mut [0; 1]).unwrap();
    drop(connection);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !mark.exists() {
        assert!(Instant::now() < deadline, "it still waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(agent.remote.wait().unwrap().status, None);
}

#[test]
fn what_killed_runs_left_is_swept_after_an_hour() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    server.look(
        "cd /var/lib && mkdir -m 700 reconcile && cd reconcile && \
         mkdir agent.old agent.new agent.empty agent-move && touch agent.old/reconcile agent-move/reconcile && \
         touch -d '2 hours ago' agent.old agent.empty agent-move",
    );
    let agent = connection
        .start_agent(&program(&operator, CAT), &[])
        .unwrap();
    drop(agent);
    let left = server.look(LIST);
    let left: Vec<&str> = left.lines().collect();
    assert_eq!(left.len(), 3, "{left:?}");
    // A migration may be called anything.
    assert!(
        left.contains(&"agent-move") && left.contains(&"agent.new"),
        "{left:?}"
    );
}

const KEPT: &str = "/var/lib/reconcile/move/program";

/// What starts the kept program says, if it is started.
fn start_kept(connection: &Connection, binary: &Path) -> Option<String> {
    let kept = connection.start_kept(&HostPath::from(KEPT), binary, &["agent"]);
    let mut agent = kept.unwrap()?;
    drop(agent.stdin);
    let mut output = String::new();
    agent.stdout.read_to_string(&mut output).unwrap();
    Some(output)
}

#[test]
fn a_program_that_is_kept_is_not_sent_again() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    let binary = program(&operator, CAT);
    assert_eq!(start_kept(&connection, &binary), None);
    server.look("install -d -m 700 /var/lib/reconcile /var/lib/reconcile/move");
    assert_eq!(start_kept(&connection, &binary), None);
    let put = format!("cat {} >{KEPT} && chmod 700 {KEPT}", binary.display());
    server.look(&put);
    assert_eq!(
        start_kept(&connection, &binary),
        Some(format!("{KEPT}|agent|"))
    );
    assert_eq!(server.look(LIST), "move\n");
    // Of another size it is another one.
    let other = operator.home().join("other");
    fs::write(&other, format!("{CAT}\n")).unwrap();
    assert_eq!(start_kept(&connection, &other), None);
}

#[test]
fn a_kept_program_that_others_can_have_changed_is_not_started() {
    or_leave_out!();
    let server = Server::start();
    let (operator, connection) = connected(&server);
    let binary = program(&operator, CAT);
    let dir = "/var/lib/reconcile/move";
    server.look(&format!(
        "install -d -m 700 {dir} && cat {} >{KEPT} && chmod 700 {KEPT}",
        binary.display()
    ));
    for (spoil, mend) in [
        (format!("chmod g+w {KEPT}"), format!("chmod g-w {KEPT}")),
        (format!("chmod o+w {dir}"), format!("chmod o-w {dir}")),
        (format!("chmod 775 {dir}/.."), format!("chmod 700 {dir}/..")),
        (format!("chown nobody {KEPT}"), format!("chown root {KEPT}")),
        (format!("chown nobody {dir}"), format!("chown root {dir}")),
        (
            format!("mv {KEPT} /tmp/aside && ln -s /tmp/aside {KEPT}"),
            format!("mv /tmp/aside {KEPT}"),
        ),
    ] {
        server.look(&spoil);
        assert_eq!(start_kept(&connection, &binary), None, "{spoil}");
        server.look(&mend);
        assert!(start_kept(&connection, &binary).is_some(), "{mend}");
    }
}

/// The reason why the program cannot run, after which nothing of it is left.
fn cannot_run(server: &Server, text: &str) -> String {
    let (operator, connection) = connected(server);
    let start = connection.start_agent(&program(&operator, text), &[]);
    let Start::CannotRun(why) = start.unwrap() else {
        panic!("it runs");
    };
    let left = server.look("mkdir -p /var/lib/reconcile; ls -A /var/lib/reconcile");
    assert_eq!(left, "");
    let reason = why.why().to_owned();
    let (message, hint) = told(&why.into_error());
    assert_eq!(
        message,
        format!("reconcile cannot run on source (old): {reason}")
    );
    assert!(hint.contains("noexec"), "{hint}");
    reason
}

#[test]
fn a_host_where_nothing_may_be_executed_is_told_apart() {
    or_leave_out!();
    let server = Server::special(&Special {
        host: "mount -t tmpfs -o noexec,mode=755 none /var/lib",
        ..Special::default()
    });
    let why = cannot_run(&server, CAT);
    assert!(
        why.contains("may not be executed in /var/lib/reconcile")
            && why.contains("Permission denied"),
        "{why}"
    );
}

#[test]
fn a_host_of_another_machine_is_told_apart() {
    or_leave_out!();
    let server = Server::special(&Special {
        host: r#"printf '#!/bin/sh\ntest "$1" = -s && echo Linux || echo i686\n' >"$D/uname"
            chmod 755 "$D/uname"
            mount --bind "$D/uname" "$(readlink -f "$(command -v uname)")""#,
        ..Special::default()
    });
    let why = cannot_run(&server, CAT);
    assert_eq!(why, "the host's machine is i686, not x86_64");
}

#[test]
fn a_program_that_dies_at_once_is_told_apart() {
    or_leave_out!();
    let server = Server::start();
    // As a static glibc program says it on a kernel that is too old, and as a CPU that is too old ends it.
    let why = cannot_run(
        &server,
        "#!/bin/sh\necho 'FATAL: kernel too old' >&2\nexit 127\n",
    );
    assert_eq!(why, "FATAL: kernel too old");
    let why = cannot_run(&server, "#!/bin/sh\nkill -ILL $$\n");
    assert!(!why.is_empty());
}

fn fails(special: &Special) -> (String, String, Server) {
    let server = Server::special(special);
    let (operator, connection) = connected(&server);
    let big = operator.home().join("big");
    fs::write(&big, vec![0; 3 << 20]).unwrap();
    fs::set_permissions(&big, fs::Permissions::from_mode(0o755)).unwrap();
    let (message, hint) = told(&connection.start_agent(Path::new(&big), &[]).unwrap_err());
    (message, hint, server)
}

#[test]
fn a_full_disk_is_named() {
    or_leave_out!();
    let (message, hint, server) = fails(&Special {
        host: "mount -t tmpfs -o size=1m,mode=755 none /var/lib",
        ..Special::default()
    });
    assert!(
        message.starts_with("cannot write /var/lib/reconcile/agent.")
            && message.contains("/reconcile on source (old): the file system is full: "),
        "{message}"
    );
    assert_eq!(hint, "make room on that file system and run again");
    assert_eq!(
        server.look(LIST),
        "",
        "what was written is taken away again"
    );
}

#[test]
fn a_read_only_file_system_is_named() {
    or_leave_out!();
    let (message, hint, _server) = fails(&Special {
        host: "mount -t tmpfs -o ro none /var/lib",
        ..Special::default()
    });
    assert_eq!(
        message,
        "cannot make /var/lib/reconcile on source (old): the file system is read-only"
    );
    assert_eq!(hint, "remount it read-write and run again");
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    or_leave_out!();
    for trap in [
        "mkdir /var/lib/reconcile; chmod 777 /var/lib/reconcile",
        "mkdir -m 700 /var/lib/reconcile; chown 4242 /var/lib/reconcile",
        "ln -s /tmp /var/lib/reconcile",
    ] {
        let (message, hint, _server) = fails(&Special {
            host: trap,
            ..Special::default()
        });
        assert_eq!(
            message, "/var/lib/reconcile on source (old) is not root's alone",
            "{trap}"
        );
        assert!(hint.ends_with("chmod 700 /var/lib/reconcile"), "{hint}");
    }
}

#[test]
fn a_host_without_sftp_is_named() {
    or_leave_out!();
    let (message, hint, _server) = fails(&Special {
        sftp: Some("Subsystem sftp /nowhere/sftp-server"),
        ..Special::default()
    });
    assert!(
        message.starts_with("cannot copy files to source (old): there is no SFTP: "),
        "{message}"
    );
    assert!(hint.contains("Subsystem sftp internal-sftp"), "{hint}");
}
