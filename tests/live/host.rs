//! One host of a lab: commands in it, its files and its users. Its mail servers are in
//! [`crate::server`], its power switch in [`crate::power`].

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::lab::PROGRAMS;

/// The password of every user that [`Host::users`] makes.
pub(crate) const PASSWORD: &str = "open sesame";

/// No service of a lab takes nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A host that was booted.
#[derive(Debug)]
pub(crate) struct Host {
    lab: PathBuf,
    name: String,
    management: String,
    mail: String,
}

impl Host {
    /// From a line of the lab's `hosts` file.
    pub(crate) fn from_line(lab: &Path, line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, management, mail, _tree] = fields.as_slice() else {
            panic!("not a line of the hosts file: {line:?}");
        };
        Self {
            lab: lab.to_owned(),
            name: name.to_owned(),
            management: management.to_owned(),
            mail: mail.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the lab that it belongs to.
    pub(crate) fn lab(&self) -> &Path {
        &self.lab
    }

    /// Its address on the management network, where ssh goes.
    pub(crate) fn management_address(&self) -> &str {
        &self.management
    }

    /// Its address on the mail network.
    pub(crate) fn mail_address(&self) -> &str {
        &self.mail
    }

    /// A program in the host, run as root without ssh, in none of the host's control groups.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(format!("{PROGRAMS}/host"));
        command.arg(&self.name).arg(program).env("LAB", &self.lab);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a script of bash as root; what it printed. Panics unless each command of it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, script: impl AsRef<str>) -> String {
        let script = script.as_ref();
        let output = self.attempt(script);
        assert!(
            output.status.success(),
            "{}: {}: {script}\n{}{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script of bash as root, however it ends.
    #[track_caller]
    pub(crate) fn attempt(&self, script: &str) -> Output {
        self.bash(script).output().unwrap()
    }

    /// A script of bash that ends at its first failure, or after two minutes.
    fn bash(&self, script: &str) -> Command {
        let mut command = self.command("timeout");
        command.args(["120", "bash", "-euo", "pipefail", "-c", script]);
        command
    }

    /// Runs a script of bash as root, with this as standard input.
    #[track_caller]
    pub(crate) fn feed(&self, script: &str, input: impl AsRef<[u8]>) -> String {
        let mut child = self
            .bash(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let written = child.stdin.take().unwrap().write_all(input.as_ref());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}: {script}\n{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stderr),
        );
        written.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a file of root's, mode 0644.
    #[track_caller]
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.feed(&format!("cat >'{path}'"), content);
        self
    }

    /// Makes users with homes, uids as the host gives them, and [`PASSWORD`]. Its hash is not of the
    /// host's own kind, yescrypt, and has fewer rounds, because clients log in all the time and that is
    /// slow by design.
    #[track_caller]
    pub(crate) fn users<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> &Self {
        let names: Vec<String> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        self.run(format!(
            "set {}
             for name; do useradd --create-home --shell /bin/bash \"$name\"; done
             for name; do echo \"$name:{PASSWORD}\"; done | chpasswd -c SHA512 -s 1000",
            names.join(" ")
        ));
        self
    }

    /// Gives a user this password hash.
    #[track_caller]
    pub(crate) fn password_hash(&self, user: &str, hash: &str) -> &Self {
        self.run(format!("usermod --password '{hash}' {user}"));
        self
    }

    /// A file of the host, read from outside.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        let output = self.command("cat").arg(path).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {problem}", self.name);
        output.stdout
    }

    /// Waits until a script of bash succeeds in the host.
    #[track_caller]
    pub(crate) fn await_that(&self, script: &str) -> &Self {
        let began = Instant::now();
        loop {
            let output = self.attempt(script);
            if output.status.success() {
                return self;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{}: not true after {PATIENCE:?}: {script}\n{}",
                self.name,
                String::from_utf8_lossy(&output.stderr),
            );
            // Each look is a handful of processes, and others want the cores.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The last lines of its journal; a host that is off has none.
    pub(crate) fn recent_log(&self) -> String {
        let output = self
            .command("journalctl")
            .args(["--boot", "--lines=60", "--no-pager"])
            .output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    }
}
