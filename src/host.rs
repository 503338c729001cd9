//! The two hosts as files and fixed read-only questions; the only place that does control-plane IO.
//!
//! A host speaks of files, not of mail: what a file means is the business of [`crate::resource`].
//! Mail trees do not pass through here name by name: a whole tree is handed to [`crate::replicate`],
//! the data plane, at the end where it is ([`tree`]).

pub mod command;
pub mod commands;
pub mod dir;
pub(crate) mod link;
pub mod network;
pub mod probe;
pub mod queue;
pub mod reach;
pub mod remote;
pub mod ssh;
pub mod step;
pub mod switch;
pub mod tree;
pub mod writers;

use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::exposure::Exposure;
use crate::exposure::smtp::{Accepted, Letter, Recipients, Refusal};
use crate::manifest::MigrationName;
use crate::names::{Gid, Side, Uid, UserName};
use crate::parallel;
use crate::raw::{HostPath, Raw};
use crate::replicate::{Depth, Held, OriginTree, Origins, Pace, Report};

pub use command::Command;
pub use commands::CommandHost;
pub use dir::DirHost;
pub use probe::{Answer, Ended, Hearing, Probe};
pub use reach::{
    Operator, SourceHost, reach_backup, reach_source, reach_target, reach_vantage, refuse_one_host,
};
pub use remote::{Bearer, OnLoss, RemoteHost};
pub use step::Step;
pub use switch::Switch;
use switch::{Advance, Arming, Settlement};
pub use tree::{Answers, CopiedTrees, IndexFile, Pending, Relay, TreeJob, Watch};
pub use writers::Writer;

/// What kind of thing a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A fifo, socket or device node.
    Special,
}

/// What `lstat` tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stat {
    /// The kind.
    pub kind: FileKind,
    /// Permission bits, setuid, setgid and sticky included (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Bytes.
    pub size: u64,
    /// The file system's device number: equal means the same file system.
    pub dev: u64,
    /// The inode number within `dev`.
    pub ino: u64,
}

/// Room on the file system that holds a path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that root can still write.
    pub bytes: u64,
    /// Inodes that root can still make; `None` where the file system does not count them.
    pub inodes: Option<u64>,
    /// The file system's device number.
    pub dev: u64,
    /// Name of the file system's kind (`ext4`, `nfs`, `autofs`, `tmpfs`, ...).
    pub kind: String,
}

/// Something held on a host until this is dropped.
pub type Guard = Box<dyn Any + Send + Sync>;

/// Owner and mode for a file that is made new. An existing file keeps its own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NewFile {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

impl NewFile {
    /// root:root with the given permission bits.
    pub const fn root(mode: u32) -> Self {
        Self {
            mode,
            uid: Uid(0),
            gid: Gid(0),
        }
    }
}

/// Whether a host runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// A directory tree: nothing runs there, and nobody writes but us.
    #[default]
    Offline,
    /// A running system, with services and users at work.
    Live,
}

/// A question about a path that [`ReadHost`] can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// [`ReadHost::stat`]
    Stat,
    /// [`ReadHost::read_link`]
    ReadLink,
    /// [`ReadHost::list`]
    List,
    /// [`ReadHost::read`]
    Read,
}

