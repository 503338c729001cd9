//! What a test needs of the machine. In CI a missing requirement is a failure; by hand the test is
//! left out and says why.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

/// Reports what is missing. In CI this does not return.
fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "in CI nothing is left out: {what}"
    );
    eprintln!("left out: {what}");
}

/// Whether we are root.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        missing("this test needs root, to make files of other users");
    }
    root
}

/// Whether the program was built with its named crash points.
pub(crate) fn failpoints() -> bool {
    let built = cfg!(feature = "failpoints");
    if !built {
        missing("this test needs `--features failpoints`");
    }
    built
}

/// Whether a file system can be mounted here.
pub(crate) fn mounts() -> bool {
    let probe = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let can = probe.is_ok_and(|output| output.status.success());
    if !can {
        missing("this test needs to mount a tmpfs");
    }
    can
}

/// The pristine Debian tree of a suite, made if it is not there yet.
pub(crate) fn tree(suite: &str) -> Option<PathBuf> {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees/build");
    match program::answer(Command::new(build).arg(suite)) {
        Ok(path) => Some(PathBuf::from(path.trim_end())),
        Err(problem) => {
            missing(&format!("this test needs the {suite} tree: {problem}"));
            None
        }
    }
}

/// Whether a program is there.
pub(crate) fn program(name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        missing(&format!("this test needs {name}"));
    }
    there
}
