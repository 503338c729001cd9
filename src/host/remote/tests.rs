//! A real agent at the other end of a socket, on this machine's own files.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests look past the hosts on purpose"
)]

mod direct;

use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::host::{DirHost, IndexFile, Lookup};
use crate::names::Uid;
use crate::plan::change::{Difference, Extraneous, Selection, TreeKind};
use crate::replicate::{Held, Oddity, Pace, Progress};

fn digest() -> [u8; 32] {
    let program = fs::read("/proc/self/exe").unwrap();
    blake3::hash(&program).into()
}

/// A remote host, and the socket that its life hangs on.
fn remote(side: Side) -> (RemoteHost, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let label = format!("{side} (ssh://root@test)");
    let there = label.clone();
    let output = theirs.try_clone().unwrap();
    std::thread::spawn(move || {
        // A test may break the connection on purpose.
        let _ended = crate::agent::serve(side, there, &theirs, output);
        theirs.shutdown(std::net::Shutdown::Both).ok();
    });
    let (from, to) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let host = RemoteHost::greet(side, label, from, to, &digest(), Arc::new(())).unwrap();
    (host, ours)
}

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: an agent serves root only");
    }
    root
}

fn path(path: &Path) -> HostPath {
    HostPath::from(path.as_os_str().as_bytes())
}

#[test]
fn a_remote_host_does_what_a_directory_does() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (host, _line) = remote(Side::Target);
    assert_eq!(host.state(), HostState::Live);
    let file = path(&dir.path().join("etc/shadow"));
    host.make_dirs(&file.parent(), 0o755).unwrap();
    assert!(host.stat(&file).unwrap().is_none());
    assert_eq!(host.read(&file).unwrap(), None);
    host.replace(&file, b"secret", NewFile::root(0o640))
        .unwrap();
    host.append(&file, b" more", NewFile::root(0o640)).unwrap();
    assert_eq!(host.read(&file).unwrap().unwrap(), b"secret more");
    let stat = host.lstat(&file).unwrap().unwrap();
    assert_eq!((stat.mode, stat.size), (0o640, 11));
    assert_eq!(
        host.list(&file.parent()).unwrap().unwrap(),
        ["shadow".into()]
    );
    let renamed = file.parent().join("gshadow");
    host.rename_new(&file, &renamed).unwrap();
    std::os::unix::fs::symlink("gshadow", dir.path().join("etc/link")).unwrap();
    let link = host.read_link(&file.parent().join("link")).unwrap();
    assert_eq!(link, Some("gshadow".into()));
    host.remove_file(&renamed).unwrap();
    host.remove_file(&renamed).unwrap();
    assert!(host.space(&file).unwrap().bytes > 0);
    host.sync(&[file].into()).unwrap();
}

#[test]
fn errors_come_back_with_host_path_cause_and_hint() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (host, _line) = remote(Side::Source);
    let error = host.read(&path(dir.path())).unwrap_err();
    assert!(
        error.to_string().contains("source (ssh://root@test)"),
        "{error}"
    );
    let absent = path(&dir.path().join("a/b"));
    let error = host
        .replace(&absent, b"", NewFile::root(0o600))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Host);
    assert!(crate::error::chain(&error).ends_with("No such file or directory (os error 2)"));
}

#[test]
fn a_lock_is_held_until_it_is_dropped_or_the_line_breaks() {
    if !root() {
        return;
    }
    let (host, line) = remote(Side::Target);
    let here = DirHost::open(Side::Target, Path::new("/")).unwrap();
    let free = || {
        let taken = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            here.try_lock().unwrap()
        });
        taken.is_some()
    };
    let Some(held) = host.try_lock().unwrap() else {
        eprintln!("SKIPPED: another test has the lock of this machine");
        return;
    };
    assert!(host.try_lock().unwrap().is_none());
    drop(held);
    assert!(free());
    let _held = host.try_lock().unwrap();
    line.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(free(), "the agent ended with its input");
    let error = host.stat(&"/".into()).unwrap_err();
    assert!(error.to_string().contains("was lost"), "{error}");
}

