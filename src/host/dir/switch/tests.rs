#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and inspect the host from outside"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::host::Command;
use crate::host::step::{OnInterface, Saved};
use crate::host::switch::Replacement;
use crate::names::Side;

/// A machine whose clock stands still, and whose steps are written down.
struct Fake {
    now: RefCell<Now>,
    done: RefCell<Vec<String>>,
    failing: RefCell<BTreeSet<String>>,
    /// How long each step takes.
    slow: Cell<u64>,
    root: PathBuf,
}

impl Fake {
    fn pass(&self, seconds: u64) {
        self.now.borrow_mut().boottime += seconds * 1_000_000_000;
    }

    fn fail(&self, step: &Step) {
        self.failing.borrow_mut().insert(step.to_string());
    }

    fn mend(&self) {
        self.failing.borrow_mut().clear();
    }

    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.done.borrow_mut())
    }
}

impl Machine for Fake {
    fn now(&self) -> Result<Now> {
        Ok(self.now.borrow().clone())
    }

    fn perform(&self, step: &Step) -> Result<()> {
        self.pass(self.slow.get());
        if self.failing.borrow().contains(&step.to_string()) {
            return Err(Error::new(Kind::Host, "it fails"));
        }
        if let Step::Restore(saved) = step {
            let host = DirHost::open(Side::Source, &self.root)?;
            keep::restore(&host, saved)?;
        }
        self.done.borrow_mut().push(step.to_string());
        Ok(())
    }

    fn keep_watch(&self) -> Result<()> {
        Ok(())
    }
}

/// A host, its switch, its machine.
struct Scene {
    root: tempfile::TempDir,
    host: DirHost,
    name: MigrationName,
    machine: Fake,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let host = DirHost::open(Side::Source, root.path()).unwrap();
        let now = Now {
            wall: "2026-12-01T22:00:00Z".parse().unwrap(),
            boottime: 5_000_000_000,
            boot: "first".to_owned(),
        };
        let machine = Fake {
            now: RefCell::new(now),
            done: RefCell::default(),
            failing: RefCell::default(),
            slow: Cell::new(0),
            root: root.path().to_owned(),
        };
        let name = "move".parse().unwrap();
        Self {
            root,
            host,
            name,
            machine,
        }
    }

    fn ward(&self) -> Ward<'_> {
        Ward {
            host: &self.host,
            name: &self.name,
            machine: &self.machine,
        }
    }

    fn arm(&self, epoch: u32, commit: &[Step]) -> Result<()> {
        self.ward().arm(&Arming {
            name: self.name.clone(),
            epoch,
            within: Duration::from_mins(1),
            commit: commit.to_vec(),
        })
    }

    fn advance(&self, undo: &[Step], files: Vec<Replacement>, steps: &[Step]) -> Result<()> {
        self.ward().advance(&Advance {
            name: self.name.clone(),
            epoch: 1,
            undo: undo.to_vec(),
            files,
            steps: steps.to_vec(),
        })
    }

    fn settle(&self, epoch: u32, moment: Moment) -> Result<()> {
        self.ward().settle(&Settlement {
            name: self.name.clone(),
            epoch,
            receipt: format!("{{\"epoch\":{epoch},\"of a later version\":[]}}").into_bytes(),
            moment,
        })
    }

    fn switch(&self) -> Option<Switch> {
        Switch::read(&self.host, &self.name).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        self.path(path)
            .exists()
            .then(|| std::fs::read_to_string(self.path(path)).unwrap())
    }

    /// What is in the migration's directory.
    fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("var/lib/reconcile/move")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn stop(unit: &str) -> Step {
    Step::Run(Command::StopUnits(vec![unit.to_owned()]))
}

fn start(unit: &str) -> Step {
    Step::Run(Command::StartUnits(vec![unit.to_owned()]))
}

fn barrier() -> Step {
    Step::AwaitFree(OnInterface {
        address: "192.0.2.25".parse().unwrap(),
        interface: "eth0".to_owned(),
    })
}

fn file(path: &str, content: &str) -> Replacement {
    Replacement {
        path: path.into(),
        content: content.as_bytes().to_vec(),
        mode: 0o644,
    }
}

#[track_caller]
fn refused(result: Result<()>) {
    assert_eq!(result.unwrap_err().kind(), Kind::Blocked);
}

#[test]
fn nothing_is_done_unless_the_switch_is_armed_for_that_epoch() {
    let scene = Scene::new();
    refused(scene.advance(&[], vec![], &[stop("a")]));
    scene.arm(2, &[]).unwrap();
    refused(scene.advance(&[], vec![], &[stop("a")]));
    refused(scene.arm(1, &[]));
    assert_eq!(scene.machine.done(), Vec::<String>::new());
}

