//! Keeping the target's mail services quiet while its mailboxes are incomplete. Pure.
//!
//! Stopped first, in one transaction, so that each stops as its unit says; then masked, so that
//! neither a socket, a timer nor a hand starts it again; then stopped once more, for what a socket
//! revived in between.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Service, services};
use super::known::Role;
use super::process::Program;
use super::unit::{Init, Unit};
use super::{HostServices, Problem};
use crate::host::Command;
use crate::manifest::{Manifest, OnOtherMail};
use crate::names::Side;
use crate::plan::change::ServiceHold;
use crate::plan::{
    Action, ActionId, Change, Draft, Fact, Level, Obstacle, Reason, Resource, Risk, Undo,
};
use crate::receipt::Held;

/// Plans to hold what is not held, and adds to `records` what this migration will have stopped.
pub(super) fn draft(
    manifest: &Manifest,
    target: &HostServices,
    records: &mut BTreeMap<String, Held>,
    draft: &mut Draft,
) {
    let before = (draft.actions.len(), draft.blocked.len());
    for role in [Role::Imap, Role::Mta] {
        role_draft(manifest, role, target, records, draft);
    }
    if (draft.actions.len(), draft.blocked.len()) == before {
        draft.settled.insert(Fact::TargetQuiet);
    }
}

fn role_draft(
    manifest: &Manifest,
    role: Role,
    target: &HostServices,
    records: &mut BTreeMap<String, Held>,
    draft: &mut Draft,
) {
    let services = services(&manifest.services, role, target);
    let (watched, handled): (Vec<_>, Vec<_>) = services.iter().partition(|s| s.is_exim());
    for service in &watched {
        exim(service, target, draft);
    }
    let loose: Vec<&Service<'_>> = handled
        .into_iter()
        .filter(|service| !service.unheld().is_empty())
        .collect();
    for (number, service) in loose.iter().enumerate() {
        // Two services of a role share its ports: they are closed when the last is held.
        let ports = if number + 1 == loose.len() {
            role.ports()
        } else {
            &[]
        };
        let new = !records.contains_key(&service.name);
        for problem in problems(manifest, service, target, new) {
            let resource = Resource::Service(Side::Target, service.name.clone());
            draft.block(resource, Obstacle::Service { problem });
        }
        if target.init == Init::Other {
            continue;
        }
        let action = hold(service, target, ports);
        if let Change::HoldService(hold) = &action.change {
            records
                .entry(service.name.clone())
                .or_default()
                .add(&hold.masks, &hold.running);
        }
        draft.actions.push(action);
    }
    let open = target.open(role.ports());
    let explained = !loose.is_empty() || watched.iter().any(|service| service.runs());
    if !open.is_empty() && !explained {
        let problem = Problem::PortsTaken {
            ports: open.into_iter().collect(),
        };
        let resource = Resource::Service(Side::Target, role.to_string());
        draft.block(resource, Obstacle::Service { problem });
    }
}

/// Exim delivers without its daemon, so stopping that is not enough.
fn exim(service: &Service<'_>, target: &HostServices, draft: &mut Draft) {
    let resource = Resource::Service(Side::Target, service.name.clone());
    let at_large = |unit: &&&Unit| unit.runs() || unit.is_at_large(target.init);
    if let Some(unit) = service.units.iter().find(at_large) {
        let problem = Problem::Exim {
            unit: unit.name.clone(),
        };
        draft.block(resource, Obstacle::Service { problem });
        return;
    }
    let text = "exim is not handled: what is given to its `sendmail` is still delivered at once, and \
                nothing here starts its daemon when the target's mail counts";
    draft.note(resource, Level::Warning, text);
}

