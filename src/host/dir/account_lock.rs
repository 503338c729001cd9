//! The lock protocol of shadow-utils, as observed by strace (FACTS 5): a POSIX lock on
//! `/etc/.pwd.lock`, then `link()` of a file with our pid to `passwd.lock`, `group.lock`,
//! `gshadow.lock` and `shadow.lock`.

use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, ResolveFlags, fcntl_lock, linkat, openat2, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

use super::DirHost;
use crate::error::{Error, Kind, Result};
use crate::host::{Host as _, ReadHost};
use crate::raw::HostPath;

/// As long as useradd waits.
const PATIENCE: Duration = Duration::from_secs(15);
const FILES: [&str; 4] = ["passwd", "group", "gshadow", "shadow"];

/// The account files are ours until this is dropped.
#[derive(Debug)]
pub(super) struct AccountLock {
    etc: OwnedFd,
    /// Held for its POSIX lock; the kernel lets go when we die.
    _pwd_lock: OwnedFd,
    links: Vec<String>,
}

impl AccountLock {
    pub(super) fn take(host: &DirHost) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let etc_path = HostPath::from("/etc");
        let etc = host.open_tree(&etc_path)?.ok_or_else(|| {
            Error::new(Kind::Host, format!("there is no /etc on {}", host.label()))
        })?;
        let fail = |errno: Errno| host.fail("lock", &etc_path.join(".pwd.lock"), errno);
        let pwd_lock = openat2(
            &etc,
            ".pwd.lock",
            OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::RUSR | Mode::WUSR,
            ResolveFlags::BENEATH,
        )
        .map_err(fail)?;
        loop {
            match fcntl_lock(&pwd_lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::ACCESS | Errno::AGAIN) if Instant::now() < deadline => pause(),
                Err(Errno::ACCESS | Errno::AGAIN) => return Err(busy(host, ".pwd.lock")),
                Err(errno) => return Err(fail(errno)),
            }
        }
        let mut lock = Self {
            etc,
            _pwd_lock: pwd_lock,
            links: Vec::new(),
        };
        for file in FILES {
            lock.link(host, file, deadline)?;
        }
        Ok(lock)
    }

    fn link(&mut self, host: &DirHost, file: &str, deadline: Instant) -> Result<()> {
        let own = own_name(file);
        let link = format!("{file}.lock");
        let path = HostPath::from("/etc").join(&link);
        let fail = |errno: Errno| host.fail("make the lock file", &path, errno);
        let made = openat2(
            &self.etc,
            &own,
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
            ResolveFlags::BENEATH,
        )
        .map_err(fail)?;
        let outcome = write!(std::fs::File::from(made), "{}\0", getpid().as_raw_nonzero())
            .map_err(|error| crate::host::failed(&host.label(), "write", &path, error))
            .and_then(|()| self.link_until(host, &own, &link, deadline));
        // This name is only a means, whether or not it became the lock.
        unlinkat(&self.etc, &own, AtFlags::empty()).map_err(fail)?;
        outcome?;
        self.links.push(link);
        Ok(())
    }

    fn link_until(&self, host: &DirHost, own: &str, link: &str, deadline: Instant) -> Result<()> {
        let path = HostPath::from("/etc").join(link);
        loop {
            match linkat(&self.etc, own, &self.etc, link, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(host.fail("make the lock file", &path, errno)),
            }
            if holder_is_dead(host, &path)? {
                match unlinkat(&self.etc, link, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(host.fail("remove the stale lock", &path, errno)),
                }
            }
            if Instant::now() >= deadline {
                return Err(busy(host, link));
            }
            pause();
        }
    }
}

/// The name of the file that is linked to become a lock. shadow-utils has the pid in it; ours is
/// fixed, so that what a killed run leaves is found again. Only one run is at work on a target.
fn own_name(file: &str) -> String {
    format!(".{file}.reconcile-lock")
}

/// Removes what a killed run left of its locks. A lock whose holder lives is left alone.
pub(super) fn clear(host: &DirHost) -> Result<()> {
    let etc = HostPath::from("/etc");
    for file in FILES {
        host.remove_file(&etc.join(own_name(file)))?;
        let lock = etc.join(format!("{file}.lock"));
        if host.lstat(&lock)?.is_some() && holder_is_dead(host, &lock)? {
            host.remove_file(&lock)?;
        }
    }
    Ok(())
}

impl Drop for AccountLock {
    fn drop(&mut self) {
        for link in &self.links {
            // Nothing can be done about a failure here, and a stale lock is harmless: our pid dies.
            unlinkat(self.etc.as_fd(), link, AtFlags::empty()).ok();
        }
    }
}

/// A lock whose pid is gone, or which holds no pid, is stale, as shadow-utils has it.
fn holder_is_dead(host: &DirHost, path: &HostPath) -> Result<bool> {
    let Some(content) = host.read(path)? else {
        return Ok(true);
    };
    let pid = std::str::from_utf8(&content)
        .ok()
        .and_then(|text| text.trim_end_matches(['\0', '\n']).parse::<i32>().ok())
        .and_then(Pid::from_raw);
    Ok(pid.is_none_or(|pid| pid == getpid() || test_kill_process(pid) == Err(Errno::SRCH)))
}

fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

fn busy(host: &DirHost, lock: &str) -> Error {
    Error::new(
        Kind::Locked,
        format!("/etc/{lock} on {} is held by another program", host.label()),
    )
    .hint("wait until useradd, passwd or vipw has ended there, and run again")
}
