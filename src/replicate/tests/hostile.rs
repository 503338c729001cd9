//! Users who plant things, and machines that die: nothing outside is read or written, nothing is
//! lost.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, Mode, RenameFlags, mkfifoat, renameat_with};

use super::bench::{Bench, Way, root, run, write};
use crate::error::Kind;
use crate::names::Uid;
use crate::plan::change::Difference;
use crate::replicate::{Depth, Oddity};

/// Every file beneath a directory, links not followed.
fn contents(dir: &Path, all: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            contents(&path, all);
        } else if kind.is_file() {
            all.push(fs::read(&path).unwrap());
        }
    }
}

#[test]
fn what_is_planted_is_not_followed() {
    if !root() {
        return;
    }
    for way in Way::UNLIKE {
        let mut bench = Bench::by(way);
        bench.owner = Uid(500);
        bench.ids.uids = [(Uid(500), Uid(500)), (Uid(0), Uid(0))].into();
        let home = bench.home();
        write(bench.source.join("shadow"), "SECRET");
        symlink("/etc/shadow", home.join("mail")).unwrap();
        symlink("../..", home.join("up")).unwrap();
        fs::hard_link(bench.source.join("shadow"), home.join("planted")).unwrap();
        mkfifoat(CWD, home.join("fifo"), Mode::RUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.join("socket")).unwrap();
        run(
            "mknod",
            &[home.join("null").to_str().unwrap(), "c", "1", "3"],
        );
        for name in [&b"new\nline"[..], b"caf\xe9", b" ", b"\x1b[2J"] {
            write(home.join(OsStr::from_bytes(name)), name);
        }
        write(home.join("suid"), "root's");
        fs::set_permissions(home.join("suid"), fs::Permissions::from_mode(0o4755)).unwrap();
        write(home.join(".reconcile-staging/x"), "the name is ours");
        // What stays behind is left alone where it is on the target.
        write(bench.there().join("planted"), "of the target");
        // A link on the target, in the way of a directory and of a file.
        write(bench.target.join("outside/kept"), "outside");
        symlink("../../outside", bench.there().join("dir")).unwrap();
        symlink("../../outside/kept", bench.there().join("suid")).unwrap();
        write(home.join("dir/kept"), "inside");

        let report = bench.converge();
        for (oddity, count) in [
            (Oddity::ForeignHardLink, 1),
            (Oddity::Fifo, 1),
            (Oddity::Socket, 1),
            (Oddity::Device, 1),
            (Oddity::SetIdDropped, 1),
            (Oddity::ReservedName, 1),
        ] {
            assert_eq!(report.oddities.count(oddity), count, "{oddity:?}");
        }
        let there = bench.there();
        assert_eq!(
            fs::read_link(there.join("mail")).unwrap(),
            Path::new("/etc/shadow")
        );
        assert_eq!(fs::read(there.join("planted")).unwrap(), b"of the target");
        assert_eq!(
            fs::read(bench.target.join("outside/kept")).unwrap(),
            b"outside"
        );
        assert_eq!(fs::read(there.join("dir/kept")).unwrap(), b"inside");
        assert_eq!(
            fs::metadata(there.join("suid")).unwrap().mode() & 0o7777,
            0o755
        );
        assert_eq!(
            fs::read(there.join(OsStr::from_bytes(b"caf\xe9"))).unwrap(),
            b"caf\xe9"
        );
    }
}

