//! A place of its own for each test, and the real binary in it: own HOME and TMPDIR, a cleared
//! environment, a fixed width.
//!
//! Whatever a test does, no run may let a password hash out: that is looked for after each run, in
//! what it printed and in every file that it left outside the account files.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::hashes;
use crate::root::Root;

const BINARY: &str = env!("CARGO_BIN_EXE_reconcile");
/// No run of a test takes nearly as long.
const PATIENCE: Duration = Duration::from_mins(2);
const GLANCE: Duration = Duration::from_millis(2);

/// Where a test's files are.
#[derive(Debug)]
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// In memory, where a flush costs nothing: for small roots.
    pub(crate) fn small() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            memory
        } else {
            &std::env::temp_dir()
        };
        Self::within(dir)
    }

    /// On disk: for whole trees.
    pub(crate) fn large() -> Self {
        Self::within(&std::env::temp_dir())
    }

    fn within(dir: &Path) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("reconcile-e2e-")
            .tempdir_in(dir)
            .unwrap();
        for part in ["home", "tmp", "work"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        Self { dir }
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The old host.
    pub(crate) fn source(&self) -> Root {
        Root::at(&self.path("source"))
    }

    /// The new host.
    pub(crate) fn target(&self) -> Root {
        Root::at(&self.path("target"))
    }

    /// Writes the manifest: these two hosts, and `rest`.
    pub(crate) fn manifest(&self, serve_from: &str, rest: &str) -> &Self {
        let text = format!(
            "version: 1\nname: e2e\nsource:\n  host: dir:{}\ntarget:\n  host: dir:{}\n\
             serve_from: {serve_from}\n{rest}",
            self.source().path().display(),
            self.target().path().display(),
        );
        self.manifest_text(&text)
    }

    /// Writes a manifest as it is.
    pub(crate) fn manifest_text(&self, text: &str) -> &Self {
        fs::write(self.path("work/migration.yaml"), text).unwrap();
        self
    }

    /// Runs `reconcile` to its end.
    #[track_caller]
    pub(crate) fn reconcile<const N: usize>(&self, arguments: [&str; N]) -> Run {
        self.start(&arguments).wait()
    }

    /// Starts `reconcile`.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Running<'_> {
        self.start_with(arguments, None)
    }

    /// Starts `reconcile`, armed to die at a named point.
    #[track_caller]
    pub(crate) fn start_with(&self, arguments: &[&str], failpoint: Option<&str>) -> Running<'_> {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().stdin(Stdio::null());
        if let Some(name) = failpoint {
            command.env("RECONCILE_FAILPOINT", name);
        }
        self.spawn(command, format!("reconcile {}", arguments.join(" ")))
    }

    /// Runs a line of shell in which `$reconcile` is the program.
    #[track_caller]
    pub(crate) fn shell(&self, line: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().stdin(Stdio::null());
        command.env("reconcile", BINARY);
        self.spawn(command, line.to_owned()).wait()
    }

    /// Runs `reconcile` on a terminal of its own, with a person who types this.
    #[track_caller]
    pub(crate) fn on_a_terminal(&self, arguments: &str, typed: &str) -> Run {
        let keyboard = self.path("keyboard");
        fs::write(&keyboard, typed).unwrap();
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command"]);
        command
            .arg(format!("{BINARY} {arguments}"))
            .arg("/dev/null");
        command
            .env_clear()
            .env("TERM", "xterm")
            .stdin(File::open(keyboard).unwrap());
        self.spawn(command, format!("reconcile {arguments} on a terminal"))
            .wait()
    }

    #[track_caller]
    fn spawn(&self, mut command: Command, what: String) -> Running<'_> {
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.path(name));
        command
            .current_dir(self.path("work"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("COLUMNS", "100")
            .env("LC_ALL", "C.UTF-8")
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap());
        Running {
            sandbox: self,
            child: Process(command.spawn().unwrap()),
            what,
            stdout,
            stderr,
            began: Instant::now(),
        }
    }

    /// Everything that a run may have written outside the account files holds no hash.
    #[track_caller]
    fn search_for_hashes(&self) {
        let mut places = ["home", "tmp", "work"].map(|part| self.path(part)).to_vec();
        places.push(self.target().join("var/lib/reconcile"));
        while let Some(place) = places.pop() {
            match fs::read_dir(&place) {
                Ok(entries) => places.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) if place.is_file() => {
                    let found = hashes::leaked(&fs::read(&place).unwrap());
                    assert_eq!(found, None, "a password hash is in {}", place.display());
                }
                Err(_) => {}
            }
        }
    }
}

/// A process that does not outlive the test that started it.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended, as it should.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A run that goes on.
#[derive(Debug)]
#[must_use]
pub(crate) struct Running<'a> {
    sandbox: &'a Sandbox,
    child: Process,
    what: String,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

impl Running<'_> {
    /// What it has printed on stdout so far.
    pub(crate) fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned()
    }

    /// Waits until stdout holds a text; false if the run ended before.
    pub(crate) fn wait_for(&mut self, text: &str) -> bool {
        while self.began.elapsed() < PATIENCE {
            if self.stdout_so_far().contains(text) {
                return true;
            }
            if self.child.0.try_wait().unwrap().is_some() {
                return self.stdout_so_far().contains(text);
            }
            std::thread::sleep(GLANCE);
        }
        false
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Kills it after `delay`, as a power cut would; a run that has ended by then has ended.
    #[track_caller]
    pub(crate) fn kill_after(mut self, delay: Duration) -> Run {
        std::thread::sleep(delay.saturating_sub(self.began.elapsed()));
        self.child.0.kill().unwrap();
        self.wait()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Run {
        let status = loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > PATIENCE {
                self.child.0.kill().unwrap();
                let status = self.child.0.wait().unwrap();
                panic!("no end after {PATIENCE:?}: {}", self.end(status).describe());
            }
            std::thread::sleep(GLANCE);
        };
        let sandbox = self.sandbox;
        let run = self.end(status);
        eprintln!("{}: {} after {:?}", run.what, run.status, run.took);
        for (name, bytes) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            let found = hashes::leaked(bytes.as_bytes());
            assert_eq!(
                found,
                None,
                "a password hash is on {name}: {}",
                run.describe()
            );
        }
        sandbox.search_for_hashes();
        run
    }

    fn end(self, status: ExitStatus) -> Run {
        let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Run {
            what: self.what,
            status,
            took: self.began.elapsed(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

/// A run that has ended; how must be looked at.
#[derive(Debug)]
#[must_use]
pub(crate) struct Run {
    what: String,
    status: ExitStatus,
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The exit code; a signal's run has none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether SIGKILL ended it.
    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal() == Some(rustix::process::Signal::KILL.as_raw())
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{}", self.describe());
        self
    }

    /// People were told this, on stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "stderr lacks {text:?}: {}",
            self.describe()
        );
        self
    }

    /// It printed this, on stdout.
    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "stdout lacks {text:?}: {}",
            self.describe()
        );
        self
    }

    /// For the message of a failed assertion.
    pub(crate) fn describe(&self) -> String {
        let Self {
            what,
            status,
            stdout,
            stderr,
            ..
        } = self;
        format!("{what}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }

    /// Nothing more is asked of it.
    pub(crate) fn done(self) {
        drop(self);
    }
}
