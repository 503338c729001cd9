//! Named crash points, for the tests that kill a run at each of them, or do something else to the
//! hosts at that moment.
//!
//! Only with the feature `failpoints` does [`hit`] do anything: at the n-th time the armed name comes by
//! it ends the process by SIGKILL, as a power cut would, or it waits until the test lets it go on. A
//! release build has no trace of it.

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::fs::{Access, CWD, Mode, OFlags};

    struct Armed {
        name: String,
        /// Which time, from 1.
        nth: u64,
        /// The file that says that the process waits; `None` if it dies.
        pause: Option<String>,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);

    /// Arms `NAME` or `NAME#N` (the N-th time, from 1). A name ending in `*` matches by prefix. With
    /// `!pause=FILE` after that the process makes FILE and waits until there is `FILE.go`, too.
    pub fn arm(spec: &str) {
        let (place, pause) = match spec.split_once("!pause=") {
            Some((place, file)) => (place, Some(file.to_owned())),
            None => (spec, None),
        };
        let (name, nth) = match place.rsplit_once('#') {
            Some((name, n)) => (name, n.parse().unwrap_or(1)),
            None => (place, 1),
        };
        let name = name.to_owned();
        ARMED.get_or_init(|| Armed { name, nth, pause });
    }

    /// Dies or waits here if this is the armed place.
    pub fn hit(place: &str) {
        let Some(Armed { name, nth, pause }) = ARMED.get() else {
            return;
        };
        let matches = match name.strip_suffix('*') {
            Some(prefix) => place.starts_with(prefix),
            None => place == name,
        };
        if !matches || SEEN.fetch_add(1, Ordering::SeqCst) + 1 != *nth {
            return;
        }
        if let Some(file) = pause {
            wait(file);
        } else {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL)
                .expect("a process may always kill itself");
        }
    }

    fn wait(file: &str) {
        rustix::fs::open(file, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR)
            .expect("the test has named a file that can be made");
        while rustix::fs::accessat(
            CWD,
            format!("{file}.go"),
            Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        )
        .is_err()
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, hit};

/// Does nothing in this build.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_name: &str) {}
