//! The program file that this agent runs: proving which it is, and leaving nothing of it behind.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, readlink, rmdir, unlink};

use crate::error::{Doing as _, Kind, Result};

const OURSELVES: &str = "/proc/self/exe";

/// BLAKE3 of the running program.
pub(super) fn own_digest() -> Result<[u8; 32]> {
    digest(Path::new(OURSELVES))
}

/// BLAKE3 of a program's file on this machine.
///
/// # Errors
///
/// [`Kind::Host`] if it cannot be read.
pub fn digest(program: &Path) -> Result<[u8; 32]> {
    let what = || format!("cannot read {}", program.display());
    let fd =
        open(program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(Kind::Host, what)?;
    let mut program = std::fs::File::from(fd);
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 256 * 1024];
    loop {
        match program.read(&mut block).doing(Kind::Host, what)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&block[..n]),
        };
    }
}

/// Removes the program file if it was sent here for this run, so that not even a power cut leaves it
/// behind. A running program needs its file no more.
pub(super) fn vanish() {
    let Ok(path) = readlink(OURSELVES, Vec::new()) else {
        return;
    };
    let path = path.into_bytes();
    let mut parts = path.rsplit(|&byte| byte == b'/');
    let (_, directory) = (parts.next(), parts.next());
    if !directory.is_some_and(|name| name.starts_with(b"agent.")) {
        return;
    }
    let holder = &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
    let above = &holder[..holder.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
    // Whoever sent it looks after what cannot be removed. The directory above stays if it holds the
    // records of a migration.
    unlink(path.as_slice())
        .and_then(|()| rmdir(holder))
        .and_then(|()| rmdir(above))
        .ok();
}
