//! A host as a directory on this machine: a mounted disk, a restored backup, a container's tree.
//!
//! Everything is resolved by the kernel beneath the root (`openat2` with `RESOLVE_IN_ROOT`): a
//! symbolic link inside, relative or absolute, can never lead a read or a write outside. Remote
//! hosts will be served by this same code at their far end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, flock, fstat, fstatfs,
    fsync, mkdirat, openat2, readlinkat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::switch::{Advance, Arming, Settlement};
use super::tree::{answering, trees_of};
use super::{
    Answer, Answers, CONTROL_FILE_LIMIT, Command, CopiedTrees, FileKind, Guard, Hearing, Host,
    HostState, MAX_LINKS, NewFile, Probe, ReadHost, Relay, Space, Stat, TreeJob, Watch, Writer,
    failed,
};
use crate::error::{Doing as _, Error, Kind, Result};
use crate::exposure::smtp::{Accepted, Letter, Recipients, Refusal};
use crate::exposure::{self, Exposure};
use crate::manifest::MigrationName;
use crate::names::{Gid, Side, Uid, UserName};
use crate::raw::{HostPath, Raw};
use crate::receipt::Receipt;
use crate::replicate::{self, Depth, Held, OriginTree, Origins, Outflow, Pace, Report};

mod account_lock;
mod program;
mod queue;
mod replace;
pub(super) mod run;
mod still;
mod switch;
mod tracking;
mod tree;

use account_lock::AccountLock;
use replace::{append_at, open_named, replace_at, temporary_name};
pub(super) use run::file_system;

/// A path that other programs' renames never let us resolve in so many tries is under attack.
const MOST_TRIES: u32 = 1000;

/// A host given as `dir:PATH`, or the running system that this process is on.
#[derive(Debug)]
pub struct DirHost {
    side: Side,
    root: OwnedFd,
    /// Where the root is on this machine; for `chroot` only.
    path: PathBuf,
    state: HostState,
    /// How messages name the host.
    label: String,
    outflow: Arc<Outflow>,
    tracked: Arc<tracking::Tracked>,
}

