//! Which MTA a host has, where its queues are, and what waits there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Actual, HostQueues};
use crate::error::Result;
use crate::host::queue::{Accepting, QUARANTINE, QueueDirectory, QueueKind, waiting, weight};
use crate::host::{FileKind, Probe, ReadHost, real_path};
use crate::parallel;
use crate::raw::HostPath;
use crate::receipt::RECORDS;
use crate::resource::mail::Volume;

/// Where Postfix keeps its queues unless it is told otherwise: postconf(5), `queue_directory`.
const POSTFIX: &str = "/var/spool/postfix";

/// Looks at the queues of both hosts.
pub fn observe(source: Option<&dyn ReadHost>, target: &dyn ReadHost) -> Result<Actual> {
    let (source, target) = parallel::both(|| source.map(on), || on(target));
    Ok(Actual {
        source: source.transpose()?,
        target: Some(target?),
    })
}

/// Looks at the queues of a host.
pub fn on(host: &dyn ReadHost) -> Result<HostQueues> {
    let mut queues = HostQueues::default();
    let postfix = postfix(host)?;
    let sendmail = sendmail(host)?;
    let others = instances(host, postfix.as_ref())?;
    queues.accepting = match mta(host)? {
        Some(Mta::Postfix) => postfix.map(|found| found.accepting),
        Some(Mta::Sendmail) => (sendmail.iter())
            .find(|found| found.kind == QueueKind::Sendmail)
            .map(|found| Accepting::Sendmail {
                path: found.path.clone(),
            }),
        None => None,
    };
    let mut directories = sendmail;
    directories.extend(others);
    for directory in directories {
        if !is_dir(host, &directory.path)? {
            continue;
        }
        if directory.kind != QueueKind::Postfix && is_dir(host, &directory.path.join("qf"))? {
            queues.odd.insert(directory.clone());
        }
        for (queue, _) in waiting(host, directory.kind, &directory.path)? {
            let name = match directory.kind {
                QueueKind::Postfix => directory.path.join(&queue).to_string(),
                QueueKind::Sendmail | QueueKind::SendmailClient => directory.path.to_string(),
            };
            *queues.waiting.entry(name).or_default() += 1;
            if queue == QUARANTINE {
                let path = directory.path.clone();
                *queues.quarantined.entry(path).or_default() += 1;
            }
        }
        let size = weight(host, directory.kind, &directory.path)?;
        queues.size.files += size.files;
        queues.size.bytes += size.bytes;
        queues.directories.insert(directory);
    }
    queues.room = room(host, queues.accepting.as_ref())?;
    Ok(queues)
}

