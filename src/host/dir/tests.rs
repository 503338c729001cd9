use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn root() -> (tempfile::TempDir, DirHost) {
    let dir = tempfile::tempdir().unwrap();
    let host = DirHost::open(Side::Target, dir.path()).unwrap();
    (dir, host)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests look past the host on purpose"
)]
fn write(dir: &tempfile::TempDir, name: &str, content: &str) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests look past the host on purpose"
)]
fn read(dir: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(dir.path().join(name)).unwrap()
}

#[test]
fn links_lead_nowhere_but_into_the_root() {
    let outside = tempfile::tempdir().unwrap();
    write(&outside, "shadow", "outside");
    let (dir, host) = root();
    write(&dir, "etc/real", "inside");
    symlink("/etc/real", dir.path().join("etc/absolute")).unwrap();
    symlink(
        "../../../../../../etc/real",
        dir.path().join("etc/climbing"),
    )
    .unwrap();
    symlink(outside.path().join("shadow"), dir.path().join("etc/escape")).unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();

    for inside in ["/etc/absolute", "/etc/climbing"] {
        assert_eq!(host.read(&inside.into()).unwrap().unwrap(), b"inside");
    }
    assert_eq!(host.read(&"/etc/escape".into()).unwrap(), None);
    assert_eq!(host.read(&"/out/shadow".into()).unwrap(), None);
    assert!(
        host.replace(&"/out/new".into(), b"x", NewFile::root(0o644))
            .is_err()
    );
    assert!(
        host.replace(&"/etc/escape".into(), b"x", NewFile::root(0o644))
            .is_err()
    );
    assert_eq!(read(&outside, "shadow"), "outside");

    host.replace(&"/etc/absolute".into(), b"new", NewFile::root(0o644))
        .unwrap();
    assert_eq!(read(&dir, "etc/real"), "new");
    assert!(dir.path().join("etc/absolute").is_symlink());
}

#[test]
fn renames_elsewhere_do_not_disturb_a_path_that_climbs() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (dir, host) = root();
    write(&dir, "srv/mail/alice", "mbox");
    std::fs::create_dir(dir.path().join("var")).unwrap();
    symlink("../../../srv/mail", dir.path().join("var/mail")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    write(&elsewhere, "a", "");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let [a, b] = ["a", "b"].map(|name| elsewhere.path().join(name));
            while !done.load(Ordering::Relaxed) {
                rustix::fs::rename(&a, &b)
                    .and_then(|()| rustix::fs::rename(&b, &a))
                    .unwrap();
            }
        });
        let seen: Vec<_> = (0..100_000)
            .map(|_| host.stat(&"/var/mail/alice".into()))
            .collect();
        done.store(true, Ordering::Relaxed);
        for stat in seen {
            assert_eq!(stat.unwrap().unwrap().size, 4);
        }
    });
}

#[test]
fn replacing_keeps_owner_mode_and_attributes() {
    let (dir, host) = root();
    write(&dir, "etc/shadow", "old");
    let path = dir.path().join("etc/shadow");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(0), Some(42)).unwrap();
    }
    let gid = path.metadata().unwrap().gid();
    host.replace(&"/etc/shadow".into(), b"new", NewFile::root(0o644))
        .unwrap();
    let after = path.metadata().unwrap();
    assert_eq!((after.mode() & 0o7777, after.gid()), (0o640, gid));
    assert_eq!(read(&dir, "etc/shadow"), "new");
    assert_eq!(
        host.list(&"/etc".into()).unwrap().unwrap(),
        ["shadow".into()]
    );
}

#[test]
fn reading_leaves_the_access_time_alone() {
    let (dir, host) = root();
    write(&dir, "etc/passwd", "old");
    let path = dir.path().join("etc/passwd");
    // relatime would move an access time that is older than the modification.
    let long_ago = std::fs::FileTimes::new().set_accessed(std::time::SystemTime::UNIX_EPOCH);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_times(long_ago).unwrap();
    assert_eq!(host.read(&"/etc/passwd".into()).unwrap().unwrap(), b"old");
    assert_eq!(path.metadata().unwrap().atime(), 0);
}

#[test]
fn absent_is_an_answer_and_a_fifo_does_not_hang() {
    let (dir, host) = root();
    write(&dir, "etc/file", "x");
    assert_eq!(host.read(&"/etc/none".into()).unwrap(), None);
    assert_eq!(host.read(&"/etc/file/below".into()).unwrap(), None);
    assert!(host.list(&"/none".into()).unwrap().is_none());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("etc/fifo"),
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let error = host.read(&"/etc/fifo".into()).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn the_lock_keeps_a_second_run_away_until_it_is_dropped() {
    let (dir, host) = root();
    let second = DirHost::open(Side::Target, dir.path()).unwrap();
    let lock = host.try_lock().unwrap().expect("free");
    assert!(second.try_lock().unwrap().is_none());
    drop(lock);
    assert!(second.try_lock().unwrap().is_some());
}

#[test]
fn account_locks_look_as_shadow_utils_makes_them_and_go_away() {
    let (dir, host) = root();
    write(&dir, "etc/passwd", "");
    write(&dir, "etc/shadow.lock", "999999999\0");
    let lock = host.lock_accounts().unwrap();
    let me = std::process::id();
    assert_eq!(read(&dir, "etc/passwd.lock"), format!("{me}\0"));
    assert_eq!(read(&dir, "etc/shadow.lock"), format!("{me}\0"));
    drop(lock);
    let left = host.list(&"/etc".into()).unwrap().unwrap();
    assert_eq!(left, [".pwd.lock".into(), "passwd".into()]);
}

#[test]
fn locks_of_a_killed_run_are_cleared_and_those_of_the_living_stay() {
    let (dir, host) = root();
    write(&dir, "etc/.group.reconcile-lock", "999999999\0");
    write(&dir, "etc/group.lock", "999999999\0");
    write(&dir, "etc/shadow.lock", "1\0");
    host.clear_account_locks().unwrap();
    assert_eq!(
        host.list(&"/etc".into()).unwrap().unwrap(),
        ["shadow.lock".into()]
    );
}

#[test]
fn renaming_never_replaces() {
    let (dir, host) = root();
    write(&dir, "a", "a");
    write(&dir, "b", "b");
    assert!(host.rename_new(&"/a".into(), &"/b".into()).is_err());
    host.rename_new(&"/a".into(), &"/c".into()).unwrap();
    assert_eq!((read(&dir, "b"), read(&dir, "c")), ("b".into(), "a".into()));
}

#[test]
fn a_live_host_runs_its_programs_and_an_offline_one_never_a_command() {
    let live = DirHost::live(Side::Source, "source (here)".to_owned()).unwrap();
    assert_eq!(live.state(), HostState::Live);
    assert_eq!(live.label(), "source (here)");
    let (_dir, offline) = root();
    let error = offline.run(&Command::ReloadUnits).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
}

#[test]
fn a_directory_that_two_make_at_once_is_there_for_both() {
    let (_dir, host) = root();
    for number in 0..200 {
        let path = HostPath::from(format!("/records/{number}/index").as_str());
        std::thread::scope(|scope| {
            let makers = [(); 4].map(|()| scope.spawn(|| host.make_dirs(&path, 0o700)));
            for maker in makers {
                maker.join().unwrap().unwrap();
            }
        });
    }
}
