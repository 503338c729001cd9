//! Letting the target's services go and starting them, once its mail counts. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Service, services};
use super::known::Role;
use super::order::{self, is_trigger};
use super::unit::{ENABLED, Init, Load, Unit};
use super::{HostServices, Problem, describe};
use crate::host::Command;
use crate::manifest::{Manifest, Services};
use crate::names::Side;
use crate::plan::change::{ServiceHold, ServiceRelease};
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Held;

/// Plans to let go what this migration holds, and to start what does not run. `records` is what it
/// holds by then.
pub(super) fn draft(
    manifest: &Manifest,
    target: &HostServices,
    authority: Side,
    records: &BTreeMap<String, Held>,
    draft: &mut Draft,
) {
    for role in [Role::Imap, Role::Mta] {
        let all = services(&manifest.services, role, target);
        let all: Vec<&Service<'_>> = all.iter().filter(|service| !service.is_exim()).collect();
        let chosen = chosen(role, Side::Target, &all, records).unwrap_or_else(|problem| {
            let resource = Resource::Service(Side::Target, role.to_string());
            draft.block(resource, Obstacle::Service { problem });
            Vec::new()
        });
        for service in &all {
            let record = records.get(&service.name);
            let is_chosen = chosen.contains(&service.name);
            match (is_chosen, record) {
                (true, None) if service.serves() => {
                    if authority == Side::Target {
                        doubts(service, target, draft);
                    }
                }
                (false, None) => {}
                _ => release(service, target, record, is_chosen, draft),
            }
        }
    }
}

/// The services of a role that are to serve: those that do and are not held, else those that ran when
/// they were stopped, else the only one there is.
pub(super) fn chosen(
    role: Role,
    side: Side,
    all: &[&Service<'_>],
    records: &BTreeMap<String, Held>,
) -> Result<Vec<String>, Problem> {
    let names = |wanted: &dyn Fn(&Service<'_>) -> bool| -> Vec<String> {
        let wanted = all.iter().filter(|service| wanted(service));
        wanted.map(|service| service.name.clone()).collect()
    };
    let free = names(&|s| s.serves() && !records.contains_key(&s.name));
    if !free.is_empty() {
        return Ok(free);
    }
    let ran = names(&|s| records.get(&s.name).is_some_and(Held::was_running));
    match (ran.as_slice(), all) {
        ([], [_, _, ..]) => Err(Problem::Ambiguous {
            side,
            services: names(&|_| true),
            key: format!("services.{role}"),
        }),
        ([], _) => Ok(names(&|_| true)),
        _ => Ok(ran),
    }
}

/// What is worth a look although the service runs.
fn doubts(service: &Service<'_>, target: &HostServices, draft: &mut Draft) {
    let mut warn = |text: String| {
        let resource = Resource::Service(Side::Target, service.name.clone());
        draft.note(resource, Level::Warning, text);
    };
    if target.open(service.role.ports()).is_empty() {
        let ports = describe::numbers(service.role.ports());
        warn(format!("it runs, and none of the ports {ports} is open"));
    }
    for unit in service.mains() {
        let triggered = |name: &String| {
            let is = |other: &&Unit| other.name == *name && other.enabled == ENABLED;
            target.units.iter().any(|other| is(&other))
        };
        let starts = unit.enabled != "disabled" || unit.triggered_by.iter().any(triggered);
        if !starts {
            let enable = match target.init {
                Init::Systemd => format!("systemctl enable {}", unit.name),
                Init::Chkconfig => Command::ChkconfigOn(unit.name.clone()).to_string(),
                Init::UpdateRcD | Init::Other => {
                    Command::UpdateRcEnable(unit.name.clone()).to_string()
                }
            };
            warn(format!("it does not start at boot: run `{enable}` there"));
        }
    }
}

fn release(
    service: &Service<'_>,
    target: &HostServices,
    record: Option<&Held>,
    chosen: bool,
    draft: &mut Draft,
) {
    let none = Held::default();
    let held = record.unwrap_or(&none);
    let resource = || Resource::Service(Side::Target, service.name.clone());
    let starting = if chosen {
        starting(Side::Target, service, held)
    } else {
        Ok(Vec::new())
    };
    let names = match starting {
        Ok(_) if target.init == Init::Other => {
            let problem = Problem::UnknownInit;
            draft.block(resource(), Obstacle::Service { problem });
            return;
        }
        Ok(names) => names,
        Err(problem) => {
            draft.block(resource(), Obstacle::Service { problem });
            return;
        }
    };
    let commands = order::start(target.init, &held.masks, &names);
    let stop = format!("stop {} on the target by hand", service.name);
    let mut needs = BTreeSet::from([Fact::Authority(Side::Target)]);
    needs.extend((service.role == Role::Imap).then_some(Fact::UidlEnforced));
    let ports = if chosen { service.role.ports() } else { &[] };
    draft.actions.push(Action {
        id: ActionId(format!("service/target/{}/release", service.name)),
        change: Change::ReleaseService(ServiceRelease {
            service: service.name.clone(),
            start: names.into_iter().collect(),
            ports: ports.iter().copied().collect(),
            commands,
        }),
        because: Reason::TargetServes,
        needs,
        gives: BTreeSet::from([Fact::Serving(service.name.clone())]),
        risk: Risk::ServiceVisible,
        undo: Undo::Manual(stop),
    });
}

/// What is started when a service is let go; not if a unit of it was masked by somebody else.
pub(super) fn starting(
    side: Side,
    service: &Service<'_>,
    held: &Held,
) -> Result<Vec<String>, Problem> {
    let start = to_start(service, held);
    let foreign =
        |unit: &&&Unit| unit.load == Load::Masked && !held.masks.contains(&unit.mask_name());
    let masked: BTreeSet<String> = start
        .iter()
        .filter(foreign)
        .map(|unit| unit.mask_name())
        .collect();
    if !masked.is_empty() {
        let units = masked.into_iter().collect();
        return Err(Problem::MaskedByOthers { side, units });
    }
    // An instance that does not run is seen by nobody who does not know its name.
    let unseen = |name: &&String| {
        name.contains('@') && !service.units.iter().any(|unit| unit.name == **name)
    };
    let seen = start.iter().map(|unit| unit.name.clone());
    Ok(seen
        .chain(held.running.iter().filter(unseen).cloned())
        .collect())
}

/// The main units, what ran when it was stopped, and what starts at boot; but no socket for a service
/// that somebody started meanwhile.
fn to_start<'a>(service: &Service<'a>, held: &Held) -> Vec<&'a Unit> {
    let mains: Vec<&str> = service.mains().iter().map(|u| u.name.as_str()).collect();
    let too_late = |unit: &Unit| is_trigger(&unit.name) && !unit.runs() && service.serves();
    let wanted = |unit: &&&'a Unit| {
        let at_boot = unit.enabled.starts_with(ENABLED) && !is_trigger(&unit.name);
        let is_meant = mains.contains(&unit.name.as_str()) || held.running.contains(&unit.name);
        (is_meant || at_boot) && !too_late(unit)
    };
    service.units.iter().filter(wanted).copied().collect()
}

