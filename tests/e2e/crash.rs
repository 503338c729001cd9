//! A run that is killed anywhere can be run again, ends as if nothing had happened, and at no moment
//! shows a half-written file under its final name.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::accounts::Account;
use crate::hashes;
use crate::home::{Home, mbox, message};
use crate::program;
use crate::requirement;
use crate::root::MAIL_GID;
use crate::sandbox::{Run, Sandbox};
use crate::snapshot::{Closeness, Entry, Kind, Snapshot};
use crate::village::village;

/// Records of reconcile itself: their times differ from run to run.
const RECORDS: [&str; 1] = ["var/lib/reconcile"];
const JOURNAL: &str = "var/lib/reconcile/e2e/journal.jsonl";

/// A run with a known beginning and a known end.
struct Scene {
    sandbox: Sandbox,
    /// The target at the beginning.
    before: Snapshot,
    /// The target after an undisturbed run.
    after: Snapshot,
    /// How long that took.
    took: Duration,
    /// `begin:ID` and `done:ID` of everything that it wrote into its journal.
    journal: Vec<String>,
}

impl Scene {
    /// Everything in one run: accounts, first copy, proof, settings, hand-over.
    fn whole_migration() -> Self {
        let sandbox = village();
        sandbox.manifest("target", "");
        Self::record(sandbox)
    }

    /// A second run, after mail came, moved and went, a password changed and a person joined.
    fn update() -> Self {
        let sandbox = village();
        sandbox.reconcile(["apply", "--yes"]).exits(0).done();
        let source = sandbox.source();
        source.append("var/mail/alice", message(13, "new"));
        source.edit("var/mail/carol", "X-Status: F", "X-Status: A");
        source.edit("etc/shadow", hashes::DES, hashes::SHA256);
        let cur = source.join("home/bob/Maildir/cur");
        let seen = cur.join("1290000002.M2P1.old:2,FRS");
        fs::rename(seen, cur.join("1290000002.M2P1.old:2,FRST")).unwrap();
        source
            .remove("home/carol/sparse")
            .remove("home/alice/mail/nest");
        source
            .remove("home/carol/inside")
            .dir("home/carol/inside", 0o755);
        source
            .remove("home/alice/.forward")
            .link("home/alice/.forward", ".procmailrc");
        let erin = Account::person("erin", 1004).password(hashes::BCRYPT);
        erin.join(&source);
        let home = Home {
            root: &source,
            of: &erin,
            mail_gid: MAIL_GID,
        };
        home.maildir().spool(mbox(1, "welcome")).age(5);
        Self::record(sandbox)
    }

    fn record(sandbox: Sandbox) -> Self {
        let target = sandbox.target();
        program::copy_tree(target.path(), &sandbox.path("target.before"));
        let before = Snapshot::of(target.path());
        let old_lines = journal(&sandbox).len();
        let run = sandbox.reconcile(["apply", "--yes"]).exits(0);
        let journal = journal(&sandbox).split_off(old_lines);
        assert!(
            journal.len() > 8,
            "the run did next to nothing: {journal:?}"
        );
        let after = Snapshot::of(target.path());
        Self {
            sandbox,
            before,
            after,
            took: run.took,
            journal,
        }
    }

    /// Puts the target back to the beginning.
    fn rewind(&self) {
        let target = self.sandbox.path("target");
        fs::remove_dir_all(&target).unwrap();
        program::copy_tree(&self.sandbox.path("target.before"), &target);
    }

    /// From the beginning, kills a run at a named point; `None` if the run never came there.
    #[track_caller]
    fn killed_at(&self, failpoint: &str) -> Option<Run> {
        self.rewind();
        let run = self
            .sandbox
            .start_with(&["apply", "--yes"], Some(failpoint))
            .wait();
        if run.was_killed() {
            return Some(run);
        }
        run.exits(0).done();
        None
    }

    /// After a kill: everything is whole, and the next run completes it.
    #[track_caller]
    fn recovers(&self, when: &str) {
        let target = self.sandbox.target();
        self.assert_whole(&Snapshot::of(target.path()), when);
        let run = self.sandbox.reconcile(["apply", "--yes"]);
        assert_eq!(
            run.code(),
            Some(0),
            "killed {when}, then {}",
            run.describe()
        );
        let after = Snapshot::of(target.path()).without(&RECORDS);
        let expected = self.after.clone().without(&RECORDS);
        expected.assert_same(
            &after,
            Closeness::Equal,
            &format!("completed after a kill {when}"),
        );
        let run = self.sandbox.reconcile(["plan", "--detailed-exitcode"]);
        assert_eq!(
            run.code(),
            Some(0),
            "killed {when}, completed, then {}",
            run.describe()
        );
    }

    /// Each file is as it was or as it will be, in content, owner and mode.
    #[track_caller]
    fn assert_whole(&self, now: &Snapshot, when: &str) {
        for (path, entry) in &now.0 {
            assert_private(path, entry);
            if !matches!(entry.kind, Kind::File(_)) || is_scratch(path) {
                continue;
            }
            let known = |snapshot: &Snapshot| {
                snapshot.0.get(path).is_some_and(|known| {
                    (&known.kind, known.mode, known.uid, known.gid)
                        == (&entry.kind, entry.mode, entry.uid, entry.gid)
                })
            };
            let shown = path.escape_ascii();
            assert!(
                known(&self.before) || known(&self.after),
                "{shown} is half-done, {when}"
            );
        }
    }
}

