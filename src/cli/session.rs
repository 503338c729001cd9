//! A manifest and its two hosts, opened.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Failure, local};
use crate::error::{Error, Kind, Result};
use crate::host::{DirHost, ReadHost};
use crate::manifest::{HostAddress, Manifest, load};
use crate::names::Side;
use crate::planner::{Hosts, Observation, observe};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::mail::Look;

/// Reads and checks a manifest.
pub(super) fn manifest(path: &Path) -> Result<Manifest, Failure> {
    let bytes = local::read(path).map_err(|error| {
        error.hint(
            "name the manifest with -f FILE; `reconcile init SOURCE TARGET` drafts one, and examples/ \
             has some to start from",
        )
    })?;
    load::parse_bytes(&path.display().to_string(), &bytes)
        .map_err(|invalid| Failure::Manifest(Box::new(invalid)))
}

/// Opens a host that no manifest names yet, for looking only. Relative roots start at `base`.
pub(super) fn open(side: Side, address: &HostAddress, base: &Path) -> Result<Box<dyn ReadHost>> {
    let Some(root) = root(address, base) else {
        let what = format!("cannot reach {side} {address}: this version looks at dir: hosts only");
        return Err(Error::new(Kind::Blocked, what)
            .hint("mount the disk, or restore a backup, and give it as dir:PATH"));
    };
    Ok(Box::new(DirHost::open(side, &root)?))
}

/// The directory of a root on this machine.
fn root(address: &HostAddress, base: &Path) -> Option<PathBuf> {
    match address {
        HostAddress::Dir(path) => Some(base.join(OsStr::from_bytes(path.as_bytes()))),
        HostAddress::Ssh { .. } => None,
    }
}

/// Two paths can lead to one root.
pub(super) fn refuse_one_host(source: &dyn ReadHost, target: &dyn ReadHost) -> Result<()> {
    let top = HostPath::from("/");
    let (Some(a), Some(b)) = (source.stat(&top)?, target.stat(&top)?) else {
        return Ok(());
    };
    if (a.dev, a.ino) == (b.dev, b.ino) {
        let what = format!(
            "{} and {} are one directory",
            source.label(),
            target.label()
        );
        return Err(Error::new(Kind::Usage, what).hint("name two hosts"));
    }
    Ok(())
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
        let base = beside.parent().unwrap_or(Path::new(""));
        let (Some(source), Some(target)) = (
            root(&manifest.source.host, base),
            root(&manifest.target.host, base),
        ) else {
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
        if let Some(source) = &source {
            refuse_one_host(source, &target)?;
        }
        Ok(Some(Self {
            manifest,
            source,
            target,
        }))
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