/// What is still not as it was planned: why the target is not quiet after a hold. Empty if it is.
pub fn unheld(named: &Services, seen: &HostServices, hold: &ServiceHold) -> Vec<String> {
    let mut why = match find(named, seen, &hold.service) {
        Some(service) => service.unheld(),
        None => Vec::new(),
    };
    let ports: Vec<u16> = hold.ports.iter().copied().collect();
    let open = seen.open(&ports);
    if !open.is_empty() {
        why.push(format!("something listens on {}", describe::numbers(&open)));
    }
    why
}

/// Why a service does not serve after a release. Empty if it does.
pub fn unfinished(named: &Services, seen: &HostServices, release: &ServiceRelease) -> Vec<String> {
    if release.start.is_empty() {
        return Vec::new();
    }
    let Some(service) = find(named, seen, &release.service) else {
        return vec![format!("{} is gone", release.service)];
    };
    let mut why: Vec<String> = service
        .units
        .iter()
        .filter(|unit| release.start.contains(&unit.name) && !unit.runs())
        .map(ToString::to_string)
        .collect();
    if why.is_empty() && !service.serves() {
        why.push(format!("no process of {} runs", service.name));
    }
    let ports: Vec<u16> = release.ports.iter().copied().collect();
    if !ports.is_empty() && seen.open(&ports).is_empty() {
        why.push(format!(
            "none of the ports {} is open",
            describe::numbers(&ports)
        ));
    }
    why
}

fn find<'a>(named: &Services, seen: &'a HostServices, name: &str) -> Option<Service<'a>> {
    let roles = [Role::Imap, Role::Mta].into_iter();
    roles
        .flat_map(|role| services(named, role, seen))
        .find(|service| service.name == name)
}
