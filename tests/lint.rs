//! Every invariant of a plan, broken once: a sound plan is taken from a planner case and spoilt.

mod planner_case;

use reconcile::names::{Side, UserName};
use reconcile::plan::change::{Change, Extraneous, MailCopy};
use reconcile::plan::timer::TimerSetup;
use reconcile::plan::{Action, ActionId, Fact, Plan, Risk, Undo, lint};

/// From nothing to the hand-over, with an address: it has an action of almost every kind.
const IN_ONE_GO: &str = "hand-over-in-one-go";
/// The files of two users are set aside.
const ADOPTED: &str = "files-in-the-way-adopted";
/// A target that runs: held, copied, handed over, started.
const STARTED: &str = "services-started-at-the-hand-over";
/// The trees are managed already.
const STAGED: &str = "new-mail-since";

fn action<'a>(plan: &'a mut Plan, id: &str) -> &'a mut Action {
    plan.actions
        .iter_mut()
        .find(|action| action.id == ActionId(id.to_owned()))
        .unwrap_or_else(|| panic!("the case has {id}"))
}

fn copy<'a>(plan: &'a mut Plan, id: &str) -> &'a mut MailCopy {
    match &mut action(plan, id).change {
        Change::CopyMail(copy) => copy,
        other => panic!("{id} copies, not {other:?}"),
    }
}

/// Spoils the plan of a case and says which rule that breaks.
fn rule_broken(case: &str, spoil: impl FnOnce(&mut Plan)) -> String {
    let mut plan = planner_case::plan(&planner_case::folder().join(case));
    lint::lint(&plan).expect("the case itself is sound");
    spoil(&mut plan);
    lint::lint(&plan)
        .expect_err("the spoilt plan is refused")
        .to_string()
}

fn alice() -> UserName {
    "alice".into()
}

#[test]
fn two_actions_of_one_id_are_refused() {
    let error = rule_broken(IN_ONE_GO, |plan| {
        plan.actions.insert(1, plan.actions[0].clone());
    });
    assert_eq!(
        error,
        "the plan breaks a rule at accounts/merge: ids are unique"
    );
}

#[test]
fn an_action_before_what_it_needs_is_refused() {
    let error = rule_broken(IN_ONE_GO, |plan| plan.actions.reverse());
    assert!(
        error.ends_with("an action comes after all that it needs"),
        "{error}"
    );
}

#[test]
fn mail_is_not_touched_once_the_target_has_authority() {
    let error = rule_broken(STAGED, |plan| plan.authority = Side::Target);
    assert!(
        error.ends_with("no mail on the target is touched once it has authority"),
        "{error}"
    );
}

#[test]
fn mail_is_touched_only_while_the_target_is_quiet() {
    for id in ["mail/alice/copy", "mail/alice/prove"] {
        let error = rule_broken(IN_ONE_GO, |plan| {
            action(plan, id).needs.remove(&Fact::TargetQuiet);
        });
        assert!(
            error.ends_with("mail on the target is touched only while nothing there opens it"),
            "{error}"
        );
    }
}

/// Has alice's mail go back, as a reverse does.
fn back(plan: &mut Plan) -> &mut Action {
    plan.actions
        .retain(|action| action.id.0 == "mail/alice/copy");
    plan.authority = Side::Target;
    let copied = copy(plan, "mail/alice/copy");
    copied.from = Side::Target;
    for tree in &mut copied.trees {
        tree.extraneous = Extraneous::SetAside("office.1".to_owned());
    }
    let action = action(plan, "mail/alice/copy");
    action.needs = [Fact::MailFrozen(Side::Source)].into();
    action
}

#[test]
fn mail_goes_back_only_to_a_source_that_is_quiet_and_loses_nothing_there() {
    let error = rule_broken(STAGED, |plan| back(plan).needs.clear());
    let rule = "mail on the source is touched only while nothing there opens it";
    assert!(error.ends_with(rule), "{error}");
    let error = rule_broken(STAGED, |plan| {
        back(plan);
        copy(plan, "mail/alice/copy").trees[0].extraneous = Extraneous::Remove;
    });
    let rule = "nothing on the source is replaced or removed that is not set aside";
    assert!(error.ends_with(rule), "{error}");
    let error = rule_broken(STAGED, |plan| {
        back(plan);
        copy(plan, "mail/alice/copy").trees[0].paths.source = "/home/../etc".into();
    });
    let rule = "the root directory, or what climbs up to it, is nobody's tree";
    assert!(error.ends_with(rule), "{error}");
}

#[test]
fn services_stop_before_the_target_counts_and_start_after() {
    let error = rule_broken(STARTED, |plan| {
        action(plan, "service/target/dovecot/release").needs.clear();
    });
    assert!(
        error.ends_with("the target serves only once its mail counts"),
        "{error}"
    );
    let error = rule_broken(STARTED, |plan| {
        plan.actions.drain(2..);
        plan.authority = Side::Target;
    });
    assert_eq!(
        error,
        "the plan breaks a rule at service/target/dovecot/hold: nothing is stopped on the target \
         once it has authority"
    );
}

#[test]
fn what_users_can_notice_says_how_it_is_undone() {
    let error = rule_broken(IN_ONE_GO, |plan| {
        action(plan, "address/192.0.2.25/configure").undo = Undo::Repeat;
    });
    assert!(
        error.ends_with("what users can notice can be undone, or says why not"),
        "{error}"
    );
}

#[test]
fn the_hand_over_and_nothing_else_is_the_point_of_no_return() {
    for (id, risk) in [
        ("migration/hand-over", Risk::Safe),
        ("mail/alice/copy", Risk::PointOfNoReturn),
    ] {
        let error = rule_broken(IN_ONE_GO, |plan| action(plan, id).risk = risk);
        assert!(
            error.ends_with("the hand-over is the only point of no return"),
            "{error}"
        );
    }
}

