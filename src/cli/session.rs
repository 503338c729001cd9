//! A manifest and its two hosts, opened.

use std::path::Path;

use super::{Failure, local};
use crate::error::Result;
use crate::host::{Host, Operator, ReadHost, reach_source, reach_target, refuse_one_host};
use crate::manifest::{Manifest, load};
use crate::names::Side;
use crate::planner::{Hosts, Observation, observe};
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

/// The two hosts of a manifest.
pub(super) struct Session {
    pub(super) manifest: Manifest,
    source: Option<Box<dyn ReadHost>>,
    target: Box<dyn Host>,
}

impl Session {
    /// Opens both hosts, at the same time: connecting takes a while. Relative roots start at the
    /// directory of the manifest, whose path this is.
    pub(super) fn open(manifest: Manifest, path: &Path, operator: &Operator) -> Result<Self> {
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let operator = &Operator {
            base,
            ..operator.clone()
        };
        let (source, target) = std::thread::scope(|scope| {
            let source = scope.spawn(|| reach_source(&manifest.source, operator));
            let target = reach_target(&manifest.target, operator);
            (
                source.join().expect("reaching a host does not panic"),
                target,
            )
        });
        let target = target?;
        let source = match source {
            Ok(source) => Some(source),
            Err(error) => {
                let receipt = Receipt::read(target.as_ref(), &manifest.name)?;
                if receipt.is_none_or(|receipt| receipt.authority == Side::Source) {
                    return Err(error);
                }
                None
            }
        };
        if let Some(source) = &source {
            refuse_one_host(source.as_ref(), target.as_ref())?;
        }
        Ok(Self {
            manifest,
            source,
            target,
        })
    }

    pub(super) fn source(&self) -> Option<&dyn ReadHost> {
        self.source.as_deref()
    }

    pub(super) fn target(&self) -> &dyn Host {
        self.target.as_ref()
    }

    pub(super) fn hosts(&self) -> Hosts<'_> {
        Hosts {
            source: self.source(),
            target: self.target.as_ref(),
        }
    }

    pub(super) fn observe(&self, look: &Look<'_>) -> Result<Observation> {
        observe(&self.manifest, self.hosts(), look)
    }
}