/// Where what another host's queue holds would be kept, and then be put.
fn room(host: &dyn ReadHost, accepting: Option<&Accepting>) -> Result<Vec<Volume>> {
    let mut volumes: Vec<(u64, Volume)> = Vec::new();
    let Some(accepting) = accepting else {
        return Ok(Vec::new());
    };
    for path in [HostPath::from(RECORDS), accepting.path().clone()] {
        let space = host.space(&path)?;
        if volumes.iter().all(|(dev, _)| *dev != space.dev) {
            let volume = Volume {
                path,
                free_bytes: space.bytes,
                free_inodes: space.inodes,
            };
            volumes.push((space.dev, volume));
        }
    }
    Ok(volumes.into_iter().map(|(_, volume)| volume).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mta {
    Postfix,
    Sendmail,
}

/// Whose `sendmail` command the host has. Debian: sendmail's own is in a directory of its name, and
/// Postfix has a plain file; Red Hat: `sendmail.postfix`, `sendmail.sendmail`.
fn mta(host: &dyn ReadHost) -> Result<Option<Mta>> {
    let command = real_path(host, &HostPath::from("/usr/sbin/sendmail"))?;
    let text = command.to_string();
    let there = |path: &str| host.stat(&HostPath::from(path)).map(|stat| stat.is_some());
    Ok(if text.contains("postfix") {
        Some(Mta::Postfix)
    } else if ["/sendmail/", "/sm.bin/", ".sendmail"]
        .iter()
        .any(|mark| text.contains(mark))
    {
        Some(Mta::Sendmail)
    } else if text.contains("exim") {
        None
    } else if there("/usr/sbin/postconf")? && there("/etc/postfix/main.cf")? {
        Some(Mta::Postfix)
    } else if there("/etc/mail/sendmail.cf")? {
        Some(Mta::Sendmail)
    } else {
        None
    })
}

/// Postfix, as it is set up.
struct Postfix {
    accepting: Accepting,
    /// Configurations of its other instances: `multi_instance_directories`, postmulti(1).
    others: Vec<String>,
}

const PARAMETERS: [&str; 4] = [
    "queue_directory",
    "hash_queue_names",
    "hash_queue_depth",
    "multi_instance_directories",
];

fn postfix(host: &dyn ReadHost) -> Result<Option<Postfix>> {
    let Some(main) = main_cf(host, "/etc/postfix")? else {
        return Ok(None);
    };
    let names = PARAMETERS.map(str::to_owned).to_vec();
    // A host whose programs do not answer has what it is told by its file.
    let text = match host.probe(&Probe::PostfixParameters(names))? {
        Some(answer) => String::from_utf8_lossy(&answer.stdout).into_owned(),
        None => main,
    };
    let values = parameters(&text);
    let value = |name: &str, usual: &str| {
        let value = values.get(name).copied();
        value.unwrap_or(usual).to_owned()
    };
    // The defaults of postconf(5).
    let hashed = value("hash_queue_names", "deferred, defer");
    let accepting = Accepting::Postfix {
        path: HostPath::from(value("queue_directory", POSTFIX).as_str()),
        hashed: words(&hashed).map(str::to_owned).collect(),
        depth: value("hash_queue_depth", "1").parse().unwrap_or(1),
    };
    let others = value("multi_instance_directories", "");
    let others = words(&others).map(str::to_owned).collect();
    Ok(Some(Postfix { accepting, others }))
}

/// `name = value` lines of postconf(1) and main.cf(5); a line that begins with a blank goes on.
pub(super) fn parameters(text: &str) -> BTreeMap<&str, &str> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(['#', ' ', '\t']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

/// The words of a list of Postfix's.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// The queues of every instance of Postfix.
fn instances(host: &dyn ReadHost, postfix: Option<&Postfix>) -> Result<BTreeSet<QueueDirectory>> {
    let Some(Postfix { accepting, others }) = postfix else {
        // A queue that outlived its MTA.
        return Ok(BTreeSet::from([postfix_queue(POSTFIX)]));
    };
    let mut found = BTreeSet::from([QueueDirectory {
        kind: QueueKind::Postfix,
        path: accepting.path().clone(),
    }]);
    for dir in others {
        if let Some(main) = main_cf(host, dir)? {
            let path = parameters(&main).get("queue_directory").copied();
            found.insert(postfix_queue(path.unwrap_or(POSTFIX)));
        }
    }
    Ok(found)
}

fn postfix_queue(path: &str) -> QueueDirectory {
    QueueDirectory {
        kind: QueueKind::Postfix,
        path: HostPath::from(path),
    }
}

fn main_cf(host: &dyn ReadHost, dir: &str) -> Result<Option<String>> {
    let content = host.read(&HostPath::from(dir).join("main.cf"))?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// The queues of sendmail: `QueueDirectory` of its two configurations, or what it is by default.
fn sendmail(host: &dyn ReadHost) -> Result<BTreeSet<QueueDirectory>> {
    let mut found = BTreeSet::new();
    for (kind, file, usual) in [
        (
            QueueKind::Sendmail,
            "/etc/mail/sendmail.cf",
            "/var/spool/mqueue",
        ),
        (
            QueueKind::SendmailClient,
            "/etc/mail/submit.cf",
            "/var/spool/mqueue-client",
        ),
    ] {
        let content = host.read(&HostPath::from(file))?.unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let path = queue_directory(&content).unwrap_or(usual);
        let paths = expanded(host, path)?;
        found.extend(paths.into_iter().map(|path| QueueDirectory { kind, path }));
    }
    Ok(found)
}

/// `O QueueDirectory=/var/spool/mqueue` of sendmail.cf.
pub(super) fn queue_directory(cf: &str) -> Option<&str> {
    let value = |line: &'_ str| line.starts_with("O QueueDirectory=").then_some(());
    let line = cf.lines().rfind(|line| value(line).is_some())?;
    line.split_once('=').map(|(_, value)| value.trim())
}

/// A path that may end in `*`: then it means all directories whose names begin like it.
fn expanded(host: &dyn ReadHost, path: &str) -> Result<Vec<HostPath>> {
    let Some(start) = path.strip_suffix('*') else {
        return Ok(vec![HostPath::from(path)]);
    };
    let (dir, prefix) = start.rsplit_once('/').unwrap_or(("", start));
    let dir = HostPath::from(if dir.is_empty() { "/" } else { dir });
    let mut paths = Vec::new();
    for name in host.list(&dir)?.unwrap_or_default() {
        let path = dir.join(name.as_bytes());
        if name.as_bytes().starts_with(prefix.as_bytes()) && is_dir(host, &path)? {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn is_dir(host: &dyn ReadHost, path: &HostPath) -> Result<bool> {
    Ok(host
        .stat(path)?
        .is_some_and(|stat| stat.kind == FileKind::Dir))
}
