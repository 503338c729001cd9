//! How much may be under way to this process. What was asked for is held until it is used, so this is what
//! its memory goes into, however many trees are worked on; and a large file alone can have half of it,
//! which is what it takes to fill a long way.

use std::sync::atomic::{AtomicU64, Ordering};

use super::session::ANSWER;

/// What all answers may come to that are under way to this process.
const ALL: u64 = 16 << 20;
/// What a session may have of it whatever the others have: it has to go on.
const LEAST: u64 = ANSWER as u64;
/// What it may have at most.
const MOST: u64 = 8 << 20;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// What of the room somebody has taken; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Room(u64);

impl Room {
    /// Whether it may take more.
    pub(super) fn has_more(&self) -> bool {
        let all = TAKEN.load(Ordering::Relaxed);
        self.0 < LEAST || (self.0 < MOST && all < ALL)
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.0 += bytes;
        TAKEN.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.0);
        self.0 -= bytes;
        TAKEN.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_all_back(&mut self) {
        self.give_back(self.0);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.give_all_back();
    }
}