#[test]
fn a_program_is_heard_through_the_wire() {
    if !root() {
        return;
    }
    let (host, _line) = remote(Side::Source);
    let mut hearing = host.ask(&Probe::Echo(1 << 20)).unwrap().unwrap();
    let mut said = Vec::new();
    hearing.read_to_end(&mut said).unwrap();
    assert_eq!(said.len(), 1 << 20);
    let status = Some(0);
    assert!(
        matches!(hearing.end().unwrap(), super::super::Ended::Ran { status: s, .. } if s == status)
    );
    // One that nobody wants to hear to its end.
    let mut hearing = host.ask(&Probe::Echo(64 << 20)).unwrap().unwrap();
    hearing.read_exact(&mut [0; 10]).unwrap();
    drop(hearing);
    assert!(host.stat(&"/".into()).unwrap().is_some());
}

/// Who is at the ends of a replication.
#[derive(Clone, Copy, Debug)]
enum Ends {
    FromWire,
    ToWire,
    Both,
}

struct Trees {
    dir: tempfile::TempDir,
    stop: AtomicBool,
    progress: Progress,
}

impl Trees {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "source/alice/Maildir/cur",
            "source/alice/mail",
            "target",
            "index",
        ] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let trees = Self {
            dir,
            stop: AtomicBool::new(false),
            progress: Progress::default(),
        };
        for n in 0..300 {
            trees.write(
                &format!("Maildir/cur/{n}:2,S"),
                format!("mail {n}").as_bytes(),
            );
        }
        trees.write("mail/large", &vec![7; 3_000_000]);
        trees.write("mail/empty", b"");
        std::os::unix::fs::symlink("mail", trees.dir.path().join("source/alice/link")).unwrap();
        let sparse = fs::File::create(trees.dir.path().join("source/alice/sparse")).unwrap();
        sparse.set_len(5 << 20).unwrap();
        trees
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.dir.path().join("source/alice").join(name), content).unwrap();
    }

    fn job(&self) -> TreeJob {
        let at = |name: &str| path(&self.dir.path().join(name));
        TreeJob {
            tree: OriginTree {
                kind: TreeKind::Home,
                path: at("source/alice"),
                select: Selection::default(),
                owner: Uid(0),
                tracking: None,
            },
            target: at("target/alice"),
            ids: Arc::default(),
            extraneous: Extraneous::Remove,
            sealed: None,
            index: Some(IndexFile {
                dir: at("index"),
                name: "alice.home".to_owned(),
            }),
            sample: 5,
        }
    }

    fn watch(&self) -> Watch<'_> {
        Watch {
            progress: &self.progress,
            stop: &self.stop,
            differences: None,
        }
    }

    fn copy(&self, target: &dyn Host, source: &dyn ReadHost) -> Result<Report> {
        let mut copied = target.copy(&[self.job()], source, &mut self.watch());
        let report = copied.reports.pop().unwrap()?;
        target.sync(&[self.job().target].into())?;
        copied.indexes.commit()?;
        Ok(report)
    }

    fn differ(&self) -> String {
        let [from, to] = ["source", "target"].map(|name| self.dir.path().join(name));
        let out = std::process::Command::new("rsync")
            .args([
                "-aHAXn",
                "--numeric-ids",
                "--checksum",
                "--itemize-changes",
                "--delete",
            ])
            .args([from.join("alice/"), to.join("alice/")])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

fn open(ends: Ends) -> (Box<dyn ReadHost>, Box<dyn Host>, Vec<UnixStream>) {
    let here = |side| DirHost::open(side, Path::new("/")).unwrap();
    match ends {
        Ends::FromWire => {
            let (source, line) = remote(Side::Source);
            (Box::new(source), Box::new(here(Side::Target)), vec![line])
        }
        Ends::ToWire => {
            let (target, line) = remote(Side::Target);
            (Box::new(here(Side::Source)), Box::new(target), vec![line])
        }
        Ends::Both => {
            let ((source, one), (target, other)) = (remote(Side::Source), remote(Side::Target));
            (Box::new(source), Box::new(target), vec![one, other])
        }
    }
}

#[test]
fn trees_are_copied_and_compared_whichever_end_is_far() {
    if !root() {
        return;
    }
    for ends in [Ends::FromWire, Ends::ToWire, Ends::Both] {
        let trees = Trees::new();
        let (source, target, _lines) = open(ends);
        std::thread::sleep(Duration::from_millis(100));
        let report = trees.copy(&*target, &*source).unwrap();
        assert!(report.complete(), "{ends:?} {report:?}");
        assert_eq!(trees.differ(), "", "{ends:?}");
        let mails: usize = (0..300).map(|n| format!("mail {n}").len()).sum();
        let copied = trees.progress.copied.load(Ordering::Relaxed);
        assert_eq!(copied, 3_000_000 + mails as u64, "{ends:?}");
        let again = trees.copy(&*target, &*source).unwrap();
        assert!(again.delta.is_empty(), "{ends:?} {again:?}");
        trees.write("Maildir/cur/7:2,S", b"MAIL 7");
        let mut seen = Vec::new();
        let mut tell = |_, path: &[u8], differs| seen.push((path.to_vec(), differs));
        let mut watch = Watch {
            differences: Some(&mut tell),
            ..trees.watch()
        };
        let report = target
            .compare(&[trees.job()], Depth::Index, &*source, &mut watch)
            .pop();
        report.unwrap().unwrap();
        let changed = (b"Maildir/cur/7:2,S".to_vec(), Difference::Content);
        assert!(seen.contains(&changed), "{ends:?} {seen:?}");
        trees.copy(&*target, &*source).unwrap();
        assert_eq!(trees.differ(), "", "{ends:?}");
    }
}

#[test]
fn what_is_remembered_is_as_it_was_until_something_changes_or_nobody_needs_it() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    let (host, _line) = remote(Side::Target);
    let at = |name: &str| path(&trees.dir.path().join(name));
    let write = |name: &str, content: &str, mode| {
        let file = trees.dir.path().join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("public", "old", 0o644);
    write("private", "old", 0o640);
    let read = |name: &str| String::from_utf8(host.read(&at(name)).unwrap().unwrap()).unwrap();
    let usual = [
        (Lookup::Read, at("public")),
        (Lookup::Read, at("private")),
        (Lookup::Stat, at("later")),
    ];
    let remembered = host.remember(&usual).unwrap();
    write("public", "new", 0o644);
    write("private", "new", 0o640);
    write("later", "", 0o644);
    assert_eq!(read("public"), "old");
    assert!(host.stat(&at("later")).unwrap().is_none());
    assert_eq!(read("private"), "new", "it is not kept");
    host.make_dirs(&at("made"), 0o755).unwrap();
    assert_eq!(read("public"), "new");
    assert!(host.stat(&at("later")).unwrap().is_some());
    drop(remembered);

    // The second time it is known what will be asked.
    let remembered = host.remember(&[]).unwrap();
    write("public", "newer", 0o644);
    assert_eq!(read("public"), "new");
    drop(remembered);
    assert_eq!(read("public"), "newer");
}

#[test]
fn of_many_trees_one_that_cannot_be_told_of_keeps_no_other_back() {
    if !root() {
        return;
    }
    for ends in [Ends::FromWire, Ends::ToWire, Ends::Both] {
        let trees = Trees::new();
        let top = trees.dir.path();
        // More than are told of ahead; of some there is nothing, one is no directory, and the way to one
        // goes round.
        for n in (0..60).filter(|n| n % 7 != 3) {
            let home = top.join(format!("source/u{n}"));
            fs::create_dir_all(home.join("cur")).unwrap();
            for m in 0..n % 5 {
                fs::write(home.join(format!("cur/{m}:2,")), format!("{n} {m}")).unwrap();
            }
        }
        fs::remove_dir_all(top.join("source/u5")).unwrap();
        fs::write(top.join("source/u5"), "no home").unwrap();
        std::os::unix::fs::symlink("loop", top.join("source/loop")).unwrap();
        let jobs: Vec<TreeJob> = (0..60)
            .map(|n| {
                let mut job = trees.job();
                let name = if n == 40 {
                    "loop/u40".to_owned()
                } else {
                    format!("u{n}")
                };
                job.tree.path = path(&top.join("source").join(name));
                job.target = path(&top.join(format!("target/u{n}")));
                job.index = None;
                job
            })
            .collect();
        let (source, target, _lines) = open(ends);
        let reports = target.copy(&jobs, &*source, &mut trees.watch()).reports;
        assert_eq!(reports.len(), 60);
        for (n, report) in reports.iter().enumerate() {
            match (n, report) {
                (5 | 40, Err(error)) => assert_eq!(error.kind(), Kind::Host, "{n} {error}"),
                (_, Ok(report)) if n % 7 == 3 => {
                    assert_eq!(
                        report.oddities.count(Oddity::SourceAbsent),
                        1,
                        "{n} {report:?}"
                    );
                }
                (_, Ok(report)) => {
                    assert_eq!(report.source.files, 2 + n as u64 % 5, "{n} {report:?}");
                }
                (_, Err(error)) => panic!("{ends:?} {n} {error}"),
            }
        }
        for n in (0..60).filter(|n| n % 7 != 3 && ![5, 40].contains(n)) {
            for m in 0..n % 5 {
                let copy = fs::read(top.join(format!("target/u{n}/cur/{m}:2,"))).unwrap();
                assert_eq!(copy, format!("{n} {m}").into_bytes(), "{ends:?}");
            }
        }
        let again = target.compare(&jobs, Depth::Content, &*source, &mut trees.watch());
        for (n, report) in again.into_iter().enumerate() {
            assert!(report.map_or([5, 40].contains(&n), |report| report.delta.is_empty()));
        }
    }
}

#[test]
fn a_limit_holds_at_the_far_end_and_is_told_here() {
    if !root() {
        return;
    }
    let trees = Trees::new();
    let (source, target, _lines) = open(Ends::Both);
    let pace = Pace {
        limit: Some(1_000_000),
        ..Pace::default()
    };
    source.set_pace(pace).unwrap();
    trees.copy(&*target, &*source).unwrap();
    // 3 MB at 1 MB/s; most of that is waiting. It is told a few times a second.
    let told = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        source.held().limit > Duration::from_millis(300)
    });
    assert!(told, "{:?}", source.held());
    assert_eq!(target.held(), Held::default());
}

