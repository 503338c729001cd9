use proptest::prelude::*;

use super::*;
use crate::names::Uid;
use crate::plan::change::{Count, Delta, MailCopy, Selection};
use crate::plan::{Reason, Risk, Undo};

/// An action about one user's mail; its facts are free to choose.
fn action(user: &str, verb: &str, needs: &[Fact], gives: &[Fact]) -> Action {
    let copy = MailCopy {
        from: crate::names::Side::Source,
        user: user.into(),
        uid: Uid(500),
        trees: Vec::new(),
        select: Selection::default(),
        delta: Delta {
            create: Count { files: 1, bytes: 1 },
            ..Delta::default()
        },
    };
    Action {
        id: ActionId(format!("mail/{user}/{verb}")),
        change: match verb {
            "prove" => Change::ProveMail(copy),
            _ => Change::CopyMail(copy),
        },
        because: Reason::MailDiffers,
        needs: needs.iter().cloned().collect(),
        gives: gives.iter().cloned().collect(),
        risk: Risk::Safe,
        undo: Undo::Repeat,
    }
}

fn copied(user: &str) -> Fact {
    Fact::MailCopied(user.into())
}

fn proven(user: &str) -> Fact {
    Fact::MailProven(user.into())
}

fn exists(user: &str) -> Fact {
    Fact::AccountExists(user.into())
}

fn copy_and_prove(user: &str) -> [Action; 2] {
    [
        action(user, "prove", &[copied(user)], &[proven(user)]),
        action(user, "copy", &[exists(user)], &[copied(user)]),
    ]
}

fn ids(actions: &[Action]) -> Vec<&str> {
    actions.iter().map(|action| action.id.0.as_str()).collect()
}

#[test]
fn copies_come_before_proofs_and_names_decide_the_rest() {
    let actions = ["bob", "alice"].map(copy_and_prove).into_iter().flatten();
    let settled = BTreeSet::from([exists("alice"), exists("bob")]);
    let ordered = order(actions.collect(), &settled).unwrap();
    assert_eq!(
        ids(&ordered.actions),
        [
            "mail/alice/copy",
            "mail/bob/copy",
            "mail/alice/prove",
            "mail/bob/prove"
        ]
    );
    assert_eq!(ordered.waiting, []);
}

#[test]
fn what_waits_is_named_and_so_is_all_that_waits_for_it() {
    let mut actions: Vec<Action> = ["bob", "alice"].map(copy_and_prove).concat();
    let everybody = [proven("alice"), proven("bob")];
    actions.push(action("zoe", "prove", &everybody, &[]));
    let ordered = order(actions, &BTreeSet::from([exists("alice")])).unwrap();
    assert_eq!(
        ids(&ordered.actions),
        ["mail/alice/copy", "mail/alice/prove"]
    );
    let waits = |user: &str, on: Fact| Blocked {
        resource: Resource::Mail(user.into()),
        by: Obstacle::Waits { on: vec![on] },
    };
    assert_eq!(
        ordered.waiting,
        [
            waits("bob", exists("bob")),
            waits("bob", copied("bob")),
            waits("zoe", proven("bob")),
        ]
    );
}

#[test]
fn a_cycle_is_reported_with_its_members_alone() {
    let actions = vec![
        action("alice", "copy", &[copied("bob")], &[copied("alice")]),
        action("bob", "copy", &[copied("alice")], &[copied("bob")]),
        action("carol", "copy", &[], &[copied("carol")]),
        action("dave", "copy", &[copied("alice")], &[copied("dave")]),
    ];
    let error = order(actions, &BTreeSet::new()).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    let text = error.to_string();
    assert!(text.contains("mail/alice/copy"), "{text}");
    assert!(text.contains("mail/bob/copy"), "{text}");
    assert!(!text.contains("carol") && !text.contains("dave"), "{text}");
}

#[test]
fn an_action_that_needs_what_only_it_gives_is_a_cycle() {
    let own = action("alice", "copy", &[copied("alice")], &[copied("alice")]);
    let error = order(vec![own], &BTreeSet::new()).unwrap_err();
    assert!(error.to_string().contains("mail/alice/copy"), "{error}");
}

/// What an action needs: the copy of an earlier one, or what nobody gives.
type Need = (prop::sample::Index, u8);

/// Actions without cycles.
fn acyclic() -> impl Strategy<Value = Vec<Action>> {
    let needs = proptest::collection::vec(any::<Need>(), 0..4);
    proptest::collection::vec((needs, any::<bool>()), 1..24).prop_map(|specs| {
        let name = |at: usize| format!("u{at:02}");
        let mut actions = Vec::new();
        for (at, (needs, proves)) in specs.into_iter().enumerate() {
            let fact = |(earlier, dice): &Need| match (at, dice % 8) {
                (0, _) | (_, 0) => exists("nobody"),
                _ => copied(&name(earlier.index(at))),
            };
            let needs: Vec<Fact> = needs.iter().map(fact).collect();
            let verb = if proves { "prove" } else { "copy" };
            actions.push(action(&name(at), verb, &needs, &[copied(&name(at))]));
        }
        actions
    })
}

proptest! {
    #[test]
    fn order_does_not_depend_on_the_order_of_the_input(
        (actions, shuffled) in acyclic().prop_flat_map(|actions| {
            (Just(actions.clone()), Just(actions).prop_shuffle())
        })
    ) {
        let one = order(actions, &BTreeSet::new()).unwrap();
        let other = order(shuffled, &BTreeSet::new()).unwrap();
        prop_assert_eq!(one.actions, other.actions);
        prop_assert_eq!(one.waiting, other.waiting);
    }

    #[test]
    fn every_action_runs_after_what_it_needs_or_is_said_to_wait(actions in acyclic()) {
        let number = actions.len();
        let ordered = order(actions, &BTreeSet::new()).unwrap();
        prop_assert_eq!(ordered.actions.len() + ordered.waiting.len(), number);
        let mut held = BTreeSet::new();
        for action in &ordered.actions {
            prop_assert!(action.needs.is_subset(&held), "{}", action.id);
            held.extend(action.gives.iter().cloned());
        }
        for blocked in &ordered.waiting {
            let Obstacle::Waits { on } = &blocked.by else {
                return Err(TestCaseError::fail("waiting actions wait"));
            };
            prop_assert!(!on.is_empty() && on.iter().all(|fact| !held.contains(fact)));
        }
    }
}
