//! What the operator runs: programs of this machine, in the lab's network and with a home of their
//! own.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::PATIENCE;
use crate::lab::{Lab, PROGRAMS};

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_reconcile");

impl Lab {
    /// A program of this machine, as the operator runs it: it reaches the lab's hosts and nothing
    /// else, `ssh old` works, and nothing of this test's environment is handed on. The process that
    /// is spawned becomes the program, so that killing it kills the program.
    pub(crate) fn operator<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(format!("{PROGRAMS}/operator"));
        command
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("LAB", self.dir())
            .env("TMPDIR", self.dir().join("operator/tmp"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("COLUMNS", "100")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.work(""))
            .stdin(Stdio::null());
        command
    }

    /// Runs `reconcile` to its end, in the operator's working directory.
    #[track_caller]
    pub(crate) fn reconcile<const N: usize>(&self, arguments: [&str; N]) -> Run {
        let what = format!("reconcile {}", arguments.join(" "));
        Run::of(what, &mut self.operator(BINARY, arguments))
    }

    /// Runs a program of this machine to its end, as the operator.
    #[track_caller]
    pub(crate) fn operate<const N: usize>(&self, program: &str, arguments: [&str; N]) -> Run {
        let what = format!("{program} {}", arguments.join(" "));
        Run::of(what, &mut self.operator(program, arguments))
    }

    /// Starts `reconcile apply --yes` and waits until it has come to a failpoint, where it stays.
    #[track_caller]
    pub(crate) fn apply_until(&self, point: &str) -> Paused {
        let file = self.work("pause");
        fs::remove_file(&file).ok();
        fs::remove_file(file.with_extension("go")).ok();
        let mut run = self
            .operator(BINARY, ["apply", "--yes"])
            .env(
                "RECONCILE_FAILPOINT",
                format!("{point}!pause={}", file.display()),
            )
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !file.exists() {
            let ended = run.try_wait().unwrap();
            assert!(ended.is_none(), "it does not come to {point}: {ended:?}");
            assert!(
                began.elapsed() < 3 * PATIENCE,
                "it does not come to {point}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Paused { run, file }
    }

    /// A file in the operator's working directory.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.dir().join("operator/work").join(name)
    }

    /// A file in the operator's ~/.ssh: `config`, `known_hosts`, `id_ed25519`.
    pub(crate) fn ssh_file(&self, name: &str) -> PathBuf {
        self.dir().join("operator/home/.ssh").join(name)
    }

    /// Writes `migration.yaml`: from host `old` to host `new`, and `rest`. Unless that says otherwise,
    /// the hosts keep the program: sending it takes a good part of a test's time.
    #[track_caller]
    pub(crate) fn manifest(&self, serve_from: &str, rest: &str) -> &Self {
        if rest.contains("transfer:") {
            return self.bare_manifest(serve_from, rest);
        }
        let rest = format!("transfer: {{ program: keep }}\n{rest}");
        self.bare_manifest(serve_from, &rest)
    }

    /// The same, and nothing else.
    #[track_caller]
    pub(crate) fn bare_manifest(&self, serve_from: &str, rest: &str) -> &Self {
        let text = format!(
            "version: 1\nname: live\nsource:\n  host: ssh://root@old\ntarget:\n  \
             host: ssh://root@new\nserve_from: {serve_from}\n{rest}"
        );
        fs::write(self.work("migration.yaml"), text).unwrap();
        self
    }
}

/// A run that waits at a failpoint.
#[derive(Debug)]
pub(crate) struct Paused {
    run: Child,
    file: PathBuf,
}

impl Paused {
    /// It goes on, and ends well.
    #[track_caller]
    pub(crate) fn ends_well(mut self) {
        fs::write(self.file.with_extension("go"), "").unwrap();
        let ended = self.run.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// It goes on, and ends with an error; what it says goes to the test's own output.
    #[track_caller]
    pub(crate) fn fails(mut self) {
        fs::write(self.file.with_extension("go"), "").unwrap();
        let ended = self.run.wait().unwrap();
        assert_eq!(ended.code(), Some(1));
    }

    /// It dies there.
    #[track_caller]
    pub(crate) fn dies(mut self) {
        self.run.kill().unwrap();
        self.run.wait().unwrap();
    }
}

/// A run that has ended; how must be looked at.
#[derive(Debug)]
#[must_use]
pub(crate) struct Run {
    what: String,
    code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Runs a command to its end, called so in messages.
    #[track_caller]
    pub(crate) fn of(what: String, command: &mut Command) -> Self {
        let began = Instant::now();
        let output = command.output().unwrap();
        let took = began.elapsed();
        eprintln!("{what}: {} after {took:?}", output.status);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            what,
            code: output.status.code(),
            took,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Its exit code; none if a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.describe());
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

    /// Nothing more is asked of it.
    pub(crate) fn done(self) {
        drop(self);
    }

    /// For the message of a failed assertion.
    pub(crate) fn describe(&self) -> String {
        let Self {
            what,
            code,
            stdout,
            stderr,
            ..
        } = self;
        format!("{what}: exit code {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
