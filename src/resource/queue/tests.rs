//! On trees as Debian's and Red Hat's packages make them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::observe::queue_directory;
use super::*;
use crate::host::DirHost;
use crate::host::queue::{QueueKind, QueueStep};
use crate::host::{Command, Step};
use crate::manifest::{Manifest, load};
use crate::resource::mail::Volume;

#[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
fn write(root: &Path, path: &str, mode: u32) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
fn text(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
}

fn manifest() -> Manifest {
    let text = "version: 1\nname: move\nsource: { host: 'dir:/old' }\ntarget: { host: 'dir:/new' }\n\
                serve_from: source\n";
    load::parse("migration.yaml", text).unwrap()
}

/// Debian's Postfix with a second instance, as `postmulti -e create` writes it.
fn postfix(root: &Path) {
    text(
        root,
        "etc/postfix/main.cf",
        "multi_instance_directories = /etc/postfix-out\nmyhostname = a\n",
    );
    text(
        root,
        "etc/postfix-out/main.cf",
        "queue_directory = /var/spool/postfix-out\n",
    );
    write(root, "usr/sbin/postconf", 0o755);
    write(root, "usr/sbin/sendmail", 0o755);
    write(root, "var/spool/postfix/deferred/A/A1B2C3", 0o700);
    write(root, "var/spool/postfix/deferred/F/F1B2C3", 0o700);
    write(root, "var/spool/postfix/maildrop/A3", 0o744);
    // cleanup(8) and postdrop(1) had not finished these; nobody was told that they were taken.
    write(root, "var/spool/postfix/incoming/B1", 0o600);
    write(root, "var/spool/postfix/maildrop/B2", 0o600);
    // What is told of messages is none.
    write(root, "var/spool/postfix/defer/A/A1B2C3", 0o600);
    write(root, "var/spool/postfix-out/hold/C1", 0o700);
}

/// Red Hat's sendmail, by its alternatives.
#[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
fn sendmail(root: &Path) {
    fs::create_dir_all(root.join("usr/sbin")).unwrap();
    fs::create_dir_all(root.join("etc/alternatives")).unwrap();
    symlink("/etc/alternatives/mta", root.join("usr/sbin/sendmail")).unwrap();
    symlink(
        "/usr/sbin/sendmail.sendmail",
        root.join("etc/alternatives/mta"),
    )
    .unwrap();
    write(root, "usr/sbin/sendmail.sendmail", 0o755);
    text(
        root,
        "etc/mail/sendmail.cf",
        "O QueueDirectory=/var/spool/mqueue/q*\n",
    );
    for name in [
        "q1/qf1oAN0001",
        "q1/df1oAN0001",
        "q2/hf1oAN0002",
        "q2/df1oAN0002",
        "q2/df3",
    ] {
        write(root, &format!("var/spool/mqueue/{name}"), 0o600);
    }
}

#[test]
fn every_instance_and_both_kinds_of_mta_are_found() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    postfix(old.path());
    sendmail(new.path());
    let source = DirHost::open(Side::Source, old.path()).unwrap();
    let target = DirHost::open(Side::Target, new.path()).unwrap();
    let seen = observe(Some(&source), &target).unwrap();
    let there = seen.source.as_ref().unwrap();
    // What postconf(5) says is the default, from a tree whose programs do not run.
    let accepting = Accepting::Postfix {
        path: "/var/spool/postfix".into(),
        hashed: BTreeSet::from(["defer", "deferred"].map(str::to_owned)),
        depth: 1,
    };
    assert_eq!(there.accepting, Some(accepting));
    let waiting = [
        ("/var/spool/postfix-out/hold", 1),
        ("/var/spool/postfix/deferred", 2),
        ("/var/spool/postfix/maildrop", 1),
    ];
    let waiting = waiting.map(|(queue, count)| (queue.to_owned(), count));
    assert_eq!(there.waiting, BTreeMap::from(waiting));
    assert_eq!(there.count(), 4);
    let here = seen.target.as_ref().unwrap();
    let path = "/var/spool/mqueue/q1".into();
    assert_eq!(here.accepting, Some(Accepting::Sendmail { path }));
    assert_eq!(here.count(), 2);
    let kinds: Vec<_> = here.directories.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [QueueKind::Sendmail, QueueKind::Sendmail]);

    let mut stable = seen.clone();
    stable.forget_counts();
    write(old.path(), "var/spool/postfix/maildrop/A4", 0o744);
    let mut later = observe(Some(&source), &target).unwrap();
    assert_ne!(later, seen);
    later.forget_counts();
    assert_eq!(later, stable);
}

