//! Whether anything on this machine still changes mail: clocks, change times, open files.

mod mounts;
mod open_files;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::host::ReadHost as _;
use crate::parallel;
use crate::raw::HostPath;
use crate::replicate::{self, Origin, OriginTree};

pub(super) use open_files::writers;

/// What file systems stamp with is the time of the last tick, `CLOCK_REALTIME_COARSE` of
/// `clock_gettime(2)`: some milliseconds behind, and never ahead of a stamp that is made afterwards.
pub(super) fn clock(host: &DirHost) -> Result<Timestamp> {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    let nanos = i32::try_from(time.tv_nsec).expect("nanoseconds are below a second");
    Timestamp::new(time.tv_sec, nanos).map_err(|error| {
        let what = format!("the clock of {} is far out of its time", host.label());
        Error::caused(Kind::Host, what, error)
    })
}

pub(super) fn changed_since(
    host: &DirHost,
    trees: &[OriginTree],
    since: Timestamp,
    most: usize,
) -> Result<Vec<HostPath>> {
    let room = AtomicUsize::new(most);
    let looks = parallel::map(trees, |tree| {
        let mut found = Vec::new();
        let mut tell = |path: &[u8]| {
            let take = |left: usize| left.checked_sub(1);
            match room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                Ok(_) => {
                    found.push(replicate::path_of(&tree.path, path));
                    ControlFlow::Continue(())
                }
                Err(_) => ControlFlow::Break(()),
            }
        };
        if room.load(Ordering::Relaxed) == 0 {
            return Ok(found);
        }
        replicate::changed_since(&mut Origin::Here(host.here(tree)?), since, &mut tell).map_err(
            |error| {
                let what = format!(
                    "cannot tell what changed in {} on {}",
                    tree.path,
                    host.label()
                );
                Error::caused(error.kind(), what, error)
            },
        )?;
        Ok(found)
    });
    let mut changed = Vec::new();
    for found in looks {
        changed.extend(found?);
    }
    Ok(changed)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make files and processes of their own"
)]
mod tests;
