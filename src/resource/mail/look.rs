//! How closely mail trees are looked at, and who is told.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::AtomicBool;

use crate::error::Result;
use crate::names::UserName;
use crate::plan::change::{Difference, TreeKind};
use crate::replicate::Depth;

/// Somebody who sees every single difference, while the trees are walked.
pub type Listener<'a> = &'a (dyn Fn(&UserName, TreeKind, &[u8], Difference) -> Result<()> + Sync);

/// How to look at mail trees.
pub struct Look<'a> {
    pub(super) depth: Depth,
    pub(super) stop: &'a AtomicBool,
    pub(super) listener: Option<Listener<'a>>,
    pub(super) order: Order,
    /// Whose trees are walked; `None` is everybody's.
    pub(super) only: Option<&'a BTreeSet<UserName>>,
}

/// In which order users are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// Several at a time.
    Any,
    /// One after the other, by name: what the listener hears is the same each time.
    ByName,
}

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl<'a> Look<'a> {
    /// Trusts the index of the last copy where it vouches for a file.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self {
            depth: Depth::Index,
            stop,
            listener: None,
            order: Order::Any,
            only: None,
        }
    }

    /// Trusts nothing and reads every file on both sides.
    pub fn every_byte(stop: &'a AtomicBool) -> Self {
        Self {
            depth: Depth::Content,
            stop,
            listener: None,
            order: Order::Any,
            only: None,
        }
    }

    /// Takes the trees of all other users for equal: this run has looked at them already.
    #[must_use]
    pub fn only(self, users: &'a BTreeSet<UserName>) -> Self {
        Self {
            only: Some(users),
            ..self
        }
    }

    /// Whether a user's trees are walked.
    pub(super) fn walks(&self, user: &UserName) -> bool {
        self.only.is_none_or(|users| users.contains(user))
    }

    /// Also tells every difference to `listener`.
    #[must_use]
    pub fn telling(self, listener: Listener<'a>) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }

    /// Looks at one user after the other, by name, which takes longer.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self {
            order: Order::ByName,
            ..self
        }
    }
}