impl DirHost {
    /// Opens the root. `path` is a path of this machine.
    pub fn open(side: Side, path: &Path) -> Result<Self> {
        let here = || format!("cannot open the {side} root {}", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            Error::caused(Kind::Host, here(), io::Error::from(errno)).hint(format!(
                "check that {} is mounted, and the path after `dir:` in the manifest",
                path.display()
            ))
        })?;
        Ok(Self {
            side,
            root,
            path: path.to_owned(),
            state: HostState::Offline,
            label: format!("{side} (dir:{})", path.display()),
            outflow: Arc::default(),
            tracked: Arc::default(),
        })
    }

    /// The running system that this process is on. `label` names it to the operator, who may be
    /// elsewhere.
    pub fn live(side: Side, label: String) -> Result<Self> {
        let offline = Self::open(side, Path::new("/"))?;
        Ok(Self {
            state: HostState::Live,
            label,
            outflow: Arc::new(Outflow::of_live_host()),
            ..offline
        })
    }

    /// The same host, for another thread.
    fn again(&self) -> Result<Self> {
        let root = self.root.try_clone();
        let root = root.doing(Kind::Host, || format!("cannot hold {} open", self.label))?;
        Ok(Self {
            root,
            side: self.side,
            path: self.path.clone(),
            state: self.state,
            label: self.label.clone(),
            outflow: Arc::clone(&self.outflow),
            tracked: Arc::clone(&self.tracked),
        })
    }

    /// Keeps a copy of the running program for the runs of a migration to come, or keeps none
    /// ([`crate::receipt::Receipt::program`]).
    pub(crate) fn keep_program(&self, name: &MigrationName, keep: bool) -> Result<()> {
        program::keep(self, name, keep)
    }

    /// Removes the directory of a migration's records if nothing is left there, and the one above
    /// likewise.
    fn remove_records(&self, name: &MigrationName) -> Result<()> {
        let directory = Receipt::directory(name);
        for path in [&directory, &directory.parent()] {
            let Some((parent, file)) = self.locate_no_follow(path)? else {
                continue;
            };
            match unlinkat(&parent, &file, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                // A mount point is somebody's.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => return Ok(()),
                Err(errno) => return Err(self.fail("remove", path, errno)),
            }
        }
        Ok(())
    }

    /// What leaves this host.
    pub(crate) fn outflow(&self) -> Arc<Outflow> {
        Arc::clone(&self.outflow)
    }

    /// Watches the dead man's switch of a migration until it is settled or everything is taken back,
    /// and leaves nothing of itself. For the process that [`Host::arm`] starts.
    ///
    /// # Errors
    ///
    /// [`Kind::Interrupted`] when `stop` is set; [`Kind::Host`] if it cannot watch.
    pub fn watch_switch(&self, name: &MigrationName, stop: &AtomicBool) -> Result<()> {
        switch::watch(self, name, stop)
    }

    fn open_in(&self, path: &HostPath, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
        // openat2, unlike open, refuses O_PATH together with flags that mean nothing to it.
        if flags.contains(OFlags::PATH) {
            return self.open_exactly(path, flags);
        }
        // Looking leaves no trace, access times included, where we may ask for that.
        match self.open_exactly(path, flags | OFlags::NOCTTY | OFlags::NOATIME) {
            Err(Errno::PERM) => self.open_exactly(path, flags | OFlags::NOCTTY),
            opened => opened,
        }
    }

    fn open_exactly(&self, path: &HostPath, flags: OFlags) -> Result<Option<OwnedFd>, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = || openat2(&self.root, path.relative(), flags, Mode::empty(), resolve);
        // openat2(2): EAGAIN when a rename anywhere on the machine met a `..` on the way.
        let opened = (1..MOST_TRIES)
            .map(|_| open())
            .find(|result| !matches!(result, Err(Errno::AGAIN)));
        let opened = match opened.unwrap_or_else(open) {
            // Kernels before 5.6. The root of a live host is everybody's root.
            Err(Errno::NOSYS) if self.state == HostState::Live => {
                rustix::fs::open(path.as_path(), flags, Mode::empty())
            }
            opened => opened,
        };
        absent_is_none(opened)
    }

    fn fail(&self, doing: &str, path: &HostPath, errno: Errno) -> Error {
        failed(&self.label(), doing, path, errno)
    }

    /// The directory that holds the last component, and that component, links at its end followed.
    fn locate(&self, path: &HostPath) -> Result<Option<(OwnedFd, OsString)>> {
        let mut path = path.clone();
        for _ in 0..MAX_LINKS {
            let Some((dir, name)) = self.locate_no_follow(&path)? else {
                return Ok(None);
            };
            match readlinkat(&dir, &name, Vec::new()) {
                Ok(link) => {
                    let link = link.into_bytes();
                    path = match link.first() {
                        Some(b'/') => HostPath::from(&link[..]),
                        _ => path.parent().join(link),
                    };
                }
                Err(Errno::INVAL | Errno::NOENT) => return Ok(Some((dir, name))),
                Err(errno) => return Err(self.fail("look at", &path, errno)),
            }
        }
        Err(self.fail("follow the links of", &path, Errno::LOOP))
    }

    fn locate_no_follow(&self, path: &HostPath) -> Result<Option<(OwnedFd, OsString)>> {
        let name = path.file_name();
        if name.is_empty() || name == b".." {
            return Err(self.fail("change", path, Errno::ISDIR));
        }
        let dir = self
            .open_in(&path.parent(), OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| self.fail("open the directory of", path, errno))?;
        Ok(dir.map(|dir| (dir, OsString::from_vec(name.to_vec()))))
    }

    /// Refuses to reach for an address where nothing runs: it would be from another machine.
    fn must_reach(&self) -> Result<()> {
        match self.state {
            HostState::Live => Ok(()),
            HostState::Offline => Err(super::reaches_nobody(&self.label)),
        }
    }

    fn must_locate(&self, path: &HostPath) -> Result<(OwnedFd, OsString)> {
        self.locate(path)?
            .ok_or_else(|| self.fail("open the directory of", path, Errno::NOENT))
    }

    /// The nearest existing directory at or above `path`.
    fn open_nearest(&self, path: &HostPath) -> Result<OwnedFd> {
        let mut path = path.clone();
        loop {
            let fd = self
                .open_in(&path, OFlags::PATH)
                .map_err(|errno| self.fail("look at", &path, errno))?;
            match fd {
                Some(fd) => return Ok(fd),
                None if path.is_root() => return Err(self.fail("open", &path, Errno::NOENT)),
                None => path = path.parent(),
            }
        }
    }
}