#[test]
fn a_job_that_is_stopped_says_so_and_can_be_run_again() {
    if !root() {
        return;
    }
    for ends in [Ends::FromWire, Ends::ToWire, Ends::Both] {
        let trees = Trees::new();
        let (source, target, _lines) = open(ends);
        trees.stop.store(true, Ordering::Relaxed);
        let error = trees.copy(&*target, &*source).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted, "{ends:?} {error}");
        trees.stop.store(false, Ordering::Relaxed);
        trees.copy(&*target, &*source).unwrap();
        assert_eq!(trees.differ(), "", "{ends:?}");
    }
}

#[test]
fn a_source_or_target_that_goes_away_is_an_error_that_names_it() {
    if !root() {
        return;
    }
    for (gone, name) in [(0, "source (ssh"), (1, "target (ssh")] {
        let trees = Trees::new();
        trees.write("mail/huge", &vec![1; 200_000_000]);
        let (source, target, lines) = open(Ends::Both);
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while trees.progress.copied.load(Ordering::Relaxed) == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                lines[gone].shutdown(std::net::Shutdown::Both).unwrap();
            });
            trees.copy(&*target, &*source).unwrap_err()
        });
        let text = crate::error::chain(&error);
        assert!(text.contains(name) && text.contains("was lost"), "{text}");
    }
}

