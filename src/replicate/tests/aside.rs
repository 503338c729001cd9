//! A copy that may lose nothing: whatever it does, the tree as it was can be had from tree and aside.
//!
//! It is had by programs that are not ours: `find` and `rsync` put it together, or the kernel's
//! overlayfs does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;

use super::bench::{Bench, Way, root, run, write};
use super::mutation::{mutate, mutation};
use crate::plan::change::Extraneous;
use crate::replicate::{Depth, Oddity};

const LABEL: &str = "old-to-new.2";

/// Both trees of the written side, as they were.
struct Before {
    _dir: tempfile::TempDir,
    copy: PathBuf,
}

impl Bench {
    fn keeping() -> Self {
        Self {
            extraneous: Extraneous::SetAside(LABEL.to_owned()),
            ..Self::new()
        }
    }

    fn before(&self) -> Before {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("before");
        run("cp", &["-a", text(&self.target), text(&copy)]);
        Before { _dir: dir, copy }
    }

    /// Puts together what was there, of trees that lie in `dir`.
    fn restored(&self, dir: &str) -> tempfile::TempDir {
        let out = tempfile::tempdir().unwrap();
        let to = out.path().join(dir);
        run("cp", &["-a", text(&self.target.join(dir)), text(&to)]);
        let upper = self.target.join(dir).join(".reconcile-aside").join(LABEL);
        if upper.exists() {
            put_back(&upper, &to);
        }
        run("rm", &["-rf", text(&to.join(".reconcile-aside"))]);
        out
    }

    #[track_caller]
    fn assert_nothing_lost(&self, before: &Before) {
        self.assert_kept(before, |_| true);
    }

    /// The times of a directory that a run died in may have moved.
    #[cfg(feature = "failpoints")]
    #[track_caller]
    fn assert_nothing_lost_but_times(&self, before: &Before) {
        let ours = |line: &str| line.contains(".reconcile-staging");
        self.assert_kept(before, move |line| {
            !line.starts_with(".d..t......") && !ours(line)
        });
    }

    #[track_caller]
    fn assert_kept(&self, before: &Before, matters: impl Fn(&str) -> bool) {
        for dir in ["home", "mail"] {
            let out = self.restored(dir);
            let (was, is) = (before.copy.join(dir), out.path().join(dir));
            let differences = differences(&was, &is);
            let lost: Vec<_> = differences.lines().filter(|line| matters(line)).collect();
            assert_eq!(lost, Vec::<&str>::new(), "{dir}");
        }
    }
}

/// What a person would do.
fn put_back(upper: &Path, tree: &Path) {
    let script = r#"
        find . -type c -printf '%P\0' | while IFS= read -r -d '' path; do rm -rf -- "$2/$path"; done
        rsync -aAX -I --no-D --force ./ "$2/"
    "#;
    let script = format!("set -e; cd -- \"$1\"\n{script}");
    run(
        "bash",
        &["-c", &script, "put-back", text(upper), text(tree)],
    );
}

