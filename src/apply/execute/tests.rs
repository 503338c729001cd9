//! What is taken back when something fails, and what is not.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::*;
use crate::host::DirHost;
use crate::manifest::load;
use crate::names::UserName;

use crate::plan::backup::BackupAsking;
use crate::plan::hand_over::{HostChange, IdentityProof, ProofOf};
use crate::plan::{PLAN_VERSION, Reason, Risk, Undo};
use crate::resource::edit::fake::FakeHost;

const HAND_OVER: &str = "migration/hand-over";

/// An action that gives a fact, and needs another.
fn action(id: &str, change: Change, needs: Option<Fact>, gives: Option<Fact>) -> Action {
    Action {
        id: ActionId(id.to_owned()),
        change,
        because: Reason::HandOver,
        needs: needs.into_iter().collect(),
        gives: gives.into_iter().collect(),
        risk: Risk::ServiceVisible,
        undo: Undo::Switch,
    }
}

/// Renames a file that is not there.
fn fails_before(gives: Fact) -> Action {
    let rename = Rename {
        from: HostPath::from("/nowhere/a"),
        to: HostPath::from("/nowhere/b"),
    };
    let change = Change::SetAside {
        user: UserName::from("anna"),
        renames: vec![rename],
    };
    let undo = Undo::Manual(String::new());
    Action {
        undo,
        ..action("mail/anna/set-aside", change, None, Some(gives))
    }
}

/// A proof of seeds that has no rounds to go by.
fn fails_as_a_gate() -> Action {
    let change = Change::ProveIdentity(IdentityProof {
        from: Side::Source,
        of: ProofOf::Seed,
        users: std::collections::BTreeMap::new(),
    });
    let undo = Undo::Repeat;
    Action {
        undo,
        ..action("hand-over/prove-seeds", change, None, None)
    }
}

/// Takes addresses without a switch.
fn fails_under_the_switches() -> Action {
    let change = Change::TakeAddresses(HostChange {
        side: Side::Target,
        edits: Vec::new(),
        steps: Vec::new(),
        undo: Vec::new(),
    });
    action("hand-over/take", change, None, None)
}

fn hand_over(needs: Option<Fact>) -> Action {
    let keep = HandOverRecord {
        uidl_format: None,
        users: BTreeSet::new(),
        live: None,
    };
    let to = Side::Target;
    let change = Change::HandOver { to, keep };
    action(HAND_OVER, change, needs, None)
}

/// Notes what is taken back, and spoils the journal once an action is under way.
struct Listener {
    heard: Mutex<Vec<String>>,
    warned: Mutex<Vec<String>>,
    spoil_at: Option<&'static str>,
    journal: PathBuf,
}

impl Reporter for Listener {
    #[expect(clippy::disallowed_methods, reason = "the test spoils the host's file")]
    fn event(&self, event: &Event) {
        match event {
            Event::TakingBack { host, .. } => self.heard.lock().unwrap().push(host.clone()),
            Event::Warning { text } => self.warned.lock().unwrap().push(text.clone()),
            Event::ActionStarted { action } if self.spoil_at == Some(action.0.as_str()) => {
                std::fs::remove_file(&self.journal).unwrap();
                std::fs::create_dir(&self.journal).unwrap();
            }
            _ => {}
        }
    }
}

/// What came of a plan, whose mail counts then, and what was taken back.
struct Came {
    result: Result<Outcome>,
    authority: Side,
    taken_back: Vec<String>,
    warned: Vec<String>,
}

fn carried_out(root: &Path, actions: Vec<Action>, spoil_at: Option<&'static str>) -> Came {
    carried_out_with(None, root, actions, spoil_at)
}