#[test]
fn what_takes_back_is_on_record_before_anything_is_done_and_stays_when_a_step_fails() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    scene.machine.fail(&stop("b"));
    let steps = [stop("a"), stop("b"), stop("c")];
    let undo = [start("a"), start("b")];
    let error = scene.advance(&undo, vec![], &steps).unwrap_err();
    assert_eq!(error.kind(), Kind::Host);
    assert_eq!(scene.machine.done(), ["systemctl stop a"]);
    assert_eq!(scene.switch().unwrap().undo, undo);
}

#[test]
fn past_its_deadline_a_host_goes_on_with_nothing() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    scene.machine.pass(59);
    scene.advance(&[], vec![], &[stop("a")]).unwrap();
    scene.arm(1, &[]).unwrap();
    scene.machine.pass(59);
    scene.advance(&[], vec![], &[stop("b")]).unwrap();
    scene.machine.pass(1);
    refused(scene.advance(&[], vec![], &[stop("c")]));
    refused(scene.settle(1, Moment::Now));
    refused(scene.arm(1, &[]));
    assert_eq!(
        scene.machine.done(),
        ["systemctl stop a", "systemctl stop b"]
    );
    assert_eq!(scene.text("var/lib/reconcile/move/receipt.json"), None);
}

#[test]
fn steps_end_at_the_deadline_also_within_one_advance() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    scene.machine.slow.set(40);
    refused(scene.advance(&[], vec![], &[stop("a"), stop("b"), stop("c")]));
    assert_eq!(
        scene.machine.done(),
        ["systemctl stop a", "systemctl stop b"]
    );
}

#[test]
fn a_clock_that_is_set_moves_no_deadline() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    scene.machine.now.borrow_mut().wall = "2038-01-19T03:14:07Z".parse().unwrap();
    scene.advance(&[], vec![], &[stop("a")]).unwrap();
}

#[test]
fn a_boot_is_a_deadline() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    *scene.machine.now.borrow_mut() = Now {
        wall: "2026-12-01T22:00:01Z".parse().unwrap(),
        boottime: 1,
        boot: "second".to_owned(),
    };
    refused(scene.advance(&[], vec![], &[stop("a")]));
    refused(scene.settle(1, Moment::Now));
    refused(scene.arm(1, &[]));
    scene.ward().trip().unwrap();
    scene.arm(1, &[]).unwrap();
}

#[test]
fn everything_is_taken_back_from_the_last_to_the_first_whatever_fails() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    scene
        .advance(&[start("a"), start("b")], vec![], &[])
        .unwrap();
    scene.advance(&[start("c")], vec![], &[]).unwrap();
    scene.machine.fail(&start("b"));
    let error = scene.ward().trip().unwrap_err();
    assert_eq!(error.kind(), Kind::Host);
    assert_eq!(
        scene.machine.done(),
        ["systemctl start c", "systemctl start a"]
    );
    let stuck = scene.switch().unwrap().stuck.unwrap();
    assert_eq!(stuck, "systemctl start b: it fails");
    // Nobody goes on with what is half taken back.
    refused(scene.advance(&[], vec![], &[stop("a")]));
    scene.machine.mend();
    scene.ward().trip().unwrap();
    assert_eq!(
        scene.machine.done(),
        [
            "systemctl start c",
            "systemctl start b",
            "systemctl start a"
        ]
    );
    assert_eq!(scene.switch(), None);
    scene.ward().trip().unwrap();
    assert_eq!(scene.machine.done(), Vec::<String>::new());
}

#[test]
fn nothing_is_done_behind_a_barrier() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    let undo = [start("behind"), barrier(), start("before")];
    std::fs::write(scene.path("etc/interfaces"), "with").unwrap();
    let files = vec![file("/etc/interfaces", "without")];
    scene.advance(&undo, files, &[]).unwrap();
    scene.machine.fail(&barrier());
    scene.ward().trip().unwrap_err();
    assert_eq!(scene.machine.done(), ["systemctl start before"]);
    assert_eq!(scene.text("etc/interfaces").unwrap(), "without");
    scene.machine.mend();
    scene.ward().trip().unwrap();
    assert_eq!(scene.text("etc/interfaces").unwrap(), "with");
}

