//! Stopping everything that writes mail on the host that hands over, so that all of it can be taken
//! back: mail services, and what runs programs by the clock or fetches mail. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Service, services};
use super::known::Role;
use super::order::{self, Halt};
use super::process::Program;
use super::unit::{Init, Unit};
use super::{HostServices, Problem, describe, hold};
use crate::host::{Command, Step};
use crate::manifest::{Manifest, Services};
use crate::names::Side;
use crate::plan::hand_over::{Freeze, Hold, HostChange};
use crate::raw::HostPath;

/// Those that serve people: after a thaw they are up first.
pub(super) const MAIL: [Role; 2] = [Role::Mta, Role::Imap];

/// Those that nobody waits for.
pub(super) const OTHERS: [Role; 2] = [Role::Cron, Role::Fetcher];

/// Plans to freeze a host as it is now. `trees` are those that move.
///
/// # Errors
///
/// What is in the way, all of it: nothing was stopped yet.
pub fn freeze(
    manifest: &Manifest,
    side: Side,
    host: &HostServices,
    trees: Vec<HostPath>,
) -> Result<Freeze, Vec<Problem>> {
    if host.init == Init::Other {
        return Err(vec![Problem::CannotFreeze { side }]);
    }
    let named = &manifest.services;
    let mut problems = Vec::new();
    let mut holds = BTreeMap::new();
    let mut known = BTreeSet::new();
    let [others, mail] = [OTHERS, MAIL].map(|roles| {
        let mut all = Halt::default();
        for role in roles {
            let services = services(named, role, host);
            problems.extend(unknown_listener(role, side, &services, host));
            for service in &services {
                known.extend(service.programs());
                problems.extend(in_the_way(service, side, host));
                let halt = Halt::of(service, host);
                // What an admin masked and stopped is no record of ours.
                if !service.is_exim() && halt != Halt::default() {
                    all.add(&halt);
                    holds.insert(service.name.clone(), Hold::from(halt));
                }
            }
        }
        all
    });
    let strays: Vec<Program> = host.programs.difference(&known).copied().collect();
    if !strays.is_empty() {
        let programs = strays;
        problems.push(Problem::Strays { side, programs });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut all = others.clone();
    all.add(&mail);
    let mut thaw = order::start(host.init, &all.masks, &mail.running);
    thaw.extend(order::start(host.init, &BTreeSet::new(), &others.running));
    let mut commands = all.commands(host.init);
    if host.programs.contains(&Program::Postfix) {
        commands.insert(0, Command::PausePostfix);
        thaw.push(Command::ResumePostfix);
    }
    Ok(Freeze {
        change: HostChange {
            side,
            edits: Vec::new(),
            steps: steps(commands),
            undo: undone_by(thaw),
        },
        holds,
        ports: MAIL.iter().flat_map(|role| role.ports()).copied().collect(),
        trees,
    })
}

/// Commands as steps, in their order.
pub(super) fn steps(commands: Vec<Command>) -> Vec<Step> {
    commands.into_iter().map(Step::Run).collect()
}

/// Commands that take something back, as a list that is undone from the last to the first.
pub(super) fn undone_by(mut commands: Vec<Command>) -> Vec<Step> {
    commands.reverse();
    steps(commands)
}

impl From<Halt> for Hold {
    fn from(halt: Halt) -> Self {
        Self {
            masks: halt.masks,
            running: halt.running.into_iter().collect(),
        }
    }
}

/// A service that is not known, and so cannot be stopped, listens on ports of a role.
fn unknown_listener(
    role: Role,
    side: Side,
    services: &[Service<'_>],
    host: &HostServices,
) -> Option<Problem> {
    let open = host.open(role.ports());
    let explained = services.iter().any(Service::runs) || open.is_empty();
    (!explained).then(|| Problem::PortsTaken {
        side,
        ports: open.into_iter().collect(),
    })
}

/// What is in the way of freezing a service.
fn in_the_way(service: &Service<'_>, side: Side, host: &HostServices) -> Vec<Problem> {
    if service.is_exim() {
        let delivers = |unit: &&&Unit| unit.runs() || unit.is_at_large(host.init);
        let unit = service.units.iter().find(delivers);
        let problem = unit.map(|unit| Problem::EximDelivers {
            side,
            unit: unit.name.clone(),
        });
        return problem.into_iter().collect();
    }
    let mut problems = hold::unmaskable(service, side, host);
    let at_work = |unit: &&&Unit| unit.runs() && service.waits_for(unit);
    problems.extend(service.units.iter().filter(at_work).map(|unit| {
        let unit = unit.name.clone();
        Problem::AtWork { side, unit }
    }));
    for program in hold::without_unit(service) {
        problems.push(if program.is_master() {
            Problem::ByHand { side, program }
        } else {
            let programs = vec![program];
            Problem::Strays { side, programs }
        });
    }
    problems
}

/// Why a host is not quiet after a freeze: what runs or could be started, and ports that are open.
/// Empty if it is.
pub fn unquiet(named: &Services, seen: &HostServices, freeze: &Freeze) -> Vec<String> {
    let mut why = Vec::new();
    for role in OTHERS.into_iter().chain(MAIL) {
        for service in services(named, role, seen) {
            why.extend(service.units_unheld());
        }
    }
    // Whoever they belong to.
    why.extend(
        seen.programs
            .iter()
            .map(|program| format!("{program} runs")),
    );
    let ports: Vec<u16> = freeze.ports.iter().copied().collect();
    let open = seen.open(&ports);
    if !open.is_empty() {
        why.push(format!("something listens on {}", describe::numbers(&open)));
    }
    why
}
