//! Looking at what differs on the source from the target, several users at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::observe::SAMPLE;
use super::super::{Look, Problem, TreeState, UserMail, Volume, index_file, selection};
use super::{Back, Seal};
use crate::error::Result;
use crate::host::{ReadHost, TreeJob, Watch, real_path};
use crate::manifest::Manifest;
use crate::names::UserName;
use crate::parallel;
use crate::plan::change::{Count, Delta, Extraneous, IdMap, Selection, TreeKind, TreePaths};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::replicate::{Oddities, Oddity, OriginTree, Progress, Report};
use crate::resource::accounts::{Chosen, Resolved};
use crate::resource::mail::look::Order;

/// Looks at the trees that the target's receipt names. `ids` translate from the target to the source;
/// `sealed` is the moment since which nothing but this program should have written the source.
pub fn observe_back(
    manifest: &Manifest,
    (source, target): (&dyn ReadHost, &dyn ReadHost),
    resolved: &Resolved,
    ids: &IdMap,
    receipt: &Receipt,
    sealed: Option<Timestamp>,
    look: &Look<'_>,
) -> Result<Back> {
    let observer = Observer {
        source,
        target,
        ids: Arc::new(ids.clone()),
        select: selection(manifest),
        receipt,
        sealed,
        look,
    };
    let managed = receipt.trees.iter().filter_map(|(name, trees)| {
        let chosen = resolved.users.get(name)?;
        Some((name, trees, chosen))
    });
    let managed: Vec<_> = managed.collect();
    let looked = parallel::ask(&managed, |(_, trees, chosen)| observer.user(trees, chosen));
    let mut users = BTreeMap::new();
    for ((name, _, _), user) in managed.iter().zip(looked) {
        users.insert((*name).clone(), user?);
    }
    let volumes = observer.volumes(&mut users)?;
    observer.compare_all(&mut users)?;
    Ok(Back {
        users,
        volumes,
        seal: sealed.map_or(Seal::Unknown, |_| Seal::Known),
    })
}

struct Observer<'a> {
    source: &'a dyn ReadHost,
    target: &'a dyn ReadHost,
    ids: Arc<IdMap>,
    select: Selection,
    receipt: &'a Receipt,
    sealed: Option<Timestamp>,
    look: &'a Look<'a>,
}

