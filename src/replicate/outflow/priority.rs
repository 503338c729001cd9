//! A low priority for streams, at the processors and at the disks.
//!
//! Linux counts niceness for each thread. Whoever has not asked for a priority at the disks has that of
//! the niceness (`ioprio_set(2)`); disk schedulers that know priorities heed it. Where the kernel groups
//! threads by session (sched(7), autogroups), niceness holds within a session only, and the session has
//! one of its own.
//!
//! All of it is a courtesy: a host that refuses it is copied from all the same.

use rustix::fs::{Mode, OFlags, open};
use rustix::process::setpriority_process;

/// What nice(1) gives unasked: each other thread gets nine times as much of a processor, and we are not
/// starved, so that a copy from a server which never rests ends.
pub(super) const LOW: i32 = 10;
/// Everybody's.
pub(super) const USUAL: i32 = 0;

/// Lowers this thread. Not everybody may undo that, and it need not be: streams end.
pub(super) fn of_this_thread() {
    setpriority_process(None, LOW).ok();
}

/// That of the session that this process is in, which is a session of its own: sshd makes one for each
/// program.
pub(super) fn of_session(nice: i32) {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let group = open("/proc/self/autogroup", flags, Mode::empty());
    if let Ok(group) = group {
        rustix::io::write(&group, nice.to_string().as_bytes()).ok();
    }
}
