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
use super::random::{Step, apply, step};
use crate::plan::change::{Difference, Extraneous};
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
        for dir in ["home", "mail"] {
            let out = self.restored(dir);
            let (was, is) = (before.copy.join(dir), out.path().join(dir));
            assert_eq!(differences(&was, &is), "", "{dir}");
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
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_as_it_was_can_always_be_had(
        common in prop::collection::vec(step(), 0..12),
        there in prop::collection::vec(step(), 0..12),
        later in prop::collection::vec(step(), 0..20),
        way in prop_oneof![Just(Way::Here), Just(Way::Wire)],
    ) {
        let mut bench = Bench::keeping();
        bench.way = way;
        write(bench.source.join("mail/alice"), "mbox");
        write(bench.target.join("mail/alice"), "mbox of old");
        fs::create_dir(bench.there()).unwrap();
        for step in &common {
            let _impossible = apply(&bench.home(), step);
            let _impossible = apply(&bench.there(), step);
        }
        for step in &there {
            let _impossible = apply(&bench.there(), step);
        }
        let before = bench.before();
        for step in &later {
            let _impossible = apply(&bench.home(), step);
            if matches!(step, Step::Copy) {
                bench.copy();
            }
        }
        bench.converge();
        bench.assert_nothing_lost(&before);
    }
}
