//! Noting what changes in trees of this machine while it runs.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::fs::fstatfs;

use super::{DirHost, run};
use crate::error::Result;
use crate::host::{HostState, ReadHost as _};
use crate::raw::HostPath;
use crate::replicate::{Here, OriginTree, Tracker};

/// The tracker of a host, once it was asked for.
#[derive(Debug, Default)]
pub(super) struct Tracked(Mutex<Option<Tracker>>);

/// Begins to note changes in trees, or goes on; tells why not all of them are tracked, or not those that
/// were made so far.
pub(super) fn track(host: &DirHost, trees: &[HostPath]) -> Result<Option<String>> {
    if host.state() == HostState::Offline {
        return Ok(Some(format!("nothing runs on {}", host.label())));
    }
    let mut tracker = host
        .tracked
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let lost = match &*tracker {
        Some(tracker) => match tracker.lost() {
            None => return Ok(tracker.untracked().map(str::to_owned)),
            lost => lost,
        },
        None => None,
    };
    // The old one is gone before a new one begins.
    *tracker = None;
    let mut tops: Vec<(OwnedFd, &str)> = Vec::new();
    for tree in trees {
        // A mailbox is a file, and a home may be a file system of its own.
        let top = match host.open_tree(tree) {
            Ok(Some(top)) => Some(top),
            Ok(None) | Err(_) => host.open_tree(&tree.parent())?,
        };
        if let Some(top) = top {
            let kind = fstatfs(&top).map_err(|errno| host.fail("look at", tree, errno))?;
            tops.push((top, run::file_system(kind.f_type)));
        }
    }
    let tops = tops.iter().map(|(top, kind)| (top.as_fd(), *kind));
    match Tracker::start(host.side(), tops) {
        Ok(started) => {
            let untracked = started.untracked().map(str::to_owned);
            *tracker = Some(started);
            Ok(lost.map(str::to_owned).or(untracked))
        }
        Err(why) => Ok(Some(why)),
    }
}

impl Tracked {
    /// Has a look at a tree take part, if it is to.
    pub(super) fn join(&self, here: Here, tree: &OriginTree) -> Here {
        let tracker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*tracker, &tree.tracking) {
            (Some(tracker), Some(tracking)) => here.tracked(tracker.look(&tree.path, tracking)),
            _ => here,
        }
    }
}
