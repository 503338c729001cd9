//! While the source's mail counts, each run brings the copy up to date, and carefully.

use std::fs;
use std::path::PathBuf;

use crate::accounts::Account;
use crate::hashes;
use crate::home::{Home, mbox, message};
use crate::program;
use crate::requirement;
use crate::root::MAIL_GID;
use crate::sandbox::Sandbox;
use crate::snapshot::{Closeness, Kind, Snapshot};
use crate::village::village;

/// The village after a first run.
fn staged() -> Option<Sandbox> {
    if !requirement::root() {
        return None;
    }
    let sandbox = village();
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    Some(sandbox)
}

#[track_caller]
fn converges(sandbox: &Sandbox) {
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
    sandbox.reconcile(["verify"]).exits(0).done();
}

#[test]
fn a_change_that_keeps_size_and_time_is_carried_from_either_side() {
    let Some(sandbox) = staged() else { return };
    for host in [sandbox.source(), sandbox.target()] {
        let path = host.join("var/mail/alice");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        host.edit("var/mail/alice", "X-Status: F", "X-Status: A");
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
        sandbox
            .reconcile(["plan", "--detailed-exitcode"])
            .exits(2)
            .shows("mail/alice")
            .done();
        converges(&sandbox);
        let [old, new] =
            [sandbox.source(), sandbox.target()].map(|root| root.read("var/mail/alice"));
        assert!(old == new, "the target's mbox is not the source's");
    }
}

#[test]
fn what_went_on_the_source_goes_on_the_target() {
    let Some(sandbox) = staged() else { return };
    let source = sandbox.source();
    source
        .remove("home/bob/Maildir/.Archive.2009")
        .remove("home/carol/links");
    source.remove("var/mail/carol");
    converges(&sandbox);
    let target = sandbox.target();
    assert!(!target.join("home/bob/Maildir/.Archive.2009").exists());
    assert!(!target.join("var/mail/carol").exists());
}

#[test]
fn a_user_removed_on_the_source_keeps_account_and_mail_on_the_target() {
    let Some(sandbox) = staged() else { return };
    let before = Snapshot::of(sandbox.target().path());
    let source = sandbox.source();
    for (file, name) in [
        ("etc/passwd", "dave"),
        ("etc/shadow", "dave"),
        ("etc/group", "dave"),
    ] {
        let text = String::from_utf8_lossy(&source.read(file)).into_owned();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        source.edit(file, &format!("{line}\n"), "");
    }
    source.remove("home/dave").remove("var/mail/dave");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    let after = Snapshot::of(sandbox.target().path());
    for tree in ["home/dave", "var/mail/dave", "etc/passwd", "etc/shadow"] {
        let [old, new] = [&before, &after].map(|all| all.clone().below(tree));
        new.assert_same(&old, Closeness::Equal, tree);
    }
}

#[test]
fn a_spool_that_is_not_mounted_removes_no_mail() {
    let Some(sandbox) = staged() else { return };
    let before = Snapshot::of(sandbox.target().path());
    let source = sandbox.source();
    fs::rename(source.join("var/mail"), source.join("var/unmounted")).unwrap();
    source.dir("var/mail", 0o755);
    sandbox
        .reconcile(["apply", "--yes"])
        .exits(3)
        .shows("/var/mail")
        .done();
    source.remove("var/mail");
    sandbox.reconcile(["apply", "--yes"]).exits(3).done();
    fs::rename(source.join("home"), source.join("homes")).unwrap();
    source.dir("home", 0o755);
    sandbox
        .reconcile(["apply", "--yes"])
        .exits(3)
        .shows("/home")
        .done();
    let after = Snapshot::of(sandbox.target().path());
    after.assert_same(&before, Closeness::Untouched, "without the source's mail");
}

