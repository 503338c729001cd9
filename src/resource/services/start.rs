//! Starting the services of the host that takes over, so that it can be taken back. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::freeze::{MAIL, OTHERS, steps, undone_by};
use super::group::{Service, services};
use super::order::{self, Halt};
use super::release::{chosen, starting};
use super::unit::Init;
use super::{HostServices, Problem, describe};
use crate::host::{Command, Step};
use crate::manifest::{Manifest, Services};
use crate::names::Side;
use crate::plan::hand_over::{HostChange, Start};
use crate::receipt::Held;

/// Plans to let go what this migration holds on a host, and to start what serves there. `records` is
/// what it holds.
///
/// # Errors
///
/// What is in the way, all of it.
pub fn start(
    manifest: &Manifest,
    side: Side,
    host: &HostServices,
    records: &BTreeMap<String, Held>,
) -> Result<Start, Vec<Problem>> {
    if host.init == Init::Other {
        return Err(vec![Problem::CannotFreeze { side }]);
    }
    let named = &manifest.services;
    let mut draft = Draft {
        side,
        host,
        records,
        problems: Vec::new(),
        ports: BTreeMap::new(),
        back: Halt::default(),
    };
    let mut mail = Vec::new();
    for role in MAIL {
        let all = services(named, role, host);
        let all: Vec<&Service<'_>> = all.iter().filter(|service| !service.is_exim()).collect();
        match chosen(role, side, &all, records) {
            Ok(chosen) => {
                let chosen = all.iter().filter(|service| chosen.contains(&service.name));
                chosen.for_each(|service| mail.extend(draft.serve(service)));
            }
            Err(problem) => draft.problems.push(problem),
        }
    }
    let mut others = Vec::new();
    for role in OTHERS {
        for service in services(named, role, host) {
            others.extend(draft.resume(&service));
        }
    }
    if !draft.problems.is_empty() {
        return Err(draft.problems);
    }
    let masks: BTreeSet<String> = records
        .values()
        .flat_map(|held| &held.masks)
        .cloned()
        .collect();
    let mut commands = order::start(host.init, &masks, &mail);
    commands.extend(order::start(host.init, &BTreeSet::new(), &others));
    let back = Halt {
        masks,
        ..draft.back
    };
    Ok(Start {
        change: HostChange {
            side,
            edits: Vec::new(),
            steps: steps(commands),
            undo: undone_by(back.commands(host.init)),
        },
        ports: draft.ports,
    })
}

struct Draft<'a> {
    side: Side,
    host: &'a HostServices,
    records: &'a BTreeMap<String, Held>,
    problems: Vec<Problem>,
    ports: BTreeMap<String, BTreeSet<u16>>,
    /// What is stopped when it is taken back.
    back: Halt,
}

impl Draft<'_> {
    /// What is started of a service that is to serve.
    fn serve(&mut self, service: &Service<'_>) -> Vec<String> {
        let ports = service.role.ports().iter().copied().collect();
        self.ports.insert(service.name.clone(), ports);
        let none = Held::default();
        let record = self.records.get(&service.name);
        if record.is_none() && service.serves() {
            return Vec::new();
        }
        match starting(self.side, service, record.unwrap_or(&none)) {
            Ok(names) => self.started(service, names),
            Err(problem) => {
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    /// What is started of a service that was frozen, and serves nobody: what ran.
    fn resume(&mut self, service: &Service<'_>) -> Vec<String> {
        let Some(held) = self.records.get(&service.name) else {
            return Vec::new();
        };
        let there = service.units.iter().map(|unit| &unit.name);
        let names = there.filter(|name| held.running.contains(*name)).cloned();
        self.started(service, names.collect())
    }

    fn started(&mut self, service: &Service<'_>, names: Vec<String>) -> Vec<String> {
        if names.is_empty() {
            return names;
        }
        let mut stopped = names.clone();
        // What starts along with it: a service by its socket, an instance by its wrapper. An init
        // script may fail to stop what does not run.
        if self.host.init == Init::Systemd {
            let others = service.units.iter().filter(|unit| !service.waits_for(unit));
            let others = others.map(|unit| unit.name.clone());
            stopped.extend(others.filter(|name| !names.contains(name)));
        }
        self.back.running.extend(stopped);
        names
    }
}

/// Why a host does not serve after a start. Empty if it does.
pub fn unstarted(named: &Services, seen: &HostServices, start: &Start) -> Vec<String> {
    let started: BTreeSet<&String> = start
        .change
        .steps
        .iter()
        .flat_map(|step| match step {
            Step::Run(Command::StartUnits(units)) => units.as_slice(),
            Step::Run(Command::StartScript(name)) => std::slice::from_ref(name),
            _ => &[],
        })
        .collect();
    let mut why = Vec::new();
    let roles = MAIL.into_iter().chain(OTHERS);
    let all: Vec<Service<'_>> = roles.flat_map(|role| services(named, role, seen)).collect();
    for service in &all {
        let down = service.units.iter().filter(|unit| {
            started.contains(&unit.name) && !unit.runs() && !service.waits_for(unit)
        });
        why.extend(down.map(ToString::to_string));
    }
    for (name, ports) in &start.ports {
        match all.iter().find(|service| service.name == *name) {
            None => why.push(format!("{name} is gone")),
            Some(service) if !service.serves() => why.push(format!("no process of {name} runs")),
            Some(_) => {}
        }
        let ports: Vec<u16> = ports.iter().copied().collect();
        if seen.open(&ports).is_empty() {
            let ports = describe::numbers(&ports);
            why.push(format!("none of the ports {ports} of {name} is open"));
        }
    }
    why
}
