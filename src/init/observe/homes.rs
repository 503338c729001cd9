//! Where people's mail is on the source, and what is in its way on the target.

use std::collections::BTreeSet;

use super::is_dir;
use crate::error::{Result, chain};
use crate::host::{FileKind, ReadHost, real_path};
use crate::init::findings::{Findings, Mailbox, Occupied};
use crate::names::{Uid, UserName};
use crate::parallel;
use crate::raw::{HostPath, Raw};
use crate::receipt::Receipt;
use crate::resource::accounts::{Chosen, Resolved};
use crate::resource::mail;

/// What was seen of one user.
#[derive(Default)]
struct Seen {
    boxes: BTreeSet<Mailbox>,
    occupied: Vec<Occupied>,
    unread: Vec<String>,
}

/// Looks at every chosen user's places. What cannot be looked at is noted, and ends nothing.
pub(super) fn look(
    findings: &mut Findings,
    resolved: &Resolved,
    receipts: &[Receipt],
    source: &dyn ReadHost,
    target: &dyn ReadHost,
) -> Result<()> {
    let spools = [&findings.source, &findings.target].map(|host| host.spool_dir.clone());
    let users: Vec<(&UserName, &Chosen)> = resolved.users.iter().collect();
    let seen = parallel::map(&users, |(name, chosen)| {
        let mut seen = Seen::default();
        if let Err(error) = boxes(name, chosen, spools[0].as_ref(), source, &mut seen.boxes) {
            seen.unread.push(chain(&error));
        }
        let managed = receipts
            .iter()
            .any(|receipt| receipt.trees.contains_key(*name));
        if !managed
            && let Err(error) = occupied(name, chosen, spools[1].as_ref(), target, &mut seen)
        {
            seen.unread.push(chain(&error));
        }
        seen
    });
    for ((name, _), seen) in users.into_iter().zip(seen) {
        findings.mailboxes.insert(name.clone(), seen.boxes);
        findings.occupied.extend(seen.occupied);
        findings.unread.extend(seen.unread);
    }
    if let Some(spool) = &spools[0] {
        findings.beyond_range = beyond_range(findings, resolved, spool, source)?;
    }
    Ok(())
}

fn boxes(
    name: &UserName,
    chosen: &Chosen,
    spool: Option<&HostPath>,
    source: &dyn ReadHost,
    found: &mut BTreeSet<Mailbox>,
) -> Result<()> {
    if let Some(spool) = spool.filter(|_| is_component(name)) {
        match source.stat(&spool.join(name.as_bytes()))? {
            Some(stat) if stat.kind == FileKind::Dir => drop(found.insert(Mailbox::SpoolMaildir)),
            Some(stat) if stat.kind == FileKind::File && stat.size > 0 => {
                found.insert(Mailbox::SpoolMbox);
            }
            _ => {}
        }
    }
    let home = &chosen.source_home;
    if !is_home(home) {
        return Ok(());
    }
    let entries = names(source, home)?;
    let folder = |name: &str| has(&entries, name).then(|| home.join(name));
    for dir in ["Maildir", ".maildir", ".Maildir"]
        .into_iter()
        .filter_map(folder)
    {
        if has(&names(source, &dir)?, "cur") {
            found.insert(Mailbox::Maildir);
        }
    }
    if has(&entries, "mdbox") || has(&entries, "sdbox") {
        found.insert(Mailbox::Dbox);
    }
    for dir in ["mail", "Mail"].into_iter().filter_map(folder) {
        let inside = names(source, &dir)?;
        if has(&inside, "cur") {
            found.insert(Mailbox::Maildir);
        } else if has(&inside, "mailboxes") || has(&inside, "storage") {
            found.insert(Mailbox::Dbox);
        } else if inside.iter().any(|name| !name.as_bytes().starts_with(b".")) {
            found.insert(Mailbox::MailFolders);
        }
    }
    Ok(())
}

/// What the planner would find in the way of the user's home and spool entry.
fn occupied(
    name: &UserName,
    chosen: &Chosen,
    spool: Option<&HostPath>,
    target: &dyn ReadHost,
    seen: &mut Seen,
) -> Result<()> {
    let mut places = Vec::new();
    if is_home(&chosen.home) {
        places.push(real_path(target, &chosen.home)?);
    }
    if let Some(spool) = spool.filter(|_| is_component(name)) {
        places.push(spool.join(name.as_bytes()));
    }
    for path in places {
        if !path.is_root() && mail::occupied(target, &path)? {
            let user = name.clone();
            seen.occupied.push(Occupied { user, path });
        }
    }
    Ok(())
}

/// Accounts that are not chosen, although mail lies in the spool for them.
fn beyond_range(
    findings: &Findings,
    resolved: &Resolved,
    spool: &HostPath,
    source: &dyn ReadHost,
) -> Result<BTreeSet<UserName>> {
    let mut beyond = BTreeSet::new();
    let users = findings
        .accounts
        .source
        .iter()
        .flat_map(|source| &source.users);
    let others = users.filter(|(name, user)| {
        user.uid != Uid(0) && !resolved.users.contains_key(*name) && is_component(name)
    });
    let inside = names(source, spool)?;
    for (name, _) in others {
        let there = inside.binary_search(&Raw::from(name.as_bytes())).is_ok();
        if there && mail::occupied(source, &spool.join(name.as_bytes()))? {
            beyond.insert(name.clone());
        }
    }
    Ok(beyond)
}

/// The names in a directory; none if it is something else or not there.
fn names(host: &dyn ReadHost, dir: &HostPath) -> Result<Vec<Raw>> {
    if !is_dir(host, dir)? {
        return Ok(Vec::new());
    }
    Ok(host.list(dir)?.unwrap_or_default())
}

fn has(names: &[Raw], name: &str) -> bool {
    names
        .iter()
        .any(|found| found.as_bytes() == name.as_bytes())
}

/// Whether a name is one component of a path, and so its spool entry lies in the spool.
fn is_component(name: &UserName) -> bool {
    let bytes = name.as_bytes();
    !bytes.contains(&b'/') && !matches!(bytes, b"." | b"..")
}

/// The longest path that a system call takes.
const PATH_MAX: usize = 4095;

fn is_home(home: &HostPath) -> bool {
    home.as_bytes().starts_with(b"/") && home.as_bytes().len() <= PATH_MAX && !home.is_root()
}