fn absent_is_none<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn stat_from(stat: &rustix::fs::Stat) -> Stat {
    use rustix::fs::FileType;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Special,
    };
    Stat {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: Uid(stat.st_uid),
        gid: Gid(stat.st_gid),
        size: u64::try_from(stat.st_size).expect("the kernel reports no negative sizes"),
        dev: stat.st_dev,
        ino: stat.st_ino,
    }
}

impl ReadHost for DirHost {
    fn side(&self) -> Side {
        self.side
    }

    fn label(&self) -> String {
        self.label.clone()
    }

    fn state(&self) -> HostState {
        self.state
    }

    fn lstat(&self, path: &HostPath) -> Result<Option<Stat>> {
        let fd = self
            .open_in(path, OFlags::PATH | OFlags::NOFOLLOW)
            .map_err(|errno| self.fail("look at", path, errno))?;
        fd.map(|fd| fstat(&fd).map(|s| stat_from(&s)))
            .transpose()
            .map_err(|errno| self.fail("look at", path, errno))
    }

    fn stat(&self, path: &HostPath) -> Result<Option<Stat>> {
        let fd = self
            .open_in(path, OFlags::PATH)
            .map_err(|errno| self.fail("look at", path, errno))?;
        fd.map(|fd| fstat(&fd).map(|s| stat_from(&s)))
            .transpose()
            .map_err(|errno| self.fail("look at", path, errno))
    }

    fn read_link(&self, path: &HostPath) -> Result<Option<Raw>> {
        let fd = self
            .open_in(path, OFlags::PATH | OFlags::NOFOLLOW)
            .map_err(|errno| self.fail("look at", path, errno))?;
        let Some(fd) = fd else { return Ok(None) };
        match readlinkat(&fd, "", Vec::new()) {
            Ok(link) => Ok(Some(Raw::from(link.into_bytes()))),
            // What an O_PATH descriptor of something else than a link gives.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.fail("read the link", path, errno)),
        }
    }

