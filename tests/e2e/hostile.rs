//! Users who plant traps: nothing outside a tree is read into it or written from it, and each oddity
//! is in the plan.

use std::ffi::CString;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};

use crate::accounts::Account;
use crate::home::{Home, mbox};
use crate::requirement;
use crate::root::{MAIL_GID, Root};
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Kind, Snapshot};
use crate::village::village;

/// In files that no copy may contain.
const SECRET: &str = "this must not leave its place";

/// The village, with mallory in it, and secrets inside and outside of the source's root.
fn with_mallory() -> (Sandbox, Account) {
    let sandbox = village();
    let source = sandbox.source();
    source.file("etc/secret", SECRET).mode("etc/secret", 0o600);
    let outside = Root::at(&sandbox.path("outside"));
    outside
        .dir("", 0o755)
        .file("secret", SECRET)
        .file("x", SECRET)
        .file("y", SECRET);
    let mallory = Account::person("mallory", 1666);
    mallory.join(&source);
    (sandbox, mallory)
}

fn home_of<'a>(root: &'a Root, of: &'a Account) -> Home<'a> {
    Home {
        root,
        of,
        mail_gid: MAIL_GID,
    }
}

/// No file of the target holds the secret.
#[track_caller]
fn assert_nothing_leaked(target: &Root) {
    for (path, entry) in Snapshot::of(target.path()).0 {
        if matches!(entry.kind, Kind::File(_)) {
            let content = target.read(&path);
            let found = content
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes());
            assert!(!found, "{} holds the secret", path.escape_ascii());
        }
    }
}

#[test]
fn symlinks_are_copied_as_they_are_and_never_followed() {
    if !requirement::root() {
        return;
    }
    let (sandbox, mallory) = with_mallory();
    let source = sandbox.source();
    let home = home_of(&source, &mallory);
    let outside = sandbox.path("outside");
    let links: [(&str, &[u8]); 7] = [
        ("shadow", b"/etc/shadow"),
        ("up", b"../.."),
        ("secret", b"../../etc/secret"),
        ("outside", outside.as_os_str().as_encoded_bytes()),
        ("mail", b"/etc"),
        (".forward", b"/etc/secret"),
        ("Maildir", b"../../../../../../../../../../etc"),
    ];
    for (name, to) in links {
        home.link(name, to);
    }
    source
        .link("var/mail/mallory", "/etc/shadow")
        .own("var/mail/mallory", 1666, MAIL_GID);
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let target = sandbox.target();
    for (name, to) in links {
        let link = fs::read_link(target.join(format!("home/mallory/{name}"))).unwrap();
        assert_eq!(link.as_os_str().as_encoded_bytes(), to, "{name}");
    }
    assert_nothing_leaked(&target);
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn a_hard_link_to_a_file_of_another_user_stays_behind_and_is_reported() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let source = sandbox.source();
    source
        .file("home/alice/diary", SECRET)
        .own("home/alice/diary", 1000, 1000);
    source.mode("home/alice/diary", 0o600);
    for (from, to) in [("home/alice/diary", "diary"), ("etc/shadow", "passwords")] {
        fs::hard_link(source.join(from), source.join(format!("home/mallory/{to}"))).unwrap();
    }
    let run = sandbox.reconcile(["plan"]).exits(0);
    run.shows("hard links to files of other users stay behind")
        .shows("diary")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let target = sandbox.target();
    assert_eq!(target.read("home/alice/diary"), SECRET.as_bytes());
    assert_eq!(
        fs::read_dir(target.join("home/mallory")).unwrap().count(),
        0
    );
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

#[test]
fn fifos_sockets_and_devices_stay_behind_and_are_reported() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let source = sandbox.source();
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("disk", FileType::BlockDevice, makedev(7, 200)),
    ] {
        let path = source.join(format!("home/mallory/{name}"));
        mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device).unwrap();
    }
    let socket = UnixListener::bind(source.join("home/mallory/socket")).unwrap();
    let run = sandbox
        .reconcile(["plan"])
        .exits(0)
        .shows("fifos stay behind");
    run.shows("sockets stay behind")
        .shows("device nodes stay behind")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(
        fs::read_dir(sandbox.target().join("home/mallory"))
            .unwrap()
            .count(),
        0
    );
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    drop(socket);
}

