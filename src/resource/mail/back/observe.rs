//! Looking at what differs on the source from the target, several users at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::observe::SAMPLE;
use super::super::walk::Walk;
use super::super::{Look, Problem, TreeState, UserMail, Volume, index_file, selection};
use super::{Back, Seal};
use crate::error::Result;
use crate::host::{ReadHost, TreeJob, real_path};
use crate::manifest::Manifest;
use crate::names::{Uid, UserName};
use crate::parallel;
use crate::plan::change::{Count, Delta, Extraneous, IdMap, Selection, TreeKind, TreePaths};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::replicate::{Oddities, Oddity, OriginTree};
use crate::resource::accounts::{Chosen, Resolved};

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

    /// Walks the trees of all users.
    fn compare_all(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<()> {
        let all = users.iter_mut();
        let mut work: Vec<_> = all.filter(|(_, user)| user.problems.is_empty()).collect();
        let walk = Walk {
            look: self.look,
            from: self.target,
            onto: self.source,
        };
        walk.over(&mut work, |name, user, tree| {
            self.job(name, user.uid, &tree.paths)
        })?;
        for (name, user) in work {
            changed_by_hand(name, user);
        }
        Ok(())
    }

    fn job(&self, user: &UserName, owner: Uid, paths: &TreePaths) -> TreeJob {
        let records = Receipt::directory(&self.receipt.name);
        TreeJob {
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
        }
    }
}

/// Notes as a problem what was changed by hand.
fn changed_by_hand(name: &UserName, user: &mut UserMail) {
    let (mut by_hand, mut first) = (0, Vec::new());
    for tree in &mut user.trees {
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
}

/// A path within a tree, whole; `.` is its top.
fn within(top: &HostPath, path: &[u8]) -> HostPath {
    if path == b"." {
        top.clone()
    } else {
        top.join(path)
    }
}