#[test]
fn accounts_follow_the_source() {
    let Some(sandbox) = staged() else { return };
    let (source, target) = (sandbox.source(), sandbox.target());
    source.edit("etc/shadow", hashes::YESCRYPT, hashes::SHA256);
    source.edit(
        "etc/passwd",
        "dave:x:1003:1003:dave:",
        "dave:x:1003:1003:David:",
    );
    source.edit("etc/group", "alice,carol", "alice,carol,bob");
    source.edit("etc/gshadow", "alice,carol", "alice,carol,bob");
    let run = sandbox.reconcile(["plan", "--detailed-exitcode"]).exits(2);
    run.shows("account/bob")
        .shows("account/dave")
        .shows("staff-mail")
        .done();
    converges(&sandbox);
    for file in ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow"] {
        let [old, new] = [&source, &target].map(|root| root.read(file));
        let [old, new] = [&old, &new].map(|text| String::from_utf8_lossy(text).into_owned());
        for line in old
            .lines()
            .filter(|line| line.contains("dave") || line.contains("bob"))
        {
            assert!(new.lines().any(|other| other == line), "{file}: {line}");
        }
    }
}

#[test]
fn a_spool_behind_the_old_name_and_a_spool_of_directories_are_carried() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let source = sandbox.source();
    source.dir("var/spool", 0o755);
    fs::rename(source.join("var/mail"), source.join("var/spool/mail")).unwrap();
    source.edit(
        "etc/dovecot/dovecot.conf",
        "INBOX=/var/mail/",
        "INBOX=/var/spool/mail/",
    );
    source
        .remove("var/spool/mail/carol")
        .dir("var/spool/mail/carol", 0o700);
    source.own("var/spool/mail/carol", 1002, MAIL_GID);
    for part in ["cur", "new", "tmp"] {
        let dir = format!("var/spool/mail/carol/{part}");
        source.dir(&dir, 0o700).own(&dir, 1002, MAIL_GID);
    }
    source.file(
        "var/spool/mail/carol/new/1290000000.M1P1.old",
        "in a spool of directories\n",
    );
    converges(&sandbox);
    let [old, new] = [
        source.join("var/spool/mail"),
        sandbox.target().join("var/mail"),
    ]
    .map(|dir| Snapshot::of(&dir));
    old.assert_same(&new, Closeness::Equal, "spools");
}

#[test]
fn only_mail_moves_when_homes_are_mail_only() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    sandbox.manifest("source", "mail:\n  homes: mail-only\n");
    converges(&sandbox);
    let target = sandbox.target();
    assert!(target.join("home/alice/mail/Sent").exists());
    assert!(target.join("home/alice/.procmailrc").exists());
    assert!(!target.join("home/carol/tagged").exists());
    assert!(!target.join("home/alice/.bash_logout").exists());
}

#[test]
fn what_is_excluded_stays_behind_and_is_left_alone() {
    if !requirement::root() {
        return;
    }
    let sandbox = village();
    let rest = "users:\n  exclude: [\"car*\"]\nmail:\n  exclude: [\"mail/nest/**\", \"*.log\"]\n";
    sandbox.manifest("source", rest);
    sandbox.source().file("home/alice/x.log", "");
    converges(&sandbox);
    let target = sandbox.target();
    assert!(!target.join("home/carol").exists());
    assert!(!target.join("var/mail/carol").exists());
    assert!(!target.join("home/alice/x.log").exists());
    assert!(!target.join("home/alice/mail/nest/sub").exists());
    target.file("home/alice/own.log", "the target's own");
    converges(&sandbox);
    assert!(target.join("home/alice/own.log").exists());
}