fn carried_out_with(
    backup: Option<&dyn Host>,
    root: &Path,
    actions: Vec<Action>,
    spoil_at: Option<&'static str>,
) -> Came {
    let text = "version: 1\nname: move\nsource: { host: 'dir:/old' }\ntarget: { host: 'dir:/new' }\n\
                serve_from: target\n";
    let manifest = load::parse("migration.yaml", text).unwrap();
    let name = manifest.name.clone();
    let plan = Plan {
        version: PLAN_VERSION,
        manifest,
        basis: String::new(),
        authority: Side::Source,
        actions,
        blocked: Vec::new(),
        notes: Vec::new(),
        ids: IdMap::default(),
        renumbered: Vec::new(),
    };
    #[expect(clippy::disallowed_methods, reason = "the test makes the host")]
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let target = DirHost::open(Side::Target, root).unwrap();
    let reporter = Listener {
        heard: Mutex::default(),
        warned: Mutex::default(),
        spoil_at,
        journal: root.join("var/lib/reconcile/move/journal.jsonl"),
    };
    let result = execute(&Run {
        plan: &plan,
        ids: Arc::new(IdMap::default()),
        source: None,
        change_source: None,
        third: None,
        backup,
        target: &target,
        reporter: &reporter,
        stop: &AtomicBool::new(false),
    });
    let receipt = Receipt::read(&target, &name).unwrap();
    Came {
        result,
        authority: receipt.map_or(Side::Source, |receipt| receipt.authority),
        taken_back: reporter.heard.into_inner().unwrap(),
        warned: reporter.warned.into_inner().unwrap(),
    }
}

#[test]
fn what_fails_before_a_hand_over_is_not_taken_for_one_of_it() {
    let root = tempfile::tempdir().unwrap();
    let fact = Fact::AccountsMerged;
    let actions = vec![fails_before(fact.clone()), hand_over(Some(fact.clone()))];
    let came = carried_out(root.path(), actions, None);
    let outcome = came.result.unwrap();
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(outcome.failed[0].0.0, "mail/anna/set-aside");
    let left_out = (ActionId(HAND_OVER.to_owned()), fact);
    assert_eq!(outcome.skipped, [left_out]);
    assert_eq!(came.taken_back, [""; 0]);
    assert_eq!(came.authority, Side::Source);
}

#[test]
fn a_gate_that_fails_takes_nothing_back_and_ends_the_run() {
    let root = tempfile::tempdir().unwrap();
    let actions = vec![fails_as_a_gate(), hand_over(None)];
    let came = carried_out(root.path(), actions, None);
    let error = came.result.unwrap_err();
    assert_eq!(error.to_string(), "hand-over/prove-seeds failed");
    assert_eq!(came.taken_back, [""; 0]);
    assert_eq!(came.authority, Side::Source);
}

#[test]
fn what_fails_under_the_switches_is_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let actions = vec![fails_under_the_switches(), hand_over(None)];
    let came = carried_out(root.path(), actions, None);
    assert!(came.result.is_err());
    assert_eq!(came.taken_back.len(), 1, "{:?}", came.taken_back);
    assert_eq!(came.authority, Side::Source);
}

#[test]
fn what_was_handed_over_is_not_taken_back_because_it_cannot_be_written_down() {
    let root = tempfile::tempdir().unwrap();
    let came = carried_out(root.path(), vec![hand_over(None)], Some(HAND_OVER));
    let error = came.result.unwrap_err();
    let said = crate::error::chain(&error);
    assert!(said.contains("journal.jsonl"), "{said}");
    assert_eq!(came.taken_back, [""; 0]);
    assert_eq!(came.authority, Side::Target);
}

#[test]
fn a_backup_that_nobody_could_ask_is_told_and_one_that_is_not_there_is_an_error() {
    let asked = || {
        let change = Change::AskBackup(BackupAsking {
            host: "ssh://root@mx2".to_owned(),
            domain: "example.org".to_owned(),
            at: "127.0.0.1".parse().unwrap(),
            known: UserName::from("anna"),
            everybody: false,
        });
        vec![
            action("hand-over/ask-backup", change, None, None),
            hand_over(None),
        ]
    };
    // This machine is the only one that could ask.
    let backup = FakeHost::new(Side::Target, &[]);
    backup.says("/usr/sbin/postconf -x", 0, "mynetworks = 127.0.0.0/8\n");
    let root = tempfile::tempdir().unwrap();
    let came = carried_out_with(Some(&backup), root.path(), asked(), None);
    assert_eq!(came.authority, Side::Target);
    let warned = came.warned.join("\n");
    assert!(
        warned.contains("ssh://root@mx2: whether it takes mail for everybody could not be told"),
        "{warned}"
    );

    let root = tempfile::tempdir().unwrap();
    let came = carried_out(root.path(), asked(), None);
    let said = crate::error::chain(&came.result.unwrap_err());
    assert!(said.contains("the backup is out of reach"), "{said}");
    assert_eq!(came.authority, Side::Source);
}