    fn list(&self, dir: &HostPath) -> Result<Option<Vec<Raw>>> {
        let fail = |errno| self.fail("list", dir, errno);
        let Some(fd) = self
            .open_in(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)
            .map_err(fail)?
        else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(Raw::from(name));
            }
        }
        names.sort();
        Ok(Some(names))
    }

    fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>> {
        // O_NONBLOCK: a fifo in the place of a file must not hang us.
        let Some(fd) = self
            .open_in(path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map_err(|errno| self.fail("read", path, errno))?
        else {
            return Ok(None);
        };
        let stat = fstat(&fd)
            .map(|s| stat_from(&s))
            .map_err(|e| self.fail("read", path, e))?;
        if stat.kind != FileKind::File {
            let label = self.label();
            return Err(Error::new(
                Kind::Host,
                format!("{path} on {label} is no regular file"),
            ));
        }
        let mut content = Vec::new();
        std::fs::File::from(fd)
            .take(CONTROL_FILE_LIMIT + 1)
            .read_to_end(&mut content)
            .map_err(|error| failed(&self.label(), "read", path, error))?;
        if content.len() as u64 > CONTROL_FILE_LIMIT {
            let label = self.label();
            return Err(Error::new(
                Kind::Malformed,
                format!(
                    "{path} on {label} is larger than any such file ({CONTROL_FILE_LIMIT} bytes)"
                ),
            ));
        }
        Ok(Some(content))
    }

    fn space(&self, path: &HostPath) -> Result<Space> {
        let fd = self.open_nearest(path)?;
        let fail = |errno| self.fail("measure the space at", path, errno);
        let fs = fstatfs(&fd).map_err(fail)?;
        let dev = fstat(&fd).map_err(fail)?.st_dev;
        let block = u64::try_from(fs.f_bsize).expect("the kernel reports no negative block size");
        Ok(Space {
            bytes: fs.f_bfree.saturating_mul(block),
            inodes: (fs.f_files > 0).then_some(fs.f_ffree),
            dev,
            kind: run::file_system(fs.f_type).to_owned(),
        })
    }

    fn ask(&self, probe: &Probe) -> Result<Option<Box<dyn Hearing>>> {
        let argv = probe.argv();
        let order = run::Order {
            argv: &argv,
            input: probe.input(),
            patience: probe.patience(),
        };
        let program = HostPath::from(argv[0].as_str());
        match (self.stat(&program)?, self.state) {
            (Some(stat), _) if stat.kind != FileKind::File || stat.mode & 0o001 == 0 => Ok(None),
            (None, _) => Ok(None),
            (Some(_), HostState::Offline) => run::as_nobody_in(&self.path, &order),
            (Some(_), HostState::Live) => run::as_root(&order),
        }
    }

    fn origins(&self, trees: Vec<OriginTree>) -> Result<Origins<'_>> {
        Ok(Origins::here(move |number| self.here(&trees[number])))
    }

    fn relay(&self, trees: Vec<OriginTree>, answers: Answers) -> Result<Box<dyn Relay>> {
        let session = self.lasting_session(trees)?;
        Ok(answering(session, answers))
    }

    fn set_pace(&self, pace: Pace) -> Result<()> {
        self.outflow.set_pace(pace);
        Ok(())
    }

    fn held(&self) -> Held {
        self.outflow.held()
    }

    fn compare(
        &self,
        jobs: &[TreeJob],
        depth: Depth,
        source: &dyn ReadHost,
        watch: &mut Watch<'_>,
    ) -> Vec<Result<Report>> {
        let mut reports = Vec::new();
        match source.origins(trees_of(jobs)) {
            Ok(mut source) => {
                self.compare_with(jobs, depth, &mut source, watch, |ended| reports.push(ended));
            }
            Err(error) => reports.resize_with(jobs.len(), || Err(error.clone())),
        }
        reports
    }

    fn clock(&self) -> Result<Timestamp> {
        still::clock(self)
    }

    fn changed_since(
        &self,
        trees: &[OriginTree],
        since: Timestamp,
        most: usize,
    ) -> Result<Vec<HostPath>> {
        still::changed_since(self, trees, since, most)
    }

    fn track(&self, trees: &[HostPath]) -> Result<Option<String>> {
        tracking::track(self, trees)
    }

    fn address_towards(&self, to: IpAddr) -> Result<Option<IpAddr>> {
        super::address_towards(to)
    }

    fn is_program(&self, path: &HostPath) -> Result<Option<bool>> {
        program::is_copy(self, path)
    }

    fn writers(&self, paths: &[HostPath]) -> Result<Vec<Writer>> {
        still::writers(self, paths)
    }

    fn expose(&self, address: IpAddr, ports: &BTreeSet<u16>) -> Result<Exposure> {
        self.must_reach()?;
        Ok(exposure::look(address, ports, exposure::PATIENCE))
    }

    fn recipients(&self, query: &Recipients) -> Result<Vec<(UserName, Refusal)>> {
        self.must_reach()?;
        exposure::smtp::recipients(query)
    }

    fn send(&self, letter: &Letter) -> Result<Accepted> {
        self.must_reach()?;
        exposure::smtp::send(letter)
    }
}

impl Host for DirHost {
    fn replace(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()> {
        let (dir, name) = self.must_locate(path)?;
        let temp = temporary_name(&name);
        replace_at(dir.as_fd(), &name, &temp, content, new)
            .map_err(|error| failed(&self.label(), "write", path, error))
    }

    fn append(&self, path: &HostPath, content: &[u8], new: NewFile) -> Result<()> {
        let (dir, name) = self.must_locate(path)?;
        append_at(dir.as_fd(), &name, content, new)
            .map_err(|error| failed(&self.label(), "append to", path, error))
    }

    fn make_dirs(&self, dir: &HostPath, mode: u32) -> Result<()> {
        if dir.is_root() || self.stat(dir)?.is_some_and(|s| s.kind == FileKind::Dir) {
            return Ok(());
        }
        self.make_dirs(&dir.parent(), mode)?;
        let (parent, name) = self.must_locate(dir)?;
        let fail = |errno| self.fail("make the directory", dir, errno);
        match mkdirat(&parent, &name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = open_named(parent.as_fd(), &name, flags, Mode::empty()).map_err(fail)?;
                // The umask took bits away that the caller asked for.
                rustix::fs::fchmod(&made, Mode::from_raw_mode(mode)).map_err(fail)?;
                fsync(&parent).map_err(fail)
            }
            // Another action made it in this instant.
            Err(Errno::EXIST) if self.stat(dir)?.is_some_and(|s| s.kind == FileKind::Dir) => {
                fsync(&parent).map_err(fail)
            }
            Err(errno) => Err(fail(errno)),
        }
    }

