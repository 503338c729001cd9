//! The file systems that mail is on. They are told apart by the directories that INBOXes and homes are
//! in: one look for each of these, not for each user.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::host::{ReadHost, Space};
use crate::raw::HostPath;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Volumes {
    devices: BTreeMap<HostPath, u64>,
    volumes: BTreeMap<u64, (HostPath, Space)>,
}

impl Volumes {
    /// The file system of a directory: by the first directory of it that was asked for.
    pub fn of(&mut self, host: &dyn ReadHost, directory: &HostPath) -> Result<(HostPath, Space)> {
        let device = if let Some(device) = self.devices.get(directory) {
            *device
        } else {
            let space = host.space(directory)?;
            let device = space.dev;
            self.devices.insert(directory.clone(), device);
            let volume = (directory.clone(), space);
            self.volumes.entry(device).or_insert(volume);
            device
        };
        Ok(self.volumes[&device].clone())
    }

    /// Bytes that are free on each.
    pub fn free(&self) -> BTreeMap<HostPath, u64> {
        let each = self.volumes.values();
        each.map(|(path, space)| (path.clone(), space.bytes))
            .collect()
    }
}
