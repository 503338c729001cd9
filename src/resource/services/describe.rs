//! What is observed, in words for people.

use std::collections::BTreeSet;

use super::group::{Service, services, units_of};
use super::known::Role;
use super::ports::Reach;
use super::{HostServices, Program};
use crate::manifest;
use crate::names::Side;
use crate::plan::{Draft, Level, Resource};

/// `25`, `25 and 587`, `110, 143 and 993`.
pub(super) fn numbers<'a>(ports: impl IntoIterator<Item = &'a u16>) -> String {
    let numbers: Vec<String> = ports.into_iter().map(ToString::to_string).collect();
    match numbers.split_last() {
        None => "none".to_owned(),
        Some((one, [])) => one.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// What runs on a side, one note for each service.
pub(super) fn describe(
    draft: &mut Draft,
    named: &manifest::Services,
    side: Side,
    host: &HostServices,
) {
    for role in [Role::Imap, Role::Mta, Role::Cron, Role::Fetcher] {
        let services = services(named, role, host);
        for service in &services {
            let text = sentence(service, host);
            let resource = Resource::Service(side, service.name.clone());
            draft.note(resource, Level::Info, text);
        }
        // What the manifest names and is not there is an obstacle already.
        if !units_of(named, role).is_auto() {
            continue;
        }
        let resource = Resource::Service(side, role.to_string());
        let open = host.open(role.ports());
        let unexplained = !services.iter().any(Service::runs) && !open.is_empty();
        if unexplained && side == Side::Source {
            let text = format!(
                "listens on {}, and not by a service that is known: name its units in services.{role}",
                numbers(&open)
            );
            draft.note(resource, Level::Warning, text);
        } else if services.is_empty() && role == Role::Mta {
            let text =
                "no mail transfer agent that is known was found: name its units in services.mta";
            draft.note(resource, Level::Warning, text);
        }
    }
    let fetchers = [Program::Fetchmail, Program::Getmail];
    for program in fetchers.iter().filter(|p| host.programs.contains(p)) {
        let text = match side {
            Side::Source => {
                format!("{program} runs on the source and brings mail: stop it before the cutover")
            }
            Side::Target => {
                format!(
                    "{program} runs on the target and would deliver there: stop it until the \
                     target's mail counts"
                )
            }
        };
        let resource = Resource::Service(side, program.to_string());
        draft.note(resource, Level::Warning, text);
    }
}

/// `dovecot.service is active (running), enabled; dovecot.socket is inactive, disabled; listens on
/// 110 and 143`.
fn sentence(service: &Service<'_>, host: &HostServices) -> String {
    let mut parts: Vec<String> = service.units.iter().map(ToString::to_string).collect();
    let programs = service.programs();
    if !programs.is_empty() && !service.units.iter().any(|unit| unit.runs()) {
        let names: Vec<String> = programs.iter().map(ToString::to_string).collect();
        parts.push(format!("{} runs without a unit", names.join(" and ")));
    }
    if service.runs() {
        let ports = service.role.ports();
        let reached = |wanted: Reach| -> BTreeSet<u16> {
            let open = host.open(ports).into_iter();
            open.filter(|port| host.ports.get(port) == Some(&wanted))
                .collect()
        };
        let [network, itself] = [Reach::Network, Reach::Loopback].map(reached);
        let from_itself = format!("on {} for the host itself only", numbers(&itself));
        match (network.is_empty(), itself.is_empty()) {
            (true, true) => {}
            (true, false) => parts.push(format!("listens {from_itself}")),
            (false, true) => parts.push(format!("listens on {}", numbers(&network))),
            (false, false) => {
                parts.push(format!(
                    "listens on {}, and {from_itself}",
                    numbers(&network)
                ));
            }
        }
    }
    parts.join("; ")
}
