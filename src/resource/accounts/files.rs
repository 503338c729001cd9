//! The account files of one host, read and parsed. What they mean together is [`super::observe`];
//! what is done to them is [`super::edit`].

use super::group::Groups;
use super::gshadow::Gshadow;
use super::passwd::{self, Passwd};
use super::shadow::Shadow;
use super::table::{Malformed, Record, Table};
use crate::error::{Error, Kind, Result};
use crate::host::ReadHost;
use crate::names::UserName;
use crate::raw::HostPath;
use crate::secret::{DigestKey, Secret};

pub(super) const PASSWD: &str = "/etc/passwd";
pub(super) const SHADOW: &str = "/etc/shadow";
pub(super) const GROUP: &str = "/etc/group";
pub(super) const GSHADOW: &str = "/etc/gshadow";

/// A file as it was read, and what it says.
pub(super) struct File<R> {
    /// As secret as the file.
    pub(super) bytes: Secret,
    pub(super) table: Table<R>,
}

/// The four files.
pub(super) struct Files {
    pub(super) passwd: File<passwd::Entry>,
    pub(super) shadow: Option<File<super::shadow::Entry>>,
    pub(super) group: File<super::group::Entry>,
    pub(super) gshadow: Option<File<super::gshadow::Entry>>,
}

impl Files {
    /// Reads them; a host without passwd or group is none.
    pub(super) fn read(host: &dyn ReadHost) -> Result<Self> {
        let absent = |path: &str| {
            Error::new(
                Kind::Malformed,
                format!("there is no {path} on {}", host.label()),
            )
            .hint("check that the path after `dir:` is the root of a system")
        };
        Ok(Self {
            passwd: read(host, PASSWD)?.ok_or_else(|| absent(PASSWD))?,
            shadow: read(host, SHADOW)?,
            group: read(host, GROUP)?.ok_or_else(|| absent(GROUP))?,
            gshadow: read(host, GSHADOW)?,
        })
    }

    pub(super) fn passwd(&self) -> &Passwd {
        &self.passwd.table
    }

    pub(super) fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_ref().map(|file| &file.table)
    }

    pub(super) fn group(&self) -> &Groups {
        &self.group.table
    }

    pub(super) fn gshadow(&self) -> Option<&Gshadow> {
        self.gshadow.as_ref().map(|file| &file.table)
    }

    /// The key of digests that these files are the source of: made from the file that holds the
    /// hashes.
    pub(super) fn digest_key(&self) -> DigestKey {
        let holder = self
            .shadow
            .as_ref()
            .map_or(&self.passwd.bytes, |file| &file.bytes);
        DigestKey::derive(holder.expose())
    }

    /// The password field that counts for an account: shadow's, unless passwd holds one itself,
    /// which `pam_unix` then takes (FACTS 5). `None` if there is neither.
    pub(super) fn password(&self, name: &UserName) -> Option<&Secret> {
        let entry = self.passwd().get(name.as_bytes())?;
        entry.password.as_ref().or_else(|| {
            let shadow = self.shadow()?.get(name.as_bytes())?;
            Some(&shadow.password)
        })
    }

    /// The group password field that counts: gshadow's if the group has a line there.
    pub(super) fn group_password(&self, name: &[u8]) -> Option<&Secret> {
        match self.gshadow().and_then(|gshadow| gshadow.get(name)) {
            Some(entry) => Some(&entry.password),
            None => self.group().get(name).map(|entry| &entry.password),
        }
    }
}

fn read<R: Record>(host: &dyn ReadHost, path: &str) -> Result<Option<File<R>>> {
    let Some(bytes) = host.read(&HostPath::from(path))? else {
        return Ok(None);
    };
    let bytes = Secret::new(bytes);
    let table = Table::parse(bytes.expose()).map_err(|bad| malformed(host, path, &bad))?;
    Ok(Some(File { bytes, table }))
}

/// `/etc/passwd line 7 on source (dir:/x): uid "abc" is not a number`.
pub(super) fn malformed(host: &dyn ReadHost, path: &str, bad: &Malformed) -> Error {
    let hint = match path {
        GROUP | GSHADOW => "correct the line; `grpck -r` on that host lists every such line",
        PASSWD | SHADOW => "correct the line; `pwck -r` on that host lists every such line",
        _ => "correct the line",
    };
    Error::new(
        Kind::Malformed,
        format!(
            "{path} line {} on {}: {}",
            bad.line,
            host.label(),
            bad.problem
        ),
    )
    .hint(hint)
}