/// What rsync sees between the entries of two directories; links among files are looked at elsewhere.
fn differences(was: &Path, is: &Path) -> String {
    let out = run(
        "rsync",
        &[
            "-aAXn",
            "--numeric-ids",
            "--checksum",
            "--itemize-changes",
            "--delete",
            &format!("{}/", text(was)),
            &format!("{}/", text(is)),
        ],
    );
    let lines = out.lines().filter(|line| !line.ends_with(" ./"));
    lines.collect::<Vec<_>>().join("\n")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

proptest! {
    #![proptest_config(super::cases(100))]

    #[test]
    fn the_tree_as_it_was_can_always_be_had(
        common in prop::collection::vec(mutation(), 0..12),
        there in prop::collection::vec(mutation(), 0..12),
        rounds in prop::collection::vec(prop::collection::vec(mutation(), 0..8), 0..4),
        way in prop_oneof![Just(Way::Here), Just(Way::Wire)],
    ) {
        let mut bench = Bench::keeping();
        bench.way = way;
        write(bench.source.join("mail/alice"), "mbox");
        write(bench.target.join("mail/alice"), "mbox of old");
        fs::create_dir(bench.there()).unwrap();
        mutate(&bench.home(), &common);
        mutate(&bench.there(), common.iter().chain(&there));
        let before = bench.before();
        for later in &rounds {
            mutate(&bench.home(), later);
            bench.copy();
        }
        bench.converge();
        bench.assert_nothing_lost(&before);
    }
}

/// The top of the aside of a tree in `dir`.
fn upper(bench: &Bench, dir: &str) -> PathBuf {
    let asides = bench.target.join(dir).join(".reconcile-aside");
    asides.join(LABEL).join("alice")
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[test]
fn the_kernel_makes_of_tree_and_aside_what_was_there() {
    if !root() {
        return;
    }
    let bench = Bench::keeping();
    let there = bench.there();
    for (name, content) in [
        ("kept", "same"),
        ("mail/a", "old"),
        ("mail/gone", "gone"),
        ("d/deep/x", "x"),
    ] {
        write(there.join(name), content);
    }
    fs::hard_link(there.join("mail/a"), there.join("mail/b")).unwrap();
    symlink("kept", there.join("link")).unwrap();
    run("chmod", &["0711", text(&there.join("mail"))]);
    run(
        "setfattr",
        &[
            "-n",
            "user.note",
            "-v",
            "old",
            text(&there.join("mail/gone")),
        ],
    );
    write(bench.target.join("mail/alice"), "mbox of old");
    let before = bench.before();
    let home = bench.home();
    write(home.join("kept"), "same");
    write(home.join("mail/a"), "new");
    write(home.join("mail/new"), "new");
    write(home.join("d"), "a file now");
    fs::create_dir(home.join("link")).unwrap();
    write(home.join("link/in"), "new");
    write(bench.source.join("mail/alice"), "mbox");
    bench.converge();
    fs::rename(home.join("mail/new"), home.join("mail/newer")).unwrap();
    fs::remove_file(home.join("d")).unwrap();
    write(home.join("d/deep/y"), "y");
    bench.converge();

    let merged = tempfile::tempdir().unwrap();
    let to = text(merged.path());
    let (lower, above) = (bench.there(), upper(&bench, "home"));
    let layers = format!("lowerdir={}:{}", text(&above), text(&lower));
    run("mount", &["-t", "overlay", "none", "-o", &layers, to]);
    let was = format!("{}/", text(&before.copy.join("home/alice")));
    let out = run(
        "rsync",
        &[
            "-aHXn",
            "--numeric-ids",
            "--checksum",
            "--itemize-changes",
            "--delete",
            &was,
            &format!("{to}/"),
        ],
    );
    run("umount", &[to]);
    assert_eq!(out, "");
    let mbox = fs::read(upper(&bench, "mail")).unwrap();
    assert_eq!(mbox, b"mbox of old");
}

#[test]
fn a_file_that_is_kept_is_the_very_one_and_nothing_of_it_changes() {
    if !root() {
        return;
    }
    let bench = Bench::keeping();
    for (side, mode) in [(bench.home(), 0o640), (bench.there(), 0o600)] {
        write(side.join("mail/box"), "same content");
        fs::set_permissions(side.join("mail/box"), fs::Permissions::from_mode(mode)).unwrap();
    }
    let old = bench.there().join("mail/box");
    let (was, ino) = (fs::metadata(&old).unwrap(), inode(&old));
    bench.converge();
    let kept = upper(&bench, "home").join("mail/box");
    let is = fs::metadata(&kept).unwrap();
    assert_eq!(inode(&kept), ino);
    assert_eq!(
        (is.mode(), is.uid(), is.mtime_nsec()),
        (was.mode(), was.uid(), was.mtime_nsec())
    );
    assert_eq!(fs::metadata(&old).unwrap().mode() & 0o777, 0o640);
    assert_ne!(inode(&old), ino);
}

#[test]
fn only_root_can_enter_the_aside_and_no_walk_sees_it() {
    if !root() {
        return;
    }
    let bench = Bench::keeping();
    write(bench.home().join("a"), "new");
    write(bench.there().join("a"), "old");
    // As /home may have it.
    run(
        "setfacl",
        &["-d", "-m", "u:1234:rwx", text(&bench.target.join("home"))],
    );
    run("chmod", &["2777", text(&bench.target.join("home"))]);
    bench.converge();
    for name in ["", LABEL] {
        let dir = bench.target.join("home/.reconcile-aside").join(name);
        let meta = fs::metadata(&dir).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.gid()),
            (0o700, 0, 0)
        );
        let acl = run("getfacl", &["-pcn", text(&dir)]);
        assert!(!acl.contains("1234"), "{acl}");
    }
}

