//! Writes a merge into the four files of a host, as shadow-utils would: locked, with `-` backups, in
//! an order in which a crash leaves nothing that the next run cannot complete.

use super::edit::Merge;
use super::files::{File, Files, GROUP, GSHADOW, PASSWD, SHADOW};
use super::table::Record;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::host::{Host, NewFile, ReadHost};
use crate::plan::change::AccountsMerge;
use crate::raw::HostPath;

/// Carries out a merge. Doing it twice changes nothing the second time.
///
/// The order is group, gshadow, passwd, shadow: a group without members is harmless, and an account
/// that is seen without its shadow line cannot log in yet.
pub fn merge(from: &dyn ReadHost, onto: &dyn Host, merge: &AccountsMerge) -> Result<()> {
    let target = onto;
    let _lock = target.lock_accounts()?;
    let old = Files::read(from)?;
    let mut new = Files::read(target)?;
    if let Some(aside) = &merge.aside {
        set_aside(target, &new, aside)?;
    }
    Merge::new(&old, &mut new, merge.onto).apply(merge)?;
    put(target, GROUP, &new.group)?;
    failpoint::hit("accounts:group");
    if let Some(gshadow) = &new.gshadow {
        put(target, GSHADOW, gshadow)?;
        failpoint::hit("accounts:gshadow");
    }
    put(target, PASSWD, &new.passwd)?;
    failpoint::hit("accounts:passwd");
    if let Some(shadow) = &new.shadow {
        put(target, SHADOW, shadow)?;
        failpoint::hit("accounts:shadow");
    }
    Ok(())
}

/// Keeps the four files as they are, the first time.
fn set_aside(host: &dyn Host, files: &Files, aside: &HostPath) -> Result<()> {
    host.make_dirs(aside, 0o700)?;
    let shadow = files.shadow.as_ref().map(|file| (SHADOW, &file.bytes));
    let gshadow = files.gshadow.as_ref().map(|file| (GSHADOW, &file.bytes));
    let always = [(GROUP, &files.group.bytes), (PASSWD, &files.passwd.bytes)];
    for (path, bytes) in always.into_iter().chain(shadow).chain(gshadow) {
        let copy = aside.join(HostPath::from(path).file_name());
        if host.lstat(&copy)?.is_none() {
            host.replace(&copy, bytes.expose(), NewFile::root(0o600))?;
        }
    }
    Ok(())
}

/// Replaces one file if it changed, its old content kept beside it.
fn put<R: Record>(target: &dyn Host, path: &str, file: &File<R>) -> Result<()> {
    let content = crate::secret::Secret::new(file.table.render());
    if content.expose() == file.bytes.expose() {
        return Ok(());
    }
    let path = HostPath::from(path);
    let stat = target.stat(&path)?.ok_or_else(|| {
        Error::new(
            Kind::Stale,
            format!("{path} vanished from {}", target.label()),
        )
        .hint("run `reconcile plan` again")
    })?;
    let like = NewFile {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
    };
    let mut backup = path.as_bytes().to_vec();
    backup.push(b'-');
    target.replace(
        &HostPath::from(backup.as_slice()),
        file.bytes.expose(),
        like,
    )?;
    target.replace(&path, content.expose(), like)
}
