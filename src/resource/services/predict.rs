//! What the services will be after a change.

use std::collections::BTreeSet;

use super::unit::{Active, ENABLED, Init, Load, Unit};
use super::{HostServices, known};
use crate::host::{Command, Step};
use crate::plan::change::{ServiceHold, ServiceRelease};
use crate::plan::hand_over::{Freeze, Start};

/// Of which service a unit is, by its name.
fn belongs(unit: &Unit, service: &str, names: &[&str]) -> bool {
    let known = known::ALL.iter().find(|known| known.name == service);
    known.is_some_and(|known| known.has(&unit.name)) || names.iter().any(|name| unit.is(name))
}

/// Stopped and masked.
pub fn predict_hold(target: &mut HostServices, hold: &ServiceHold) {
    let init = target.init;
    let names: Vec<&str> = hold
        .masks
        .iter()
        .chain(&hold.running)
        .map(String::as_str)
        .collect();
    for unit in &mut target.units {
        if !belongs(unit, &hold.service, &names) {
            continue;
        }
        unit.active = Active::Inactive;
        match init {
            Init::Systemd => unit.load = Load::Masked,
            _ => "disabled".clone_into(&mut unit.enabled),
        }
    }
    target.programs.retain(
        |program| match known::ALL.iter().find(|k| k.name == hold.service) {
            Some(known) => !known.programs.contains(program),
            None => !program.serves(),
        },
    );
    target.ports.retain(|port, _| !hold.ports.contains(port));
}

/// Started.
pub fn predict_release(target: &mut HostServices, release: &ServiceRelease) {
    let init = target.init;
    for unit in &mut target.units {
        if !belongs(unit, &release.service, &[]) && !release.start.contains(&unit.name) {
            continue;
        }
        unit.load = Load::Loaded;
        if release.start.contains(&unit.name) {
            unit.active = Active::Active;
        }
        if init != Init::Systemd {
            ENABLED.clone_into(&mut unit.enabled);
        }
    }
    let known = known::ALL
        .iter()
        .find(|known| known.name == release.service);
    let master = known.and_then(|known| known.programs.first());
    if !release.start.is_empty() {
        target.programs.extend(master);
    }
}

/// Everything that writes mail is stopped and masked.
pub fn predict_freeze(host: &mut HostServices, freeze: &Freeze) {
    for (service, hold) in &freeze.holds {
        let hold = ServiceHold {
            service: service.clone(),
            masks: hold.masks.clone(),
            running: hold.running.clone(),
            ports: freeze.ports.clone(),
            commands: Vec::new(),
        };
        predict_hold(host, &hold);
    }
}

/// What was held is let go, and what was started runs.
pub fn predict_start(host: &mut HostServices, start: &Start) {
    let (mut free, mut started) = (BTreeSet::new(), BTreeSet::new());
    for step in &start.change.steps {
        match step {
            Step::Run(Command::UnmaskUnits(units)) => free.extend(units),
            Step::Run(Command::UpdateRcEnable(name) | Command::ChkconfigOn(name)) => {
                free.insert(name);
            }
            Step::Run(Command::StartUnits(units)) => started.extend(units),
            Step::Run(Command::StartScript(name)) => {
                started.insert(name);
            }
            _ => {}
        }
    }
    let init = host.init;
    for unit in &mut host.units {
        if free.contains(&unit.mask_name()) {
            unit.load = Load::Loaded;
            if init != Init::Systemd {
                ENABLED.clone_into(&mut unit.enabled);
            }
        }
        if started.contains(&unit.name) {
            unit.active = Active::Active;
            let known = known::ALL.iter().find(|known| known.has(&unit.name));
            host.programs
                .extend(known.and_then(|known| known.programs.first()));
        }
    }
    // Of a service the ports that it will open are not known: none is said to be open.
}