#[test]
fn authority_waits_for_mail_accounts_and_uidls() {
    for (need, rule) in [
        (
            Fact::MailProven(alice()),
            "authority is handed over only when every mailbox is proven",
        ),
        (
            Fact::AccountsMerged,
            "authority is handed over only when the accounts are merged",
        ),
        (
            Fact::UidlEnforced,
            "authority is handed over only when clients will see their UIDLs",
        ),
    ] {
        let error = rule_broken(IN_ONE_GO, |plan| {
            action(plan, "migration/hand-over").needs.remove(&need);
        });
        assert!(error.ends_with(rule), "{error}");
    }
}

#[test]
fn trees_are_claimed_only_when_clear() {
    let error = rule_broken(IN_ONE_GO, |plan| action(plan, "mail/claim").needs.clear());
    assert!(
        error.ends_with("trees are claimed only when nothing is in their way"),
        "{error}"
    );
}

#[test]
fn what_is_set_aside_stays_in_its_directory() {
    for to in ["/tmp/alice", "/var/mail/alice"] {
        let error = rule_broken(ADOPTED, |plan| {
            match &mut action(plan, "mail/alice/aside").change {
                Change::SetAside { renames, .. } => renames[0].to = to.into(),
                other => panic!("{other:?}"),
            }
        });
        assert!(
            error.ends_with("what is set aside gets another name in its own directory"),
            "{error}"
        );
    }
}

#[test]
fn only_claimed_trees_are_written() {
    let error = rule_broken(IN_ONE_GO, |plan| {
        action(plan, "mail/alice/copy")
            .needs
            .remove(&Fact::TreesClaimed(alice()));
    });
    assert!(error.ends_with("only claimed trees are written"), "{error}");
}

#[test]
fn a_first_copy_removes_nothing() {
    let error = rule_broken(IN_ONE_GO, |plan| {
        for tree in &mut copy(plan, "mail/alice/copy").trees {
            tree.extraneous = Extraneous::Remove;
        }
    });
    assert!(
        error.ends_with("nothing is removed from a tree that was not managed before"),
        "{error}"
    );
}

#[test]
fn the_root_directory_is_never_written_as_a_tree() {
    for top in ["/", "/home/alice/../.."] {
        let error = rule_broken(IN_ONE_GO, |plan| {
            copy(plan, "mail/alice/copy").trees[0].paths.target = top.into();
        });
        assert!(
            error.ends_with("the root directory, or what climbs up to it, is nobody's tree"),
            "{error}"
        );
    }
}

#[test]
fn mail_is_proven_after_it_is_copied() {
    let error = rule_broken(IN_ONE_GO, |plan| {
        let copied = Fact::MailCopied(alice());
        action(plan, "mail/alice/prove").needs.remove(&copied);
    });
    assert!(
        error.ends_with("mail is proven only once it is copied"),
        "{error}"
    );
}

#[test]
fn configuration_is_edited_beneath_etc_only() {
    for path in ["/root/.ssh/authorized_keys", "/etc/../root/.bashrc"] {
        let error = rule_broken(IN_ONE_GO, |plan| {
            match &mut action(plan, "dovecot/uidl_format/enforce").change {
                Change::EditFile(edit) => edit.path = path.into(),
                other => panic!("{other:?}"),
            }
        });
        assert!(
            error.ends_with("configuration is edited beneath /etc only"),
            "{error}"
        );
    }
}

#[test]
fn the_address_waits_for_authority() {
    for id in [
        "address/192.0.2.25/configure",
        "hostname/mail.example.org/set",
    ] {
        let error = rule_broken(IN_ONE_GO, |plan| action(plan, id).needs.clear());
        assert!(
            error.ends_with("the target gets the service address only once its mail counts"),
            "{error}"
        );
    }
}

#[test]
fn messages_are_moved_only_where_they_count() {
    let error = rule_broken("housekeeping-of-a-target-that-serves", |plan| {
        action(plan, "spool/alice/move").needs.clear();
    });
    assert!(
        error.ends_with("messages are moved only where they count, and never on the source"),
        "{error}"
    );
}

#[test]
fn a_timer_is_where_the_mail_counts_and_consists_of_files_of_its_own() {
    const CASE: &str = "spool-timer";
    const REMOVED: &str = "spool-timer-removed";
    fn setup(plan: &mut Plan) -> &mut TimerSetup {
        match &mut plan.actions[0].change {
            Change::SetUpTimer(setup) => setup,
            other => panic!("{other:?}"),
        }
    }
    let error = rule_broken(CASE, |plan| plan.actions[0].needs.clear());
    let rule = "the spool is measured by a timer only where the mail counts";
    assert!(error.ends_with(rule), "{error}");
    for path in [
        "/etc/systemd/system/postfix.service",
        "/etc/systemd/system/reconcile-spool@/../postfix.service",
    ] {
        let error = rule_broken(CASE, |plan| setup(plan).units[0].path = path.into());
        let rule = "a timer has units of its own only";
        assert!(error.ends_with(rule), "{error}");
    }
    let error = rule_broken(CASE, |plan| setup(plan).program = Some("/bin/ls".into()));
    let rule = "a program is put beside the receipt only";
    assert!(error.ends_with(rule), "{error}");
    for path in ["/etc/passwd", "/srv/../etc/shadow.prom/.."] {
        let error = rule_broken(REMOVED, |plan| setup(plan).remove.push(path.into()));
        let rule = "of a timer nothing is removed but what it consists of and writes";
        assert!(error.ends_with(rule), "{error}");
    }
}