#[test]
fn both_directions_are_the_same_plan() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    postfix(old.path());
    sendmail(new.path());
    let source = DirHost::open(Side::Source, old.path()).unwrap();
    let target = DirHost::open(Side::Target, new.path()).unwrap();
    let seen = observe(Some(&source), &target).unwrap();
    let carry = draft(&manifest(), Side::Source, Side::Target, &seen)
        .unwrap()
        .unwrap();
    assert_eq!(carry.flush, [Command::FlushPostfix]);
    assert_eq!(carry.trees.len(), 2);
    assert_eq!(carry.begin.side, Side::Target);
    assert_eq!(
        carry.begin.undo,
        [Step::Queue(QueueStep::Drop(carry.queue.clone()))]
    );
    assert_eq!(carry.commit_to[1], Step::Run(Command::FlushSendmail));
    // Postfix has no notion of what the target's sendmail holds, and would deliver it.
    let held = draft(&manifest(), Side::Target, Side::Source, &seen).unwrap_err();
    let path = "/var/spool/mqueue/q2".into();
    let (side, messages) = (Side::Target, 1);
    assert_eq!(
        held,
        [Problem::Quarantined {
            side,
            path,
            messages
        }]
    );
    let released = new.path().join("var/spool/mqueue/q2");
    #[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
    fs::rename(released.join("hf1oAN0002"), released.join("qf1oAN0002")).unwrap();
    let seen = observe(Some(&source), &target).unwrap();
    let back = draft(&manifest(), Side::Target, Side::Source, &seen)
        .unwrap()
        .unwrap();
    assert_eq!(back.begin.side, Side::Source);
    assert_eq!(back.queue.ready, "/var/spool/postfix/reconcile-move".into());
    let none = Actual {
        target: Some(HostQueues::default()),
        ..seen
    };
    let problems = draft(&manifest(), Side::Source, Side::Target, &none).unwrap_err();
    assert_eq!(problems, [Problem::NoMta { side: Side::Target }]);
    // And nothing is to be done where nothing waits.
    assert_eq!(
        draft(&manifest(), Side::Target, Side::Source, &none),
        Ok(None)
    );
}

/// A volume with so much room.
fn volume(path: &str, free_bytes: u64, free_inodes: Option<u64>) -> Volume {
    let path = path.into();
    Volume {
        path,
        free_bytes,
        free_inodes,
    }
}

#[test]
fn what_waits_has_room_twice_on_the_other_host() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    postfix(old.path());
    postfix(new.path());
    let message = old.path().join("var/spool/postfix/deferred/A/A1B2C3");
    #[expect(clippy::disallowed_methods, reason = "the test makes the hosts")]
    fs::write(message, vec![0; 1 << 20]).unwrap();
    let source = DirHost::open(Side::Source, old.path()).unwrap();
    let target = DirHost::open(Side::Target, new.path()).unwrap();
    let mut seen = observe(Some(&source), &target).unwrap();
    let waits = seen.source.as_ref().unwrap().size;
    // Four messages, and what may be told of each.
    assert_eq!((waits.files, waits.bytes), (8, (1 << 20) + 4 * 4096));
    // The test's directory is one file system.
    let room = &seen.target.as_ref().unwrap().room;
    assert_eq!(room.len(), 1, "{room:?}");

    let mut full = |room: Vec<Volume>| {
        seen.target.as_mut().unwrap().room = room;
        let refused = draft(&manifest(), Side::Source, Side::Target, &seen).err();
        refused.map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (once, twice) = (waits.bytes * 11 / 10, waits.bytes * 22 / 10);
    let records = |free, inodes| volume("/var/lib/reconcile", free, inodes);
    let queue = |free, inodes| volume("/var/spool/postfix", free, inodes);
    assert_eq!(full(vec![records(twice, Some(17))]), None);
    assert_eq!(full(vec![records(once, None), queue(once, None)]), None);
    let refused = full(vec![records(twice - 1, None)]).unwrap();
    assert_eq!(
        refused,
        [
            "what waits in the other host's mail queue needs 2.3 MB in 17 files on the file system of \
             /var/lib/reconcile on the target, where 2.3 MB are free; make room there, or empty the \
             queue: `mailq` shows it"
        ]
    );
    let refused = full(vec![records(once, None), queue(once, Some(7))]).unwrap();
    assert!(
        refused[0].contains("/var/spool/postfix on the target"),
        "{refused:?}"
    );
    assert!(refused[0].contains("are free for 7 files"), "{refused:?}");
}

#[test]
fn the_last_queue_directory_of_a_configuration_counts() {
    let cf = "# O QueueDirectory=/no\nO QueueDirectory=/a\nDZ8\nO QueueDirectory=/var/spool/b \n";
    assert_eq!(queue_directory(cf), Some("/var/spool/b"));
    assert_eq!(queue_directory("O QueueLA=8\n"), None);
}
