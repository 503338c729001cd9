//! Looking at the services of hosts that run. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::known::{self, Role};
use super::ports::Reach;
use super::process::{self, Program};
use super::unit::{Active, Init, Unit};
use super::{Actual, HostServices, others, ports, systemd, sysv};
use crate::error::{Error, Kind, Result};
use crate::host::{FileKind, HostState, Probe, ReadHost};
use crate::manifest::{Manifest, Services};
use crate::names::Side;
use crate::parallel;
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::accounts;

/// Names that mean nothing, each with the one that may be meant.
type Missing = BTreeMap<String, Option<String>>;

/// Looks at both hosts; on one where nothing runs there is nothing to see.
pub fn observe(
    manifest: &Manifest,
    hosts: (Option<&dyn ReadHost>, &dyn ReadHost),
    accounts: &accounts::Actual,
    resolved: &accounts::Resolved,
    receipt: Option<&Receipt>,
) -> Result<Actual> {
    let (source, target) = hosts;
    let running = |host: &dyn ReadHost| host.state() == HostState::Live;
    let source = source.filter(|host| running(*host));
    let on_target = || {
        if !running(target) {
            return Ok(None);
        }
        let mut seen = look(&manifest.services, target)?;
        let free = receipt.is_none_or(|r| r.authority == Side::Source && r.services.is_empty());
        if free && seen.programs.iter().any(|program| program.serves()) {
            let strangers = others::strangers(&accounts.target, resolved, receipt);
            seen.others = others::look(manifest, target, &seen, &strangers)?;
        }
        Ok(Some(seen))
    };
    let (source, target) = parallel::both(
        || source.map(|host| look(&manifest.services, host)),
        on_target,
    );
    Ok(Actual {
        source: source.transpose()?,
        target: target?,
    })
}

/// Looks at one running host.
pub fn look(named: &Services, host: &dyn ReadHost) -> Result<HostServices> {
    let programs = programs(host)?;
    let init = init(host)?;
    let (units, missing) = match init {
        Init::Systemd => units(named, host)?,
        Init::UpdateRcD | Init::Chkconfig | Init::Other => scripts(named, host, &programs)?,
    };
    Ok(HostServices {
        init,
        units,
        missing,
        programs,
        ports: open_ports(host)?,
        others: Vec::new(),
    })
}

/// The TCP ports of mail that are open on a running host, and from where.
pub fn open_ports(host: &dyn ReadHost) -> Result<BTreeMap<u16, Reach>> {
    let mut open = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"].map(HostPath::from) {
        if let Some(bytes) = host.read(&table)? {
            ports::listening(&String::from_utf8_lossy(&bytes), &mut open);
        }
    }
    Ok(open)
}

/// Which known programs run. Those of containers on the host are not its own.
fn programs(host: &dyn ReadHost) -> Result<BTreeSet<Program>> {
    let text = answer(host, &Probe::Processes)?;
    let namespace = |pid: u32| host.read_link(&HostPath::from(&*format!("/proc/{pid}/ns/pid")));
    let ours = namespace(1)?;
    let mut programs = BTreeSet::new();
    for process in process::known(&text) {
        if !programs.contains(&process.program) && namespace(process.pid)? == ours {
            programs.insert(process.program);
        }
    }
    process::forget_children(&mut programs);
    Ok(programs)
}