/// A host that can be looked at. Nothing behind this trait changes anything on the host.
///
/// Paths are resolved as a process on that host would: symbolic links are followed, absolute ones
/// from the host's own root, and none leads outside it. "Absent" is an answer, not an error.
pub trait ReadHost: Send + Sync {
    /// Which side of the migration this is.
    fn side(&self) -> Side;
    /// How to name the host to a person: `target (dir:/mnt/new)`.
    fn label(&self) -> String;
    /// Whether it runs.
    fn state(&self) -> HostState;
    /// What of the host cannot be seen or kept by the way that it is reached, for people.
    fn limits(&self) -> Vec<String> {
        Vec::new()
    }
    /// Looks at a path; its last component is not followed.
    fn lstat(&self, path: &HostPath) -> Result<Option<Stat>>;
    /// Looks at what a path leads to; every link is followed.
    fn stat(&self, path: &HostPath) -> Result<Option<Stat>>;
    /// [`ReadHost::lstat`] of many paths in one question: one answer for each, in their order.
    fn lstats(&self, paths: &[HostPath]) -> Vec<Result<Option<Stat>>> {
        parallel::ask(paths, |path| self.lstat(path))
    }
    /// [`ReadHost::stat`] likewise.
    fn stats(&self, paths: &[HostPath]) -> Vec<Result<Option<Stat>>> {
        parallel::ask(paths, |path| self.stat(path))
    }
    /// [`real_path`] likewise.
    fn real_paths(&self, paths: &[HostPath]) -> Vec<Result<HostPath>> {
        parallel::ask(paths, |path| real_path(self, path))
    }
    /// The target of a symbolic link; `None` if the path is absent or is no link.
    fn read_link(&self, path: &HostPath) -> Result<Option<Raw>>;
    /// The names in a directory, sorted bytewise; `None` if it is absent.
    fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>>;
    /// The whole of a regular file of at most [`CONTROL_FILE_LIMIT`] bytes; `None` if absent.
    fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>>;
    /// Until what this gives is dropped, questions about paths may be answered as things were when this was
    /// called. A distant host is asked all at once, what is `usual` and what was asked before, instead of
    /// one after the other.
    fn remember(&self, _usual: &[(Lookup, HostPath)]) -> Result<Guard> {
        Ok(Box::new(()))
    }
    /// Room on the file system that holds `path` (or, if absent, its nearest existing parent).
    fn space(&self, path: &HostPath) -> Result<Space>;
    /// Asks a fixed read-only question of the host's own programs, to be heard as the answer comes;
    /// `None` where they cannot run.
    fn ask(&self, probe: &Probe) -> Result<Option<Box<dyn Hearing>>>;
    /// The same with the whole answer at once; `None` also where the program hangs.
    fn probe(&self, probe: &Probe) -> Result<Option<Answer>> {
        match self.ask(probe)? {
            Some(hearing) => probe::whole(hearing, probe),
            None => Ok(None),
        }
    }
    /// Trees of this host as the sources of replications, one after the other.
    fn origins(&self, trees: Vec<OriginTree>) -> Result<Origins<'_>>;
    /// The same for an engine elsewhere: questions go in, `answers` gets the answers in their order.
    fn relay(&self, trees: Vec<OriginTree>, answers: Answers) -> Result<Box<dyn Relay>>;
    /// How long a question to this host takes to be answered, besides the work that it makes.
    fn round_trip(&self) -> Duration {
        Duration::ZERO
    }
    /// This host as one that an agent serves, if it is one.
    fn remote(&self) -> Option<&RemoteHost> {
        None
    }
    /// How the trees of this host are read from now on.
    fn set_pace(&self, pace: Pace) -> Result<()>;
    /// What held the reading of trees of this host so far, as far as it has been told.
    fn held(&self) -> Held;
    /// Compares trees of this host, as the target, with trees of `source`, one after the other: one result
    /// for each, in their order. Owners translate in all of them alike. What goes wrong with one does not
    /// end the others. Changes nothing.
    fn compare(
        &self,
        jobs: &[TreeJob],
        depth: Depth,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
    ) -> Vec<Result<Report>>;
    /// The clock that this host's file systems stamp changes with.
    fn clock(&self) -> Result<Timestamp> {
        Err(no_program(&self.label()))
    }
    /// Entries of trees whose status changed (`ctime`, which nobody can set) later than `since`; at
    /// most `most` of them, in no order. A tree that is not there has none.
    fn changed_since(
        &self,
        _trees: &[OriginTree],
        _since: Timestamp,
        _most: usize,
    ) -> Result<Vec<HostPath>> {
        Err(no_program(&self.label()))
    }
    /// Begins to note what changes in these trees, or goes on with it, so that looks at them can pass over
    /// what has not ([`OriginTree::tracking`]). Tells why that is not so for all of them, or why nothing is
    /// known of the time before.
    fn track(&self, _trees: &[HostPath]) -> Result<Option<String>> {
        Ok(Some(format!("reconcile does not run on {}", self.label())))
    }
    /// The address that this host would reach another one from; `None` if it has no way there. Nothing is
    /// sent.
    fn address_towards(&self, _to: IpAddr) -> Result<Option<IpAddr>> {
        Err(no_program(&self.label()))
    }
    /// The addresses by which this machine reaches it, as far as they are known: one behind a translating
    /// router has none of them itself.
    fn reached_at(&self) -> Vec<IpAddr> {
        Vec::new()
    }
    /// Whether a file is a copy of this very program; `None` if it is absent.
    fn is_program(&self, _path: &HostPath) -> Result<Option<bool>> {
        Err(no_program(&self.label()))
    }
    /// Processes of a live host that have a file at or beneath one of these paths open for writing.
    fn writers(&self, _paths: &[HostPath]) -> Result<Vec<Writer>> {
        Err(no_program(&self.label()))
    }
    /// Looks at the mail service on ports of an address from this host, as [`crate::exposure::look()`].
    fn expose(&self, _address: IpAddr, _ports: &BTreeSet<u16>) -> Result<Exposure> {
        Err(reaches_nobody(&self.label()))
    }
    /// Asks the mail service at an address for recipients, as
    /// [`crate::exposure::smtp::recipients`].
    fn recipients(&self, _query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
        Err(reaches_nobody(&self.label()))
    }
    /// Sends a message through an address, as [`crate::exposure::smtp::send`]. The one thing here
    /// that leaves something behind, with whoever serves at the address.
    fn send(&self, _letter: &Letter) -> Result<Accepted> {
        Err(reaches_nobody(&self.label()))
    }
}

