//! Where Dovecot finds each user's mail when nothing says where it is: what the source really serves.
//!
//! The order is that of Dovecot 2.3 (`mail_location` left empty): `~/mdbox`, `~/sdbox`, `~/Maildir`,
//! then an mbox with the spool file as INBOX and its folders in `~/mail` or `~/Mail`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{Location, SPOOL};
use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::names::UserName;
use crate::raw::{HostPath, Raw};
use crate::resource::accounts::Chosen;

/// Users whose mail is kept in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The way.
    pub location: Location,
    /// The users. Those without any mail are in none.
    pub users: Vec<UserName>,
}

/// Directories of a home that say what its mail is in, first match first.
const DIRECTORIES: [(&str, &str); 3] = [
    ("mdbox", "mdbox"),
    ("sdbox", "sdbox"),
    ("Maildir", "maildir"),
];

/// Directories of mbox folders, likewise.
const FOLDERS: [&str; 2] = ["mail", "Mail"];

/// Looks at every chosen user's home and spool file.
pub(super) fn observe(
    host: &dyn ReadHost,
    spool: &HostPath,
    users: &BTreeMap<UserName, Chosen>,
) -> Result<Vec<Layout>> {
    let spool_files = host.list(spool)?.unwrap_or_default();
    let mut by_location: BTreeMap<Location, Vec<UserName>> = BTreeMap::new();
    for (name, chosen) in users {
        let spool_file = spool_files
            .binary_search(&Raw::from(name.as_bytes()))
            .is_ok();
        let home = &chosen.source_home;
        if let Some(location) = of_user(host, home, spool_file)? {
            by_location.entry(location).or_default().push(name.clone());
        }
    }
    Ok(by_location
        .into_iter()
        .map(|(location, users)| Layout { location, users })
        .collect())
}

fn of_user(host: &dyn ReadHost, home: &HostPath, spool_file: bool) -> Result<Option<Location>> {
    let is_dir = |name: &str| -> Result<bool> {
        let stat = host.stat(&home.join(name))?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Dir))
    };
    // One listing tells which of them are worth a look.
    let there = match host.stat(home)? {
        Some(stat) if stat.kind == FileKind::Dir => host.list(home)?.unwrap_or_default(),
        _ => Vec::new(),
    };
    let has = |name: &str| there.binary_search(&Raw::from(name.as_bytes())).is_ok();
    for (directory, driver) in DIRECTORIES {
        if has(directory) && is_dir(directory)? {
            return Ok(Some(Location {
                driver: driver.to_owned(),
                path: format!("%{{home}}/{directory}"),
                ..Location::default()
            }));
        }
    }
    let mut folders = None;
    for directory in FOLDERS {
        if folders.is_none() && has(directory) && is_dir(directory)? {
            folders = Some(directory);
        }
    }
    Ok((spool_file || folders.is_some()).then(|| Location {
        driver: "mbox".to_owned(),
        path: format!("%{{home}}/{}", folders.unwrap_or(FOLDERS[0])),
        options: [("mail_inbox_path".to_owned(), format!("{SPOOL}/%{{user}}"))].into(),
    }))
}
