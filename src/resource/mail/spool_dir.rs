//! The spool directory of a host, and what is in it that belongs to nobody who moves.

use super::Strays;
use crate::error::Result;
use crate::host::{FileKind, ReadHost, real_path};
use crate::manifest::Manifest;
use crate::names::{Side, UserName};
use crate::raw::{HostPath, Raw};
use crate::replicate::{ASIDE, is_staging};
use crate::resource::accounts::Resolved;

/// How many strays are named.
const NAMED: usize = 5;

/// The spool directory of a host, links resolved: the manifest's, else the one that exists.
pub fn spool_dir(manifest: &Manifest, host: &dyn ReadHost) -> Result<HostPath> {
    let given = match host.side() {
        Side::Source => &manifest.mail.spool.source,
        Side::Target => &manifest.mail.spool.target,
    };
    if let Some(given) = given {
        return real_path(host, given);
    }
    for usual in ["/var/mail", "/var/spool/mail"].map(HostPath::from) {
        if host
            .stat(&usual)?
            .is_some_and(|stat| stat.kind == FileKind::Dir)
        {
            return real_path(host, &usual);
        }
    }
    Ok(HostPath::from("/var/mail"))
}

/// Entries of the spool directory that belong to no chosen user.
pub(super) fn strays(
    source: &dyn ReadHost,
    spool: &HostPath,
    resolved: &Resolved,
) -> Result<Strays> {
    let names = source.list(spool)?.into_iter().flatten();
    let foreign = |name: &Raw| {
        let ours = name.as_bytes() == ASIDE || is_staging(name.as_bytes());
        !ours
            && !resolved
                .users
                .contains_key(&UserName::from(name.as_bytes()))
    };
    let mut strays = Strays::default();
    for name in names.filter(foreign) {
        strays.count += 1;
        if strays.first.len() < NAMED {
            strays.first.push(name);
        }
    }
    Ok(strays)
}
