//! Noting which directories change, so that a later look at a tree passes over those that did not.
//!
//! The kernel tells of every change on a file system as it is made (fanotify(7)). A look at a tree
//! registers each directory *before* it reads it; what the kernel tells afterwards marks the directory, and
//! those above it ([`known`]). A later look passes over a directory with all that is in it if nothing in it
//! was marked since a look that found both sides equal. What is marked, new, moved, or merely doubtful is
//! looked at as ever: tracking decides where to look, never what is equal.
//!
//! Why nothing is missed:
//!
//! - An event is queued before the system call that caused it returns. So once nothing moves any more,
//!   reading the queue to its end gives everything ([`Tracker::look`] does that first).
//! - Writing through a shared mapping makes no event, but letting go of the file does, and a mapping holds
//!   it: the event comes with `munmap`, however early the file was opened and its descriptor closed. The
//!   freeze proves that nobody has a file open or mapped for writing. While mail moves, such a write may be
//!   seen a round late.
//! - An event names the directory that the file was opened through. A file with more than one name could
//!   change through another one, so a tree that has such a file is always looked at as a whole; a name that
//!   is made or removed elsewhere is an event of the file itself.
//! - Directories are told apart by their inode number, taken from the event's file handle; what a handle of
//!   a file system looks like is proven when tracking begins ([`file_systems`]). A number that is used anew,
//!   or found in another place, is a directory that is not known.
//! - When the queue overflows, or what has to be remembered is too much, everything is forgotten, and the
//!   next look is a whole one. The queue has the kernel's own bound: the memory of a live host is not ours.
//!
//! Nothing is written on the source: marks live in the kernel and end with the process.

mod events;
mod file_systems;
mod known;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use serde::{Deserialize, Serialize};

use self::events::{Event, Id};
use self::file_systems::FileSystems;
use self::known::{Known, Phase};
pub(super) use self::known::{Met, Standing};
use super::scan;
use crate::names::Side;
use crate::raw::HostPath;

/// How a tree's look takes part in the tracking of its host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tracking {
    /// The look's number. Of looks at one tree with the same number, the last counts.
    pub look: u32,
    /// Looks at the tree after which both sides were equal.
    pub settled: Vec<u32>,
}

/// What must be told. `MODIFY` is for `truncate`, which closes nothing.
fn mask() -> MaskFlags {
    MaskFlags::FAN_MODIFY
        | MaskFlags::FAN_CLOSE_WRITE
        | MaskFlags::FAN_ATTRIB
        | MaskFlags::FAN_CREATE
        | MaskFlags::FAN_DELETE
        | MaskFlags::FAN_MOVED_FROM
        | MaskFlags::FAN_MOVED_TO
        | MaskFlags::FAN_DELETE_SELF
        | MaskFlags::FAN_ONDIR
}

/// `FAN_REPORT_FID`, of Linux 5.1, and `FAN_REPORT_DIR_FID` with `FAN_REPORT_NAME`, of 5.9; nix does not
/// name them. The names are for files that were made without one: what is written to them later still
/// tells the directory that they were made in.
const REPORT: u32 = 0x0200 | 0x0400 | 0x0800;

/// Bytes of events that are read at once.
const BUFFER: usize = 64 * 1024;

/// How soon the reading thread ends after the tracker.
const GLANCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Between two readings of the queue: each waits for files that are being looked at, and has others wait.
const PAUSE: Duration = Duration::from_millis(20);

/// Notes what changes on this machine's file systems. Dropped, it ends.
#[derive(Debug)]
pub struct Tracker {
    shared: Arc<Shared>,
    untracked: Option<String>,
}

#[derive(Debug)]
struct Shared {
    group: Fanotify,
    file_systems: FileSystems,
    /// Held while files are looked at and registered, so that no event falls between the two; events are
    /// taken in under it.
    gate: RwLock<()>,
    known: Mutex<Known>,
}

