//! Looking at each user's trees on both hosts, several users at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::homes::{is_system_directory, shared_homes};
use super::spool_dir::strays;
use super::walk::Walk;
use super::{Actual, Look, Problem, TreeState, UserMail, Volume, index_file, selection, spool_dir};
use crate::error::Result;
use crate::host::{FileKind, ReadHost, TreeJob, real_path};
use crate::manifest::{Homes, Manifest};
use crate::names::{Uid, UserName};
use crate::parallel;
use crate::plan::change::{Delta, Extraneous, IdMap, Rename, Selection, TreeKind, TreePaths};
use crate::raw::HostPath;
use crate::receipt::Receipt;
use crate::replicate::{OriginTree, is_staging};
use crate::resource::accounts::{Chosen, Clearance, Resolved};

/// How many differences of a tree a plan shows by name.
pub(super) const SAMPLE: usize = 5;

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
    let others = Receipt::read_others(target, &manifest.name)?;
    let observer = Observer {
        others: &others,
        manifest,
        source,
        target,
        receipt,
        look,
        ids: Arc::new(resolved.ids.clone()),
        select: selection(manifest),
        spool_gone: source.list(&spool[0])?.is_none_or(|names| names.is_empty()),
        target_spool_exists: target.stat(&spool[1])?.is_some(),
    };
    let clear = resolved
        .users
        .iter()
        .filter(|(_, chosen)| chosen.blocked == Clearance::Clear);
    let clear: Vec<_> = clear.collect();
    let looked = parallel::ask(&clear, |(name, chosen)| observer.user(name, chosen, &spool));
    let named = clear.iter().zip(looked);
    let mut users: BTreeMap<UserName, UserMail> = named
        .map(|((name, _), user)| Ok(((*name).clone(), user?)))
        .collect::<Result<_>>()?;
    shared_homes(&mut users);
    let volumes = observer.volumes(&mut users)?;
    observer.compare_all(&mut users)?;
    Ok(Actual {
        users,
        volumes,
        strays: strays(source, &spool[0], resolved)?,
        back: None,
    })
}

struct Observer<'a> {
    /// What other migrations to this target have done.
    others: &'a [Receipt],
    manifest: &'a Manifest,
    source: &'a dyn ReadHost,
    target: &'a dyn ReadHost,
    receipt: Option<&'a Receipt>,
    look: &'a Look<'a>,
    ids: Arc<IdMap>,
    select: Selection,
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
        problems.extend(self.other_migrations(name, &trees));
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
        let mut problems = Vec::new();
        let whole = self.manifest.mail.homes == Homes::Whole;
        // On the target, too: the home may be a link there.
        for home in [&paths.source, &paths.target] {
            if home.is_root() || (whole && is_system_directory(home)) {
                let home = home.clone();
                problems.push(Problem::SystemHome { home });
                return Ok(problems);
            }
        }
        let home = paths.source.clone();
        match self.source.stat(&home)? {
            Some(stat) if stat.kind != FileKind::Dir => {
                problems.push(Problem::HomeNoDirectory { home });
            }
            Some(_) => {
                let file_system = self.source.space(&home)?.kind;
                if matches!(file_system.as_str(), "nfs" | "autofs" | "cifs") {
                    problems.push(Problem::NetworkHome { home, file_system });
                }
            }
            None if self.was_copied(name, paths)? => {
                problems.push(Problem::GoneOnSource { path: home });
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

    /// Trees that another migration manages. Its mail may count by now, even if this one was never
    /// applied: a manifest whose name was changed must not start anew.
    fn other_migrations(&self, name: &UserName, trees: &[TreePaths]) -> Option<Problem> {
        let manages = |other: &&Receipt| trees.iter().any(|tree| other.manages(name, tree));
        let other = self.others.iter().find(manages)?;
        Some(Problem::OtherMigration {
            name: other.name.to_string(),
            authority: other.authority,
        })
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

    /// Walks the trees of all users.
    fn compare_all(&self, users: &mut BTreeMap<UserName, UserMail>) -> Result<()> {
        let all = users.iter_mut();
        let mut work: Vec<(&UserName, &mut UserMail)> = all
            .filter(|(name, user)| user.problems.is_empty() && self.look.walks(name))
            .collect();
        let in_the_way = parallel::ask(&work, |(name, user)| {
            let trees = user.trees.iter();
            let each = trees.map(|tree| {
                if self.manages(name, &tree.paths) {
                    return Ok(None);
                }
                self.in_the_way(&tree.paths)
            });
            each.collect::<Result<Vec<_>>>()
        });
        for ((_, user), in_the_way) in work.iter_mut().zip(in_the_way) {
            for (tree, in_the_way) in user.trees.iter_mut().zip(in_the_way?) {
                tree.in_the_way = in_the_way;
            }
        }
        let walk = Walk {
            look: self.look,
            from: self.source,
            onto: self.target,
        };
        walk.over(&mut work, |name, user, tree| self.job(name, user.uid, tree))
    }

    /// A tree that this migration did not make, if it holds anything, and a free name for it.
    fn in_the_way(&self, paths: &TreePaths) -> Result<Option<Rename>> {
        let path = &paths.target;
        if !occupied(self.target, path)? {
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

    fn job(&self, user: &UserName, owner: Uid, tree: &TreeState) -> TreeJob {
        // What is in the way will be gone by then: the free name stands for the empty place.
        let paths = &tree.paths;
        let target = tree
            .in_the_way
            .as_ref()
            .map_or(&paths.target, |rename| &rename.to);
        let index = self
            .receipt
            .map(|receipt| Receipt::directory(&receipt.name).join("index"));
        TreeJob {
            tree: OriginTree {
                kind: paths.kind,
                path: paths.source.clone(),
                select: self.select.clone(),
                owner,
                tracking: None,
            },
            target: target.clone(),
            ids: Arc::clone(&self.ids),
            extraneous: Extraneous::Remove,
            sealed: None,
            index: index.map(|dir| index_file(&dir, user, paths.kind)),
            sample: SAMPLE,
        }
    }
}

/// Whether there is something at a place that a copy would have to replace: more than an empty
/// directory or file, what an interrupted copy left apart.
pub fn occupied(host: &dyn ReadHost, path: &HostPath) -> Result<bool> {
    let Some(stat) = host.lstat(path)? else {
        return Ok(false);
    };
    Ok(match stat.kind {
        FileKind::Dir => host
            .list(path)?
            .is_some_and(|names| names.iter().any(|name| !is_staging(name.as_bytes()))),
        FileKind::File => stat.size > 0,
        FileKind::Symlink | FileKind::Special => true,
    })
}

#[cfg(test)]
mod tests;