#[test]
fn a_spool_entry_that_is_no_mailbox_stays_behind_and_hangs_nobody() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let path = sandbox.source().join("var/mail/mallory");
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    sandbox
        .reconcile(["plan"])
        .exits(0)
        .shows("fifos stay behind")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    assert!(!sandbox.target().join("var/mail/mallory").exists());
}

#[test]
fn names_with_control_characters_are_carried_and_escaped_where_they_are_shown() {
    if !requirement::root() {
        return;
    }
    let (sandbox, mallory) = with_mallory();
    let source = sandbox.source();
    let home = home_of(&source, &mallory);
    let names: [&[u8]; 5] = [
        b"\x1b[2J\x1b[1;1H",
        b"two\nlines",
        b"\xff\xfe",
        b"  mail alice  (missing)",
        b"tab\there",
    ];
    for name in names {
        home.file(name, "x");
    }
    let run = sandbox.reconcile(["plan", "--full"]).exits(0);
    assert!(!run.stdout.contains(['\x1b', '\t']), "{}", run.describe());
    let raw_line = run.stdout.lines().find(|line| line.starts_with("lines"));
    assert_eq!(raw_line, None, "{}", run.describe());
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let copied = Snapshot::of(&sandbox.target().join("home/mallory"));
    for name in names {
        assert!(
            copied.0.contains_key(name),
            "{} is missing",
            name.escape_ascii()
        );
    }
}

#[test]
fn a_set_id_file_of_somebody_else_loses_the_bit() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let source = sandbox.source();
    source
        .file("home/mallory/sh", "#!")
        .own("home/mallory/sh", 0, 0)
        .mode("home/mallory/sh", 0o4755);
    sandbox
        .reconcile(["plan"])
        .exits(0)
        .shows("setuid or setgid bits are dropped")
        .done();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let copied = Snapshot::of(sandbox.target().path()).below("home/mallory/sh");
    assert_eq!(copied.0.values().next().unwrap().mode & 0o7777, 0o755);
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

#[test]
fn files_already_on_the_target_are_in_the_way_and_are_set_aside_only_when_adopted() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let target = sandbox.target();
    target
        .dir("home/alice", 0o700)
        .file("home/alice/precious", "only here\n");
    target
        .link("var/mail/mallory", "/etc/shadow")
        .link("home/mallory", "/etc");
    let before = Snapshot::of(target.path());
    sandbox
        .reconcile(["apply", "--yes"])
        .exits(3)
        .shows("/home/alice")
        .shows("mail.adopt")
        .done();
    let after = Snapshot::of(target.path());
    after.assert_same(&before, Closeness::Untouched, "a blocked apply");
    target.remove("home/mallory");
    sandbox.manifest("source", "mail:\n  adopt: [alice, mallory]\n");
    let shadow = target.read("etc/shadow");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    assert_eq!(
        target.read("home/.alice.before-e2e/precious"),
        b"only here\n"
    );
    assert!(
        target.read("etc/shadow").starts_with(&shadow),
        "the lines of before are gone"
    );
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

