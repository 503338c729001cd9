//! Steps done again after half of them was done.

use std::path::Path;

use super::*;
use crate::host::queue::{Accepting, Carried, QueueDirectory, QueueKind, StagedQueue};
use crate::host::{Host as _, NewFile, ReadHost as _};
use crate::names::Side;
use crate::queue_file::sendmail;

const DEFERRED: &[u8] = include_bytes!("../../../queue_file/samples/postfix-deferred");
const BOUNCE_QF: &[u8] = include_bytes!("../../../queue_file/samples/sendmail-bounce-qf");

fn write(root: &Path, path: &str, content: &[u8], mode: u32) {
    let file = root.join(path);
    #[expect(clippy::disallowed_methods, reason = "the test makes the host")]
    {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
    }
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
}

/// A host with an MTA's empty queue, and what was brought to it: one of Postfix's messages, and three
/// of sendmail's, one without its body and one for a program.
fn host(into: Accepting) -> (tempfile::TempDir, DirHost, QueueMove) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let staged = "var/lib/reconcile/move/queue";
    write(
        root,
        &format!("{staged}/0/deferred/6/600C11C6174"),
        DEFERRED,
        0o700,
    );
    write(
        root,
        &format!("{staged}/0/defer/6/600C11C6174"),
        b"why\n",
        0o600,
    );
    write(
        root,
        &format!("{staged}/1/qf6AOA0RmC000276"),
        BOUNCE_QF,
        0o600,
    );
    write(
        root,
        &format!("{staged}/1/df6AOA0RmC000276"),
        b"null sender\n",
        0o600,
    );
    write(root, &format!("{staged}/1/qfLOST"), BOUNCE_QF, 0o600);
    write(
        root,
        &format!("{staged}/1/qfPROGRAM"),
        b"V8\nT1\nS<a@b>\nRPFD:|cat\n.\n",
        0o600,
    );
    write(root, &format!("{staged}/1/dfPROGRAM"), b"", 0o600);
    for queue in ["incoming", "deferred", "defer", "maildrop", "hold"] {
        make_dir(&root.join("var/spool/postfix").join(queue)).unwrap();
    }
    make_dir(&root.join("var/spool/mqueue")).unwrap();
    let queue = |kind, path: &str, name: &str| StagedQueue {
        from: QueueDirectory {
            kind,
            path: path.into(),
        },
        name: name.to_owned(),
    };
    let queue = QueueMove {
        staged: "/var/lib/reconcile/move/queue".into(),
        queues: vec![
            queue(QueueKind::Postfix, "/var/spool/postfix", "0"),
            queue(QueueKind::Sendmail, "/var/spool/mqueue", "1"),
        ],
        ready: into.path().join("reconcile-move"),
        into,
    };
    let host = DirHost::open(Side::Target, root).unwrap();
    (dir, host, queue)
}

fn postfix() -> Accepting {
    Accepting::Postfix {
        path: "/var/spool/postfix".into(),
        hashed: std::collections::BTreeSet::from(["deferred", "defer"].map(str::to_owned)),
        depth: 1,
    }
}

/// All files beneath a directory, without what tells the inode.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in entries(&next).unwrap() {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                let path = entry.path();
                let inode = format!("{:X}", entry.metadata().unwrap().ino());
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                let own = name
                    .strip_suffix(&inode)
                    .map(|start| format!("{start}INODE"));
                found.push(own.unwrap_or(name));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn each_message_is_given_once_however_often_it_is_asked_for() {
    let (dir, host, queue) = host(postfix());
    let spool = dir.path().join("var/spool/postfix");
    for _ in 0..2 {
        host.queue(&QueueStep::Prepare(queue.clone())).unwrap();
    }
    let expected = [
        "reconcile-move/defer/600C1",
        "reconcile-move/deferred/600C1INODE",
        "reconcile-move/maildrop/00000INODE",
    ];
    let ready = files(&spool);
    assert_eq!(ready.len(), 3, "{ready:?}");
    assert!(ready[0].starts_with(expected[0]), "{ready:?}");
    assert_eq!(ready[1..], expected[1..]);
    let carried = host.read(&Carried::path(&queue.staged)).unwrap().unwrap();
    let carried: Carried = serde_json::from_slice(&carried).unwrap();
    assert_eq!(carried.messages, 2);
    let left: Vec<_> = carried
        .left
        .iter()
        .map(|left| left.path.to_string())
        .collect();
    assert_eq!(
        left,
        ["/var/spool/mqueue/qfLOST", "/var/spool/mqueue/qfPROGRAM"]
    );
    assert_eq!(carried.left[0].why, "its body is not there");
    assert!(carried.left[1].why.contains("|cat"));
    let came: Vec<_> = carried.files.iter().map(ToString::to_string).collect();
    let expected = [
        "/var/spool/postfix/deferred/6/600C11C6174",
        "/var/spool/postfix/defer/6/600C11C6174",
        "/var/spool/mqueue/qf6AOA0RmC000276",
        "/var/spool/mqueue/df6AOA0RmC000276",
    ];
    assert_eq!(came, expected);

    // Died after the first: what is told of the message is there, the message is not.
    let given = entries(&spool.join("reconcile-move/defer")).unwrap();
    make_dir(&spool.join("defer/6")).unwrap();
    rename_new(
        &given[0].path(),
        &spool.join("defer/6").join(given[0].file_name()),
    )
    .unwrap();
    for _ in 0..3 {
        host.queue(&QueueStep::Deliver(queue.clone())).unwrap();
    }
    let given = files(&spool);
    assert_eq!(given.len(), 3, "{given:?}");
    assert!(given[0].starts_with("defer/6/600C1"), "{given:?}");
    assert_eq!(given[1..], ["deferred/6/600C1INODE", "maildrop/00000INODE"]);
    assert_eq!(host.lstat(&queue.staged).unwrap().map(|_| ()), None);
    let mode = |path: &str| {
        let path = spool.join(path);
        let file = entries(&path).unwrap().remove(0);
        file.metadata().unwrap().permissions().mode() & 0o7777
    };
    // `find /var/spool/postfix -printf %m` of Debian 12.
    assert_eq!(
        [mode("deferred/6"), mode("maildrop"), mode("defer/6")],
        [0o700, 0o744, 0o600]
    );
}