/// The units that are known or named, those that start them, and the names that mean nothing.
fn units(named: &Services, host: &dyn ReadHost) -> Result<(Vec<Unit>, Missing)> {
    let known = known::ALL.iter().flat_map(|known| known.units);
    let known = known.map(|&name| name.to_owned());
    let asked = known.chain(named.names().map(as_pattern));
    let mut units = systemd::shown(&answer(host, &Probe::Units(asked.collect()))?).units;
    let triggers: BTreeSet<String> = units
        .iter()
        .flat_map(|unit| unit.triggered_by.iter().cloned())
        .filter(|trigger| !units.iter().any(|unit| unit.name == *trigger))
        .collect();
    if !triggers.is_empty() {
        let probe = Probe::Units(triggers.into_iter().collect());
        units.extend(systemd::shown(&answer(host, &probe)?).units);
        units.sort_by(|one, other| one.name.cmp(&other.name));
    }
    let absent: Vec<&str> = named
        .names()
        .filter(|name| !units.iter().any(|unit| unit.is(name)))
        .collect();
    if absent.is_empty() {
        return Ok((units, BTreeMap::new()));
    }
    let text = answer(host, &Probe::UnitFiles)?;
    let files: Vec<&str> = systemd::unit_files(&text).collect();
    let missing = absent
        .into_iter()
        .filter(|name| !files.contains(name))
        .map(|name| (name.to_owned(), guess(&with_suffix(name), &files)))
        .collect();
    Ok((units, missing))
}

/// The same where there are only scripts.
fn scripts(
    named: &Services,
    host: &dyn ReadHost,
    programs: &BTreeSet<Program>,
) -> Result<(Vec<Unit>, Missing)> {
    let there = sysv::scripts(host)?;
    let starting = sysv::starting(host)?;
    let mut units: Vec<Unit> = Vec::new();
    let mut add = |name: &str, programs_of: &[Program]| {
        let runs = programs_of.iter().any(|program| programs.contains(program));
        let active = if runs {
            Active::Active
        } else {
            Active::Inactive
        };
        if !units.iter().any(|unit| unit.name == name) {
            units.push(sysv::unit(name, &starting, active));
        }
    };
    for known in known::ALL {
        let scripts = known.scripts.iter();
        scripts
            .filter(|&&script| there.iter().any(|name| name == script))
            .for_each(|script| add(script, known.programs));
    }
    let mut missing = BTreeMap::new();
    let files: Vec<&str> = there.iter().map(String::as_str).collect();
    for (role, list) in [(Role::Imap, &named.imap), (Role::Mta, &named.mta)] {
        for name in list.names() {
            let script = name.strip_suffix(".service").unwrap_or(name);
            if files.contains(&script) {
                add(script, role.programs());
            } else {
                missing.insert(name.to_owned(), guess(script, &files));
            }
        }
    }
    units.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((units, missing))
}

/// What a probe says; a host whose programs do not answer is not looked at by halves.
fn answer(host: &dyn ReadHost, probe: &Probe) -> Result<String> {
    let program = probe.argv()[0].clone();
    let what = || format!("{program} on {} gives no answer", host.label());
    let Some(answer) = host.probe(probe)? else {
        return Err(Error::new(Kind::Host, what())
            .hint(format!("run `{}` there to see why", probe.argv().join(" "))));
    };
    if answer.status != Some(0) && answer.stdout.is_empty() {
        let stderr = String::from_utf8_lossy(&answer.stderr);
        let what = format!("{}: {}", what(), stderr.trim());
        return Err(Error::new(Kind::Host, what));
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// A name of the manifest as systemctl takes it; of a template all instances are meant.
fn as_pattern(name: &str) -> String {
    with_suffix(name).replace("@.", "@*.")
}

/// `postfix` means `postfix.service`, as for systemctl itself.
fn with_suffix(name: &str) -> String {
    const SUFFIXES: [&str; 5] = [".service", ".socket", ".timer", ".path", ".target"];
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// The name that was meant, if one is near.
fn guess(written: &str, names: &[&str]) -> Option<String> {
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), *name))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, name)| name.to_owned())
}

fn init(host: &dyn ReadHost) -> Result<Init> {
    let is_dir = |path: &str| -> Result<bool> {
        let stat = host.stat(&HostPath::from(path))?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Dir))
    };
    if is_dir("/run/systemd/system")? {
        return Ok(Init::Systemd);
    }
    if is_dir("/etc/init.d")? {
        if sysv::is_program(host, "/usr/sbin/update-rc.d")? {
            return Ok(Init::UpdateRcD);
        }
        if sysv::is_program(host, "/sbin/chkconfig")? {
            return Ok(Init::Chkconfig);
        }
    }
    Ok(Init::Other)
}