#[test]
fn a_file_of_another_linked_into_the_target_keeps_its_metadata() {
    if !root() {
        return;
    }
    let bench = Bench::new();
    write(bench.home().join("copy"), "same content");
    fs::set_permissions(bench.home().join("copy"), fs::Permissions::from_mode(0o666)).unwrap();
    let victim = bench.target.join("victim");
    write(&victim, "same content");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(bench.there()).unwrap();
    fs::hard_link(&victim, bench.there().join("copy")).unwrap();
    bench.converge();
    let meta = fs::metadata(&victim).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.nlink()), (0o600, 1));
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    let bench = Bench::new();
    for side in [&bench.source, &bench.target] {
        write(side.join("outside/secret"), "SECRET");
        write(side.join("outside/deep/secret"), "SECRET");
        symlink("../../outside", side.join("home/evil")).unwrap();
    }
    for n in 0..40 {
        write(bench.home().join(format!("box/deep/{n}")), "mail");
        write(bench.there().join(format!("box/deep/old{n}")), "old mail");
    }
    for n in 0..60 {
        write(bench.home().join("more"), n.to_string());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for side in [&bench.source, &bench.target] {
                let (done, home) = (&done, side.join("home"));
                scope.spawn(move || {
                    let (a, b) = (home.join("evil"), home.join("alice/box"));
                    while !done.load(Ordering::Relaxed) {
                        // On the target it may be in the staging directory at this moment.
                        let _raced = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
                    }
                });
            }
            // A race may make a run fail; it must not make it go astray.
            let _raced = bench.try_copy();
            done.store(true, Ordering::Relaxed);
        });
        let mut all = Vec::new();
        contents(&bench.target.join("home"), &mut all);
        assert!(!all.iter().any(|c| c == b"SECRET"), "read from outside");
        for side in [&bench.source, &bench.target] {
            let mut outside = Vec::new();
            contents(&side.join("outside"), &mut outside);
            assert_eq!(outside, [b"SECRET", b"SECRET"], "written outside");
        }
    }
}

#[test]
fn a_run_that_is_stopped_anywhere_can_be_run_again() {
    let bench = Bench::new();
    for n in 0..200 {
        write(
            bench.home().join(format!("Maildir/cur/{n}")),
            vec![b'x'; 20_000],
        );
    }
    let mut interrupted = 0;
    for delay in (0..12).map(|n| Duration::from_micros(400 * n)) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(delay);
                bench.stop.store(true, Ordering::Relaxed);
            });
            if let Err(error) = bench.try_copy() {
                assert_eq!(error.kind(), Kind::Interrupted, "{error}");
                interrupted += 1;
            }
        });
        bench.stop.store(false, Ordering::Relaxed);
        let mut all = Vec::new();
        if let Ok(true) = bench.there().join("Maildir/cur").try_exists() {
            contents(&bench.there().join("Maildir/cur"), &mut all);
        }
        assert!(all.iter().all(|c| c.len() == 20_000), "half-written");
    }
    assert!(interrupted > 0);
    bench.converge();
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let bench = Bench::new();
    write(bench.home().join("a"), "a");
    write(bench.there().join(".reconcile-staging/1"), "half");
    write(bench.there().join(".reconcile-staging/2/1/deep"), "old");
    write(bench.target.join("mail/.reconcile-staging.alice/7"), "half");
    write(bench.index.join(".home.new"), "half");
    let left: Vec<_> = bench.differences(Depth::Content);
    let staging: Vec<_> = left.iter().filter(|d| d.0.contains("staging")).collect();
    let beside_the_mailbox = (
        ".reconcile-staging.alice".to_owned(),
        Difference::Extraneous,
    );
    assert_eq!(staging, [&beside_the_mailbox]);
    bench.converge();
    assert!(!bench.there().join(".reconcile-staging").exists());
    assert!(!bench.target.join("mail/.reconcile-staging.alice").exists());
    let names: Vec<_> = fs::read_dir(&bench.index).unwrap().collect();
    assert_eq!(names.len(), 2, "one index for each tree");
}

#[test]
fn the_name_of_the_staging_directory_taken_by_something_else_is_refused() {
    let bench = Bench::new();
    write(bench.home().join("a"), "a");
    fs::create_dir(bench.there()).unwrap();
    symlink("/", bench.there().join(".reconcile-staging")).unwrap();
    let error = bench.try_copy().unwrap_err();
    assert!(
        error.remedy().unwrap().contains(".reconcile-staging"),
        "{error}"
    );
}

