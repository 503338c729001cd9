//! A lab: the hosts of one test, booted when it begins and gone when it ends.
//!
//! `tests/lab/run` boots and removes it; here it is started, held and asked for its hosts.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::Host;

/// The lab's programs.
pub(crate) const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");

/// Hosts that are up, in networks of their own.
#[derive(Debug)]
pub(crate) struct Lab {
    owner: Child,
    dir: PathBuf,
    hosts: Vec<Host>,
    boot_time: Duration,
}

impl Lab {
    /// Boots hosts, given as `NAME=TREE`: `old=bullseye`, `new=bookworm-sendmail`; with `:SIZE` the
    /// host has a disk of that size, which can be full. None if that cannot be done on this machine;
    /// in CI this does not return.
    #[track_caller]
    pub(crate) fn start<const N: usize>(specs: [&str; N]) -> Option<Self> {
        if let Some(reason) = impossible() {
            assert!(
                std::env::var_os("CI").is_none(),
                "in CI nothing is left out: {reason}"
            );
            eprintln!("left out: {reason}");
            return None;
        }
        for spec in specs {
            build_tree(spec);
        }
        let began = Instant::now();
        let mut said = tempfile::tempfile().unwrap();
        // In a session of its own: whoever kills the test's process group leaves it time to clean up.
        let mut owner = Command::new("setsid")
            .arg(format!("{PROGRAMS}/run"))
            .args(specs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        BufReader::new(owner.stdout.take().unwrap())
            .read_line(&mut answer)
            .unwrap();
        if answer.is_empty() {
            let status = owner.wait().unwrap();
            let mut text = String::new();
            said.rewind().unwrap();
            said.read_to_string(&mut text).unwrap();
            panic!("the lab does not start: {status}\n{text}");
        }
        let dir = PathBuf::from(answer.trim_end());
        let hosts = fs::read_to_string(dir.join("hosts"))
            .unwrap()
            .lines()
            .map(|line| Host::from_line(&dir, line))
            .collect();
        for part in ["work", "tmp"] {
            fs::create_dir(dir.join("operator").join(part)).unwrap();
        }
        Some(Self {
            owner,
            dir,
            hosts,
            boot_time: began.elapsed(),
        })
    }

    /// How long the hosts took to boot, all at once; their trees were there.
    pub(crate) fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// A host by its name.
    #[track_caller]
    pub(crate) fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name() == name);
        found.unwrap_or_else(|| panic!("the lab has no host {name}"))
    }

    /// Where the lab's files are on this machine.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process that owns the lab: `tests/lab/run`.
    pub(crate) fn owner(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.owner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for host in &self.hosts {
                eprintln!("--- {}, at the end\n{}", host.name(), host.recent_log());
            }
        }
        // The end of its standard input is the lab's end.
        drop(self.owner.stdin.take());
        self.owner.wait().ok();
    }
}

/// Makes the tree of `NAME=TREE`, unless it is there: the first time takes a minute.
#[track_caller]
fn build_tree(spec: &str) {
    let (_, tree) = spec.split_once('=').unwrap();
    let tree = tree.split(':').next().unwrap();
    let mta = if tree.contains('-') { "" } else { "-postfix" };
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trees/build"))
        .arg(format!("{tree}{mta}"))
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no tree {tree}{mta}: {problem}");
}

/// Why no host can be booted here.
fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this test needs root, to boot hosts".to_owned());
    }
    ["systemd-nspawn", "debootstrap", "ip", "socat", "ssh"]
        .into_iter()
        .find(|program| !there(program))
        .map(|program| format!("this test needs {program}, to boot hosts and to reach them"))
}

fn there(program: &str) -> bool {
    Path::new("/usr/bin").join(program).exists() || Path::new("/usr/sbin").join(program).exists()
}
