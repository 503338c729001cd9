//! From units to services: which units belong together, and whether they run. Pure.

use std::collections::BTreeSet;

use super::HostServices;
use super::known::{self, Known, Role};
use super::process::Program;
use super::unit::{Init, Unit};
use crate::manifest;

/// A service of one host.
#[derive(Clone, Debug)]
pub struct Service<'a> {
    /// Its name, `dovecot`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The one that is known by that name.
    pub known: Option<&'static Known>,
    /// Its units, the one that is started first in front, and what triggers them.
    pub units: Vec<&'a Unit>,
    /// How many of the units in front are to run when it serves.
    mains: usize,
    host: &'a HostServices,
}

/// The services of a role: what the manifest names, else all that are known and there.
pub fn services<'a>(
    named: &manifest::Services,
    role: Role,
    host: &'a HostServices,
) -> Vec<Service<'a>> {
    let named = units_of(named, role);
    let service = |name: String, known, units: Vec<&'a Unit>, mains| Service {
        name,
        role,
        known,
        units: with_triggers(&units, host),
        mains,
        host,
    };
    match named {
        manifest::Units::Named(names) => {
            let mut units: Vec<&Unit> = Vec::new();
            for name in names {
                let is = |unit: &&Unit| unit.is(name) || unit.mask_name() == *name;
                units.extend(host.units.iter().filter(is));
            }
            let Some(first) = units.first() else {
                return Vec::new();
            };
            let stem = first.name.split(['.', '@']).next().unwrap_or(&first.name);
            let of = |known: &&&'static Known| known.role == role && known.has(&first.name);
            let known = known::ALL.iter().find(of).copied();
            let name = known.map_or(stem, |known| known.name).to_owned();
            let mains = units.len();
            vec![service(name, known, units, mains)]
        }
        manifest::Units::Auto => known::ALL
            .iter()
            .filter(|known| known.role == role)
            .filter_map(|&known| {
                let mut units: Vec<&Unit> =
                    host.units.iter().filter(|u| known.has(&u.name)).collect();
                let place = |unit: &&Unit| {
                    let at = known.units.iter().position(|&name| name == unit.name);
                    at.unwrap_or(known.units.len())
                };
                units.sort_by_key(place);
                (!units.is_empty()).then(|| service(known.name.to_owned(), Some(known), units, 1))
            })
            .collect(),
    }
}

/// What the manifest says of a role's units.
pub(super) fn units_of(named: &manifest::Services, role: Role) -> &manifest::Units {
    match role {
        Role::Imap => &named.imap,
        Role::Mta => &named.mta,
        Role::Cron | Role::Fetcher => &manifest::Units::Auto,
    }
}

/// Units and what starts them, each once.
fn with_triggers<'a>(units: &[&'a Unit], host: &'a HostServices) -> Vec<&'a Unit> {
    let mut all: Vec<&Unit> = Vec::new();
    let triggers = |unit: &Unit| -> Vec<&'a Unit> {
        let is = |other: &&Unit| unit.triggered_by.contains(&other.name);
        host.units.iter().filter(is).collect()
    };
    let with = units.iter().flat_map(|unit| triggers(unit));
    for unit in units.iter().copied().chain(with) {
        if !all.iter().any(|other| other.name == unit.name) {
            all.push(unit);
        }
    }
    all
}

impl Service<'_> {
    /// What runs for it.
    pub fn programs(&self) -> BTreeSet<Program> {
        let programs = self.known.map_or(self.role.programs(), |k| k.programs);
        let runs = |program: &&Program| self.host.programs.contains(program);
        programs.iter().filter(runs).copied().collect()
    }

    /// Whether any of it runs.
    pub fn runs(&self) -> bool {
        self.units.iter().any(|unit| unit.runs()) || !self.programs().is_empty()
    }

    /// Whether it is exim, which is only looked at, also when the manifest names it.
    pub fn is_exim(&self) -> bool {
        self.known
            .is_some_and(|known| known.name == known::EXIM.name)
    }

    /// Whether a unit of it is waited for and not stopped.
    pub fn waits_for(&self, unit: &Unit) -> bool {
        let jobs = self.known.map_or(&[][..], |known| known.jobs);
        jobs.contains(&unit.name.as_str())
    }

    /// The units that run when it serves: those that the manifest names, or the first that is known.
    pub fn mains(&self) -> &[&Unit] {
        &self.units[..self.mains.min(self.units.len())]
    }

    /// Whether it serves: its main units run, and so does the program itself. Up to Debian 12
    /// `postfix.service` is active whether or not a Postfix runs.
    pub fn serves(&self) -> bool {
        let runs =
            self.known.is_none() || self.programs().iter().any(|program| program.is_master());
        runs && self.mains().iter().all(|unit| unit.runs())
    }

    /// Why it is not held: what runs, and what could be started. Empty if it is.
    pub fn unheld(&self) -> Vec<String> {
        let mut why = self.units_unheld();
        let programs = self.programs();
        why.extend(programs.iter().map(|program| format!("{program} runs")));
        why
    }

    /// The same of its units and scripts alone.
    pub(super) fn units_unheld(&self) -> Vec<String> {
        let mut why = Vec::new();
        for unit in &self.units {
            if unit.runs() {
                why.push(format!("{} runs", unit.name));
            }
            if unit.is_at_large(self.host.init) {
                let missing = match self.host.init {
                    Init::Systemd => "is not masked",
                    _ => "starts at boot",
                };
                why.push(format!("{} {missing}", unit.name));
            }
        }
        why
    }
}
