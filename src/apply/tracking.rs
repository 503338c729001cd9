//! What is known of looks at trees whose host notes changes: which of them found both sides equal.
//!
//! A look is trusted only if everything in it was equal, nothing moved, and it was the last at its tree. Of a
//! tree about which there was any doubt nothing is known any more: it is looked at as a whole.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::host::ReadHost;
use crate::plan::change::MailCopy;
use crate::raw::HostPath;
use crate::replicate::Tracking;
use crate::report::{Event, Reporter};

/// So many looks of a tree are kept; an older one vouches for nothing.
const KEPT: usize = 32;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Looks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// The number of the last look, and of the last at each tree.
    last: u32,
    latest: BTreeMap<HostPath, u32>,
    /// Looks that found both sides equal, by the tree on the host that hands over.
    settled: BTreeMap<HostPath, Vec<u32>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum State {
    /// Nobody has asked for it.
    #[default]
    Off,
    On,
    /// It cannot be, or not for all trees.
    Partly(String),
}

impl Looks {
    /// Has a host note what changes in the trees of these copies, or makes sure that it still does, and
    /// tells if that is news.
    pub(super) fn track(
        &self,
        host: &dyn ReadHost,
        copies: &[MailCopy],
        reporter: &dyn Reporter,
    ) -> Result<()> {
        let side = host.side();
        let trees = copies.iter().flat_map(|copy| &copy.trees);
        let trees: Vec<HostPath> = trees.map(|tree| tree.paths.on(side).clone()).collect();
        let state = match host.track(&trees)? {
            None => State::On,
            Some(why) => State::Partly(why),
        };
        let mut inner = self.open();
        if state == inner.state {
            return Ok(());
        }
        reporter.event(&match &state {
            State::Partly(why) => Event::Untracked { why: why.clone() },
            State::On | State::Off => Event::Tracked { host: host.label() },
        });
        inner.state = state;
        Ok(())
    }

    /// A new look at a tree; `None` if nobody has asked for tracking.
    pub(super) fn begin(&self, tree: &HostPath) -> Option<Tracking> {
        let mut inner = self.open();
        if inner.state == State::Off {
            return None;
        }
        inner.last += 1;
        let look = inner.last;
        inner.latest.insert(tree.clone(), look);
        Some(Tracking {
            look,
            settled: inner.settled.get(tree).cloned().unwrap_or_default(),
        })
    }

    /// The last look at a tree found both sides equal.
    pub(super) fn settle(&self, tree: &HostPath) {
        let mut inner = self.open();
        let Some(look) = inner.latest.remove(tree) else {
            return;
        };
        let settled = inner.settled.entry(tree.clone()).or_default();
        settled.push(look);
        let more = settled.len().saturating_sub(KEPT);
        settled.drain(..more);
    }

    /// Nothing that was found of a tree counts any more. Whether something did.
    pub(super) fn forget(&self, tree: &HostPath) -> bool {
        self.open().settled.remove(tree).is_some()
    }

    fn open(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> HostPath {
        HostPath::from("/home/alice")
    }

    fn on() -> Looks {
        let looks = Looks::default();
        looks.open().state = State::On;
        looks
    }

    #[test]
    fn nothing_is_passed_over_unless_changes_are_noted() {
        assert_eq!(Looks::default().begin(&tree()), None);
    }

    #[test]
    fn only_the_last_of_some_looks_is_trusted_and_only_until_there_is_a_doubt() {
        let looks = on();
        let settled = || looks.begin(&tree()).unwrap().settled;
        assert!(settled().is_empty());
        assert!(settled().is_empty());
        looks.settle(&tree());
        assert_eq!(settled(), [2]);
        looks.settle(&tree());
        assert_eq!(settled(), [2, 3]);
        assert!(looks.forget(&tree()));
        assert!(settled().is_empty());
        assert!(!looks.forget(&tree()));
    }
}
