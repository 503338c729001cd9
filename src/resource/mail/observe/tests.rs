//! Two roots, and whose trees are walked.
#![expect(
    clippy::disallowed_methods,
    reason = "the test lays out the roots itself"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::host::DirHost;
use crate::names::{Gid, Side, Uid};

/// Somebody with a letter on the source.
fn moves_in(root: &Path, user: &str) -> (UserName, Chosen) {
    let home = format!("/home/{user}");
    let mail = root.join("source").join(&home[1..]).join("mail");
    fs::create_dir_all(&mail).unwrap();
    fs::write(mail.join("saved"), user).unwrap();
    let chosen = Chosen {
        source_uid: Uid(500),
        source_gid: Gid(500),
        uid: Uid(1000),
        gid: Gid(1000),
        source_home: home.as_str().into(),
        home: home.as_str().into(),
        blocked: Clearance::Clear,
    };
    (user.into(), chosen)
}

#[test]
fn trees_that_this_run_has_looked_at_are_taken_for_equal() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for path in ["source/var/mail", "target/var/mail", "target/home"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    let resolved = Resolved {
        users: ["alice", "bob"].map(|user| moves_in(root, user)).into(),
        ..Resolved::default()
    };
    let manifest: Manifest = serde_yaml::from_str(
        "{version: 1, name: t, source: {host: 'ssh://root@old.example.org'}, \
         target: {host: 'ssh://root@new.example.org'}, serve_from: source}",
    )
    .unwrap();
    let [source, target] = [Side::Source, Side::Target]
        .map(|side| DirHost::open(side, &root.join(side.to_string())).unwrap());
    let stop = AtomicBool::new(false);
    let differ = |look: &Look<'_>| {
        let actual = observe(&manifest, &source, &target, &resolved, None, look).unwrap();
        assert_eq!(actual.users.len(), 2);
        let differ = |user: &UserMail| user.trees.iter().any(|tree| !tree.delta.is_empty());
        let users = actual.users.into_iter().filter(|(_, user)| differ(user));
        users.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(differ(&Look::new(&stop)), ["alice", "bob"]);
    let moving = BTreeSet::from(["bob".into()]);
    assert_eq!(differ(&Look::new(&stop).only(&moving)), ["bob"]);
    assert_eq!(differ(&Look::new(&stop).only(&BTreeSet::new())), [""; 0]);
}
