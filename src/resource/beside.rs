//! What stands beside the mail on an old server and does not move: the MTA's own files, crontabs,
//! and mail that still waits in a queue. Looked at so that nobody forgets it; nothing is done about
//! it, so there are only notes here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::accounts::Resolved;
use super::queue;
use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::manifest::HostAddress;
use crate::names::UserName;
use crate::plan::{Draft, Level, Resource};
use crate::raw::HostPath;
use crate::report::counted;

/// Files that say where mail goes, by sendmail(8), postfix(5), procmailrc(5) and Debian policy.
const ROUTING: [&str; 16] = [
    "/etc/aliases",
    "/etc/mail/access",
    "/etc/mail/aliases",
    "/etc/mail/genericstable",
    "/etc/mail/local-host-names",
    "/etc/mail/mailertable",
    "/etc/mail/sendmail.mc",
    "/etc/mail/virtusertable",
    "/etc/mailname",
    "/etc/postfix/main.cf",
    "/etc/postfix/master.cf",
    "/etc/postfix/relay_recipients",
    "/etc/postfix/transport",
    "/etc/postfix/virtual",
    "/etc/procmailrc",
    "/var/lib/mailman",
];

/// Where cron keeps users' tables: Debian and Red Hat.
const CRONTABS: [&str; 2] = ["/var/spool/cron/crontabs", "/var/spool/cron"];

/// What is on the source. Empty once the target has authority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actual {
    /// Files that say where mail goes and that the target lacks or has otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<HostPath>,
    /// Chosen users with a crontab.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub crontabs: BTreeSet<UserName>,
    /// Messages that wait, by queue.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<HostPath, u64>,
}

/// Looks for what does not move.
pub fn observe(
    source: &dyn ReadHost,
    target: &dyn ReadHost,
    resolved: &Resolved,
) -> Result<Actual> {
    let mut actual = Actual::default();
    for path in ROUTING.map(HostPath::from) {
        if stands_out(source, target, &path)? {
            actual.routing.push(path);
        }
    }
    for dir in CRONTABS.map(HostPath::from) {
        let names = source.list(&dir)?.unwrap_or_default();
        let names = names.iter().map(|name| UserName::from(name.as_bytes()));
        actual
            .crontabs
            .extend(names.filter(|name| resolved.users.contains_key(name)));
    }
    let queued = queue::on(source)?.waiting.into_iter();
    actual.queued = queued
        .map(|(queue, count)| (HostPath::from(queue.as_str()), count))
        .collect();
    Ok(actual)
}

/// Whether the source has something at this path that the target has not, or has otherwise.
fn stands_out(source: &dyn ReadHost, target: &dyn ReadHost, path: &HostPath) -> Result<bool> {
    match source.stat(path)?.map(|stat| stat.kind) {
        Some(FileKind::File) => {}
        Some(FileKind::Dir) => {
            return Ok(source.list(path)?.is_some_and(|names| !names.is_empty()));
        }
        Some(FileKind::Symlink | FileKind::Special) | None => return Ok(false),
    }
    let there = target
        .stat(path)?
        .is_some_and(|stat| stat.kind == FileKind::File);
    Ok(!there || source.read(path)? != target.read(path)?)
}

/// The notes. Between hosts that run the queue moves with the hand-over, and is no matter until then.
pub fn diff(hosts: [&HostAddress; 2], actual: &Actual) -> Draft {
    let mut draft = Draft::default();
    let stays = !hosts.into_iter().all(HostAddress::is_live);
    for (queue, &count) in actual.queued.iter().filter(|_| stays) {
        let messages = counted(count, "message waits", "messages wait");
        let text = format!(
            "{messages} in the source's queue {queue} and will not move; deliver what is there, or \
             inject it into the target's MTA by hand"
        );
        draft.note(Resource::Migration, Level::Warning, text);
    }
    if !actual.routing.is_empty() {
        let text = format!(
            "these files of the source say where mail goes and do not move; carry over by hand what \
             still holds: {}",
            joined(&actual.routing)
        );
        draft.note(Resource::Migration, Level::Info, text);
    }
    if !actual.crontabs.is_empty() {
        let text = format!(
            "crontabs do not move; on the source there are some of: {}",
            joined(&actual.crontabs)
        );
        draft.note(Resource::Migration, Level::Info, text);
    }
    draft
}

/// So many are named; more are counted.
const NAMED: usize = 8;

fn joined<T: ToString>(things: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    match all.len().checked_sub(NAMED) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::host::DirHost;
    use crate::names::Side;

    #[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        // Postfix marks a file that is finished.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn queues_aliases_and_crontabs_are_found_where_servers_keep_them() {
        let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write(old.path(), "etc/aliases", "root: anna\n");
        write(old.path(), "etc/procmailrc", "same\n");
        write(new.path(), "etc/procmailrc", "same\n");
        // As FACTS 4 has it: one message is a qf and a df file; postfix hashes its deferred queue.
        write(old.path(), "var/spool/mqueue/qf1oAN0001", "V8\n");
        write(old.path(), "var/spool/mqueue/df1oAN0001", "body\n");
        write(old.path(), "var/spool/postfix/deferred/A/A1B2C3", "");
        write(old.path(), "var/spool/postfix/deferred/F/F1B2C3", "");
        write(old.path(), "var/spool/cron/crontabs/root", "");
        let source = DirHost::open(Side::Source, old.path()).unwrap();
        let target = DirHost::open(Side::Target, new.path()).unwrap();
        let seen = observe(&source, &target, &Resolved::default()).unwrap();
        let expected = Actual {
            routing: vec!["/etc/aliases".into()],
            crontabs: BTreeSet::new(),
            queued: BTreeMap::from([
                ("/var/spool/mqueue".into(), 1),
                ("/var/spool/postfix/deferred".into(), 2),
            ]),
        };
        assert_eq!(seen, expected);
    }
}