#[test]
fn the_aside_of_a_home_that_is_a_file_system_of_its_own_is_within_it_and_no_mail() {
    if !root() {
        return;
    }
    let bench = Bench::keeping();
    let there = bench.there();
    fs::create_dir(&there).unwrap();
    run(
        "mount",
        &["-t", "tmpfs", "-o", "mode=0700", "none", text(&there)],
    );
    let kept = there.join(".reconcile-aside").join(LABEL).join("alice");
    let checked = std::panic::catch_unwind(|| {
        write(there.join("mail/a"), "old");
        write(bench.home().join("mail/a"), "new");
        bench.converge();
        assert_eq!(fs::read(kept.join("mail/a")).unwrap(), b"old");
        assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o700);
        // Read as the other side, it is no mail either.
        fs::create_dir(bench.home().join(".reconcile-aside")).unwrap();
        let report = bench.copy();
        assert_eq!(report.oddities.count(Oddity::ReservedName), 1);
        assert_eq!(fs::read(kept.join("mail/a")).unwrap(), b"old");
    });
    run("umount", &[text(&there)]);
    checked.unwrap();
}

#[test]
fn the_name_of_the_aside_taken_by_something_else_is_refused() {
    if !root() {
        return;
    }
    for plant in [
        "ln -s /tmp \"$1\"",
        "mkdir \"$1\"; chown 1234 \"$1\"",
        "touch \"$1\"",
    ] {
        let bench = Bench::keeping();
        write(bench.home().join("a"), "new");
        write(bench.there().join("a"), "old");
        let name = bench.target.join("home/.reconcile-aside");
        run("sh", &["-c", plant, "plant", text(&name)]);
        let error = bench.try_copy().unwrap_err();
        assert!(
            error.remedy().unwrap().contains(".reconcile-aside"),
            "{error}"
        );
        assert_eq!(fs::read(bench.there().join("a")).unwrap(), b"old");
    }
}

#[test]
fn each_hand_over_has_an_aside_of_its_own() {
    let mut bench = Bench::keeping();
    write(bench.there().join("a"), "first");
    write(bench.home().join("a"), "second");
    bench.converge();
    bench.extraneous = Extraneous::SetAside("old-to-new.4".to_owned());
    write(bench.home().join("a"), "third");
    bench.converge();
    let asides = bench.target.join("home/.reconcile-aside");
    for (label, content) in [(LABEL, "first"), ("old-to-new.4", "second")] {
        let kept = asides.join(label).join("alice/a");
        assert_eq!(fs::read_to_string(kept).unwrap(), content);
    }
    for label in ["", "..", ".x", "a/b"] {
        bench.extraneous = Extraneous::SetAside(label.to_owned());
        bench.try_copy().unwrap_err();
    }
}

