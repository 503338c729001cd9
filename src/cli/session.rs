//! A manifest and its two hosts, opened.

use std::path::Path;

use super::{Failure, local};
use crate::error::{Error, Kind, Result, chain};
use crate::host::{
    Host, HostState, Operator, ReadHost, SourceHost, reach_backup, reach_source, reach_target,
    reach_vantage, refuse_one_host,
};
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
    source: Option<SourceHost>,
    target: Box<dyn Host>,
    /// A third host that looks at the service, for a hand-over.
    third: Option<Box<dyn ReadHost>>,
    /// The backup mail exchanger, or why it is out of reach.
    backup: Option<Result<Box<dyn Host>, String>>,
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
        let source = match source {
            Some(source) if is_the_source(source.read(), target.as_ref(), &manifest)? => {
                refuse_one_host(source.read(), target.as_ref())?;
                Some(source)
            }
            _ => None,
        };
        let third = match &source {
            Some(_) => third(&manifest, target.as_ref(), operator)?,
            None => None,
        };
        let backup = backup(&manifest, target.as_ref(), operator)?;
        Ok(Self {
            manifest,
            source,
            target,
            third,
            backup,
        })
    }

    pub(super) fn source(&self) -> Option<&dyn ReadHost> {
        self.source.as_ref().map(SourceHost::read)
    }

    /// The source, if it can be frozen and can take the mail back.
    pub(super) fn change_source(&self) -> Option<&dyn Host> {
        self.source.as_ref().and_then(SourceHost::change)
    }

    pub(super) fn third(&self) -> Option<&dyn ReadHost> {
        self.third.as_deref()
    }

    pub(super) fn target(&self) -> &dyn Host {
        self.target.as_ref()
    }

    /// The backup mail exchanger, if there is one within reach.
    pub(super) fn backup(&self) -> Option<&dyn Host> {
        let backup = self.backup.as_ref()?.as_ref().ok()?;
        Some(backup.as_ref())
    }

    pub(super) fn hosts(&self) -> Hosts<'_> {
        Hosts {
            source: self.source(),
            target: self.target.as_ref(),
            changeable: self.change_source().is_some(),
            third: self.third(),
            backup: self.backup().map(|host| host as &dyn ReadHost),
            backup_missing: match &self.backup {
                Some(Err(why)) => Some(why),
                _ => None,
            },
        }
    }

    pub(super) fn observe(&self, look: &Look<'_>) -> Result<Observation> {
        observe(&self.manifest, self.hosts(), look)
    }
}

/// Whether what answers under the source's name is the source. After a cutover the name may lead to the
/// target, or to a machine that took the old one's place: then the source counts as gone.
fn is_the_source(
    source: &dyn ReadHost,
    target: &dyn ReadHost,
    manifest: &Manifest,
) -> Result<bool> {
    if source.state() == HostState::Offline {
        return Ok(true);
    }
    let Some(receipt) = Receipt::read(target, &manifest.name)? else {
        return Ok(true);
    };
    let Some(known) = receipt.machines.get(&Side::Source) else {
        return Ok(true);
    };
    let machine = Receipt::machine(source, &manifest.name)?;
    if machine.as_ref() == Some(known) {
        return Ok(true);
    }
    if receipt.authority == Side::Target {
        return Ok(false);
    }
    let what = format!("{} is not the machine that it was", source.label());
    Err(Error::new(Kind::Host, what).hint(
        "its machine-id differs from the one of the last hand-over: name the old server in source.host",
    ))
}

/// The backup that the manifest names, or the one that is still set up. That it is out of reach stops
/// nothing here: a way back needs none.
fn backup(
    manifest: &Manifest,
    target: &dyn ReadHost,
    operator: &Operator,
) -> Result<Option<Result<Box<dyn Host>, String>>> {
    let wanted = manifest.mx.as_ref().and_then(|mx| mx.backup.as_ref());
    let described = match wanted {
        Some(backup) => Some(backup.source()),
        None => Receipt::read(target, &manifest.name)?.and_then(|receipt| receipt.backup),
    };
    let Some(described) = described else {
        return Ok(None);
    };
    match reach_backup(&described, operator) {
        Err(error) if error.kind() == Kind::Host => Ok(Some(Err(chain(&error)))),
        reached => reached.map(|host| Some(Ok(host))),
    }
}

/// The third host of a manifest that asks for one, while there is something to hand over.
fn third(
    manifest: &Manifest,
    target: &dyn ReadHost,
    operator: &Operator,
) -> Result<Option<Box<dyn ReadHost>>> {
    let receipt = Receipt::read(target, &manifest.name)?;
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    if authority == manifest.serve_from {
        return Ok(None);
    }
    let probe = manifest
        .cutover
        .as_ref()
        .and_then(|cutover| cutover.probe.as_ref());
    match probe.and_then(|probe| probe.from.as_ref()) {
        Some(described) if manifest.source.host.is_live() => {
            reach_vantage(described, operator).map(Some)
        }
        _ => Ok(None),
    }
}
