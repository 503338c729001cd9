//! What must be done about the services of both hosts. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::describe::describe;
use super::group::{Service, services};
use super::known::Role;
use super::{Actual, HostServices, Problem, hold, release};
use crate::manifest::{Manifest, Units};
use crate::names::Side;
use crate::plan::{Draft, Fact, Obstacle, Resource};
use crate::receipt::Receipt;

/// Compares what runs with what should.
pub fn diff(manifest: &Manifest, actual: &Actual, receipt: Option<&Receipt>) -> Draft {
    let mut draft = Draft::default();
    let authority = receipt.map_or(Side::Source, |receipt| receipt.authority);
    let named = &manifest.services;
    let hosts = [
        (Side::Source, actual.source.as_ref()),
        (Side::Target, actual.target.as_ref()),
    ];
    let running: Vec<(Side, &HostServices)> = hosts
        .into_iter()
        .filter_map(|(side, host)| host.map(|host| (side, host)))
        .collect();
    for (side, host) in &running {
        describe(&mut draft, named, *side, host);
    }
    unknown_units(manifest, &running, &mut draft);
    // Towards the source a hand-over starts with this very question.
    if (authority, manifest.serve_from) == (Side::Target, Side::Target)
        && let Some(source) = &actual.source
    {
        let problem = serves_too(manifest, source);
        let resource = Resource::Service(Side::Source, "mail".to_owned());
        if let Some(problem) = problem {
            draft.block(resource, Obstacle::Service { problem });
        }
    }
    let Some(target) = &actual.target else {
        draft.settled.insert(Fact::TargetQuiet);
        return draft;
    };
    let mut records = receipt.map_or_else(BTreeMap::new, |receipt| receipt.services.clone());
    if authority == Side::Source {
        hold::draft(manifest, target, &mut records, &mut draft);
    }
    // With a source that runs, the hand-over is a cutover, which starts the target itself.
    let hands_over = authority == Side::Target || !manifest.source.host.is_live();
    if manifest.serve_from == Side::Target && hands_over {
        release::draft(manifest, target, authority, &records, &mut draft);
    }
    draft
}

/// A source that handed over, and offers mail to other hosts all the same.
fn serves_too(manifest: &Manifest, source: &HostServices) -> Option<Problem> {
    let ports = source.reached_from_elsewhere();
    let roles = [Role::Mta, Role::Imap].into_iter();
    let all: Vec<_> = roles
        .flat_map(|role| services(&manifest.services, role, source))
        .filter(Service::runs)
        .collect();
    let units = all.iter().flat_map(|service| &service.units);
    let units: BTreeSet<String> = units
        .filter(|unit| unit.runs())
        .map(|unit| unit.mask_name())
        .collect();
    (!ports.is_empty() && !units.is_empty()).then(|| Problem::ServesToo {
        side: Side::Source,
        ports: ports.into_iter().collect(),
        units: units.into_iter().collect(),
    })
}

/// A name has to mean something on one of the hosts that run, and each of them needs one that does:
/// the two may have different MTAs.
fn unknown_units(manifest: &Manifest, hosts: &[(Side, &HostServices)], draft: &mut Draft) {
    let named = &manifest.services;
    for (role, units) in [(Role::Imap, &named.imap), (Role::Mta, &named.mta)] {
        if *units == Units::Auto {
            continue;
        }
        let missing = |name: &str| {
            hosts
                .iter()
                .all(|(_, host)| host.missing.contains_key(name))
        };
        for name in units
            .names()
            .filter(|_| !hosts.is_empty())
            .filter(|name| missing(name))
        {
            let guesses = hosts.iter().filter_map(|(_, host)| host.missing.get(name));
            let problem = Problem::UnknownUnit {
                unit: name.to_owned(),
                guess: guesses.flatten().next().cloned(),
            };
            let resource = Resource::Service(hosts[hosts.len() - 1].0, name.to_owned());
            draft.block(resource, Obstacle::Service { problem });
        }
        for (side, host) in hosts {
            let all_unknown = units.names().all(missing);
            if !all_unknown && services(named, role, host).is_empty() {
                let key = format!("services.{role}");
                let problem = Problem::NoneOfTheUnits { side: *side, key };
                let resource = Resource::Service(*side, role.to_string());
                draft.block(resource, Obstacle::Service { problem });
            }
        }
    }
}
