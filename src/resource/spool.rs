//! `spool/*`: how much mail users have, against the manifest's thresholds, a timer that measures it, and
//! old messages that leave the INBOX.
//!
//! A large spool file is no difference between the hosts: of it come only notes. What copies mail from
//! host to host, or proves it, is [`super::mail`].

pub mod begun;
pub mod housekeeping;
pub mod measure;
pub mod timer;
pub mod trend;
pub mod uids;
pub mod volumes;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::manifest::{Manifest, Size, Spool};
use crate::names::{Side, UserName};
use crate::plan::{Draft, Level, Resource};
use crate::raw::HostPath;
use crate::report::counted;

/// Users named one by one; the rest are counted.
const NAMED: usize = 10;

/// The spool files of the serving side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actual {
    /// Whose spool it is.
    pub side: Side,
    /// Bytes of each chosen user's spool file. A user without one, or with a Maildir in its place,
    /// is not here.
    pub sizes: BTreeMap<UserName, u64>,
    /// Old messages, where they are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<housekeeping::Old>,
    /// The timer on the target; `None` where there is none and none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<timer::Seen>,
}

impl Default for Actual {
    fn default() -> Self {
        Self {
            side: Side::Source,
            sizes: BTreeMap::new(),
            old: None,
            timer: None,
        }
    }
}

/// Looks at the spool files of the serving side.
pub fn observe<'a>(
    host: &dyn ReadHost,
    spool_dir: &HostPath,
    users: impl Iterator<Item = &'a UserName>,
) -> Result<Actual> {
    let mut sizes = BTreeMap::new();
    let users: Vec<&UserName> = users.collect();
    let files = users.iter().map(|user| spool_dir.join(user.as_bytes()));
    let looked = host.stats(&files.collect::<Vec<_>>());
    for (user, file) in users.into_iter().zip(looked) {
        if let Some(stat) = file?.filter(|stat| stat.kind == FileKind::File) {
            sizes.insert(user.clone(), stat.size);
        }
    }
    Ok(Actual {
        side: host.side(),
        sizes,
        old: None,
        timer: None,
    })
}

/// What a person should know about the spool, and what is done about it.
pub fn diff(manifest: &Manifest, actual: &Actual, authority: Side) -> Draft {
    let mut draft = timer::diff(manifest, actual.timer.as_ref(), authority);
    let Some(spool) = &manifest.spool else {
        return draft;
    };
    draft.absorb(housekeeping::diff(manifest, actual.old.as_ref(), authority));
    let by_size = largest_first(actual);
    if let Some((user, largest)) = by_size.first() {
        let total = by_size.iter().map(|(_, size)| size).sum();
        draft.note(
            Resource::Migration,
            Level::Info,
            format!(
                "spool on the {}: {} in {}, the largest {} ({user})",
                actual.side,
                shown(total),
                counted(by_size.len() as u64, "file", "files"),
                shown(*largest),
            ),
        );
    }
    warn(&mut draft, spool, &by_size);
    draft
}

/// Users and bytes; equal sizes by name.
fn largest_first(actual: &Actual) -> Vec<(&UserName, u64)> {
    let mut by_size: Vec<_> = actual
        .sizes
        .iter()
        .map(|(user, size)| (user, *size))
        .collect();
    by_size.sort_by_key(|(user, size)| (Reverse(*size), *user));
    by_size
}

/// A threshold of the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// `spool.warn`.
    Warn,
    /// `spool.limit`.
    Limit,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Limit => "limit",
        })
    }
}

/// The highest threshold that so many bytes are above.
pub fn threshold(spool: &Spool, bytes: u64) -> Option<(Threshold, Size)> {
    let above = |threshold: Option<Size>| threshold.filter(|t| bytes > t.bytes);
    let limit = above(spool.limit).map(|limit| (Threshold::Limit, limit));
    limit.or_else(|| above(spool.warn).map(|warn| (Threshold::Warn, warn)))
}

/// One warning for each spool file above a threshold, the largest first.
fn warn(draft: &mut Draft, spool: &Spool, by_size: &[(&UserName, u64)]) {
    let warnings: Vec<_> = by_size
        .iter()
        .filter_map(|(user, size)| {
            let (name, threshold) = threshold(spool, *size)?;
            Some((*user, *size, name, threshold))
        })
        .collect();
    for (user, size, name, threshold) in warnings.iter().take(NAMED) {
        draft.note(
            Resource::Spool((*user).clone()),
            Level::Warning,
            format!(
                "{} is above spool.{name} ({})",
                shown(*size),
                shown(threshold.bytes)
            ),
        );
    }
    if let Some(more) = warnings.len().checked_sub(NAMED).filter(|more| *more > 0) {
        draft.note(
            Resource::Migration,
            Level::Warning,
            format!("{more} more spool files are above spool.warn or spool.limit"),
        );
    }
}

/// Bytes for people, in the decimal units that the manifest is written in.
fn shown(bytes: u64) -> String {
    ByteSize::b(bytes).display().si().to_string()
}

#[cfg(test)]
mod tests;
