//! The dead man's switch of a host: what it gives back by itself when nobody confirms a hand-over.
//!
//! A hand-over is a transaction over two hosts and an operator, each of which can die. Each host has a
//! switch, a file beside its receipt: the steps that take back what was done there, a deadline, and the
//! steps that follow once authority has changed hands. A process on the host (a service that also
//! starts at boot) watches it. The rules:
//!
//! - Nothing is done on a host in a hand-over but by [`Host::advance`], which writes down how to take it
//!   back first, and refuses once the deadline has passed: a slow operator can never go on after a host
//!   has given up.
//! - A deadline counts by a clock that nobody can set. A reboot is a deadline, too: what a host took
//!   live is gone, and nobody waits for it. Who is still at work on the host seconds after its
//!   deadline is ended.
//! - Taking back goes on until all of it has succeeded, and needs no room on any disk.
//! - The one moment at which authority changes hands is [`Host::settle`] on the host that takes over:
//!   its receipt is replaced, atomically, only while its own deadline lies ahead.
//! - The host that takes over gives up before the host that hands over does (the latter's deadline is
//!   later), and the latter takes an address back only when nobody answers for it
//!   ([`Step::AwaitFree`]).
//! - Until authority has changed hands nobody but the probes reaches the host that takes over
//!   ([`Step::Close`]), so nothing that a client or a sender was told can be lost by going back.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ReadHost, Step};
use crate::error::{Error, Kind, Result};
use crate::manifest::MigrationName;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// Version of the switch's JSON form.
pub const SWITCH_VERSION: u32 = 1;

/// An armed switch, as the host keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// [`SWITCH_VERSION`].
    pub version: u32,
    /// The migration.
    pub name: MigrationName,
    /// The receipt's epoch that the hand-over would make.
    pub epoch: u32,
    /// When it was armed first, by the host's clock.
    pub armed: Timestamp,
    /// When the host gives up, by its clock.
    pub deadline: Timestamp,
    /// The same in this boot, in nanoseconds of `CLOCK_BOOTTIME`, which nobody sets; 0 once it was
    /// tripped.
    pub boottime: u64,
    /// The boot that `boottime` is of: `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// What takes back, to be done from the last to the first.
    pub undo: Vec<Step>,
    /// What follows once authority has changed hands.
    pub commit: Vec<Step>,
    /// Why the last try to take back did not get to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<String>,
}

impl Switch {
    /// Where it is.
    pub fn path(name: &MigrationName) -> HostPath {
        Receipt::directory(name).join("switch.json")
    }

    /// Reads the switch of a migration; `None` if it is not armed.
    pub fn read(host: &dyn ReadHost, name: &MigrationName) -> Result<Option<Self>> {
        let path = Self::path(name);
        let Some(bytes) = host.read(&path)? else {
            return Ok(None);
        };
        let what = || format!("{path} on {} is no dead man's switch", host.label());
        let switch: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::caused(Kind::Malformed, what(), error))?;
        if switch.version == SWITCH_VERSION && switch.name == *name {
            return Ok(Some(switch));
        }
        Err(Error::new(Kind::Malformed, what()).hint("use the version of reconcile that wrote it"))
    }
}

/// Arms a switch, or moves the deadline of an armed one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Arming {
    /// The migration.
    pub name: MigrationName,
    /// The receipt's epoch that the hand-over would make.
    pub epoch: u32,
    /// How long from now.
    pub within: Duration,
    /// What follows once authority has changed hands.
    pub commit: Vec<Step>,
}

/// Something done on a host in a hand-over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// The migration.
    pub name: MigrationName,
    /// That of the armed switch.
    pub epoch: u32,
    /// What takes this back, in the order in which it is done; undone from the last to the first.
    /// Written down before anything is done. Files need no entry: they are put back after all of this,
    /// so behind every barrier in it.
    pub undo: Vec<Step>,
    /// Files that are replaced, first; each is kept, and put back when the switch trips.
    pub files: Vec<Replacement>,
    /// What is done.
    pub steps: Vec<Step>,
}

/// A file that is replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The file.
    pub path: HostPath,
    /// What it holds afterwards; may hold secrets.
    pub content: Vec<u8>,
    /// Permission bits if it is made new.
    pub mode: u32,
}

/// Secrets are not printed.
impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replacement")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Advance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advance")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// Authority has changed hands, or changes hands now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// The migration.
    pub name: MigrationName,
    /// That of the armed switch.
    pub epoch: u32,
    /// The receipt that says so, as it is written.
    pub receipt: Vec<u8>,
    /// Whether this is the moment itself.
    pub moment: Moment,
}

/// What a settlement is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Moment {
    /// On the host that takes over: refused once its deadline has passed.
    Now,
    /// On the host that handed over, and wherever authority has changed hands already.
    Past,
}