impl Observer<'_> {
    /// The user's trees and what is wrong with them, before any of them is walked.
    fn user(&self, trees: &[TreePaths], chosen: &Chosen) -> Result<UserMail> {
        let mut problems = Vec::new();
        for paths in trees {
            match paths.kind {
                TreeKind::Home => problems.extend(self.home_problem(paths, chosen)?),
                TreeKind::Spool => problems.extend(self.spool_problem(paths)?),
            }
        }
        let tree = |paths: &TreePaths| TreeState {
            paths: paths.clone(),
            size: Count::default(),
            delta: Delta::default(),
            in_the_way: None,
            oddities: Oddities::default(),
            volume: 0,
        };
        Ok(UserMail {
            uid: chosen.uid,
            trees: trees.iter().map(tree).collect(),
            problems,
        })
    }

    fn home_problem(&self, paths: &TreePaths, chosen: &Chosen) -> Result<Option<Problem>> {
        let now = real_path(self.target, &chosen.home)?;
        if now != paths.target {
            let copied = paths.target.clone();
            return Ok(Some(Problem::HomeMoved { copied, now }));
        }
        if self.target.lstat(&paths.target)?.is_none()
            && self.source.lstat(&paths.source)?.is_some()
        {
            let path = paths.target.clone();
            return Ok(Some(Problem::GoneOnTarget { path }));
        }
        // A file system that is not mounted on the source.
        let path = paths.source.parent();
        let gone = self
            .source
            .list(&path)?
            .is_none_or(|names| names.is_empty());
        Ok(gone.then_some(Problem::GoneOnSource { path }))
    }

    fn spool_problem(&self, paths: &TreePaths) -> Result<Option<Problem>> {
        let path = paths.target.parent();
        let empty = self
            .target
            .list(&path)?
            .is_none_or(|names| names.is_empty());
        if empty && self.source.lstat(&paths.source)?.is_some() {
            return Ok(Some(Problem::GoneOnTarget { path }));
        }
        let path = paths.source.parent();
        // It may be empty: where mail is kept in homes it is.
        let gone = self.source.stat(&path)?.is_none();
        Ok(gone.then_some(Problem::GoneOnSource { path }))
    }

    /// The source's file systems that hold the trees; each tree learns which is its own.
    fn volumes(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<Vec<Volume>> {
        let mut volumes: Vec<(u64, Volume)> = Vec::new();
        for tree in users.values_mut().flat_map(|user| &mut user.trees) {
            // A home may be a file system of its own.
            let space = self.source.space(&tree.paths.source)?;
            let known = volumes.iter().position(|(dev, _)| *dev == space.dev);
            tree.volume = known.unwrap_or_else(|| {
                let volume = Volume {
                    path: tree.paths.source.parent(),
                    free_bytes: space.bytes,
                    free_inodes: space.inodes,
                };
                volumes.push((space.dev, volume));
                volumes.len() - 1
            });
        }
        Ok(volumes.into_iter().map(|(_, volume)| volume).collect())
    }

    fn abreast(&self) -> usize {
        parallel::abreast(self.source.round_trip().max(self.target.round_trip()))
    }

    /// Walks the trees of all users, a few at a time.
    fn compare_all(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<()> {
        let sound = |user: &UserMail| user.problems.is_empty();
        let work: Vec<_> = users.iter().filter(|(_, user)| sound(user)).collect();
        let compare = |(name, user): &(&UserName, &UserMail)| self.compare_user(name, user);
        let compared = match self.look.order {
            Order::Any => parallel::map_in(self.abreast(), &work, compare),
            Order::ByName => work.iter().map(compare).collect(),
        };
        for (user, compared) in users.values_mut().filter(|user| sound(user)).zip(compared) {
            *user = compared?;
        }
        Ok(())
    }

    fn compare_user(&self, name: &UserName, user: &UserMail) -> Result<UserMail> {
        let mut user = user.clone();
        let (mut by_hand, mut first) = (0, Vec::new());
        for tree in &mut user.trees {
            let report = self.compare_tree(name, user.uid, &tree.paths)?;
            if report.failed > 0 {
                let first = report.failures.first();
                user.problems.push(Problem::Unreadable {
                    first: first.map_or(String::new(), ToString::to_string),
                    count: report.failed,
                });
            }
            tree.size = report.source;
            tree.delta = report.delta;
            tree.oddities = report.oddities;
            if let Some(seen) = tree.oddities.seen.remove(&Oddity::ChangedByHand) {
                by_hand += seen.count;
                let whole = |path| within(&tree.paths.source, path);
                first.extend(seen.first.iter().map(|path| whole(path.as_bytes())));
            }
        }
        if by_hand > 0 {
            first.truncate(SAMPLE);
            user.problems.push(Problem::ChangedByHand {
                user: name.clone(),
                count: by_hand,
                first,
            });
        }
        Ok(user)
    }

    fn compare_tree(
        &self,
        user: &UserName,
        owner: crate::names::Uid,
        paths: &TreePaths,
    ) -> Result<Report> {
        let records = Receipt::directory(&self.receipt.name);
        let job = TreeJob {
            tree: OriginTree {
                kind: paths.kind,
                path: paths.target.clone(),
                select: self.select.clone(),
                owner,
                tracking: None,
            },
            target: paths.source.clone(),
            ids: Arc::clone(&self.ids),
            extraneous: Extraneous::SetAside(self.receipt.aside_name()),
            sealed: self.sealed,
            index: Some(index_file(&records.join("index"), user, paths.kind)),
            sample: SAMPLE,
        };
        let mut told = Ok(());
        let mut tell = |path: &[u8], difference| {
            if let (Some(listener), Ok(())) = (self.look.listener, &told) {
                told = listener(user, paths.kind, path, difference);
            }
        };
        let mut watch = Watch {
            progress: &Progress::default(),
            stop: self.look.stop,
            differences: self.look.listener.is_some().then_some(&mut tell),
        };
        let report = self
            .source
            .compare(&job, self.look.depth, self.target, &mut watch)?;
        told.map(|()| report)
    }
}

/// A path within a tree, whole; `.` is its top.
fn within(top: &HostPath, path: &[u8]) -> HostPath {
    if path == b"." {
        top.clone()
    } else {
        top.join(path)
    }
}
