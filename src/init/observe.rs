//! Looking at both hosts. Decides nothing, and walks no mail tree: a home is listed, not searched.

mod homes;
mod network;
mod system;

use std::collections::{BTreeMap, BTreeSet};

use super::findings::{Findings, HostFindings};
use super::{name, proposal};
use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::manifest::{HostAddress, MigrationName};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::resource::{accounts, beside, dovecot, spool};

/// A host and how the manifest will name it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// As `source.host` and `target.host` have it.
    pub address: &'a HostAddress,
    /// For looking only.
    pub host: &'a dyn ReadHost,
}

impl std::fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host.label())
    }
}

/// Looks at both hosts. Without a `name` the migration is named after them.
pub fn observe(
    given: Option<&MigrationName>,
    source: Place<'_>,
    target: Place<'_>,
) -> Result<Findings> {
    // First: whether these are roots of systems at all.
    let accounts = accounts::observe(Some(source.host), target.host)?;
    let (old, new) = (look(source)?, look(target)?);
    let name = match given {
        Some(name) => name.clone(),
        None => name::migration_name(&old, &new),
    };
    let mut findings = Findings {
        name,
        source: old,
        target: new,
        accounts,
        dovecot: dovecot::Actual::default(),
        spool: spool::Actual::default(),
        mailboxes: BTreeMap::new(),
        beyond_range: BTreeSet::new(),
        occupied: Vec::new(),
        migrations: BTreeMap::new(),
        beside: beside::Actual::default(),
        unread: Vec::new(),
    };
    let bare = proposal::bare(&findings);
    let resolved = accounts::resolve(&bare, &findings.accounts, None);
    if let Some(dir) = &findings.source.spool_dir {
        findings.spool = spool::observe(source.host, dir, resolved.users.keys())?;
    }
    let spool = |found: &HostFindings| found.spool_dir.clone();
    let usual = || HostPath::from("/var/mail");
    let around = dovecot::Around {
        source_spool: &spool(&findings.source).unwrap_or_else(usual),
        target_spool: &spool(&findings.target).unwrap_or_else(usual),
        users: &resolved.users,
        now: jiff::Timestamp::now(),
    };
    findings.dovecot = dovecot::observe(Some(source.host), target.host, &around)?;
    findings.beside = beside::observe(source.host, target.host, &resolved)?;
    let receipts = receipts(target.host, &findings.name)?;
    findings.migrations = receipts
        .iter()
        .map(|receipt| (receipt.name.clone(), receipt.authority))
        .collect();
    homes::look(
        &mut findings,
        &resolved,
        &receipts,
        source.host,
        target.host,
    )?;
    Ok(findings)
}

/// All that is known of a host by itself.
fn look(place: Place<'_>) -> Result<HostFindings> {
    let host = place.host;
    Ok(HostFindings {
        host: place.address.clone(),
        system: system::system(host)?,
        hostname: system::hostname(host)?,
        mta: system::mta(host)?,
        spool_dir: spool_dir(host)?,
        network: network::look(host)?,
    })
}

fn spool_dir(host: &dyn ReadHost) -> Result<Option<HostPath>> {
    let usual = ["/var/mail", "/var/spool/mail"].map(HostPath::from);
    for path in usual {
        if is_dir(host, &path)? {
            return crate::host::real_path(host, &path).map(Some);
        }
    }
    Ok(None)
}

fn is_dir(host: &dyn ReadHost, path: &HostPath) -> Result<bool> {
    let stat = host.stat(path)?;
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::Dir))
}

/// The records of every migration to the target, one of this name included.
fn receipts(target: &dyn ReadHost, name: &MigrationName) -> Result<Vec<Receipt>> {
    let mut all = Receipt::read_others(target, name)?;
    all.extend(Receipt::read(target, name)?);
    Ok(all)
}
