//! Giving a host's interfaces the service addresses that they lack at boot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::choose::{self, Found};
use super::files::{BadFile, Files, redaction_of};
use super::interface::{Backend, Family, Interface};
use super::{Problem, backend};
use crate::manifest::{Cutover, MigrationName};
use crate::names::Side;
use crate::plan::change::FileEdit;
use crate::plan::{Action, ActionId, Change, Fact, Reason, Resource, Risk, Undo};
use crate::raw::HostPath;
use crate::resource::edit;

/// What comes of looking at all service addresses.
#[derive(Default)]
pub(super) struct Outcome {
    /// Those that are configured.
    pub(super) settled: Vec<IpAddr>,
    /// One for each file that changes.
    pub(super) actions: Vec<Action>,
    /// What is in the way.
    pub(super) problems: Vec<(Resource, Problem)>,
    /// What a person should look at.
    pub(super) notes: Vec<(Resource, String)>,
}

/// Looks at every service address.
pub(super) fn configure(
    cutover: &Cutover,
    side: Side,
    files: &Files,
    owner: &MigrationName,
) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(first) = cutover.address.first() else {
        return outcome;
    };
    let interfaces = match backend::read(files) {
        Ok(interfaces) => interfaces,
        Err(bad) => {
            outcome.problems.push((address(first.0.addr()), bad.into()));
            return outcome;
        }
    };
    let service: BTreeSet<IpAddr> = cutover.address.iter().map(|net| net.0.addr()).collect();
    let mut lacking: BTreeMap<(HostPath, String), Lacking<'_>> = BTreeMap::new();
    for net in cutover.address.iter().map(|net| net.0) {
        match lacks(side, &interfaces, cutover, net, &service, &mut outcome) {
            Ok(None) => outcome.settled.push(net.addr()),
            Ok(Some(interface)) => {
                let key = (interface.file.clone(), interface.selector.to_string());
                let entry = lacking.entry(key).or_insert(Lacking {
                    interface,
                    nets: Vec::new(),
                });
                entry.nets.push(choose::prefixed(interface, net, &service));
            }
            Err(problem) => outcome.problems.push((address(net.addr()), problem)),
        }
    }
    let lacking: Vec<_> = lacking.into_values().collect();
    match actions(side, &lacking, files, owner) {
        Ok(actions) => outcome.actions = actions,
        Err(bad) => outcome.problems.push((address(first.0.addr()), bad.into())),
    }
    outcome
}

/// An interface and the addresses that it lacks.
struct Lacking<'a> {
    interface: &'a Interface,
    nets: Vec<IpNet>,
}

/// The interface that lacks the address; `None` if it has it.
fn lacks<'a>(
    side: Side,
    interfaces: &'a [Interface],
    cutover: &Cutover,
    net: IpNet,
    service: &BTreeSet<IpAddr>,
    outcome: &mut Outcome,
) -> Result<Option<&'a Interface>, Problem> {
    let wanted = wanted(cutover, side);
    let (interface, found) = choose::choose(side, interfaces, wanted, net, service)?;
    if interface.holds(net.addr()).is_some() {
        return Ok(None);
    }
    let name = interface.selector.to_string();
    let family = Family::of(net.addr());
    if interface.off.contains(&family) {
        let file = interface.file.clone();
        return Err(Problem::FamilyOff {
            interface: name,
            family,
            file,
        });
    }
    if let Some((other, file)) = interfaces
        .iter()
        .find_map(|i| Some((i, i.holds(net.addr())?)))
    {
        return Err(Problem::Elsewhere {
            address: net.addr(),
            interface: other.selector.to_string(),
            file: file.clone(),
            wanted: name,
        });
    }
    if interface.backend == Backend::Ifcfg && interface.dynamic.contains(&family) {
        let text = format!(
            "{name} is configured by DHCP: NetworkManager adds static addresses to it, the older \
             network scripts may not; check which of them runs"
        );
        outcome.notes.push((address(net.addr()), text));
    }
    if found == Found::OnlyOne {
        let text = format!(
            "{name} is the only interface that is configured, and so it is taken; nothing in its \
             configuration says that it is in {}",
            net.trunc()
        );
        outcome.notes.push((address(net.addr()), text));
    }
    Ok(Some(interface))
}

/// The interface that the manifest names: it is one of the target's.
pub(super) fn wanted(cutover: &Cutover, side: Side) -> Option<&str> {
    match side {
        Side::Source => None,
        Side::Target => cutover.interface.as_deref(),
    }
}

/// The changes of one file.
#[derive(Default)]
struct FileChange {
    nets: Vec<IpNet>,
    interfaces: BTreeSet<String>,
    backend: String,
    mode: u32,
}

/// One action for each file: two interfaces can be configured in the same one.
fn actions(
    side: Side,
    lacking: &[Lacking<'_>],
    files: &Files,
    owner: &MigrationName,
) -> Result<Vec<Action>, BadFile> {
    let mut after = files.clone();
    let mut changes: BTreeMap<HostPath, FileChange> = BTreeMap::new();
    for Lacking { interface, nets } in lacking {
        let place = backend::add(&after, interface, nets, owner)?;
        after.insert(place.path.clone(), &place.text)?;
        let change = changes.entry(place.path).or_default();
        change.nets.extend(nets);
        change.interfaces.insert(interface.selector.to_string());
        change.backend = interface.backend.to_string();
        change.mode = place.mode;
    }
    let action = |(path, change): (HostPath, FileChange)| {
        let text = after.get(&path).unwrap_or_default();
        let redaction = redaction_of(&path);
        let before = files.redacted(&path);
        let edit = FileEdit {
            side,
            ..edit::between_redacted(&path, redaction, before, text, change.mode)
        };
        let interfaces: Vec<String> = change.interfaces.into_iter().collect();
        Action {
            id: ActionId(format!("address/{}/configure", change.nets[0].addr())),
            undo: undo(&edit),
            change: Change::EditFile(edit),
            because: Reason::AddressMissing {
                interface: interfaces.join(", "),
                backend: change.backend,
            },
            needs: BTreeSet::from([Fact::Authority(side)]),
            gives: change
                .nets
                .iter()
                .map(|net| configured(net.addr()))
                .collect(),
            risk: Risk::ServiceVisible,
        }
    };
    Ok(changes.into_iter().map(action).collect())
}

/// How a person takes an edit back.
pub(super) fn undo(edit: &FileEdit) -> Undo {
    let path = &edit.path;
    Undo::Manual(match edit.before {
        None => format!("rm {path}"),
        Some(_) => {
            format!("in {path}, remove the lines marked + in this plan, put back those marked -")
        }
    })
}

pub(super) fn address(address: IpAddr) -> Resource {
    Resource::Address(address.to_string())
}

pub(super) fn configured(address: IpAddr) -> Fact {
    Fact::AddressConfigured(address.to_string())
}
