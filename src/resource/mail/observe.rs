//! Looking at each user's trees on both hosts, several users at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::homes::{is_system_directory, shared_homes};
use super::spool_dir::strays;
use super::walk::Walk;
use super::{Actual, Look, Problem, TreeState, UserMail, Volume, index_file, selection, spool_dir};
use crate::error::Result;
use crate::host::{FileKind, ReadHost, Stat, TreeJob};
use crate::manifest::{Homes, Manifest};
use crate::names::{Uid, UserName};
use crate::parallel;
use crate::plan::change::{Delta, Extraneous, IdMap, Rename, Selection, TreeKind, TreePaths};
use crate::raw::{HostPath, Raw};
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
        spooled: source.list(&spool[0])?.unwrap_or_default(),
        target_spool_exists: target.stat(&spool[1])?.is_some(),
    };
    let clear = resolved
        .users
        .iter()
        .filter(|(_, chosen)| chosen.blocked == Clearance::Clear);
    let clear: Vec<_> = clear.collect();
    let mut users = observer.users(&clear, &spool)?;
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

/// A user's home, and what its path leads to on the source.
struct Home {
    paths: TreePaths,
    stat: Option<Stat>,
}

/// A user's mailbox in the spool directories of both hosts.
fn spool_of(name: &UserName, spool: &[HostPath; 2]) -> TreePaths {
    let [source, target] = spool.each_ref().map(|dir| dir.join(name.as_bytes()));
    TreePaths {
        kind: TreeKind::Spool,
        source,
        target,
    }
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
    /// The names in the source's spool directory. None at all: perhaps its file system is not mounted.
    spooled: Vec<Raw>,
    target_spool_exists: bool,
}

impl Observer<'_> {
    /// The users' trees and what is wrong with them, before any of them is walked.
    fn users(
        &self,
        clear: &[(&UserName, &Chosen)],
        spool: &[HostPath; 2],
    ) -> Result<BTreeMap<UserName, UserMail>> {
        let homes = self.homes(clear)?;
        // What may be gone from the source: is there a copy of it?
        let gone = clear.iter().flat_map(|(name, _)| {
            let home = homes.get(name).filter(|home| home.stat.is_none());
            let home = home.map(|home| &home.paths).cloned();
            let spool = self.spooled.is_empty().then(|| spool_of(name, spool));
            let both = home.into_iter().chain(spool);
            both.filter(|paths| self.manages(name, paths))
                .map(|paths| paths.target)
        });
        let gone: Vec<HostPath> = gone.collect();
        let there = self.target.lstats(&gone);
        let mut copied = BTreeSet::new();
        for (path, there) in gone.into_iter().zip(there) {
            if there?.is_some() {
                copied.insert(path);
            }
        }
        let mut kinds = BTreeMap::new();
        let each = clear.iter().map(|(name, chosen)| {
            let mut problems = Vec::new();
            let mut trees = Vec::new();
            if let Some(home) = homes.get(name) {
                problems.extend(self.home_problems(home, &copied, &mut kinds)?);
                trees.push(home.paths.clone());
            } else {
                let home = chosen.source_home.clone();
                problems.push(Problem::NoAbsoluteHome { home });
            }
            let paths = spool_of(name, spool);
            problems.extend(self.spool_problem(name, &paths, &copied));
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
            let mail = UserMail {
                uid: chosen.source_uid,
                trees: trees.into_iter().map(tree).collect(),
                problems,
            };
            Ok(((*name).clone(), mail))
        });
        each.collect()
    }

    /// Homes with a path of their own.
    fn homes<'u>(&self, clear: &[(&'u UserName, &Chosen)]) -> Result<BTreeMap<&'u UserName, Home>> {
        let absolute = |chosen: &Chosen| chosen.source_home.as_bytes().starts_with(b"/");
        let with_home = clear.iter().filter(|(_, chosen)| absolute(chosen));
        let with_home: Vec<_> = with_home.collect();
        let of = |home: fn(&Chosen) -> &HostPath| -> Vec<HostPath> {
            let homes = with_home.iter().map(|(_, chosen)| home(chosen).clone());
            homes.collect()
        };
        let (from, to) = (of(|chosen| &chosen.source_home), of(|chosen| &chosen.home));
        let (from, to) = parallel::both(
            || self.source.real_paths(&from),
            || self.target.real_paths(&to),
        );
        let from: Vec<HostPath> = from.into_iter().collect::<Result<_>>()?;
        let stats = self.source.stats(&from);
        let mut homes = BTreeMap::new();
        for (((name, _), source), (target, stat)) in with_home
            .into_iter()
            .zip(from)
            .zip(to.into_iter().zip(stats))
        {
            let paths = TreePaths {
                kind: TreeKind::Home,
                source,
                target: target?,
            };
            homes.insert(*name, Home { paths, stat: stat? });
        }
        Ok(homes)
    }

    /// `kinds` are those of the source's file systems, as far as they are known.
    fn home_problems(
        &self,
        Home { paths, stat }: &Home,
        copied: &BTreeSet<HostPath>,
        kinds: &mut BTreeMap<u64, String>,
    ) -> Result<Option<Problem>> {
        let whole = self.manifest.mail.homes == Homes::Whole;
        // On the target, too: the home may be a link there.
        for home in [&paths.source, &paths.target] {
            if home.is_root() || (whole && is_system_directory(home)) {
                let home = home.clone();
                return Ok(Some(Problem::SystemHome { home }));
            }
        }
        let home = paths.source.clone();
        Ok(match stat {
            Some(stat) if stat.kind != FileKind::Dir => Some(Problem::HomeNoDirectory { home }),
            Some(stat) => {
                let file_system = match kinds.get(&stat.dev) {
                    Some(kind) => kind.clone(),
                    None => self.source.space(&home)?.kind,
                };
                kinds.insert(stat.dev, file_system.clone());
                let network = matches!(file_system.as_str(), "nfs" | "autofs" | "cifs");
                network.then_some(Problem::NetworkHome { home, file_system })
            }
            None if copied.contains(&paths.target) => Some(Problem::GoneOnSource { path: home }),
            None => None,
        })
    }

    fn spool_problem(
        &self,
        name: &UserName,
        paths: &TreePaths,
        copied: &BTreeSet<HostPath>,
    ) -> Option<Problem> {
        if self.spooled.is_empty() {
            let path = paths.source.parent();
            let gone = copied.contains(&paths.target);
            return gone.then_some(Problem::GoneOnSource { path });
        }
        let on_source = self.spooled.binary_search(&Raw::from(name.as_bytes()));
        let path = paths.target.parent();
        let nowhere = on_source.is_ok() && !self.target_spool_exists;
        nowhere.then_some(Problem::NoSpoolDirectory { path })
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
        let unmanaged = work.iter_mut().flat_map(|(name, user)| {
            let trees = user.trees.iter_mut();
            trees.filter(|tree| !self.manages(name, &tree.paths))
        });
        let mut unmanaged: Vec<&mut TreeState> = unmanaged.collect();
        let paths = unmanaged.iter().map(|tree| tree.paths.target.clone());
        let there = self.target.lstats(&paths.collect::<Vec<_>>());
        let there: Vec<Option<Stat>> = there.into_iter().collect::<Result<_>>()?;
        unmanaged = unmanaged
            .into_iter()
            .zip(there)
            .filter_map(|(tree, there)| there.map(|_| tree))
            .collect();
        let in_the_way = parallel::ask(&unmanaged, |tree| self.in_the_way(&tree.paths));
        for (tree, in_the_way) in unmanaged.into_iter().zip(in_the_way) {
            tree.in_the_way = in_the_way?;
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