#[test]
fn what_sendmail_holds_is_not_given_to_postfix() {
    let held = |into| {
        let (dir, host, queue) = host(into);
        let staged = "var/lib/reconcile/move/queue/1";
        let held = sendmail::quarantined(BOUNCE_QF);
        write(dir.path(), &format!("{staged}/hfHELD"), &held, 0o600);
        write(dir.path(), &format!("{staged}/dfHELD"), b"bad\n", 0o600);
        host.queue(&QueueStep::Prepare(queue.clone())).unwrap();
        let carried = host.read(&Carried::path(&queue.staged)).unwrap().unwrap();
        let carried: Carried = serde_json::from_slice(&carried).unwrap();
        host.queue(&QueueStep::Deliver(queue)).unwrap();
        let mut left = carried.left.into_iter();
        let left = left.find(|left| left.path == "/var/spool/mqueue/hfHELD".into());
        (
            left.map(|left| left.why),
            files(&dir.path().join("var/spool")),
        )
    };
    let (left, files) = held(postfix());
    assert_eq!(left.as_deref(), Some("it is quarantined"));
    let maildrop = files.iter().filter(|file| file.contains("maildrop/"));
    assert_eq!(maildrop.count(), 1, "{files:?}");
    // Another sendmail holds it as well.
    let path = "/var/spool/mqueue".into();
    let (left, files) = held(Accepting::Sendmail { path });
    assert_eq!(left, None);
    assert!(files.contains(&"mqueue/hfHELD".to_owned()), "{files:?}");
}

#[test]
fn an_id_that_the_other_host_uses_is_not_used_twice() {
    let path = "/var/spool/mqueue".into();
    let (dir, host, queue) = host(Accepting::Sendmail { path });
    let spool = dir.path().join("var/spool/mqueue");
    write(&spool, "qf6AOA0RmC000276", b"another", 0o600);
    host.queue(&QueueStep::Prepare(queue.clone())).unwrap();
    host.queue(&QueueStep::Deliver(queue)).unwrap();
    let expected = [
        "df600C11C6174",
        "df6AOA0RmC000276r",
        // sendmail itself knows what to do with a program.
        "dfPROGRAM",
        "qf600C11C6174",
        "qf6AOA0RmC000276",
        "qf6AOA0RmC000276r",
        "qfPROGRAM",
    ];
    assert_eq!(files(&spool), expected);
}

#[test]
fn what_is_taken_back_leaves_nothing() {
    let (dir, host, queue) = host(postfix());
    host.queue(&QueueStep::Prepare(queue.clone())).unwrap();
    for _ in 0..2 {
        host.queue(&QueueStep::Drop(queue.clone())).unwrap();
    }
    assert_eq!(files(&dir.path().join("var")), [""; 0]);
    host.queue(&QueueStep::Deliver(queue)).unwrap();
    assert_eq!(files(&dir.path().join("var")), [""; 0]);
}

#[test]
fn what_was_carried_and_nothing_else_is_put_aside() {
    let (dir, host, _) = host(postfix());
    let root = dir.path();
    write(
        root,
        "var/spool/postfix/deferred/6/600C11C6174",
        DEFERRED,
        0o700,
    );
    write(root, "var/spool/postfix/maildrop/LATER", b"", 0o744);
    let aside = QueueAside {
        list: "/var/lib/reconcile/move/queue-carried.json".into(),
        queues: vec![QueueDirectory {
            kind: QueueKind::Postfix,
            path: "/var/spool/postfix".into(),
        }],
        kept: "/var/lib/reconcile/move/queue-carried".into(),
    };
    let list = |files: &[&str]| {
        let carried = Carried {
            files: files.iter().map(|&file| file.into()).collect(),
            ..Carried::default()
        };
        let json = serde_json::to_vec(&carried).unwrap();
        host.replace(&aside.list, &json, NewFile::root(0o600))
            .unwrap();
    };
    for _ in 0..2 {
        list(&[
            "/var/spool/postfix/deferred/6/600C11C6174",
            "/var/spool/postfix/hold/GONE",
        ]);
        host.queue(&QueueStep::SetAside(aside.clone())).unwrap();
        host.queue(&QueueStep::SetAside(aside.clone())).unwrap();
    }
    let kept = root.join("var/lib/reconcile/move/queue-carried");
    assert_eq!(files(&kept), ["var/spool/postfix/deferred/6/600C11C6174"]);
    assert_eq!(files(&root.join("var/spool/postfix")), ["maildrop/LATER"]);
    for outside in ["/etc/passwd", "/var/spool/postfix/../../../etc/passwd"] {
        list(&[outside]);
        let refused = host.queue(&QueueStep::SetAside(aside.clone()));
        assert!(refused.is_err(), "{outside}");
    }
}