#[test]
fn what_is_not_our_agent_is_refused() {
    let hello = |version, digest| {
        let hello = Hello {
            version,
            digest,
            uid: 0,
        };
        let mut bytes = Vec::new();
        wire::write(&mut bytes, wire::Kind::Hello, 0, &message::encode(&hello)).unwrap();
        bytes
    };
    let other = [0; 32];
    for bytes in [
        Vec::new(),
        b"Welcome to old.example.org!\n".to_vec(),
        hello(wire::VERSION + 1, digest()),
        hello(wire::VERSION, other),
    ] {
        let from = std::io::Cursor::new(bytes);
        let error = RemoteHost::greet(
            Side::Source,
            "source (ssh://x)".to_owned(),
            from,
            std::io::sink(),
            &digest(),
            Arc::new(()),
        )
        .unwrap_err();
        assert!(error.to_string().contains("source (ssh://x)"), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]

    #[test]
    fn an_agent_survives_whatever_it_is_told(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        bodies in proptest::collection::vec(
            (0..8_u8, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)), 0..4),
    ) {
        // Frames that are whole, with bodies that are not, and then no frames at all.
        let mut told = Vec::new();
        for (kind, mut body) in bodies {
            // No request by chance: this is the machine that the test runs on.
            body.splice(..0, [0xff; 6]);
            told.push(kind);
            told.extend(7_u32.to_le_bytes());
            told.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
            told.extend(body);
        }
        told.extend(bytes);
        // What matters is that it ends, and by itself.
        let _ended = crate::agent::serve(Side::Source, "x".to_owned(), &told[..], std::io::sink());
    }
}