    fn put_program(&self, path: &HostPath) -> Result<()> {
        if self.state == HostState::Offline {
            return Err(Error::new(
                Kind::Internal,
                format!("nothing runs on {}", self.label),
            ));
        }
        program::put(self, path)
    }

    fn rename_new(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        let fail = |errno| self.fail(&format!("rename {from} to"), to, errno);
        let (old_dir, old) = self
            .locate_no_follow(from)?
            .ok_or_else(|| fail(Errno::NOENT))?;
        let (new_dir, new) = self
            .locate_no_follow(to)?
            .ok_or_else(|| fail(Errno::NOENT))?;
        renameat_with(&old_dir, &old, &new_dir, &new, RenameFlags::NOREPLACE).map_err(fail)?;
        fsync(&new_dir).and_then(|()| fsync(&old_dir)).map_err(fail)
    }

    fn remove_file(&self, path: &HostPath) -> Result<()> {
        let Some((dir, name)) = self.locate_no_follow(path)? else {
            return Ok(());
        };
        match unlinkat(&dir, &name, AtFlags::empty()) {
            Ok(()) => fsync(&dir).map_err(|errno| self.fail("remove", path, errno)),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.fail("remove", path, errno)),
        }
    }

    fn copy(&self, jobs: &[TreeJob], source: &dyn ReadHost, watch: &mut Watch<'_>) -> CopiedTrees {
        let (mut reports, mut indexes) = (Vec::new(), Vec::new());
        match source.origins(trees_of(jobs)) {
            Ok(mut source) => self.copy_from(jobs, &mut source, watch, |ended| {
                reports.push(ended.map(|copied| {
                    indexes.extend(copied.index);
                    copied.report
                }));
            }),
            Err(error) => reports.resize_with(jobs.len(), || Err(error.clone())),
        }
        let indexes = Box::new(indexes);
        CopiedTrees { reports, indexes }
    }

    fn sync(&self, paths: &BTreeSet<HostPath>) -> Result<()> {
        let mut done = BTreeSet::new();
        for path in paths {
            let fail = |errno| self.fail("flush the file system of", path, errno);
            // The tree may be a file system of its own.
            let dir = match self.open_tree(path)? {
                Some(dir) => dir,
                None => self.standing(path)?.0,
            };
            if done.insert(fstat(&dir).map_err(fail)?.st_dev) {
                replicate::sync(dir.as_fd())?;
            }
        }
        Ok(())
    }

    fn try_lock(&self) -> Result<Option<Guard>> {
        let root = HostPath::from("/");
        let fail = |errno| self.fail("lock", &root, errno);
        // A descriptor of its own: flock belongs to the open file, and closing it lets go.
        let fd = self
            .open_in(&root, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(fail)?;
        let fd = fd.ok_or_else(|| fail(Errno::NOENT))?;
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(fd))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(fail(errno)),
        }
    }

    fn run(&self, command: &Command) -> Result<Answer> {
        let argv = command.argv();
        let what = || format!("cannot run {} on {}", argv.join(" "), self.label);
        if self.state == HostState::Offline {
            return Err(Error::new(Kind::Internal, what()));
        }
        let order = run::Order {
            argv: &argv,
            input: &[],
            patience: command.patience(),
        };
        run::to_its_end(&order, &what())
    }

    fn lock_accounts(&self) -> Result<Guard> {
        Ok(Box::new(AccountLock::take(self)?))
    }

    fn clear_account_locks(&self) -> Result<()> {
        account_lock::clear(self)
    }

    fn arm(&self, arming: &Arming) -> Result<()> {
        switch::arm(self, arming)
    }

    fn advance(&self, advance: &Advance) -> Result<()> {
        switch::advance(self, advance)
    }

    fn trip(&self, name: &MigrationName) -> Result<()> {
        switch::trip(self, name)
    }

    fn settle(&self, settlement: &Settlement) -> Result<()> {
        switch::settle(self, settlement)
    }
}

#[cfg(test)]
mod tests;
