//! Archives that come no faster than they may leave their host: what is not read waits over there.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::replicate::Outflow;
use crate::replicate::commands::{Finished, Output};

/// The host's limit, on the archives of one tree.
#[derive(Debug)]
pub(super) struct Limits {
    outflow: Arc<Outflow>,
    /// Microseconds.
    waited: Arc<AtomicU64>,
}

impl Limits {
    pub(super) fn of(outflow: Arc<Outflow>) -> Self {
        Self {
            outflow,
            waited: Arc::default(),
        }
    }

    pub(super) fn outflow(&self) -> Arc<Outflow> {
        Arc::clone(&self.outflow)
    }

    /// How long all archives waited so far.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_micros(self.waited.load(Ordering::Relaxed))
    }

    pub(super) fn on(&self, output: Box<dyn Output>) -> Box<dyn Output> {
        Box::new(Limited {
            output,
            outflow: self.outflow(),
            waited: Arc::clone(&self.waited),
        })
    }
}

struct Limited {
    output: Box<dyn Output>,
    outflow: Arc<Outflow>,
    waited: Arc<AtomicU64>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        let waited = self.outflow.let_out(read as u64, None).as_micros();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        self.waited.fetch_add(waited, Ordering::Relaxed);
        Ok(read)
    }
}

impl Output for Limited {
    fn end(self: Box<Self>) -> Result<Finished> {
        self.output.end()
    }
}
