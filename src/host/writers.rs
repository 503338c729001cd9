//! Who has files open for writing: a part of the proof that nothing moves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::raw::HostPath;

/// A process that could write to a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Writer {
    /// Its process id.
    pub pid: u32,
    /// Its program, `/proc/PID/comm`.
    pub program: String,
    /// The file.
    pub path: HostPath,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (process {}) writes {}",
            self.program, self.pid, self.path
        )
    }
}