#[test]
fn the_old_host_is_written_from_the_new_one_whichever_end_is_far() {
    if !root() {
        return;
    }
    for ends in [Ends::FromWire, Ends::ToWire, Ends::Both] {
        let trees = Trees::new();
        // The sides change places: what is called the source here is written.
        let here = |side| DirHost::open(side, Path::new("/")).unwrap();
        let (old, new, _lines): (Box<dyn Host>, Box<dyn ReadHost>, Vec<UnixStream>) = match ends {
            Ends::FromWire => {
                let (new, line) = remote(Side::Target);
                (Box::new(here(Side::Source)), Box::new(new), vec![line])
            }
            Ends::ToWire => {
                let (old, line) = remote(Side::Source);
                (Box::new(old), Box::new(here(Side::Target)), vec![line])
            }
            Ends::Both => {
                let ((old, one), (new, other)) = (remote(Side::Source), remote(Side::Target));
                (Box::new(old), Box::new(new), vec![one, other])
            }
        };
        std::thread::sleep(Duration::from_millis(100));
        fs::create_dir_all(trees.dir.path().join("target/alice")).unwrap();
        fs::write(trees.dir.path().join("target/alice/kept"), "kept").unwrap();
        let sealed = jiff::Timestamp::now() + Duration::from_mins(1);
        let job = TreeJob {
            extraneous: Extraneous::SetAside("t.1".to_owned()),
            sealed: Some(sealed),
            ..trees.job()
        };
        let jobs = [job];
        let mut copied = old.copy(&jobs, &*new, &mut trees.watch());
        let [job] = jobs;
        let report = copied.reports.pop().unwrap().unwrap();
        assert!(report.complete(), "{ends:?} {report:?}");
        old.sync(&[job.target.clone()].into()).unwrap();
        copied.indexes.commit().unwrap();
        assert_eq!(trees.differ(), "", "{ends:?}");
        let kept = "target/.reconcile-aside/t.1/alice/kept";
        assert_eq!(fs::read(trees.dir.path().join(kept)).unwrap(), b"kept");

        // What was changed by hand is told from far, too; our own is not.
        fs::write(
            trees.dir.path().join("target/alice/Maildir/cur/by-hand"),
            "x",
        )
        .unwrap();
        let job = TreeJob {
            sealed: Some(jiff::Timestamp::UNIX_EPOCH),
            ..job
        };
        let jobs = [job];
        let reports = old.compare(&jobs, Depth::Index, &*new, &mut trees.watch());
        let [job] = jobs;
        let report = reports.into_iter().next().unwrap().unwrap();
        let by_hand = report
            .oddities
            .count(crate::replicate::Oddity::ChangedByHand);
        // All of it is ours by the aside: there was nothing before.
        assert_eq!(by_hand, 0, "{ends:?}");
        let broken = TreeJob {
            extraneous: Extraneous::SetAside("../x".to_owned()),
            ..job
        };
        let copied = old.copy(&[broken], &*new, &mut trees.watch());
        let error = copied.only().unwrap_err();
        assert!(error.to_string().contains("no name"), "{error}");
    }
}