/// What is in the way of holding a service.
fn problems(
    manifest: &Manifest,
    service: &Service<'_>,
    target: &HostServices,
    new: bool,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let stops_others = service.runs() && new && !target.others.is_empty();
    if stops_others && manifest.services.on_other_mail == OnOtherMail::Fail {
        problems.push(Problem::ServesOthers {
            signs: target.others.clone(),
        });
    }
    if target.init == Init::Other {
        problems.push(Problem::UnknownInit);
        return problems;
    }
    let in_etc = |unit: &&&Unit| {
        let file = unit.file.as_ref();
        unit.is_at_large(target.init)
            && file.is_some_and(|file| file.as_bytes().starts_with(b"/etc/systemd/system/"))
    };
    for unit in service.units.iter().filter(in_etc) {
        if let Some(file) = &unit.file {
            problems.push(Problem::CannotMask {
                unit: unit.mask_name(),
                file: file.clone(),
            });
        }
    }
    let strays: Vec<Program> = without_unit(service)
        .into_iter()
        .filter(|program| own_stop(*program).is_none())
        .collect();
    if !strays.is_empty() {
        problems.push(Problem::Strays { programs: strays });
    }
    problems
}

/// What runs although no unit does: it was started by hand, or outlived its unit.
fn without_unit(service: &Service<'_>) -> BTreeSet<Program> {
    if service.units.iter().any(|unit| unit.runs()) {
        return BTreeSet::new();
    }
    service.programs()
}

/// The command that stops a program that was started by hand.
fn own_stop(program: Program) -> Option<Command> {
    match program {
        Program::Dovecot => Some(Command::StopDovecot),
        Program::Postfix => Some(Command::StopPostfix),
        _ => None,
    }
}

fn hold(service: &Service<'_>, target: &HostServices, ports: &[u16]) -> Action {
    let at_large = service.units.iter().filter(|u| u.is_at_large(target.init));
    let masks: BTreeSet<String> = at_large.map(|unit| unit.mask_name()).collect();
    let running: Vec<String> = service
        .units
        .iter()
        .filter(|unit| unit.runs())
        .map(|unit| unit.name.clone())
        .collect();
    let disable = |name: &String| match target.init {
        Init::Chkconfig => Command::ChkconfigOff(name.clone()),
        _ => Command::UpdateRcDisable(name.clone()),
    };
    let mut commands = Vec::new();
    match target.init {
        Init::Systemd => {
            if !running.is_empty() {
                commands.push(Command::StopUnits(running.clone()));
            }
            if !masks.is_empty() {
                commands.push(Command::MaskUnits(masks.iter().cloned().collect()));
                if !running.is_empty() {
                    commands.push(Command::StopUnits(running.clone()));
                }
            }
            commands.extend(without_unit(service).into_iter().filter_map(own_stop));
        }
        Init::UpdateRcD | Init::Chkconfig | Init::Other => {
            commands.extend(running.iter().cloned().map(Command::StopScript));
            commands.extend(masks.iter().map(disable));
        }
    }
    let hurts_others = service.runs() && !target.others.is_empty();
    let change = ServiceHold {
        service: service.name.clone(),
        masks,
        running: running.into_iter().collect(),
        ports: ports.iter().copied().collect(),
        commands,
    };
    Action {
        id: ActionId(format!("service/target/{}/hold", service.name)),
        because: Reason::MailIncomplete,
        needs: BTreeSet::new(),
        gives: BTreeSet::from([Fact::TargetQuiet]),
        risk: if hurts_others {
            Risk::ServiceVisible
        } else {
            Risk::Safe
        },
        undo: Undo::Manual(undo(&change, target.init)),
        change: Change::HoldService(change),
    }
}

/// How a person takes it back.
fn undo(hold: &ServiceHold, init: Init) -> String {
    let masks: Vec<String> = hold.masks.iter().cloned().collect();
    let running: Vec<String> = hold.running.iter().cloned().collect();
    let mut commands = Vec::new();
    match init {
        Init::Systemd => {
            commands.extend((!masks.is_empty()).then_some(Command::UnmaskUnits(masks)));
            commands.extend((!running.is_empty()).then_some(Command::StartUnits(running)));
        }
        Init::Chkconfig => commands.extend(masks.into_iter().map(Command::ChkconfigOn)),
        Init::UpdateRcD | Init::Other => {
            commands.extend(masks.into_iter().map(Command::UpdateRcEnable));
        }
    }
    if init != Init::Systemd {
        commands.extend(hold.running.iter().cloned().map(Command::StartScript));
    }
    let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
    format!("`{}` on the target", commands.join(" && "))
}
