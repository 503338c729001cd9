//! Two roots, and what a reverse between them finds and does.
#![expect(
    clippy::disallowed_methods,
    reason = "the test lays out and reads the roots itself"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;

use super::*;
use crate::host::{DirHost, Host as _, TreeJob, Watch};
use crate::manifest::Manifest;
use crate::names::{Gid, Side, Uid};
use crate::plan::change::{Extraneous, IdMap, MailCopy};
use crate::plan::{Change, Draft, Fact, Obstacle};
use crate::receipt::Receipt;
use crate::replicate::{OriginTree, Progress};
use crate::resource::accounts::{Chosen, Clearance, Resolved};
use crate::resource::mail::{Look, Problem, reverses};

struct Pair {
    dir: tempfile::TempDir,
    manifest: Manifest,
    receipt: Receipt,
    resolved: Resolved,
    ids: IdMap,
    sealed: Option<Timestamp>,
}

fn manifest(more: &str) -> Manifest {
    serde_yaml::from_str(&format!(
        "{{version: 1, name: t, source: {{host: 'ssh://root@old.example.org'}}, \
         target: {{host: 'ssh://root@new.example.org'}}, serve_from: source{more}}}"
    ))
    .unwrap()
}

/// alice is 500 on the source and 1000 on the target, and her trees were copied.
fn pair() -> Pair {
    let dir = tempfile::tempdir().unwrap();
    for (side, uid) in [("source", 500), ("target", 1000)] {
        let root = dir.path().join(side);
        for (path, content) in [
            ("home/alice/mail/saved", "saved"),
            ("home/alice/.profile", "profile"),
            ("var/mail/alice", "old mail"),
            ("var/mail/bob", "bob's"),
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), content).unwrap();
            let old = fs::File::options()
                .write(true)
                .open(root.join(path))
                .unwrap();
            old.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        for path in [
            "home/alice",
            "home/alice/mail",
            "home/alice/mail/saved",
            "home/alice/.profile",
            "var/mail/alice",
        ] {
            chown(root.join(path), Some(uid), Some(uid)).unwrap();
        }
        for path in ["home/alice/mail", "home/alice"] {
            let dir = fs::File::open(root.join(path)).unwrap();
            dir.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    }
    let trees = "{alice: [{kind: home, source: /home/alice, target: /home/alice}, \
                 {kind: spool, source: /var/mail/alice, target: /var/mail/alice}]}";
    let receipt = format!(
        "{{version: 1, name: t, authority: target, since: '2026-11-23T00:00:00Z', \
         accounts: [alice], trees: {trees}}}"
    );
    let chosen = Chosen {
        source_uid: Uid(500),
        source_gid: Gid(500),
        uid: Uid(1000),
        gid: Gid(1000),
        source_home: "/home/alice".into(),
        home: "/home/alice".into(),
        blocked: Clearance::Clear,
    };
    let mut pair = Pair {
        dir,
        manifest: manifest(""),
        receipt: serde_yaml::from_str(&receipt).unwrap(),
        resolved: Resolved {
            users: [("alice".into(), chosen)].into(),
            ..Resolved::default()
        },
        ids: IdMap {
            uids: [(Uid(0), Uid(0)), (Uid(1000), Uid(500))].into(),
            gids: [(Gid(0), Gid(0)), (Gid(1000), Gid(500))].into(),
            ..IdMap::default()
        },
        sealed: None,
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    pair.sealed = Some(Timestamp::now());
    std::thread::sleep(std::time::Duration::from_millis(20));
    pair
}

impl Pair {
    fn on(&self, side: Side, path: &str) -> PathBuf {
        self.dir.path().join(side.to_string()).join(path)
    }

    fn host(&self, side: Side) -> DirHost {
        DirHost::open(side, &self.on(side, "")).unwrap()
    }

    fn look(&self) -> Back {
        let (source, target) = (self.host(Side::Source), self.host(Side::Target));
        observe_back(
            &self.manifest,
            (&source, &target),
            &self.resolved,
            &self.ids,
            &self.receipt,
            self.sealed,
            &Look::new(&AtomicBool::new(false)),
        )
        .unwrap()
    }

    fn draft(&self) -> Draft {
        diff_back(&self.manifest, &self.look(), &self.receipt)
    }

    /// Mail arrives on the target.
    fn arrives(&self, path: &str, content: &str) {
        let path = self.on(Side::Target, path);
        fs::write(&path, content).unwrap();
        chown(&path, Some(1000), Some(1000)).unwrap();
    }

    /// Does as the executor does.
    fn carry_back(&self, copy: &MailCopy) {
        let (source, target) = (self.host(Side::Source), self.host(Side::Target));
        for tree in &copy.trees {
            let job = TreeJob {
                tree: OriginTree {
                    kind: tree.paths.kind,
                    path: tree.paths.on(copy.from).clone(),
                    select: copy.select.clone(),
                    owner: copy.uid,
                    tracking: None,
                },
                target: tree.paths.on(copy.from.other()).clone(),
                ids: Arc::new(self.ids.clone()),
                extraneous: tree.extraneous.clone(),
                sealed: None,
                index: None,
                sample: 1,
            };
            let mut watch = Watch {
                progress: &Progress::default(),
                stop: &AtomicBool::new(false),
                differences: None,
            };
            source.copy(&[job], &target, &mut watch).only().unwrap();
        }
        source.sync(&BTreeSet::from(["/home".into()])).unwrap();
    }
}

fn problems(draft: &Draft) -> Vec<String> {
    let text = |by: &Obstacle| match by {
        Obstacle::Mail { problem } => problem.to_string(),
        other => panic!("not about mail: {other}"),
    };
    draft.blocked.iter().map(|b| text(&b.by)).collect()
}

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn nothing_goes_back_where_nothing_changed() {
    if !root() {
        return;
    }
    let pair = pair();
    let draft = pair.draft();
    assert_eq!(
        (draft.actions, draft.blocked, draft.notes),
        (vec![], vec![], vec![])
    );
    assert!(draft.settled.contains(&Fact::MailCopied("alice".into())));
    let all = copies_back(&pair.manifest, &pair.look(), &pair.receipt);
    assert_eq!(all.len(), 1, "a round looks at everybody");
}

#[test]
fn what_arrived_goes_back_to_its_owner_there_and_what_it_replaces_is_kept() {
    if !root() {
        return;
    }
    let pair = pair();
    pair.arrives("var/mail/alice", "old mail and new mail");
    pair.arrives("home/alice/mail/work", "filed");
    fs::remove_file(pair.on(Side::Target, "home/alice/mail/saved")).unwrap();
    let draft = pair.draft();
    assert_eq!(draft.blocked, []);
    let [action] = &draft.actions[..] else {
        panic!("{:?}", draft.actions)
    };
    assert!(action.needs.contains(&Fact::MailFrozen(Side::Source)));
    let Change::CopyMail(copy) = &action.change else {
        panic!("a copy")
    };
    assert_eq!((copy.from, copy.uid), (Side::Target, Uid(1000)));
    let label = "t.20261123T000000Z";
    assert!(
        copy.trees
            .iter()
            .all(|tree| tree.extraneous == Extraneous::SetAside(label.to_owned()))
    );
    pair.carry_back(copy);

    let spool = pair.on(Side::Source, "var/mail/alice");
    assert_eq!(read(&spool), "old mail and new mail");
    assert_eq!(fs::metadata(&spool).unwrap().uid(), 500);
    let work = pair.on(Side::Source, "home/alice/mail/work");
    assert_eq!(fs::metadata(work).unwrap().uid(), 500);
    assert!(!pair.on(Side::Source, "home/alice/mail/saved").exists());
    let kept = |dir: &str, path: &str| {
        let aside = pair.on(Side::Source, dir).join(".reconcile-aside");
        read(&aside.join(label).join(path))
    };
    assert_eq!(kept("var/mail", "alice"), "old mail");
    assert_eq!(kept("home", "alice/mail/saved"), "saved");
    assert_eq!(
        read(&pair.on(Side::Target, "var/mail/alice")),
        "old mail and new mail"
    );

    let again = pair.draft();
    assert_eq!((again.actions, again.blocked), (vec![], vec![]));
    // Mail goes on arriving: what we wrote ourselves is no change by hand.
    pair.arrives("var/mail/alice", "old mail and new mail and more");
    let again = pair.draft();
    assert_eq!((again.actions.len(), again.blocked), (1, vec![]));
}

#[test]
fn what_was_changed_by_hand_is_a_problem_until_it_is_adopted() {
    if !root() {
        return;
    }
    let mut pair = pair();
    pair.arrives("var/mail/alice", "old mail and new mail");
    fs::write(pair.on(Side::Source, "var/mail/alice"), "by hand").unwrap();
    fs::write(pair.on(Side::Source, "home/alice/.profile"), "by hand").unwrap();
    let draft = pair.draft();
    assert_eq!(draft.actions, []);
    assert_eq!(
        problems(&draft),
        [
            "2 entries on the source were changed there after it handed over, and not by reconcile: \
             /home/alice/.profile, /var/mail/alice; look at them, then add `alice` to mail.adopt to \
             have them set aside and replaced"
        ]
    );
    pair.manifest = manifest(", mail: {adopt: [alice]}");
    let draft = pair.draft();
    assert_eq!((draft.actions.len(), draft.blocked), (1, vec![]));
    pair.sealed = None;
    let draft = pair.draft();
    let [note] = &draft.notes[..] else {
        panic!("{:?}", draft.notes)
    };
    assert!(
        note.text
            .starts_with("when the source handed over is not on record")
    );
}

#[test]
fn a_home_that_is_elsewhere_or_gone_is_a_problem() {
    if !root() {
        return;
    }
    let mut moved = pair();
    let chosen = moved.resolved.users.values_mut().next().unwrap();
    chosen.home = "/srv/alice".into();
    let text = problems(&moved.draft()).concat();
    assert!(
        text.starts_with("the home on the target is /srv/alice now"),
        "{text}"
    );

    let gone = pair();
    fs::remove_dir_all(gone.on(Side::Target, "home/alice")).unwrap();
    fs::remove_dir_all(gone.on(Side::Target, "var/mail")).unwrap();
    let text = problems(&gone.draft());
    assert!(
        text[0].starts_with("/home/alice on the target is gone"),
        "{text:?}"
    );
    assert!(
        text[1].starts_with("/var/mail on the target is gone"),
        "{text:?}"
    );

    let unmounted = pair();
    fs::remove_dir_all(unmounted.on(Side::Source, "home/alice")).unwrap();
    let look = unmounted.look();
    let user = look.users.values().next().unwrap();
    let path = "/home".into();
    assert_eq!(user.problems, [Problem::GoneOnSource { path }]);
}

#[test]
fn the_source_needs_room_for_the_old_beside_the_new() {
    if !root() {
        return;
    }
    let pair = pair();
    pair.arrives("var/mail/alice", "old mail and new mail");
    let mut back = pair.look();
    for volume in &mut back.volumes {
        volume.free_bytes = 30;
        volume.free_inodes = Some(1);
    }
    let draft = diff_back(&pair.manifest, &back, &pair.receipt);
    let text = problems(&draft).concat();
    assert!(text.contains("needs 44 B free and has 30 B"), "{text}");
}

#[test]
fn only_a_live_source_can_be_asked_to_serve_again() {
    let pair = pair();
    assert!(reverses(&pair.manifest, Some(&pair.receipt)));
    let offline = serde_yaml::from_str(
        "{version: 1, name: t, source: {host: 'dir:/s'}, target: {host: 'dir:/t'}, \
         serve_from: source}",
    );
    assert!(!reverses(&offline.unwrap(), Some(&pair.receipt)));
    assert!(!reverses(&pair.manifest, None));
}
