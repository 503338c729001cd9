//! Files of the operator's machine that the command line names: manifests, saved plans,
//! observations. Files of the two hosts never pass through here.

use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::error::{Doing as _, Kind, Result};

/// Larger than any plan or observation of a mail server; a device or a wrong file ends here.
const LIMIT: u64 = 1 << 30;

/// Reads a whole file.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that the operator named, not a host's"
)]
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("cannot read {}", path.display());
    let meta = std::fs::metadata(path).doing(Kind::Usage, what)?;
    if meta.is_dir() || meta.len() > LIMIT {
        let what = format!(
            "{} is no file of a size that makes sense here",
            path.display()
        );
        return Err(crate::error::Error::new(Kind::Usage, what));
    }
    let file = std::fs::File::open(path).doing(Kind::Usage, what)?;
    let mut bytes = Vec::new();
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .doing(Kind::Usage, what)?;
    Ok(bytes)
}

/// Writes a whole file: complete or not at all.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that the operator named, not a host's"
)]
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    std::fs::write(&temp, bytes).doing(Kind::Usage, what)?;
    std::fs::rename(&temp, path).doing(Kind::Usage, what)
}

/// Writes a whole file that everybody may read, whatever the umask: complete or not at all.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that the operator named, not a host's"
)]
pub(super) fn write_for_all(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let what = || format!("cannot write {}", path.display());
    // A name that a collector of *.prom does not take.
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}.new", std::process::id()));
    // Others may write in a collector's directory: nothing is written into what has the name already, a
    // link of theirs or what a run that was killed left.
    std::fs::remove_file(&temp).ok();
    let mut file = std::fs::File::create_new(&temp).doing(Kind::Usage, what)?;
    let written = file.write_all(bytes).and_then(|()| {
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&temp, path)
    });
    if written.is_err() {
        // What counts is the failure to write; a file left over is named by its cause.
        std::fs::remove_file(&temp).ok();
    }
    written.doing(Kind::Usage, what)
}

/// Writes a whole file that is not there yet: complete or not at all.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that the operator named, not a host's"
)]
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temp = directory.join(format!(".reconcile-{}.new", std::process::id()));
    std::fs::write(&temp, bytes).doing(Kind::Usage, what)?;
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let here = rustix::fs::CWD;
    let renamed = match rustix::fs::renameat_with(here, &temp, here, path, flags) {
        // Some file systems, NFS among them, cannot refuse in one step.
        Err(rustix::io::Errno::INVAL) => match path.symlink_metadata() {
            Ok(_) => Err(std::io::Error::from(rustix::io::Errno::EXIST)),
            Err(_absent) => std::fs::rename(&temp, path),
        },
        renamed => renamed.map_err(std::io::Error::from),
    };
    if renamed.is_err() {
        // What counts is the failure to rename; a file left over is named by its cause.
        std::fs::remove_file(&temp).ok();
    }
    renamed.doing(Kind::Usage, what)
}

/// Writes data to stdout; a reader that went away is no error of ours.
pub(super) fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.doing(Kind::Host, || "cannot write to standard output".to_owned()),
    }
}

/// Tells a person something on stderr; that nobody listens stops no run.
pub(super) fn say(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the test looks at this machine's files"
)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_all_may_read_is_written_through_nobodys_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join("spool.prom"), dir.path().join("secret"));
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        write_for_all(&file, b"1").unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let temp = format!("spool.prom.{}.new", std::process::id());
        symlink(&secret, dir.path().join(temp)).unwrap();
        write_for_all(&file, b"2").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "2");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        let mode = fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