#[test]
fn files_come_back_as_they_were() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    let private = scene.path("etc/private");
    std::fs::write(&private, "old").unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = std::fs::metadata(&private).unwrap();
    std::os::unix::fs::symlink("real", scene.path("etc/link")).unwrap();
    std::fs::write(scene.path("etc/real"), "behind a link").unwrap();
    let files = || {
        vec![
            file("/etc/private", "new"),
            file("/etc/made", "new"),
            file("/etc/link", "new"),
        ]
    };
    scene.advance(&[], files(), &[]).unwrap();
    // An operator that did not hear the answer says it again.
    scene.advance(&[], files(), &[]).unwrap();
    for path in ["etc/private", "etc/made", "etc/real"] {
        assert_eq!(scene.text(path).unwrap(), "new", "{path}");
    }
    scene.ward().trip().unwrap();
    assert_eq!(scene.text("etc/private").unwrap(), "old");
    let after = std::fs::metadata(&private).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!(after.mtime_nsec(), before.mtime_nsec());
    assert_eq!(scene.text("etc/made"), None);
    assert_eq!(scene.text("etc/real").unwrap(), "behind a link");
    assert!(scene.path("etc/link").is_symlink());
    assert_eq!(scene.records(), Vec::<String>::new());
}

#[test]
fn a_file_that_was_never_kept_is_left_alone() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    std::fs::write(scene.path("etc/hosts"), "mine").unwrap();
    let never = Step::Restore(Saved {
        path: "/etc/hosts".into(),
        kept: "/var/lib/reconcile/move/kept".into(),
    });
    scene.advance(&[never], vec![], &[]).unwrap();
    scene.ward().trip().unwrap();
    assert_eq!(scene.text("etc/hosts").unwrap(), "mine");
}

#[test]
fn authority_changes_hands_once_and_what_follows_is_done_before_the_switch_is_gone() {
    let scene = Scene::new();
    let commit = [start("open"), Step::PowerOff, start("last")];
    scene.arm(1, &commit).unwrap();
    let files = vec![file("/etc/hosts", "new")];
    scene.advance(&[stop("open")], files, &[]).unwrap();
    scene.machine.fail(&start("open"));
    scene.settle(1, Moment::Now).unwrap_err();
    assert_eq!(scene.machine.done(), ["systemctl start last"]);
    assert!(scene.switch().unwrap().stuck.is_some());
    // It cannot be taken back any more, also when time is over.
    scene.machine.pass(3600);
    refused(scene.ward().trip());
    refused(scene.advance(&[], vec![], &[stop("a")]));
    scene.machine.mend();
    scene.settle(1, Moment::Now).unwrap();
    assert_eq!(
        scene.machine.done(),
        ["systemctl start open", "systemctl start last", "power off"]
    );
    assert_eq!(scene.records(), ["receipt.json"]);
    scene.settle(1, Moment::Now).unwrap();
    assert_eq!(scene.machine.done(), Vec::<String>::new());
    assert_eq!(scene.text("etc/hosts").unwrap(), "new");
    // That epoch is over.
    refused(scene.arm(1, &[]));
    scene.arm(2, &[]).unwrap();
}

#[test]
fn what_is_past_is_recorded_late_and_without_a_switch() {
    let scene = Scene::new();
    scene.arm(1, &[start("a")]).unwrap();
    scene.machine.pass(3600);
    scene.settle(1, Moment::Past).unwrap();
    assert_eq!(scene.machine.done(), ["systemctl start a"]);
    scene.ward().trip().unwrap();
    assert_eq!(scene.records(), ["receipt.json"]);
    scene.settle(3, Moment::Past).unwrap();
    assert_eq!(
        scene.text("var/lib/reconcile/move/receipt.json").unwrap(),
        r#"{"epoch":3,"of a later version":[]}"#
    );
    // Of two receipts the later is right.
    refused(scene.settle(2, Moment::Past));
    refused(scene.settle(4, Moment::Now));
}

#[test]
fn a_receipt_that_nobody_would_take_for_the_settlement_is_no_settlement() {
    let scene = Scene::new();
    scene.arm(2, &[]).unwrap();
    let settlement = Settlement {
        name: scene.name.clone(),
        epoch: 2,
        receipt: b"{\"epoch\":1}".to_vec(),
        moment: Moment::Now,
    };
    let error = scene.ward().settle(&settlement).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(scene.switch().is_some());
}

#[test]
fn a_lock_is_one_processes_and_outlives_the_removal_of_its_file() {
    let scene = Scene::new();
    scene.arm(1, &[]).unwrap();
    let take = || Lock::try_take(&scene.host, &scene.name, file::SWITCH_LOCK).unwrap();
    let held = take();
    assert!(matches!(held, file::Taken::Ours(_)));
    assert!(matches!(take(), file::Taken::Busy));
    std::fs::remove_file(scene.path("var/lib/reconcile/move/switch.lock")).unwrap();
    assert!(matches!(take(), file::Taken::Ours(_)));
    std::fs::remove_dir_all(scene.path("var/lib/reconcile/move")).unwrap();
    assert!(matches!(take(), file::Taken::NoDirectory));
    scene.arm(1, &[]).unwrap();
}
