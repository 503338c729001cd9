//! Running a host's own read-only programs inside its root, and the names of file systems.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::host::Answer;

/// A configuration reader that has not answered by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looking changes nothing, whatever the program does: `doveconf` of Dovecot 2.4 makes files in
/// `/tmp`. So the root is read-only for it, with a `/tmp` in memory, in a mount namespace of its own.
/// Arguments: the root, the program, its arguments.
const WITHOUT_A_TRACE: &str = r#"
mount --rbind "$0" "$0" && mount -o remount,bind,ro "$0" &&
    mount -t tmpfs -o mode=1777 none "$0/tmp" || exit 125
exec chroot --userspec=65534:65534 --groups= "$0" "$@"
"#;

/// Runs a program inside a root as nobody, without environment or input, and with nothing to write
/// to: it may come from a disk that we know nothing about. `None` where that is not possible (not
/// root, no mount namespace, other CPU, missing library).
pub(super) fn as_nobody_in(root: &Path, argv: &[&str]) -> Result<Option<Answer>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    #[expect(clippy::disallowed_methods, reason = "host/ is where programs are run")]
    let child = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", WITHOUT_A_TRACE])
        .arg(root)
        .args(argv)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_run(root, argv, error)),
    };
    let deadline = Instant::now() + PATIENCE;
    while child
        .try_wait()
        .map_err(|e| cannot_run(root, argv, e))?
        .is_none()
    {
        if Instant::now() > deadline {
            child.kill().map_err(|e| cannot_run(root, argv, e))?;
            child.wait().map_err(|e| cannot_run(root, argv, e))?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child
        .wait_with_output()
        .map_err(|e| cannot_run(root, argv, e))?;
    // chroot(1): 125 it failed itself, 126 cannot be executed, 127 not found; unshare(1): 1.
    let not_run = output.status.code() == Some(1) && output.stderr.starts_with(b"unshare:");
    if not_run || matches!(output.status.code(), Some(125..=127)) {
        return Ok(None);
    }
    Ok(Some(Answer {
        status: output.status.code(),
        stdout: output.stdout,
        stderr: output.stderr,
    }))
}

fn cannot_run(root: &Path, argv: &[&str], error: io::Error) -> Error {
    Error::caused(
        Kind::Host,
        format!("cannot run {} in {}", argv[0], root.display()),
        error,
    )
}

/// The name of a file system's kind from statfs(2)'s magic number.
pub(super) fn file_system(magic: i64) -> &'static str {
    match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794C_7630 => "overlay",
        0x2FC1_2FC1 => "zfs",
        0x6969 => "nfs",
        0x0187 => "autofs",
        0xFF53_4D42 | 0xFE53_4D42 => "cifs",
        0x6573_5546 => "fuse",
        _ => "unknown",
    }
}
