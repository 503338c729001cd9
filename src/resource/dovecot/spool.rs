//! The directory of the spool files, as Dovecot's settings name it and as it is.

use super::SpoolDir;
use super::settings::{SPOOL, Settings};
use crate::error::Result;
use crate::host::{ReadHost, real_path};
use crate::raw::HostPath;

/// Writes [`SPOOL`] in the place of the spool directory, by whatever name the configuration calls it.
pub(super) fn name(host: &dyn ReadHost, settings: &mut Settings, spool: &HostPath) -> Result<()> {
    let namespaces = settings.namespaces.values_mut();
    let of_namespaces = namespaces.filter_map(|namespace| namespace.location.as_mut());
    for location in of_namespaces.chain([&mut settings.location]) {
        let options = location.options.values_mut();
        for value in options.chain([&mut location.path]) {
            let Some((parent, user)) = value.rsplit_once('/') else {
                continue;
            };
            let is_plain = parent.starts_with('/') && !parent.contains('%');
            if user == "%{user}" && is_plain && real_path(host, &HostPath::from(parent))? == *spool
            {
                *value = format!("{SPOOL}/{user}");
            }
        }
    }
    Ok(())
}

/// The spool directory as it is.
pub(super) fn observe(host: &dyn ReadHost, spool: &HostPath) -> Result<Option<SpoolDir>> {
    let Some(stat) = host.stat(spool)? else {
        return Ok(None);
    };
    let groups = host
        .read(&HostPath::from("/etc/group"))?
        .unwrap_or_default();
    let groups = String::from_utf8_lossy(&groups);
    let name = |line: &str| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?);
        (gid.parse() == Ok(stat.gid.0)).then(|| name.to_owned())
    };
    Ok(Some(SpoolDir {
        path: spool.clone(),
        mode: stat.mode,
        group: groups.lines().find_map(name),
    }))
}
