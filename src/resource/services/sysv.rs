//! Init scripts: which there are, and which start at boot. Whether one runs is told by its processes.

use std::collections::BTreeSet;

use super::unit::{Active, ENABLED, Load, Unit};
use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::raw::{HostPath, Raw};

/// The runlevels of a system with several users, of which one is reached at boot, and the one that
/// comes before on Debian.
const RUNLEVELS: [&str; 5] = [
    "/etc/rcS.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
];

/// All scripts' names.
pub fn scripts(host: &dyn ReadHost) -> Result<Vec<String>> {
    let names = host.list(&HostPath::from("/etc/init.d"))?;
    let names = names.unwrap_or_default();
    Ok(names
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect())
}

/// The scripts that start at boot.
pub fn starting(host: &dyn ReadHost) -> Result<BTreeSet<String>> {
    let mut starting = BTreeSet::new();
    for dir in RUNLEVELS.map(HostPath::from) {
        let links = host.list(&dir)?.unwrap_or_default();
        starting.extend(links.iter().filter_map(started_by));
    }
    Ok(starting)
}

/// The script that a link `S20dovecot` starts.
fn started_by(link: &Raw) -> Option<String> {
    let rest = link.as_str()?.strip_prefix('S')?;
    let name = rest.get(2..)?;
    let numbered = rest.get(..2)?.bytes().all(|b| b.is_ascii_digit());
    numbered.then(|| name.to_owned())
}

/// A script as a unit.
pub fn unit(name: &str, starting: &BTreeSet<String>, active: Active) -> Unit {
    Unit {
        name: name.to_owned(),
        also: Vec::new(),
        load: Load::Loaded,
        active,
        sub: String::new(),
        enabled: if starting.contains(name) {
            ENABLED.to_owned()
        } else {
            "disabled".to_owned()
        },
        file: None,
        triggered_by: Vec::new(),
    }
}

/// Whether a program can be run.
pub(super) fn is_program(host: &dyn ReadHost, path: &str) -> Result<bool> {
    let stat = host.stat(&HostPath::from(path))?;
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::File && stat.mode & 0o111 != 0))
}
