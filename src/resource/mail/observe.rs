//! Looking at each user's trees on both hosts, several users at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Actual, Places, Problem, Strays, TreeState, UserMail, Volume, index_name, selection};
use crate::error::Result;
use crate::host::{FileKind, ReadHost, real_path};
use crate::manifest::{Homes, Manifest};
use crate::names::{Side, UserName};
use crate::plan::change::{Delta, Difference, Extraneous, IdMap, Rename, TreeKind, TreePaths};
use crate::raw::{HostPath, Raw};
use crate::receipt::Receipt;
use crate::replicate::{Depth, Filter, Job, Place, Progress, Report, compare};
use crate::resource::accounts::{Chosen, Clearance, Resolved};

/// How many differences of a tree a plan shows by name.
const SAMPLE: usize = 5;
/// How many strays of the spool directory are named.
const NAMED_STRAYS: usize = 5;
/// More threads than this do not make a disk faster.
const MOST_THREADS: usize = 8;

/// Somebody who sees every single difference, while the trees are walked.
pub type Listener<'a> = &'a (dyn Fn(&UserName, TreeKind, &[u8], Difference) -> Result<()> + Sync);

/// How to look at mail trees.
pub struct Look<'a> {
    depth: Depth,
    stop: &'a AtomicBool,
    listener: Option<Listener<'a>>,
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
        }
    }

    /// Trusts nothing and reads every file on both sides.
    pub fn every_byte(stop: &'a AtomicBool) -> Self {
        Self {
            depth: Depth::Content,
            stop,
            listener: None,
        }
    }

    /// Also tells every difference to `listener`.
    #[must_use]
    pub fn telling(self, listener: Listener<'a>) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }
}

/// The spool directory of a host, links resolved: the manifest's, else the one that exists.
pub fn spool_dir(manifest: &Manifest, host: &dyn ReadHost) -> Result<HostPath> {
    let given = match host.side() {
        Side::Source => &manifest.mail.spool.source,
        Side::Target => &manifest.mail.spool.target,
    };
    if let Some(given) = given {
        return real_path(host, given);
    }
    for usual in ["/var/mail", "/var/spool/mail"].map(HostPath::from) {
        if host
            .stat(&usual)?
            .is_some_and(|stat| stat.kind == FileKind::Dir)
        {
            return real_path(host, &usual);
        }
    }
    Ok(HostPath::from("/var/mail"))
}

/// Looks at the trees of every user whose ids on the target are known.
pub fn observe(
    manifest: &Manifest,
    source: &dyn ReadHost,
    target: &dyn ReadHost,
    resolved: &Resolved,
    receipt: Option<&Receipt>,
    look: &Look<'_>,
) -> Result<Actual> {
    let spool = [spool_dir(manifest, source)?, spool_dir(manifest, target)?];
    let index = match receipt {
        Some(receipt) => target.open_tree(&Receipt::directory(&receipt.name).join("index"))?,
        None => None,
    };
    let observer = Observer {
        manifest,
        source,
        target,
        receipt,
        look,
        index: index.as_ref(),
        ids: &resolved.ids,
        filter: Filter::new(&selection(manifest))?,
        spool_gone: source.list(&spool[0])?.is_none_or(|names| names.is_empty()),
        target_spool_exists: target.stat(&spool[1])?.is_some(),
    };
    let clear = resolved
        .users
        .iter()
        .filter(|(_, chosen)| chosen.blocked == Clearance::Clear);
    let mut users = BTreeMap::new();
    for (name, chosen) in clear {
        users.insert(name.clone(), observer.user(name, chosen, &spool)?);
    }
    shared_homes(&mut users);
    let volumes = observer.volumes(&mut users)?;
    observer.compare_all(&mut users)?;
    Ok(Actual {
        users,
        volumes,
        strays: strays(source, &spool[0], resolved)?,
    })
}

struct Observer<'a> {
    manifest: &'a Manifest,
    source: &'a dyn ReadHost,
    target: &'a dyn ReadHost,
    receipt: Option<&'a Receipt>,
    look: &'a Look<'a>,
    index: Option<&'a std::os::fd::OwnedFd>,
    ids: &'a IdMap,
    filter: Filter,
    /// The source's spool directory is missing or empty: perhaps its file system is not mounted.
    spool_gone: bool,
    target_spool_exists: bool,
}

