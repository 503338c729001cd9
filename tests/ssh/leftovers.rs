//! No ssh and no directory is left behind, whichever way a run ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reconcile::host::ssh::Connection;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::operator::{Operator, environment, root_at};
use crate::server::{Server, or_leave_out};

/// Command lines that name a path: our masters name their directory.
fn processes(naming: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        // A process may end while we look.
        let Ok(line) = fs::read(entry.unwrap().path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(naming.to_str().unwrap()) {
            found.push(line);
        }
    }
    found
}

fn masters(operator: &Operator) -> Vec<String> {
    processes(&operator.run())
}

fn directories(operator: &Operator) -> usize {
    fs::read_dir(operator.run()).unwrap().count()
}

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An agent that is this command.
fn agent(operator: &Operator, command: &str) -> PathBuf {
    let path = operator.home().join("agent");
    let text =
        format!("#!/bin/sh\nif [ \"$1\" = --version ]; then echo 1; exit; fi\nexec {command}\n");
    fs::write(&path, text).unwrap();
    path
}

/// A run in a process of its own, with an agent on the host.
struct Run {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Run {
    fn start(operator: &Operator, server: &Server, agent: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "leftovers::plays_a_run_when_asked",
                "--nocapture",
            ])
            .env("PLAY_HOME", operator.home())
            .env("PLAY_PORT", server.port.to_string())
            .env("PLAY_AGENT", agent)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let mut run = Self { process, said };
        run.says("connected");
        run
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    fn says(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            let got = self.said.read_line(&mut line).unwrap();
            assert!(got > 0, "it never says {what}");
        }
    }
}

/// Not a test of its own: the other side of [`Run`].
#[test]
fn plays_a_run_when_asked() {
    let Some(home) = std::env::var_os("PLAY_HOME") else {
        return;
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted)).unwrap();
    let port = std::env::var("PLAY_PORT").unwrap().parse().unwrap();
    let environment = environment(Path::new(&home));
    let connection = Connection::open(&root_at(port), &environment, &Arc::default()).unwrap();
    let script = std::env::var_os("PLAY_AGENT").unwrap();
    let _agent = connection.start_agent(Path::new(&script), &[]).unwrap();
    println!("connected");
    while !interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut exec = connection.exec(&[b"echo", b"still there"], b"").unwrap();
    let mut output = String::new();
    exec.stdout.read_to_string(&mut output).unwrap();
    println!("{output}");
}

#[test]
fn nothing_is_left_after_the_end() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let connection = operator.connect(&root_at(server.port)).unwrap();
    assert_eq!(masters(&operator).len(), 1, "{:?}", masters(&operator));
    assert_eq!(directories(&operator), 1);
    drop(connection);
    assert_eq!(masters(&operator), [""; 0]);
    assert_eq!(directories(&operator), 0);
}

#[test]
fn nothing_is_left_after_a_failure() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::welcome(&server);
    operator.fails(&root_at(server.port));
    assert_eq!(masters(&operator), [""; 0]);
    assert_eq!(directories(&operator), 0);
}

#[test]
fn a_killed_run_s_master_ends_by_itself_and_its_directory_is_swept() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    for signal in [Signal::KILL, Signal::TERM] {
        let mut run = Run::start(&operator, &server, &agent(&operator, "cat"));
        assert_eq!(masters(&operator).len(), 1);
        kill_process(run.pid(), signal).unwrap();
        run.process.wait().unwrap();
        soon("the master ends", || masters(&operator).is_empty());
        assert_eq!(directories(&operator), 1, "for which nobody was there");
        drop(operator.connect(&root_at(server.port)).unwrap());
        assert_eq!(directories(&operator), 0);
    }
}

#[test]
fn a_master_that_something_over_there_keeps_alive_is_ended_by_the_next_run() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let other = operator.connect(&root_at(server.port)).unwrap();
    let stubborn = agent(&operator, "sleep 61");
    let mut run = Run::start(&operator, &server, &stubborn);
    assert_eq!(masters(&operator).len(), 2);
    kill_process(run.pid(), Signal::KILL).unwrap();
    run.process.wait().unwrap();
    assert_eq!(masters(&operator).len(), 2);
    let next = operator.connect(&root_at(server.port)).unwrap();
    soon("that master ends", || masters(&operator).len() == 2);
    // Those that have an owner are left alone.
    assert_eq!(directories(&operator), 2);
    assert!(other.lost().unwrap().is_none() && next.lost().unwrap().is_none());
    drop((other, next));
    assert_eq!(masters(&operator), [""; 0]);
    assert_eq!(directories(&operator), 0);
}

#[test]
fn control_c_at_the_terminal_does_not_end_the_master() {
    or_leave_out!();
    let server = Server::start();
    let operator = Operator::of(&server);
    let mut run = Run::start(&operator, &server, &agent(&operator, "cat"));
    kill_process_group(run.pid(), Signal::INT).unwrap();
    run.says("still there");
    assert!(run.process.wait().unwrap().success());
    assert_eq!(masters(&operator), [""; 0]);
    assert_eq!(directories(&operator), 0);
}