#[test]
fn what_was_changed_by_hand_is_told_and_what_we_wrote_is_not() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        write(bench.home().join("mail").join(name), name);
    }
    bench.converge();
    bench.extraneous = Extraneous::SetAside(LABEL.to_owned());
    bench.sealed = Some(Timestamp::now());
    std::thread::sleep(std::time::Duration::from_millis(30));
    let by_hand = |bench: &Bench| {
        let report = bench.compare();
        let seen = report.oddities.seen.get(&Oddity::ChangedByHand);
        seen.map_or(Vec::new(), |seen| {
            seen.first.iter().map(ToString::to_string).collect()
        })
    };
    // What arrived on the other side was changed by nobody here.
    write(bench.home().join("mail/a"), "a and more");
    write(bench.home().join("mail/new"), "new");
    assert_eq!(by_hand(&bench), Vec::<String>::new());
    bench.copy();
    write(bench.home().join("mail/a"), "a and more and more");
    fs::remove_file(bench.home().join("mail/new")).unwrap();
    assert_eq!(by_hand(&bench), Vec::<String>::new(), "we wrote these");
    write(bench.there().join("mail/b"), "by hand");
    write(bench.there().join("mail/by-hand"), "by hand");
    // The same on both sides: nothing would be lost.
    write(bench.there().join("mail/c"), "c");
    run(
        "touch",
        &[
            "-r",
            text(&bench.home().join("mail/c")),
            text(&bench.there().join("mail/c")),
        ],
    );
    assert_eq!(by_hand(&bench), ["mail/b", "mail/by-hand"]);
    bench.copy();
    let kept = upper(&bench, "home").join("mail/b");
    assert_eq!(fs::read(kept).unwrap(), b"by hand");
    assert_eq!(bench.differences(Depth::Content), []);
}

#[test]
fn a_home_that_was_not_there_is_known_not_to_have_been() {
    let bench = Bench::keeping();
    write(bench.home().join("mail/a"), "new");
    let before = bench.before();
    bench.converge();
    fs::rename(bench.home().join("mail/a"), bench.home().join("mail/b")).unwrap();
    bench.converge();
    bench.assert_nothing_lost(&before);
    assert!(
        fs::read_dir(upper(&bench, "home")).is_err(),
        "not a directory"
    );
}

#[test]
fn a_spool_directory_of_folders_is_kept_like_a_home() {
    let bench = Bench::keeping();
    for n in 0..3 {
        write(bench.target.join(format!("mail/alice/cur/{n}")), "old");
    }
    write(bench.source.join("mail/alice/cur/1"), "new");
    let before = bench.before();
    bench.converge();
    bench.assert_nothing_lost(&before);
    fs::remove_dir_all(bench.source.join("mail/alice")).unwrap();
    write(bench.source.join("mail/alice"), "an mbox now");
    bench.converge();
    bench.assert_nothing_lost(&before);
}

/// A run that dies at each of the places where it can, in a process of its own.
#[cfg(feature = "failpoints")]
mod killed {
    use super::*;
    use crate::replicate::tests::killed::{self, Outcome};

    #[test]
    fn nothing_is_lost_wherever_it_dies() {
        let points = [
            "aside:linked",
            "aside:moved",
            "aside:absent",
            "aside:directory",
            "copy:staged",
            "copy:placed",
            "copy:removed",
            "copy:before-sync",
            "copy:index",
        ];
        let mut died = 0;
        for point in points {
            for nth in 1..=4 {
                let bench = Bench::keeping();
                let (home, there) = (bench.home(), bench.there());
                for n in 0..3 {
                    write(there.join(format!("mail/{n}")), "old");
                    write(there.join(format!("old/deep/{n}")), "old");
                    write(home.join(format!("mail/{n}")), "new");
                    write(home.join(format!("new/{n}")), "new");
                }
                write(there.join("kind/x"), "a directory");
                write(home.join("kind"), "a file");
                write(bench.target.join("mail/alice"), "old");
                write(bench.source.join("mail/alice"), "new");
                let before = bench.before();
                let failpoint = format!("{point}#{nth}");
                if killed::copy(&bench, &failpoint) == Outcome::Died {
                    died += 1;
                }
                for path in ["home/alice/mail/0", "mail/alice"] {
                    let now = fs::read_to_string(bench.target.join(path)).unwrap();
                    assert!(
                        now == "old" || now == "new",
                        "{failpoint}: the name never vanishes"
                    );
                }
                bench.assert_nothing_lost_but_times(&before);
                bench.converge();
                bench.assert_nothing_lost_but_times(&before);
            }
        }
        assert!(died >= points.len() * 2, "died {died} times");
    }
}