impl Tracker {
    /// Begins to note changes on the file systems that hold these directories, each with the name of its
    /// file system's kind, or says why that cannot be.
    pub fn start<'a>(
        side: Side,
        tops: impl IntoIterator<Item = (BorrowedFd<'a>, &'a str)>,
    ) -> std::result::Result<Self, String> {
        let flags = InitFlags::FAN_CLASS_NOTIF
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::from_bits_retain(REPORT);
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC);
        let group = group.map_err(|errno| match errno {
            nix::Error::EINVAL => format!("the {side}'s kernel is older than 5.9"),
            nix::Error::ENOSYS => format!("the {side}'s kernel has no fanotify"),
            nix::Error::EPERM => format!("fanotify is not permitted on the {side}"),
            errno => format!("fanotify fails on the {side}: {errno}"),
        })?;
        let mut file_systems = FileSystems::default();
        let mut untracked = None;
        for (top, kind) in tops {
            let added = file_systems.add(top, kind, |top| {
                let whole = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
                group.mark::<_, [u8]>(whole, mask(), top, None)
            });
            if let Err(why) = added {
                untracked.get_or_insert(format!("{why} on the {side}"));
            }
        }
        if file_systems.is_empty() {
            return Err(untracked.unwrap_or_else(|| format!("the {side} has none of the trees")));
        }
        let shared = Arc::new(Shared {
            group,
            file_systems,
            gate: RwLock::default(),
            known: Mutex::default(),
        });
        let failed = |_| format!("the {side} has no room for one more thread or descriptor");
        let descriptor = shared.group.as_fd().try_clone_to_owned().map_err(failed)?;
        let watched = Arc::downgrade(&shared);
        let spawned = std::thread::Builder::new()
            .name("track".to_owned())
            .spawn(move || listen(descriptor.as_fd(), &watched));
        spawned.map_err(failed)?;
        Ok(Self { shared, untracked })
    }

    /// Why trees on some of the file systems are not tracked, if there are any.
    pub fn untracked(&self) -> Option<&str> {
        self.untracked.as_deref()
    }

    /// Why everything that was known is forgotten, if it is.
    pub fn lost(&self) -> Option<&'static str> {
        self.shared.drain();
        self.shared.known().lost()
    }

    /// Begins a look at a tree: takes in all that the kernel has told by now.
    pub fn look(&self, tree: &HostPath, tracking: &Tracking) -> Look {
        self.shared.drain();
        let phase = self.shared.known().begin(tree, tracking);
        Look {
            shared: Arc::clone(&self.shared),
            phase,
        }
    }
}

/// Takes in events as they come, until the tracker is gone.
fn listen(descriptor: BorrowedFd<'_>, tracker: &Weak<Shared>) {
    loop {
        let mut waiting = [PollFd::new(&descriptor, PollFlags::IN)];
        let polled = poll(&mut waiting, Some(&GLANCE));
        let Some(shared) = tracker.upgrade() else {
            return;
        };
        match polled {
            Ok(_) | Err(Errno::INTR) => shared.drain(),
            Err(_) => return shared.known().lose(BROKEN),
        }
        drop(shared);
        std::thread::sleep(PAUSE);
    }
}

const BROKEN: &str = "the kernel's events could not be read";

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in all events that are queued.
    fn drain(&self) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let shut = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            let read = match read(self.group.as_fd(), buffer.as_mut_slice()) {
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(_) => return self.known().lose(BROKEN),
            };
            let mut known = self.known();
            let all = events::each(&buffer[..read], |event| self.take(&mut known, event));
            if all.is_none() {
                known.lose(BROKEN);
            }
            drop(shut);
        }
    }

    fn take(&self, known: &mut Known, event: &Event<'_>) {
        if event.mask.contains(MaskFlags::FAN_Q_OVERFLOW) {
            return known.lose("more changed at once than the kernel's queue of events holds");
        }
        let spot = |id: &Option<Id<'_>>| {
            let spot = id.as_ref().map(|id| self.file_systems.spot(id));
            spot.transpose()
        };
        let (directory, object) = match (spot(&event.directory), spot(&event.object)) {
            (Ok(directory), Ok(object)) => (directory, object),
            (Err(why), _) | (_, Err(why)) => return known.lose(why),
        };
        if let Some(directory) = directory {
            known.changed(directory);
        }
        let Some(object) = object else {
            return;
        };
        known.changed(object);
        if event.mask.contains(MaskFlags::FAN_DELETE_SELF) {
            known.gone(object);
        } else if directory.is_none() || event.made_without_name() {
            known.touched_elsewhere(object);
        }
    }
}

/// One look at a tree, for the walk that makes it.
#[derive(Debug)]
pub struct Look {
    shared: Arc<Shared>,
    phase: Phase,
}

impl Look {
    /// Meets a directory that was seen in the one at hand, before it is opened.
    pub(super) fn meet(&self, above: Option<&Standing>, name: &[u8], seen: &scan::Look) -> Met {
        match self.shared.file_systems.found(seen) {
            Some(spot) => {
                let ctime = seen.stamp.ctime;
                self.shared
                    .known()
                    .meet(&self.phase, above, spot, name, ctime)
            }
            None => Met::Enter(Standing::UNKNOWN),
        }
    }

    /// Looks at some entries that are no directories; `looks` tells those of what was seen.
    pub(super) fn files<T>(
        &self,
        look: impl FnOnce() -> T,
        looks: impl Fn(&T) -> Vec<scan::Look>,
    ) -> T {
        let open = self
            .shared
            .gate
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let seen = look();
        let mut known = self.shared.known();
        for look in looks(&seen) {
            if let Some(spot) = self.shared.file_systems.found(&look) {
                known.file(&self.phase, spot, look.nlink);
            }
        }
        drop(known);
        drop(open);
        seen
    }

    /// A directory could not be entered: what is in it is not known, and may come to light unheard.
    pub(super) fn refused(&self) {
        self.shared.known().whole(&self.phase);
    }
}
