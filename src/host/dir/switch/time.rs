//! When a switch is due.
//!
//! A deadline counts by `CLOCK_BOOTTIME` of `clock_gettime(2)`: nobody sets it, and it goes on while the
//! machine sleeps. It begins anew with each boot, and what was under way before a reboot is over.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, Kind, Result};
use crate::host::{ReadHost, Switch};
use crate::raw::HostPath;

/// `proc_sys_kernel(5)`: a random number that is made anew at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The deadline of a switch that was tripped: past at any time.
pub(super) const TRIPPED: u64 = 0;

/// What the clocks of a machine say.
#[derive(Clone, Debug)]
pub(super) struct Now {
    /// For people.
    pub(super) wall: Timestamp,
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub(super) boottime: u64,
    /// The boot that they count from.
    pub(super) boot: String,
}

impl Now {
    /// Reads the clocks.
    pub(super) fn read(host: &dyn ReadHost) -> Result<Self> {
        let path = HostPath::from(BOOT_ID);
        let missing = || Error::new(Kind::Host, format!("no {path} on {}", host.label()));
        let boot = host.read(&path)?.ok_or_else(missing)?;
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).expect("it counts from zero");
        let part = u64::try_from(now.tv_nsec).expect("it counts from zero");
        Ok(Self {
            wall: Timestamp::now(),
            boottime: seconds.saturating_mul(1_000_000_000).saturating_add(part),
            boot: String::from_utf8_lossy(boot.trim_ascii()).into_owned(),
        })
    }

    /// `CLOCK_BOOTTIME` in a while.
    pub(super) fn after(&self, within: Duration) -> u64 {
        let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        self.boottime.saturating_add(within)
    }
}

/// Whether a host has given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Its deadline lies ahead.
    Ahead,
    /// Its deadline has passed.
    Passed,
    /// It was booted since: what it took live is gone, and nobody waits for it.
    Rebooted,
}

impl Switch {
    pub(super) fn due(&self, now: &Now) -> Due {
        if self.boot != now.boot {
            Due::Rebooted
        } else if self.boottime <= now.boottime {
            Due::Passed
        } else {
            Due::Ahead
        }
    }

    /// How long an agent has been at work on it since its deadline. One that tripped it takes back,
    /// which may take its time.
    pub(super) fn overrun(&self, now: &Now) -> Duration {
        match self.due(now) {
            Due::Passed if self.boottime != TRIPPED => {
                Duration::from_nanos(now.boottime.saturating_sub(self.boottime))
            }
            _ => Duration::ZERO,
        }
    }
}
