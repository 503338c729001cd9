//! The changes of a hand-over between live hosts, for people.

use super::{Row, Sign};
use crate::host::Step;
use crate::plan::hand_over::{Ending, HostChange, ProofOf, Rounds, ServiceProbe, SwitchArming};
use crate::plan::{Change, Resource};
use crate::report::counted;

/// The row of a change; of one that is none of a hand-over, a row without details.
pub(super) fn row(change: &Change) -> Row {
    let (title, details) = match change {
        Change::Rounds(rounds) => {
            let users = counted(rounds.copies.len() as u64, "user", "users");
            (
                format!(
                    "mail of {users} from the {}, in rounds while it is served",
                    rounds.from
                ),
                may_take(rounds),
            )
        }
        Change::ProveIdentity(proof) => {
            let users = counted(proof.users.len() as u64, "user", "users");
            let title = match proof.of {
                ProofOf::Seed => format!("mailboxes of {users}, while mail is served"),
                ProofOf::Frozen => format!("mailboxes of {users} that changed since"),
            };
            (title, Vec::new())
        }
        Change::Survey(probe) => (
            format!("what is offered at {} now", addresses(probe)),
            Vec::new(),
        ),
        Change::ProbeService(probe) => service_probe(probe),
        Change::Arm(armings) => (
            armings.iter().map(arming).collect::<Vec<_>>().join(", "),
            commits(armings),
        ),
        Change::Freeze(freeze) => {
            let held: Vec<&str> = freeze.holds.keys().map(String::as_str).collect();
            (
                format!("stop {} on the {}", held.join(", "), freeze.change.side),
                steps(&freeze.change),
            )
        }
        Change::CarryQueue(carry) => (
            format!(
                "what waits on the {} is kept ready on the {}",
                carry.from,
                carry.from.other()
            ),
            carry
                .trees
                .iter()
                .map(|tree| format!("{} -> {}", tree.from, tree.to))
                .collect(),
        ),
        Change::LastDelta(last) => (
            format!("from the {}, compared by content", last.from),
            Vec::new(),
        ),
        Change::MendAddresses(change) => (
            format!("the {} takes what it lost", change.side),
            steps(change),
        ),
        Change::LeaveAddresses(change) => (format!("the {} lets go", change.side), steps(change)),
        Change::TakeAddresses(change) => (format!("the {} takes over", change.side), steps(change)),
        Change::StartServices(start) => {
            let services: Vec<&str> = start.ports.keys().map(String::as_str).collect();
            (
                format!("{} on the {}", services.join(", "), start.change.side),
                steps(&start.change),
            )
        }
        Change::EndLeftover(leftover) => {
            let title = match leftover.how {
                Ending::TakeBack => format!("take back what was done on the {}", leftover.side),
                Ending::Finish => format!("finish the hand-over on the {}", leftover.side),
            };
            (title, Vec::new())
        }
        _ => (String::new(), Vec::new()),
    };
    Row {
        sign: Sign::Run,
        resource: Resource::Migration,
        title,
        details,
    }
}

fn may_take(rounds: &Rounds) -> Vec<String> {
    let budget = format!("the freeze may take {} s, freeze.budget", rounds.budget);
    let alone = rounds.alone.as_ref().map(|alone| {
        format!(
            "no other exchanger takes mail meanwhile: that may take {} s",
            alone.seconds
        )
    });
    std::iter::once(budget).chain(alone).collect()
}

/// What is looked at after the move, and what may be missing.
fn service_probe(probe: &ServiceProbe) -> (String, Vec<String>) {
    let mut details = Vec::new();
    if let Some(user) = &probe.recipient {
        details.push(format!(
            "a message to {user} is sent, read back and removed"
        ));
    }
    if !probe.accepted.is_empty() {
        let all: Vec<String> = probe.accepted.iter().map(ToString::to_string).collect();
        details.push(format!("may be missing: {}", all.join(", ")));
    }
    (
        format!(
            "what was offered at {} is offered again, for {}",
            addresses(probe),
            counted(probe.users.len() as u64, "recipient", "recipients")
        ),
        details,
    )
}

fn addresses(probe: &ServiceProbe) -> String {
    let all: Vec<String> = probe.addresses.iter().map(ToString::to_string).collect();
    all.join(" and ")
}

fn arming(arming: &SwitchArming) -> String {
    format!("the {} gives up after {} s", arming.side, arming.within)
}

fn commits(armings: &[SwitchArming]) -> Vec<String> {
    let of = |arming: &SwitchArming| {
        let side = arming.side;
        let line = move |step: &Step| format!("once handed over, on the {side}: {step}");
        arming.commit.iter().map(line).collect::<Vec<_>>()
    };
    armings.iter().flat_map(of).collect()
}

fn steps(change: &HostChange) -> Vec<String> {
    let edits = change
        .edits
        .iter()
        .flat_map(|edit| edit.diff.lines().map(str::to_owned));
    let mut lines: Vec<String> = change.steps.iter().map(ToString::to_string).collect();
    lines.dedup();
    lines.extend(edits);
    lines
}
