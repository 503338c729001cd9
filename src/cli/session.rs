//! A manifest and its two hosts, opened.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Failure, local};
use crate::error::{Error, Kind, Result};
use crate::host::{DirHost, ReadHost};
use crate::manifest::{HostAddress, Manifest, load};
use crate::names::Side;
use crate::planner::{Hosts, Observation, observe};
use crate::receipt::Receipt;
use crate::resource::mail::Look;

/// Reads and checks a manifest.
pub(super) fn manifest(path: &Path) -> Result<Manifest, Failure> {
    let bytes = local::read(path).map_err(|error| {
        error.hint("name the manifest with -f FILE; examples/ has some to start from")
    })?;
    load::parse_bytes(&path.display().to_string(), &bytes)
        .map_err(|invalid| Failure::Manifest(Box::new(invalid)))
}

/// The two hosts of a manifest.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) manifest: Manifest,
    source: Option<DirHost>,
    target: DirHost,
}

impl Session {
    /// Opens both hosts; `None` if this version cannot reach one of them. `beside` is the manifest's
    /// path: relative roots start at its directory.
    pub(super) fn open(manifest: Manifest, beside: &Path) -> Result<Option<Self>> {
        let root = |address: &HostAddress| -> Option<PathBuf> {
            let HostAddress::Dir(path) = address else {
                return None;
            };
            let base = beside.parent().unwrap_or(Path::new(""));
            Some(base.join(std::ffi::OsStr::from_bytes(path.as_bytes())))
        };
        let (Some(source), Some(target)) =
            (root(&manifest.source.host), root(&manifest.target.host))
        else {
            return Ok(None);
        };
        let target = DirHost::open(Side::Target, &target)?;
        let source = match DirHost::open(Side::Source, &source) {
            Ok(source) => Some(source),
            Err(error) => {
                let receipt = Receipt::read(&target, &manifest.name)?;
                if receipt.is_none_or(|receipt| receipt.authority == Side::Source) {
                    return Err(error);
                }
                None
            }
        };
        let session = Self {
            manifest,
            source,
            target,
        };
        session.refuse_one_host()?;
        Ok(Some(session))
    }

    /// Two paths can lead to one root.
    fn refuse_one_host(&self) -> Result<()> {
        let top = crate::raw::HostPath::from("/");
        let Some(source) = &self.source else {
            return Ok(());
        };
        let (Some(a), Some(b)) = (source.stat(&top)?, self.target.stat(&top)?) else {
            return Ok(());
        };
        if (a.dev, a.ino) == (b.dev, b.ino) {
            let what = format!(
                "{} and {} are one directory",
                source.label(),
                self.target.label()
            );
            return Err(Error::new(Kind::Usage, what).hint("give the manifest two hosts"));
        }
        Ok(())
    }

    pub(super) fn source(&self) -> Option<&dyn ReadHost> {
        self.source.as_ref().map(|host| host as &dyn ReadHost)
    }

    pub(super) fn target(&self) -> &DirHost {
        &self.target
    }

    pub(super) fn hosts(&self) -> Hosts<'_> {
        Hosts {
            source: self.source(),
            target: &self.target,
        }
    }

    pub(super) fn observe(&self, look: &Look<'_>) -> Result<Observation> {
        observe(&self.manifest, self.hosts(), look)
    }
}