impl Observer<'_> {
    /// The user's trees and what is wrong with them, before any of them is walked.
    fn user(&self, name: &UserName, chosen: &Chosen, spool: &[HostPath; 2]) -> Result<UserMail> {
        let mut problems = Vec::new();
        let mut trees = Vec::new();
        let home = &chosen.source_home;
        if home.as_bytes().starts_with(b"/") {
            let paths = TreePaths {
                kind: TreeKind::Home,
                source: real_path(self.source, home)?,
                target: real_path(self.target, &chosen.home)?,
            };
            problems.extend(self.home_problems(name, &paths)?);
            trees.push(paths);
        } else {
            problems.push(Problem::NoAbsoluteHome { home: home.clone() });
        }
        let file = name.as_bytes();
        let paths = TreePaths {
            kind: TreeKind::Spool,
            source: spool[0].join(file),
            target: spool[1].join(file),
        };
        problems.extend(self.spool_problems(name, &paths)?);
        trees.push(paths);
        let tree = |paths| TreeState {
            paths,
            size: crate::plan::change::Count::default(),
            delta: Delta::default(),
            in_the_way: None,
            oddities: crate::replicate::Oddities::default(),
            volume: 0,
        };
        Ok(UserMail {
            uid: chosen.source_uid,
            trees: trees.into_iter().map(tree).collect(),
            problems,
        })
    }

    fn home_problems(&self, name: &UserName, paths: &TreePaths) -> Result<Vec<Problem>> {
        let home = paths.source.clone();
        let mut problems = Vec::new();
        let whole = self.manifest.mail.homes == Homes::Whole;
        if home.is_root() || (whole && is_system_directory(&home)) {
            problems.push(Problem::SystemHome { home });
            return Ok(problems);
        }
        match self.source.stat(&home)? {
            Some(stat) if stat.kind != FileKind::Dir => {
                problems.push(Problem::HomeNoDirectory { home });
            }
            Some(_) => {
                let file_system = self.source.space(&home)?.kind;
                if matches!(file_system, "nfs" | "autofs" | "cifs") {
                    let file_system = file_system.to_owned();
                    problems.push(Problem::NetworkHome { home, file_system });
                }
            }
            None if self.was_copied(name, paths)? => {
                problems.push(Problem::GoneOnSource { path: home })
            }
            None => {}
        }
        Ok(problems)
    }

    fn spool_problems(&self, name: &UserName, paths: &TreePaths) -> Result<Vec<Problem>> {
        let on_source = self.source.lstat(&paths.source)?.is_some();
        if self.spool_gone && self.was_copied(name, paths)? {
            return Ok(vec![Problem::GoneOnSource {
                path: paths.source.parent(),
            }]);
        }
        if on_source && !self.target_spool_exists {
            return Ok(vec![Problem::NoSpoolDirectory {
                path: paths.target.parent(),
            }]);
        }
        Ok(Vec::new())
    }

    /// Whether an earlier run put this tree on the target, and it is still there.
    fn was_copied(&self, name: &UserName, paths: &TreePaths) -> Result<bool> {
        Ok(self.manages(name, paths) && self.target.lstat(&paths.target)?.is_some())
    }

    fn manages(&self, name: &UserName, paths: &TreePaths) -> bool {
        self.receipt
            .is_some_and(|receipt| receipt.manages(name, paths))
    }

    /// The target's file systems that hold the trees; each tree learns which is its own.
    fn volumes(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<Vec<Volume>> {
        let mut volumes: Vec<(u64, Volume)> = Vec::new();
        let mut known: BTreeMap<HostPath, usize> = BTreeMap::new();
        for tree in users.values_mut().flat_map(|user| &mut user.trees) {
            let parent = tree.paths.target.parent();
            if let Some(&number) = known.get(&parent) {
                tree.volume = number;
                continue;
            }
            let space = self.target.space(&parent)?;
            let number = volumes
                .iter()
                .position(|(dev, _)| *dev == space.dev)
                .unwrap_or_else(|| {
                    let volume = Volume {
                        path: parent.clone(),
                        free_bytes: space.bytes,
                        free_inodes: space.inodes,
                    };
                    volumes.push((space.dev, volume));
                    volumes.len() - 1
                });
            known.insert(parent, number);
            tree.volume = number;
        }
        Ok(volumes.into_iter().map(|(_, volume)| volume).collect())
    }

    /// Walks the trees of all users, a few at a time. The first error ends it.
    fn compare_all(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<()> {
        let work: Vec<Mutex<(&UserName, &mut UserMail)>> = users
            .iter_mut()
            .filter(|(_, user)| user.problems.is_empty())
            .map(Mutex::new)
            .collect();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MOST_THREADS);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut item = item
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        let (name, user) = &mut *item;
                        if let Err(error) = self.compare_user(name, user) {
                            let mut failure = failure
                                .lock()
                                .unwrap_or_else(std::sync::PoisonError::into_inner);
                            failure.get_or_insert(error);
                            next.store(work.len(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        match failure
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn compare_user(&self, name: &UserName, user: &mut UserMail) -> Result<()> {
        let uid = user.uid;
        for tree in &mut user.trees {
            if !self.manages(name, &tree.paths) {
                tree.in_the_way = self.in_the_way(&tree.paths)?;
            }
            let report = self.compare_tree(name, uid, tree)?;
            if report.failed > 0 {
                let first = report
                    .failures
                    .first()
                    .map_or(String::new(), ToString::to_string);
                user.problems.push(Problem::Unreadable {
                    first,
                    count: report.failed,
                });
            }
            tree.size = report.source;
            tree.delta = report.delta;
            tree.oddities = report.oddities;
        }
        Ok(())
    }

    /// A tree that this migration did not make, if it holds anything, and a free name for it.
    fn in_the_way(&self, paths: &TreePaths) -> Result<Option<Rename>> {
        let path = &paths.target;
        let Some(stat) = self.target.lstat(path)? else {
            return Ok(None);
        };
        let holds_something = match stat.kind {
            FileKind::Dir => self
                .target
                .list(path)?
                .is_some_and(|names| !names.is_empty()),
            FileKind::File => stat.size > 0,
            FileKind::Symlink | FileKind::Special => true,
        };
        if !holds_something {
            return Ok(None);
        }
        for number in 1_u32.. {
            let tag = if number == 1 {
                String::new()
            } else {
                format!("-{number}")
            };
            let mut name = b".".to_vec();
            name.extend_from_slice(path.file_name());
            name.extend_from_slice(format!(".before-{}{tag}", self.manifest.name).as_bytes());
            let to = path.parent().join(name);
            if self.target.lstat(&to)?.is_none() {
                return Ok(Some(Rename {
                    from: path.clone(),
                    to,
                }));
            }
        }
        Ok(None)
    }

    fn compare_tree(
        &self,
        user: &UserName,
        owner: crate::names::Uid,
        tree: &TreeState,
    ) -> Result<Report> {
        // What is in the way will be gone by then: the free name stands for the empty place.
        let mut paths = tree.paths.clone();
        if let Some(rename) = &tree.in_the_way {
            paths.target = rename.to.clone();
        }
        let places = Places::open(&paths, self.source, self.target)?;
        let index_name = index_name(user, paths.kind);
        let progress = Progress::default();
        let job = Job {
            trees: &[places.tree()],
            owner,
            ids: self.ids,
            filter: &self.filter,
            extraneous: Extraneous::Remove,
            index: self.index.map(|dir| Place {
                dir: std::os::fd::AsFd::as_fd(dir),
                name: index_name.as_bytes(),
            }),
            sample: SAMPLE,
            progress: &progress,
            stop: self.look.stop,
        };
        let mut told = Ok(());
        let report = compare(&job, self.look.depth, &mut |kind, path, difference| {
            if let (Some(listener), Ok(())) = (self.look.listener, &told) {
                told = listener(user, kind, path, difference);
            }
        })?;
        told.map(|()| report)
    }
}

/// Directories that are no person's home, whatever the account says.
fn is_system_directory(path: &HostPath) -> bool {
    const TOPS: [&str; 18] = [
        "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt",
        "proc", "root", "run", "sbin", "srv", "sys", "tmp",
    ];
    const BELOW: [&str; 9] = [
        "/usr",
        "/var",
        "/var/empty",
        "/var/lib",
        "/var/log",
        "/var/mail",
        "/var/run",
        "/var/spool",
        "/var/spool/mail",
    ];
    let top = path.parent().is_root() && TOPS.iter().any(|top| top.as_bytes() == path.file_name());
    let usr = path.as_bytes().starts_with(b"/usr/") && path.parent() == HostPath::from("/usr");
    top || usr || BELOW.iter().any(|below| HostPath::from(*below) == *path)
}

/// One home for two users would be copied twice and belong to one of them only.
fn shared_homes(users: &mut BTreeMap<UserName, UserMail>) {
    let homes: Vec<(UserName, HostPath)> = users
        .iter()
        .flat_map(|(name, user)| user.trees.iter().map(move |tree| (name, tree)))
        .filter(|(_, tree)| tree.paths.kind == TreeKind::Home)
        .map(|(name, tree)| (name.clone(), tree.paths.source.clone()))
        .collect();
    let mut by_home: BTreeMap<&HostPath, BTreeSet<&UserName>> = BTreeMap::new();
    for (name, home) in &homes {
        by_home.entry(home).or_default().insert(name);
    }
    for (name, home) in &homes {
        let Some(user) = users.get_mut(name) else {
            continue;
        };
        let with: Vec<UserName> = by_home[home]
            .iter()
            .filter(|other| **other != name)
            .map(|n| (*n).clone())
            .collect();
        if !with.is_empty() {
            user.problems.push(Problem::SharedHome {
                home: home.clone(),
                with,
            });
        }
        let mut above = home.parent();
        while !above.is_root() {
            if let Some(owner) = by_home.get(&above).and_then(|names| names.first()) {
                let inside = (*owner).clone();
                user.problems.push(Problem::NestedHome {
                    home: home.clone(),
                    inside,
                });
                break;
            }
            above = above.parent();
        }
    }
}

fn strays(source: &dyn ReadHost, spool: &HostPath, resolved: &Resolved) -> Result<Strays> {
    let names = source.list(spool)?.into_iter().flatten();
    let foreign = |name: &Raw| {
        !resolved
            .users
            .contains_key(&UserName::from(name.as_bytes()))
    };
    let mut strays = Strays::default();
    for name in names.filter(foreign) {
        strays.count += 1;
        if strays.first.len() < NAMED_STRAYS {
            strays.first.push(name);
        }
    }
    Ok(strays)
}