/// A host that can be changed. Every change is atomic and durable when the call returns.
pub trait Host: ReadHost {
    /// Puts `content` in the place of `path`: temporary file beside it, fsync, rename, fsync of the
    /// directory. An existing file's owner, mode and extended attributes are kept.
    fn replace(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()>;
    /// Adds `content` at the end of `path`, made if absent, and syncs it.
    fn append(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()>;
    /// Makes a directory and its missing parents with this mode, owned by root.
    fn make_dirs(&self, dir: &HostPath, mode: u32) -> Result<()>;
    /// Puts a copy of this very program in the place of `path`, for root alone. Only on a live host.
    fn put_program(&self, path: &HostPath) -> Result<()>;
    /// Renames without following a link at the end of either path; refuses to replace anything.
    fn rename_new(&self, from: &HostPath, to: &HostPath) -> Result<()>;
    /// Removes a file or link; absent is fine.
    fn remove_file(&self, path: &HostPath) -> Result<()>;
    /// Makes trees of this host equal to trees of `source`, likewise. Durable only after [`Host::sync`].
    fn copy(&self, jobs: &[TreeJob], source: &dyn ReadHost, watch: &mut Watch<'_>) -> CopiedTrees;
    /// Makes the file systems that hold these paths durable.
    fn sync(&self, paths: &BTreeSet<HostPath>) -> Result<()>;
    /// Takes the lock that keeps a second run away from this host, without waiting; `None` when
    /// another process has it. The kernel lets it go when the holder dies.
    fn try_lock(&self) -> Result<Option<Guard>>;
    /// Runs a command that changes the host, and waits for its end. Only on a live host.
    fn run(&self, command: &Command) -> Result<Answer>;
    /// Locks the account files as shadow-utils does (`/etc/.pwd.lock`, then `passwd.lock` and its
    /// kin with our pid inside), waiting at most 15 seconds as shadow-utils does.
    fn lock_accounts(&self) -> Result<Guard>;
    /// Removes account locks that a killed run left: a pid that is used again after a reboot would
    /// make them look held, and keep useradd away for ever.
    fn clear_account_locks(&self) -> Result<()>;
    /// Arms this host's dead man's switch, or moves the deadline of an armed one of the same epoch.
    /// Refused if one of another epoch is armed, or the deadline has passed. Durable, and watched by a
    /// process of the host itself, when this returns.
    fn arm(&self, arming: &Arming) -> Result<()>;
    /// Does something in a hand-over, with how to take it back written down first. Refused, with
    /// nothing done, if the switch is not armed or its deadline has passed.
    fn advance(&self, advance: &Advance) -> Result<()>;
    /// Takes back all that was done under the switch, and disarms it. Nothing if it is not armed.
    /// [`Kind::Host`] if not everything could be taken back: then the switch stays, and the host goes
    /// on trying.
    fn trip(&self, name: &MigrationName) -> Result<()>;
    /// Records on this host that authority changed hands, does what follows, and disarms the switch.
    /// Done again it changes nothing.
    fn settle(&self, settlement: &Settlement) -> Result<()>;
}

/// The address that this machine would reach another one from, as the kernel's routes have it: connecting
/// a datagram socket sends nothing, udp(7).
pub fn address_towards(to: IpAddr) -> Result<Option<IpAddr>> {
    let any: SocketAddr = match to {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let what = || format!("cannot find the way to {to}");
    let socket = match UdpSocket::bind(any) {
        Ok(socket) => socket,
        // A machine without IPv6.
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::caused(Kind::Host, what(), error)),
    };
    match socket.connect((to, 25)) {
        Ok(()) => {
            let local = socket
                .local_addr()
                .map_err(|error| Error::caused(Kind::Host, what(), error))?;
            Ok(Some(local.ip()))
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::AddrNotAvailable
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::caused(Kind::Host, what(), error)),
    }
}

/// A question that only this program itself can answer, put to a host on which it does not run.
fn no_program(label: &str) -> Error {
    let what = format!("{label} is read by its own programs, which cannot tell what changes there");
    Error::new(Kind::Host, what).hint("let reconcile run there: plan says what is in its way")
}

/// A question about an address, put to a host that cannot ask it.
fn reaches_nobody(label: &str) -> Error {
    let what = format!("no mail service can be looked at from {label}");
    Error::new(Kind::Host, what).hint(
        "look from a host that runs, and on which reconcile can: plan says what is in its way",
    )
}

/// A path with its symbolic links resolved, as far as it exists; the rest is kept as it is written.
///
/// Two users whose homes are spelt differently may live in one directory; this tells.
pub fn real_path(host: &(impl ReadHost + ?Sized), path: &HostPath) -> Result<HostPath> {
    let mut rest: Vec<Vec<u8>> = components(path.as_bytes());
    let mut real = HostPath::from("/");
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            real = real.parent();
            continue;
        }
        let next = real.join(&name);
        match host.read_link(&next)? {
            Some(link) if links < MAX_LINKS => {
                links += 1;
                if link.as_bytes().first() == Some(&b'/') {
                    real = HostPath::from("/");
                }
                rest.extend(components(link.as_bytes()));
            }
            Some(_) => {
                return Err(failed(
                    &host.label(),
                    "resolve",
                    path,
                    rustix::io::Errno::LOOP,
                ));
            }
            None => real = next,
        }
    }
    Ok(real)
}

/// The components of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path
        .split(|&b| b == b'/')
        .filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// How many links of a path are followed before it counts as a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// Control files (configuration, account files, receipts) are read whole; none is near this size.
pub const CONTROL_FILE_LIMIT: u64 = 64 << 20;

/// A failure to `doing` the path on the host: `cannot read /etc/passwd on target (dir:/mnt/new)`.
pub(crate) fn failed(
    host: &str,
    doing: &str,
    path: &HostPath,
    source: impl Into<io::Error>,
) -> Error {
    let source = source.into();
    let hint = hint_for(&source);
    let error = Error::caused(
        Kind::Host,
        format!("cannot {doing} {path} on {host}"),
        source,
    );
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint_for(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some("run reconcile as root"),
        io::ErrorKind::StorageFull => Some("make room on that file system and run again"),
        io::ErrorKind::QuotaExceeded => Some("raise the quota and run again"),
        io::ErrorKind::ReadOnlyFilesystem => Some("remount it read-write and run again"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_host_path_and_cause_once_each() {
        let source = io::Error::from(rustix::io::Errno::NOSPC);
        let error = failed(
            "target (dir:/new)",
            "write",
            &HostPath::from("/etc/passwd"),
            source,
        );
        assert_eq!(
            crate::error::chain(&error),
            "cannot write /etc/passwd on target (dir:/new): No space left on device (os error 28)"
        );
        assert_eq!(
            error.remedy(),
            Some("make room on that file system and run again")
        );
    }
}
