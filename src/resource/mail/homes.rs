//! Homes that cannot be one person's.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, UserMail};
use crate::names::UserName;
use crate::plan::change::{TreeKind, TreePaths};
use crate::raw::HostPath;

/// Directories that are no person's home, whatever the account says.
pub(super) fn is_system_directory(path: &HostPath) -> bool {
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

/// One home for two users would be copied twice and belong to one of them only. Links may make them
/// one on one of the hosts alone.
pub(super) fn shared_homes(users: &mut BTreeMap<UserName, UserMail>) {
    shared_on_one_host(users, |paths| &paths.source);
    shared_on_one_host(users, |paths| &paths.target);
}

fn shared_on_one_host(
    users: &mut BTreeMap<UserName, UserMail>,
    home_of: fn(&TreePaths) -> &HostPath,
) {
    let homes: Vec<(UserName, HostPath)> = users
        .iter()
        .flat_map(|(name, user)| user.trees.iter().map(move |tree| (name, tree)))
        .filter(|(_, tree)| tree.paths.kind == TreeKind::Home)
        .map(|(name, tree)| (name.clone(), home_of(&tree.paths).clone()))
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
            let home = home.clone();
            once(&mut user.problems, Problem::SharedHome { home, with });
        }
        let mut above = home.parent();
        while !above.is_root() {
            if let Some(owner) = by_home.get(&above).and_then(|names| names.first()) {
                let inside = (*owner).clone();
                let home = home.clone();
                once(&mut user.problems, Problem::NestedHome { home, inside });
                break;
            }
            above = above.parent();
        }
    }
}

/// The same on both hosts is one problem.
fn once(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}
