//! What differs between an entry of the source and one of the target.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::io::{Errno, pread};

use super::Job;
use super::attributes::Expected;
use super::report::{End, Trouble};
use super::scan::Look;
use crate::error::{Error, Kind, Result};
use crate::plan::change::Difference;

/// How much is read at once.
pub(super) const BLOCK: usize = 256 * 1024;

/// Ends the work if that was asked for.
pub(super) fn go_on(job: &Job<'_>) -> Result<()> {
    if job.stop.load(Ordering::Relaxed) {
        return Err(
            Error::new(Kind::Interrupted, "interrupted while working on mail trees")
                .hint("run this again to go on; everything that was done so far is kept"),
        );
    }
    Ok(())
}

/// How owner, mode and mtime differ from what they should be.
pub(super) fn metadata(expected: &Expected, actual: &Look) -> Vec<Difference> {
    let mut differences = Vec::new();
    if (expected.uid, expected.gid) != (actual.uid, actual.gid) {
        differences.push(Difference::Owner);
    }
    if expected.mode != actual.mode {
        differences.push(Difference::Mode);
    }
    if expected.mtime != actual.stamp.mtime {
        differences.push(Difference::Mtime);
    }
    differences
}

/// Whether two open files hold the same bytes, to the end of both.
pub(super) fn same_content(
    job: &Job<'_>,
    source: &OwnedFd,
    target: &OwnedFd,
) -> Result<bool, Trouble> {
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut offset = 0;
    loop {
        go_on(job)?;
        let l = fill(source, &mut left, offset).map_err(|e| Trouble::Read(End::Origin, e))?;
        let r = fill(target, &mut right, offset).map_err(|e| Trouble::Read(End::Copy, e))?;
        if left[..l] != right[..r] {
            return Ok(false);
        }
        offset += l as u64;
        job.progress.compared.fetch_add(l as u64, Ordering::Relaxed);
        if l < BLOCK {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
pub(super) fn fill(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(&fd, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