/// Whether a path is one that nobody else looks at: staging, temporary files, locks, records.
fn is_scratch(path: &[u8]) -> bool {
    let names: Vec<_> = path.split(|&byte| byte == b'/').collect();
    let name = names[names.len() - 1];
    let ours = [b".reconcile-new".as_slice(), b".reconcile-lock"];
    names
        .iter()
        .any(|name| name.starts_with(b".reconcile-staging"))
        || ours.iter().any(|suffix| name.ends_with(suffix))
        || (path.starts_with(b"etc/") && name.ends_with(b".lock"))
        || path.starts_with(RECORDS[0].as_bytes())
}

/// What is not yet in its place is nobody else's to read: mail, hashes.
#[track_caller]
fn assert_private(path: &[u8], entry: &Entry) {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let private = name.starts_with(b".reconcile-staging")
        || (name.starts_with(b".shadow") || name.starts_with(b".gshadow"))
        || path == RECORDS[0].as_bytes();
    let open_to_others = entry.mode & 0o007 != 0;
    let shown = path.escape_ascii();
    assert!(
        !(private && open_to_others),
        "{shown} has mode {:o}",
        entry.mode
    );
}

/// The journal's lines as names of failpoints.
fn journal(sandbox: &Sandbox) -> Vec<String> {
    let Ok(text) = fs::read_to_string(sandbox.target().join(JOURNAL)) else {
        return Vec::new();
    };
    let line = |line: &str| -> String {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let moment = entry["moment"].as_str().unwrap();
        let action = entry["action"].as_str().unwrap_or("run");
        format!("journal:{moment}:{action}")
    };
    text.lines().map(line).collect()
}

fn kill_at_every_journal_point(scene: &Scene) {
    for point in &scene.journal {
        let run = scene.killed_at(point);
        assert!(run.is_some(), "a second run did not come to {point}");
        scene.recovers(&format!("at {point}"));
    }
}

/// Points between journal lines: in the middle of the account files, of a copy, of a record.
fn kill_within_actions(scene: &Scene) {
    const POINTS: [&str; 10] = [
        "accounts:group",
        "accounts:gshadow",
        "accounts:passwd",
        "accounts:shadow",
        "receipt:written",
        "copy:staged",
        "copy:placed",
        "copy:removed",
        "copy:before-sync",
        "copy:index",
    ];
    let mut reached = BTreeSet::new();
    for point in POINTS {
        let (mut nth, mut step) = (1, 1);
        while let Some(run) = scene.killed_at(&format!("{point}#{nth}")) {
            run.done();
            reached.insert(point);
            scene.recovers(&format!("at {point}, time {nth}"));
            // 1, 2, 4, 7, 11, ...: the early ones closely, the many later ones in samples.
            nth += step;
            step += 1;
        }
    }
    for point in POINTS.iter().filter(|point| **point != "copy:removed") {
        assert!(reached.contains(point), "no run came to {point}");
    }
}

/// Which part of a run is hit.
#[derive(Clone, Copy)]
enum Half {
    First,
    Second,
}

/// So many kills at moments drawn from one half of a run's usual time.
fn kill_at_random_moments(scene: &Scene, half: Half, seed: u64) {
    const KILLS: u32 = 50;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut killed, mut took) = (0, scene.took);
    for attempt in 0..KILLS * 10 {
        let earliest = match half {
            Half::First => 0.0,
            Half::Second => 0.5,
        };
        let moment = took.mul_f64(earliest + random.f64() / 2.0);
        scene.rewind();
        let run = scene.sandbox.start(&["apply", "--yes"]).kill_after(moment);
        if run.was_killed() {
            killed += 1;
            if random.bool() {
                let again = took.mul_f64(random.f64());
                let repair = scene.sandbox.start(&["apply", "--yes"]).kill_after(again);
                assert!(
                    repair.was_killed() || repair.code() == Some(0),
                    "{}",
                    repair.describe()
                );
            }
            scene.recovers(&format!(
                "after {moment:?} (seed {seed}, attempt {attempt})"
            ));
        } else {
            took = took.min(run.exits(0).took);
        }
        if killed == KILLS {
            return;
        }
    }
    panic!(
        "only {killed} of {} runs were alive to be killed",
        KILLS * 10
    );
}

#[test]
fn a_migration_killed_at_any_journal_point_is_completed_by_the_next_run() {
    if requirement::root() && requirement::failpoints() {
        kill_at_every_journal_point(&Scene::whole_migration());
    }
}

#[test]
fn an_update_killed_at_any_journal_point_is_completed_by_the_next_run() {
    if requirement::root() && requirement::failpoints() {
        kill_at_every_journal_point(&Scene::update());
    }
}

#[test]
fn a_migration_killed_within_an_action_is_completed_by_the_next_run() {
    if requirement::root() && requirement::failpoints() {
        kill_within_actions(&Scene::whole_migration());
    }
}

#[test]
fn an_update_killed_within_an_action_is_completed_by_the_next_run() {
    if requirement::root() && requirement::failpoints() {
        kill_within_actions(&Scene::update());
    }
}

#[test]
fn a_migration_killed_at_random_moments_of_its_first_half_is_completed_by_the_next_run() {
    if requirement::root() {
        kill_at_random_moments(&Scene::whole_migration(), Half::First, 1);
    }
}

#[test]
fn a_migration_killed_at_random_moments_of_its_second_half_is_completed_by_the_next_run() {
    if requirement::root() {
        kill_at_random_moments(&Scene::whole_migration(), Half::Second, 2);
    }
}

#[test]
fn an_update_killed_at_random_moments_of_its_first_half_is_completed_by_the_next_run() {
    if requirement::root() {
        kill_at_random_moments(&Scene::update(), Half::First, 3);
    }
}

#[test]
fn an_update_killed_at_random_moments_of_its_second_half_is_completed_by_the_next_run() {
    if requirement::root() {
        kill_at_random_moments(&Scene::update(), Half::Second, 4);
    }
}
