//! Other programs: makers of what std cannot make, and independent witnesses.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Standard output of a program, or how it failed.
pub(crate) fn answer(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stdout) + &text(&output.stderr);
    Err(format!("{command:?}: {}: {said}", output.status))
}

/// Runs a program that must succeed; its standard output.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> String {
    answer(Command::new(program).args(arguments)).unwrap_or_else(|problem| panic!("{problem}"))
}

/// Copies a tree with everything that it has. `to` must not exist.
#[track_caller]
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let options = ["-a", "--reflink=auto", "--no-target-directory", "--"].map(OsStr::new);
    run(
        "cp",
        options
            .into_iter()
            .chain([from.as_os_str(), to.as_os_str()]),
    );
}
