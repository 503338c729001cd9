//! The receipt as it changes during a run; each change is durable before the run goes on.

use std::sync::Mutex;

use jiff::Timestamp;

use crate::error::Result;
use crate::host::{Host, NewFile};
use crate::manifest::Manifest;
use crate::raw::HostPath;
use crate::receipt::Receipt;

/// The migration's directory on the target.
pub struct Store<'a> {
    target: &'a dyn Host,
    directory: HostPath,
    receipt: Mutex<Receipt>,
}

impl std::fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl<'a> Store<'a> {
    /// Opens the migration's directory, and makes it the first time.
    pub fn open(target: &'a dyn Host, manifest: &Manifest) -> Result<Self> {
        let receipt = Receipt::read(target, &manifest.name)?;
        let directory = Receipt::directory(&manifest.name);
        target.make_dirs(&HostPath::from("/var/lib"), 0o755)?;
        target.make_dirs(&directory.join("index"), 0o700)?;
        let receipt =
            receipt.unwrap_or_else(|| Receipt::new(manifest.name.clone(), Timestamp::now()));
        Ok(Self {
            target,
            directory,
            receipt: Mutex::new(receipt),
        })
    }

    /// Where the indexes of the replication engine are.
    pub fn index_directory(&self) -> HostPath {
        self.directory.join("index")
    }

    /// Takes notice of a receipt that was written by somebody else: at a hand-over.
    pub fn reload(&self) -> Result<()> {
        let mut receipt = self
            .receipt
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(written) = Receipt::read(self.target, &receipt.name)? {
            *receipt = written;
        }
        Ok(())
    }

    /// Changes the receipt and writes it.
    pub fn update(&self, change: impl FnOnce(&mut Receipt)) -> Result<()> {
        let mut receipt = self
            .receipt
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = receipt.clone();
        change(&mut next);
        self.target.replace(
            &self.directory.join("receipt.json"),
            &next.to_bytes(),
            NewFile::root(0o600),
        )?;
        *receipt = next;
        crate::failpoint::hit("receipt:written");
        Ok(())
    }
}