#[test]
fn mail_that_changes_during_a_run_is_carried_by_the_next() {
    let Some(sandbox) = staged() else { return };
    let source = sandbox.source();
    for number in 14..30 {
        source.append("var/mail/alice", mbox(2000, "a long message"));
        let running = sandbox.start(&["apply", "--yes"]);
        for more in 0..20 {
            source.append(
                "var/mail/alice",
                message(number * 100 + more, "while it is read"),
            );
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        let run = running.wait();
        assert!(matches!(run.code(), Some(0 | 1 | 4)), "{}", run.describe());
    }
    converges(&sandbox);
}

#[test]
fn a_home_that_is_a_directory_of_the_system_is_blocked_on_either_side() {
    if !requirement::root() {
        return;
    }
    for home in [
        "/",
        "/etc",
        "/var/mail",
        "/home",
        "/home/alice",
        "/home/alice/below",
    ] {
        let sandbox = village();
        let erin = Account::person("erin", 1010);
        erin.join(&sandbox.source());
        sandbox
            .source()
            .edit("etc/passwd", "/home/erin:", &format!("{home}:"));
        sandbox.source().dir("home/alice/below", 0o755);
        let before = Snapshot::of(sandbox.target().path());
        let run = sandbox.reconcile(["apply", "--yes"]);
        assert_eq!(run.code(), Some(3), "home {home}: {}", run.describe());
        let after = Snapshot::of(sandbox.target().path());
        after.assert_same(&before, Closeness::Untouched, home);
    }
}

#[test]
fn a_home_that_is_a_link_to_somewhere_else_on_the_target_is_blocked() {
    if !requirement::root() {
        return;
    }
    for (place, what) in [
        ("/etc", "directory of the system"),
        ("/var/lib", "directory of the system"),
        ("/srv", "directory of the system"),
        ("/home/alice", "also the home of"),
        ("/home/alice/below", "lies inside"),
    ] {
        let sandbox = village();
        let erin = Account::person("erin", 1010);
        erin.join(&sandbox.source());
        let home = Home {
            root: &sandbox.source(),
            of: &erin,
            mail_gid: MAIL_GID,
        };
        home.dot_files();
        let target = sandbox.target();
        target.link("home/erin", place).dir("srv", 0o755);
        sandbox.manifest("source", "mail:\n  adopt: [erin]\n");
        let before = Snapshot::of(target.path());
        let run = sandbox.reconcile(["apply", "--yes"]);
        assert_eq!(
            run.code(),
            Some(3),
            "a home that links to {place}: {}",
            run.describe()
        );
        run.shows(what).done();
        let after = Snapshot::of(target.path());
        after.assert_same(&before, Closeness::Untouched, place);
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    if !requirement::root() {
        return;
    }
    let outcomes = ["000", "022", "077"].map(|umask| {
        let sandbox = village();
        sandbox.manifest("target", "");
        let line = format!("umask {umask}; exec \"$reconcile\" apply --yes");
        sandbox.shell(&line).exits(0).done();
        let mut after = Snapshot::of(sandbox.target().path());
        // Records have times in them, but modes as everything else.
        for (path, entry) in &mut after.0 {
            if path.starts_with(b"var/lib/reconcile/") && entry.kind != Kind::Directory {
                entry.kind = Kind::Special("record".to_owned(), 0);
                entry.size = 0;
            }
        }
        after
    });
    let [all, usual, none] = outcomes;
    usual.assert_same(&all, Closeness::Equal, "umask 000");
    usual.assert_same(&none, Closeness::Equal, "umask 077");
}

#[test]
fn a_source_on_a_read_only_file_system_is_enough() {
    if !requirement::root() || !requirement::mounts() {
        return;
    }
    let sandbox = village();
    let source = sandbox.path("source");
    let _mounted = ReadOnly::new(source);
    sandbox.manifest("target", "");
    sandbox.reconcile(["apply", "--yes"]).exits(0).done();
    sandbox
        .reconcile(["plan", "--detailed-exitcode"])
        .exits(0)
        .done();
}

/// A directory mounted over itself, read-only.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(dir: PathBuf) -> Self {
        program::run(
            "mount",
            ["--bind".as_ref(), dir.as_os_str(), dir.as_os_str()],
        );
        let mounted = Self(dir);
        program::run(
            "mount",
            [
                "-o".as_ref(),
                "remount,bind,ro".as_ref(),
                mounted.0.as_os_str(),
            ],
        );
        mounted
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        program::run("umount", ["--lazy".as_ref(), self.0.as_os_str()]);
    }
}
