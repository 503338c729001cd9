//! Keeping the target's mail services quiet while its mailboxes are incomplete. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Service, services, units_of};
use super::known::Role;
use super::order::{self, Halt};
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
use crate::raw::HostPath;
use crate::receipt::Held;

/// Whether a role's services are quiet before anything is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Already,
    NotYet,
}

/// Plans to hold what is not held, and adds to `records` what this migration will have stopped.
pub(super) fn draft(
    manifest: &Manifest,
    target: &HostServices,
    records: &mut BTreeMap<String, Held>,
    draft: &mut Draft,
) {
    let before = records.clone();
    let quiet = [Role::Imap, Role::Mta].map(|role| {
        let services = services(&manifest.services, role, target);
        let stopped: Vec<&Service<'_>> = services
            .iter()
            .filter(|service| !service.is_exim() && service.runs())
            .filter(|service| !before.contains_key(&service.name))
            .collect();
        if manifest.services.on_other_mail == OnOtherMail::Fail {
            serves_others(&stopped, target, draft);
        }
        role_draft(manifest, role, &services, target, records, draft)
    });
    if quiet == [Quiet::Already; 2] {
        draft.settled.insert(Fact::TargetQuiet);
    }
}

/// Stopping what serves other people is for the manifest to decide.
fn serves_others(stopped: &[&Service<'_>], target: &HostServices, draft: &mut Draft) {
    for service in stopped.iter().filter(|_| !target.others.is_empty()) {
        let problem = Problem::ServesOthers {
            signs: target.others.clone(),
        };
        let resource = Resource::Service(Side::Target, service.name.clone());
        draft.block(resource, Obstacle::Service { problem });
    }
}

fn role_draft(
    manifest: &Manifest,
    role: Role,
    services: &[Service<'_>],
    target: &HostServices,
    records: &mut BTreeMap<String, Held>,
    draft: &mut Draft,
) -> Quiet {
    let (watched, handled): (Vec<_>, Vec<_>) = services.iter().partition(|s| s.is_exim());
    let mut quiet = Quiet::Already;
    for service in &watched {
        if exim(service, target, draft) == Quiet::NotYet {
            quiet = Quiet::NotYet;
        }
    }
    let loose: Vec<&Service<'_>> = handled
        .into_iter()
        .filter(|service| !service.unheld().is_empty())
        .collect();
    for (number, service) in loose.iter().enumerate() {
        quiet = Quiet::NotYet;
        for problem in problems(service, Side::Target, target) {
            let resource = Resource::Service(Side::Target, service.name.clone());
            draft.block(resource, Obstacle::Service { problem });
        }
        // Two services of a role share its ports: they are closed when the last is held.
        let ports = if number + 1 == loose.len() {
            role.ports()
        } else {
            &[]
        };
        let Some((hold, action)) = hold(service, target, ports) else {
            continue;
        };
        let record = records.entry(service.name.clone()).or_default();
        record.add(&hold.masks, &hold.running);
        draft.actions.push(action);
    }
    // What the manifest names and is not there is an obstacle already.
    if services.is_empty() && !units_of(&manifest.services, role).is_auto() {
        return Quiet::NotYet;
    }
    let open = target.open(role.ports());
    if quiet == Quiet::Already && !open.is_empty() {
        let problem = Problem::PortsTaken {
            side: Side::Target,
            ports: open.into_iter().collect(),
        };
        let resource = Resource::Service(Side::Target, role.to_string());
        draft.block(resource, Obstacle::Service { problem });
        return Quiet::NotYet;
    }
    quiet
}

/// Exim delivers without its daemon, so stopping that is not enough.
fn exim(service: &Service<'_>, target: &HostServices, draft: &mut Draft) -> Quiet {
    let resource = Resource::Service(Side::Target, service.name.clone());
    let at_large = |unit: &&&Unit| unit.runs() || unit.is_at_large(target.init);
    if let Some(unit) = service.units.iter().find(at_large) {
        let problem = Problem::Exim {
            unit: unit.name.clone(),
        };
        draft.block(resource, Obstacle::Service { problem });
        return Quiet::NotYet;
    }
    let text = "exim is not handled: what is given to its `sendmail` is still delivered at once, and \
                nothing here starts its daemon when the target's mail counts";
    draft.note(resource, Level::Warning, text);
    Quiet::Already
}

/// What is in the way of holding a service.
fn problems(service: &Service<'_>, side: Side, host: &HostServices) -> Vec<Problem> {
    if host.init == Init::Other {
        return vec![Problem::UnknownInit];
    }
    let mut problems = unmaskable(service, side, host);
    let strays: Vec<Program> = without_unit(service)
        .into_iter()
        .filter(|program| own_stop(*program).is_none())
        .collect();
    if !strays.is_empty() {
        let programs = strays;
        problems.push(Problem::Strays { side, programs });
    }
    problems
}

/// Units that cannot be masked: their files are where the mask would be.
pub(super) fn unmaskable(service: &Service<'_>, side: Side, host: &HostServices) -> Vec<Problem> {
    let in_etc = |file: &&HostPath| file.as_bytes().starts_with(b"/etc/systemd/system/");
    let at_large = service.units.iter().filter(|u| u.is_at_large(host.init));
    at_large
        .filter_map(|unit| {
            let file = unit.file.as_ref().filter(in_etc)?;
            Some(Problem::CannotMask {
                side,
                unit: unit.mask_name(),
                file: file.clone(),
            })
        })
        .collect()
}

/// What runs although no unit does: it was started by hand, or outlived its unit.
pub(super) fn without_unit(service: &Service<'_>) -> BTreeSet<Program> {
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

/// `None` if there is nothing that a command would do.
fn hold(
    service: &Service<'_>,
    target: &HostServices,
    ports: &[u16],
) -> Option<(ServiceHold, Action)> {
    let halt = Halt::of(service, target);
    let mut commands = halt.commands(target.init);
    if target.init == Init::Systemd {
        commands.extend(without_unit(service).into_iter().filter_map(own_stop));
    }
    if commands.is_empty() {
        return None;
    }
    let hurts_others = service.runs() && !target.others.is_empty();
    let hold = ServiceHold {
        service: service.name.clone(),
        masks: halt.masks,
        running: halt.running.into_iter().collect(),
        ports: ports.iter().copied().collect(),
        commands,
    };
    let action = Action {
        id: ActionId(format!("service/target/{}/hold", service.name)),
        because: Reason::MailIncomplete,
        needs: BTreeSet::new(),
        gives: BTreeSet::from([Fact::TargetQuiet]),
        risk: if hurts_others {
            Risk::ServiceVisible
        } else {
            Risk::Safe
        },
        undo: Undo::Manual(undo(&hold, target.init)),
        change: Change::HoldService(hold.clone()),
    };
    Some((hold, action))
}

/// How a person takes it back.
fn undo(hold: &ServiceHold, init: Init) -> String {
    let commands = order::start(init, &hold.masks, &hold.running);
    let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
    format!("`{}` on the target", commands.join(" && "))
}
