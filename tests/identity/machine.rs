//! A host whose Dovecot can be asked: a Debian tree that is never written, with directories of its
//! own in the places that a test changes, in namespaces without a network.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use reconcile::error::Result;
use reconcile::host::{
    Answers, Ended, Hearing, HostState, Probe, ReadHost, Relay, Space, Stat, TreeJob, Watch,
};
use reconcile::names::Side;
use reconcile::raw::{HostPath, Raw};
use reconcile::replicate::{Depth, Held, OriginTree, Origins, Pace, Report};

use crate::program;

const MACHINE: &str = include_str!("machine.sh");

/// Whether its Dovecot runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dovecot {
    Serves,
    Stopped,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    side: Side,
    tree: PathBuf,
    own: tempfile::TempDir,
    pub(crate) dovecot: Dovecot,
}

impl Machine {
    /// A machine as the tree has it, without mail.
    pub(crate) fn new(side: Side, tree: &Path) -> Self {
        let own = tempfile::tempdir().unwrap();
        let (etc, mail) = (own.path().join("etc"), own.path().join("mail"));
        program::copy_tree(&tree.join("etc"), &etc);
        program::copy_tree(&tree.join("var/mail"), &mail);
        program::copy_tree(&tree.join("home"), &own.path().join("home"));
        Self {
            side,
            tree: tree.to_owned(),
            own,
            dovecot: Dovecot::Stopped,
        }
    }

    /// Where one of its directories is on this machine: `etc`, `home` or `mail`.
    pub(crate) fn own(&self, path: &str) -> PathBuf {
        self.own.path().join(path)
    }

    /// Takes over the mail of another machine, in place of its own.
    pub(crate) fn copy_mail(&self, from: &Self) {
        for dir in ["home", "mail"] {
            std::fs::remove_dir_all(self.own(dir)).unwrap();
            program::copy_tree(&from.own(dir), &self.own(dir));
        }
    }

    fn command(&self, argv: &[String]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--net"]);
        command.args(["sh", "-c", MACHINE, "sh"]);
        command.arg(&self.tree).arg(self.own.path());
        command.arg(match self.dovecot {
            Dovecot::Serves => "serves",
            Dovecot::Stopped => "stopped",
        });
        command.args(argv);
        command
    }

    /// Runs a shell script on it.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        program::answer(&mut self.command(&argv)).unwrap_or_else(|problem| panic!("{problem}"))
    }
}

struct Heard {
    child: Child,
    stdout: ChildStdout,
}

impl Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(buffer)
    }
}

impl Hearing for Heard {
    fn end(mut self: Box<Self>) -> Result<Ended> {
        let status = self.child.wait().unwrap().code();
        let mut stderr = Vec::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_end(&mut stderr)
            .unwrap();
        Ok(Ended::Ran { status, stderr })
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl ReadHost for Machine {
    fn side(&self) -> Side {
        self.side
    }
    fn label(&self) -> String {
        format!("{} (test)", self.side)
    }
    fn state(&self) -> HostState {
        HostState::Live
    }
    fn ask(&self, probe: &Probe) -> Result<Option<Box<dyn Hearing>>> {
        let mut command = self.command(&probe.argv());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), probe.input().to_vec());
        std::thread::spawn(move || stdin.write_all(&input));
        let stdout = child.stdout.take().unwrap();
        Ok(Some(Box::new(Heard { child, stdout })))
    }
    fn lstat(&self, _: &HostPath) -> Result<Option<Stat>> {
        unreachable!("only questions are asked")
    }
    fn stat(&self, _: &HostPath) -> Result<Option<Stat>> {
        unreachable!("only questions are asked")
    }
    fn read_link(&self, _: &HostPath) -> Result<Option<Raw>> {
        unreachable!("only questions are asked")
    }
    fn list(&self, _: &HostPath) -> Result<Option<Vec<Raw>>> {
        unreachable!("only questions are asked")
    }
    fn read(&self, _: &HostPath) -> Result<Option<Vec<u8>>> {
        unreachable!("only questions are asked")
    }
    fn space(&self, _: &HostPath) -> Result<Space> {
        unreachable!("only questions are asked")
    }
    fn origins(&self, _: Vec<OriginTree>) -> Result<Origins<'_>> {
        unreachable!("only questions are asked")
    }
    fn relay(&self, _: Vec<OriginTree>, _: Answers) -> Result<Box<dyn Relay>> {
        unreachable!("only questions are asked")
    }
    fn set_pace(&self, _: Pace) -> Result<()> {
        unreachable!("only questions are asked")
    }
    fn held(&self) -> Held {
        unreachable!("only questions are asked")
    }
    fn compare(
        &self,
        _: &[TreeJob],
        _: Depth,
        _: &dyn ReadHost,
        _: &mut Watch<'_>,
    ) -> Vec<Result<Report>> {
        unreachable!("only questions are asked")
    }
}