#[test]
fn a_symlink_planted_on_the_target_is_replaced_and_never_written_through() {
    if !requirement::root() {
        return;
    }
    let (sandbox, mallory) = with_mallory();
    let source = sandbox.source();
    let home = home_of(&source, &mallory);
    home.dir("mail")
        .file("mail/x", "x\n")
        .file("mail/y", "y\n")
        .file("z", "z\n");
    home.spool(mbox(1, "hello"));
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();

    let (target, outside) = (sandbox.target(), sandbox.path("outside"));
    let before = Snapshot::of(&outside);
    target.remove("home/mallory/mail");
    target.link("home/mallory/mail", outside.as_os_str().as_encoded_bytes());
    target
        .remove("home/mallory/z")
        .link("home/mallory/z", "../../etc/passwd");
    target
        .remove("var/mail/mallory")
        .link("var/mail/mallory", "/etc/group");
    home.file("mail/x", "x, again\n")
        .file("z", "z, again\n")
        .spool(mbox(2, "hello"));
    let accounts = ["etc/passwd", "etc/group"].map(|file| target.read(file));
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();

    Snapshot::of(&outside).assert_same(&before, Closeness::Untouched, "outside of the target");
    assert_eq!(
        ["etc/passwd", "etc/group"].map(|file| target.read(file)),
        accounts
    );
    assert_eq!(target.read("home/mallory/mail/x"), b"x, again\n");
    assert!(!target.join("home/mallory/mail").is_symlink());
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn symlinked_parents_are_resolved_within_the_root() {
    if !requirement::root() {
        return;
    }
    let (sandbox, _) = with_mallory();
    let (source, target) = (sandbox.source(), sandbox.target());
    for root in [&source, &target] {
        root.dir("srv", 0o755);
        fs::rename(root.join("home"), root.join("srv/homes")).unwrap();
        fs::rename(root.join("var/mail"), root.join("srv/mail")).unwrap();
        root.link("home", "/srv/homes")
            .link("var/mail", "../../../../srv/mail");
    }
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    let [old, new] = [&source, &target].map(|root| Snapshot::of(&root.join("srv/mail")));
    old.assert_same(&new, Closeness::Equal, "spools behind links");
    let [old, new] = [&source, &target].map(|root| Snapshot::of(&root.join("srv/homes/bob")));
    old.assert_same(&new, Closeness::Equal, "homes behind links");
}

/// Swaps two names again and again until told to stop.
fn swap(a: &Path, b: &Path, stop: &AtomicBool) {
    let [a, b] = [a, b].map(|path| CString::new(path.as_os_str().as_encoded_bytes()).unwrap());
    while !stop.load(Ordering::Relaxed) {
        renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
    }
}

/// Runs `apply` some times while two names are being swapped.
fn apply_while_swapping(sandbox: &Sandbox, a: &Path, b: &Path, change: impl Fn(u32)) {
    const RUNS: u32 = 12;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(a, b, &stop));
        for number in 0..RUNS {
            change(number);
            let run = sandbox.reconcile(["apply", "--yes"]);
            if !matches!(run.code(), Some(0 | 1 | 3 | 4)) {
                stop.store(true, Ordering::Relaxed);
                panic!("{}", run.describe());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_source_directory_swapped_for_a_symlink_while_it_is_read_lets_nothing_in() {
    if !requirement::root() {
        return;
    }
    let (sandbox, mallory) = with_mallory();
    let source = sandbox.source();
    let home = home_of(&source, &mallory);
    home.dir("mail").dir("mail/deep").link(
        "trap",
        sandbox.path("outside").as_os_str().as_encoded_bytes(),
    );
    for name in ["x", "y", "deep/secret"] {
        home.file(format!("mail/{name}"), vec![b'm'; 1 << 20]);
    }
    let [mail, trap] = ["mail", "trap"].map(|name| source.join(home.path(name)));
    let y = source.join(home.path("mail/y"));
    apply_while_swapping(&sandbox, &mail, &trap, |number| {
        // Whichever of the two it hits: the file in the trap stays as it is.
        drop(fs::metadata(&y).map(|_| home.file(format!("new-{number}"), vec![b'n'; 1 << 18])));
        assert_nothing_leaked(&sandbox.target());
    });
    assert_nothing_leaked(&sandbox.target());
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    assert_nothing_leaked(&sandbox.target());
}

#[test]
fn a_target_directory_swapped_for_a_symlink_while_it_is_written_lets_nothing_out() {
    if !requirement::root() {
        return;
    }
    let (sandbox, mallory) = with_mallory();
    let (source, target) = (sandbox.source(), sandbox.target());
    let home = home_of(&source, &mallory);
    home.dir("mail").dir("mail/deep").dir("trap");
    for name in ["mail/x", "mail/y", "mail/deep/secret"] {
        home.file(name, vec![b'm'; 1 << 18]);
    }
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let outside = sandbox.path("outside");
    let before = Snapshot::of(&outside);
    // Somewhere the runs do not clean up.
    let trap = target.join("tmp/trap");
    std::os::unix::fs::symlink(&outside, &trap).unwrap();
    let mail = target.join("home/mallory/mail");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The run may have put a directory of its own there, or be about to.
                renameat_with(CWD, &mail, CWD, &trap, RenameFlags::EXCHANGE).ok();
            }
        });
        for number in 0..12_u8 {
            for name in ["mail/x", "mail/secret", "mail/deep/secret"] {
                home.file(name, vec![number; 1 << 18]);
            }
            let run = sandbox.reconcile(["apply", "--yes"]);
            if !matches!(run.code(), Some(0 | 1 | 3 | 4)) {
                stop.store(true, Ordering::Relaxed);
                panic!("{}", run.describe());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    Snapshot::of(&outside).assert_same(&before, Closeness::Untouched, "outside of the target");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox.reconcile(["verify"]).exits(0).done();
    Snapshot::of(&outside).assert_same(&before, Closeness::Untouched, "outside of the target");
}
