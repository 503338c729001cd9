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
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::report::terminal::tell;
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
    /// Opens both hosts. Relative roots start at the directory of the manifest, whose path this is.
    pub(super) fn open(manifest: Manifest, path: &Path, operator: &Operator) -> Result<Self> {
        let reached = Reached::open(&manifest, path, operator).sorted(&manifest)?;
        let target = reached.target?;
        let source = match reached.source {
            Ok(source) => {
                refuse_one_host(source.read(), target.as_ref())?;
                Some(source)
            }
            Err(error) => {
                let receipt = Receipt::read(target.as_ref(), &manifest.name)?;
                if receipt.is_none_or(|receipt| receipt.authority == Side::Source) {
                    return Err(error);
                }
                let why = crate::error::chain(&error);
                tell(&format!("Going on without the source: {why}\n"));
                None
            }
        };
        let operator = &based(&manifest, path, operator);
        // Looking reads, too.
        let pace = manifest.transfer.pace();
        target.set_pace(pace)?;
        if let Some(source) = &source {
            source.read().set_pace(pace)?;
        }
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

    /// Looks at both hosts. A source that goes off meanwhile, as `cutover.source_after` may have told it,
    /// is not missed once the target's mail counts.
    pub(super) fn observe(&self, look: &Look<'_>) -> Result<Observation> {
        match observe(&self.manifest, self.hosts(), look) {
            Err(error) if error.kind() != Kind::Interrupted && self.is_source_off()? => {
                let hosts = Hosts {
                    source: None,
                    changeable: false,
                    third: None,
                    ..self.hosts()
                };
                observe(&self.manifest, hosts, look)
            }
            seen => seen,
        }
    }

    /// Whether the source went off, and is not needed.
    fn is_source_off(&self) -> Result<bool> {
        let Some(source) = self.source() else {
            return Ok(false);
        };
        let receipt = Receipt::read(self.target(), &self.manifest.name)?;
        let counts = receipt.is_some_and(|receipt| receipt.authority == Side::Target);
        Ok(counts && source.stat(&HostPath::from("/")).is_err())
    }
}

/// Relative roots start at the directory of the manifest, whose path this is.
fn based(manifest: &Manifest, path: &Path, operator: &Operator) -> Operator {
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    Operator {
        base,
        migration: Some(manifest.name.clone()),
        ..operator.clone()
    }
}

/// The two hosts of a manifest, as far as they can be reached.
pub(super) struct Reached {
    pub(super) source: Result<SourceHost>,
    pub(super) target: Result<Box<dyn Host>>,
}

impl Reached {
    /// Opens both hosts, at the same time: connecting takes a while.
    pub(super) fn open(manifest: &Manifest, path: &Path, operator: &Operator) -> Self {
        let operator = &based(manifest, path, operator);
        std::thread::scope(|scope| {
            let source = scope.spawn(|| reach_source(&manifest.source, operator));
            let target = reach_target(&manifest.target, operator);
            let source = source.join().expect("reaching a host does not panic");
            Self { source, target }
        })
    }

    /// A source that is another machine by now counts as out of reach.
    ///
    /// # Errors
    ///
    /// If neither can be reached, or the user wants us to stop.
    pub(super) fn sorted(self, manifest: &Manifest) -> Result<Self> {
        let Self { source, target } = self;
        let (source, target) = match (source, target) {
            (Err(_), Err(error)) => return Err(error),
            (Err(error), _) | (_, Err(error)) if error.kind() == Kind::Interrupted => {
                return Err(error);
            }
            (Ok(source), Ok(target)) => {
                let source = true_source(source, target.as_ref(), manifest);
                (source, Ok(target))
            }
            both => both,
        };
        Ok(Self { source, target })
    }
}

/// The source, if what answers under its name is the source.
fn true_source(source: SourceHost, target: &dyn Host, manifest: &Manifest) -> Result<SourceHost> {
    if is_the_source(source.read(), target, manifest)? {
        return Ok(source);
    }
    let label = source.read().label();
    let what = format!("{label} is not the machine that handed over, but another one");
    Err(Error::new(Kind::Host, what))
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