#[test]
fn comparing_changes_nothing() {
    for way in Way::UNLIKE {
        let bench = Bench::by(way);
        write(bench.home().join("a/b"), "content");
        write(bench.there().join("a/b"), "CONTENT");
        write(bench.there().join("c"), "");
        let stat = || {
            let mut out = String::new();
            for side in [&bench.source, &bench.target] {
                let args = [
                    side.to_str().unwrap(),
                    "-printf",
                    "%p %i %s %m %U %G %T@ %C@ %A@\n",
                ];
                out += &run("find", &args);
            }
            out
        };
        // Settle the access times first.
        let _looked = (stat(), File::open(bench.home()).unwrap());
        let before = stat();
        bench.differences(Depth::Content);
        bench.differences(Depth::Index);
        assert_eq!(stat(), before);
    }
}

/// tar gets paths, which a user may lead elsewhere: what is read then is not taken.
#[test]
fn a_path_that_programs_are_led_astray_by_gives_nothing_away() {
    if !root() {
        return;
    }
    let mut bench = Bench::by(Way::Programs);
    bench.owner = Uid(500);
    bench.ids.uids = [(Uid(500), Uid(500)), (Uid(0), Uid(0))].into();
    for n in 0..40 {
        write(bench.home().join(format!("box/deep/{n}")), "mail");
    }
    write(bench.home().join("box/rooted"), "of root, and in the home");
    run("chown", &["-R", "500", bench.home().to_str().unwrap()]);
    run(
        "chown",
        &["0", bench.home().join("box/rooted").to_str().unwrap()],
    );
    for name in ["rooted", "deep/0", "deep/7"] {
        write(bench.source.join("outside").join(name), "SECRET");
    }
    symlink("../../outside", bench.source.join("home/evil")).unwrap();
    for n in 0..25 {
        write(bench.home().join("more"), n.to_string());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let home = bench.source.join("home");
                let (a, b) = (home.join("evil"), home.join("alice/box"));
                while !done.load(Ordering::Relaxed) {
                    let _raced = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
                    std::thread::sleep(Duration::from_millis(n % 5));
                }
            });
            // A race may make a run fail; it must not make it go astray.
            let _raced = bench.try_copy();
            done.store(true, Ordering::Relaxed);
        });
        let mut all = Vec::new();
        contents(&bench.target.join("home"), &mut all);
        assert!(!all.iter().any(|c| c == b"SECRET"), "read from outside");
    }
}

#[test]
fn what_programs_could_not_read_is_told() {
    if !root() {
        return;
    }
    let bench = Bench::by(Way::Programs);
    write(bench.home().join("mail/a"), "mail");
    write(bench.home().join("deep/er/b"), "mail");
    // 200 levels are the most.
    let deep = vec!["d"; 205].join("/");
    fs::create_dir_all(bench.home().join(deep)).unwrap();
    let mounted = bench.home().join("mounted");
    fs::create_dir(&mounted).unwrap();
    run("mount", &["-t", "tmpfs", "none", mounted.to_str().unwrap()]);
    write(mounted.join("x"), "of another file system");
    let report = bench.try_copy();
    run("umount", &[mounted.to_str().unwrap()]);
    let report = report.unwrap();
    assert_eq!(report.oddities.count(Oddity::OtherFileSystem), 1);
    assert_eq!(report.failed, 1, "{report:?}");
    assert!(report.failures[0].what.contains("nested too deeply"));
    assert!(!report.complete());
    assert!(!bench.there().join("mounted/x").exists());
    assert!(bench.there().join("deep/er/b").exists());
}

#[test]
fn a_mailbox_that_grows_while_programs_read_it_is_whole_or_not_there() {
    let bench = Bench::by(Way::Programs);
    let line = "From alice and a line that is always of the same length\n";
    let path = bench.home().join("mail/growing");
    write(&path, line.repeat(20_000));
    for n in 0..40 {
        write(bench.home().join(format!("small{n}")), line);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write as _;
            while !done.load(Ordering::Relaxed) {
                for name in ["mail/growing", "small7"] {
                    let path = bench.home().join(name);
                    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
                    file.write_all(line.as_bytes()).unwrap();
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for _ in 0..3 {
            let report = bench.try_copy().unwrap();
            assert_eq!(report.failed, 0, "{report:?}");
            for name in ["mail/growing", "small7"] {
                if let Ok(copied) = fs::read(bench.there().join(name)) {
                    let whole = copied.len() % line.len() == 0;
                    assert!(whole && !copied.contains(&0), "{name}");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    bench.converge();
}
