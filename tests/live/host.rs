//! One host of a lab: commands in it, its users, its mail servers' settings, its power.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::imap::Imap;
use crate::lab::PROGRAMS;
use crate::pop3::Pop3;
use crate::smtp::Smtp;

/// The password of every user that [`Host::users`] makes.
pub(crate) const PASSWORD: &str = "open sesame";

/// No service of a lab takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Dovecot's way of writing its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Debian 11 and 12.
    Dovecot2_3,
    /// Debian 13.
    Dovecot2_4,
}

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

    /// Makes users with homes, uids as the host gives them, and [`PASSWORD`].
    #[track_caller]
    pub(crate) fn users<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> &Self {
        let names: Vec<String> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        let passwords: String = names
            .iter()
            .map(|name| format!("{name}:{PASSWORD}\n"))
            .collect();
        self.run(format!(
            "for name in {}; do useradd --create-home --shell /bin/bash \"$name\"; done",
            names.join(" ")
        ));
        self.feed("chpasswd", passwords);
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

    /// How this host's Dovecot writes its settings.
    #[track_caller]
    pub(crate) fn dialect(&self) -> Dialect {
        if self.run("dovecot --version").starts_with("2.3.") {
            Dialect::Dovecot2_3
        } else {
            Dialect::Dovecot2_4
        }
    }

    /// Sets Dovecot's settings beyond what the tree has, in the host's own dialect, and restarts it.
    #[track_caller]
    pub(crate) fn dovecot(&self, settings: &str) -> &Self {
        self.file("/etc/dovecot/conf.d/95-test.conf", format!("{settings}\n"));
        self.restart_dovecot()
    }

    /// These users have a Maildir in ~/Maildir, for Dovecot and procmail; the others' mail is as it
    /// was. It is to be called before they get mail, once for a host.
    #[track_caller]
    pub(crate) fn maildir_users<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> &Self {
        let names: Vec<String> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        let (fields, userdb) = match self.dialect() {
            Dialect::Dovecot2_3 => (
                "userdb_mail=maildir:~/Maildir",
                "userdb {\n  driver = passwd-file\n  args = /etc/dovecot/maildir-users\n}\n",
            ),
            Dialect::Dovecot2_4 => (
                "userdb_mail_driver=maildir userdb_mail_path=~/Maildir \
                 userdb_mail_inbox_path=~/Maildir",
                "userdb passwd-file {\n  passwd_file_path = /etc/dovecot/maildir-users\n}\n",
            ),
        };
        for name in &names {
            self.run(format!(
                "getent passwd {name} | awk -F: -v OFS=: '{{ print $1, \"\", $3, $4, \"\", $6, \"\", \
                 \"{fields}\" }}' >>/etc/dovecot/maildir-users\n\
                 printf 'DEFAULT=$HOME/Maildir/\\n' >~{name}/.procmailrc\n\
                 chown {name}: ~{name}/.procmailrc"
            ));
        }
        // Asked before the other account databases, because it is read before them.
        self.file("/etc/dovecot/conf.d/05-maildir-users.conf", userdb);
        self.restart_dovecot()
    }

    #[track_caller]
    fn restart_dovecot(&self) -> &Self {
        self.run("doveconf -n >/dev/null && systemctl restart dovecot");
        self
    }

    /// A mail client's connection to SMTP.
    #[track_caller]
    pub(crate) fn smtp(&self) -> Smtp {
        Smtp::connect(self)
    }

    /// Sends a letter to a user by SMTP and waits until it is delivered.
    #[track_caller]
    pub(crate) fn deliver(&self, user: &str, letter: &str) -> &Self {
        self.smtp().send("sender@example.com", user, letter).quit();
        self.await_deliveries()
    }

    /// Waits until the MTA's queue is empty.
    #[track_caller]
    pub(crate) fn await_deliveries(&self) -> &Self {
        // Postfix; sendmail.
        self.await_that("mailq | grep -qE 'queue is empty|Total requests: 0'")
    }

    /// Delivers a letter by procmail, as the MTA does.
    #[track_caller]
    pub(crate) fn procmail(&self, user: &str, letter: &str) -> &Self {
        self.feed(&format!("procmail -f sender@example.com -d {user}"), letter);
        self
    }

    /// A user's IMAP session, logged in.
    #[track_caller]
    pub(crate) fn imap(&self, user: &str) -> Imap {
        Imap::login(self, user, PASSWORD)
    }

    /// A user's POP3 session, logged in.
    #[track_caller]
    pub(crate) fn pop3(&self, user: &str) -> Pop3 {
        Pop3::login(self, user, PASSWORD)
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
            std::thread::sleep(Duration::from_millis(50));
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

    /// Cuts the power: every process of the host is gone at once, its disk is as it was.
    #[track_caller]
    pub(crate) fn cut_power(&self) -> &Self {
        self.signal_init("KILL");
        self.await_off()
    }

    /// Shuts the host down.
    #[track_caller]
    pub(crate) fn power_off(&self) -> &Self {
        // SIGRTMIN+4: systemd(1), "Powers off the machine".
        self.signal_init("RTMIN+4");
        self.await_off()
    }

    /// Switches a host on that is off, and waits until it has booted.
    #[track_caller]
    pub(crate) fn power_on(&self) -> &Self {
        fs::write(self.lab.join(&self.name).join("power"), "on\n").unwrap();
        self.await_booted()
    }

    /// Reboots the host and waits until it has booted.
    #[track_caller]
    pub(crate) fn reboot(&self) -> &Self {
        let before = self.run("systemctl show --property=UserspaceTimestampMonotonic");
        // SIGRTMIN+5: systemd(1), "Reboots the machine".
        self.signal_init("RTMIN+5");
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let now = self.attempt("systemctl show --property=UserspaceTimestampMonotonic");
            if now.status.success() && now.stdout != before.as_bytes() {
                return self.await_booted();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} does not reboot", self.name);
    }

    #[track_caller]
    fn signal_init(&self, signal: &str) {
        let output = Command::new(format!("{PROGRAMS}/host"))
            .args(["--signal", signal, &self.name])
            .env("LAB", &self.lab)
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {problem}", self.name);
    }

    #[track_caller]
    fn await_off(&self) -> &Self {
        let began = Instant::now();
        while self.attempt("true").status.success() {
            assert!(began.elapsed() < PATIENCE, "{} stays up", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    #[track_caller]
    fn await_booted(&self) -> &Self {
        // Without --wait, with which systemd 247 can miss the end of a boot.
        self.await_that("systemctl is-system-running")
    }
}
