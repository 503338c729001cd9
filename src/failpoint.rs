//! Named crash points, for the tests that kill a run at each of them.
//!
//! Only with the feature `failpoints` does [`hit`] do anything: it ends the process by SIGKILL, as a
//! power cut would, at the n-th time the armed name comes by. A release build has no trace of it.

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<(String, u64)> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);

    /// Arms `NAME` or `NAME#N` (the N-th time, from 1). A name ending in `*` matches by prefix.
    pub fn arm(spec: &str) {
        let (name, nth) = match spec.rsplit_once('#') {
            Some((name, n)) => (name, n.parse().unwrap_or(1)),
            None => (spec, 1),
        };
        ARMED.get_or_init(|| (name.to_owned(), nth));
    }

    /// Dies here if this is the armed place.
    pub fn hit(name: &str) {
        let Some((armed, nth)) = ARMED.get() else {
            return;
        };
        let matches = match armed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == armed,
        };
        if matches && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL)
                .expect("a process may always kill itself");
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, hit};

/// Does nothing in this build.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_name: &str) {}
