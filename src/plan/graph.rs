//! From facts to order: the plan as a petgraph DAG.
//!
//! An action that needs a fact comes after every action that gives it. What needs a fact that nobody
//! gives is not silently dropped: it comes back as [`Blocked`], and so does all that depends on it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::timer::TimerState;
use super::{Action, ActionId, Blocked, Change, Fact, Obstacle, Resource};
use crate::error::{Error, Kind, Result};

/// The actions that can run, in order, and those that cannot.
#[derive(Debug, Default)]
pub struct Ordered {
    /// Dependencies first; among the ready ones by phase, then by id.
    pub actions: Vec<Action>,
    /// Actions whose needs nobody gives, each with the facts it waits for.
    pub waiting: Vec<Blocked>,
}

/// The plan's actions as a graph: an edge from the action that gives a fact to each that needs it.
pub fn dag(actions: &[Action]) -> DiGraph<ActionId, Fact> {
    let mut graph = DiGraph::new();
    let nodes: Vec<NodeIndex> = actions
        .iter()
        .map(|a| graph.add_node(a.id.clone()))
        .collect();
    let mut givers: BTreeMap<&Fact, Vec<NodeIndex>> = BTreeMap::new();
    for (action, &node) in actions.iter().zip(&nodes) {
        for fact in &action.gives {
            givers.entry(fact).or_default().push(node);
        }
    }
    for (action, &node) in actions.iter().zip(&nodes) {
        for fact in &action.needs {
            for &giver in givers.get(fact).into_iter().flatten() {
                graph.add_edge(giver, node, fact.clone());
            }
        }
    }
    graph
}

/// Orders the actions. Fails only on a cycle, which would be a defect of reconcile.
pub fn order(mut actions: Vec<Action>, settled: &BTreeSet<Fact>) -> Result<Ordered> {
    actions.sort_by(|one, other| (phase(one), &one.id).cmp(&(phase(other), &other.id)));
    let (actions, waiting) = split_waiting(actions, settled);
    let graph = dag(&actions);
    let mut missing: Vec<usize> = graph
        .node_indices()
        .map(|node| graph.neighbors_directed(node, Direction::Incoming).count())
        .collect();
    // toposort of petgraph breaks ties as it likes; here the lowest node is the first in the order.
    let mut ready: BinaryHeap<Reverse<NodeIndex>> = graph
        .node_indices()
        .filter(|node| missing[node.index()] == 0)
        .map(Reverse)
        .collect();
    let mut sequence = Vec::with_capacity(actions.len());
    while let Some(Reverse(node)) = ready.pop() {
        sequence.push(node.index());
        for next in graph.neighbors_directed(node, Direction::Outgoing) {
            missing[next.index()] -= 1;
            if missing[next.index()] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    if sequence.len() < actions.len() {
        return Err(cycle(&graph));
    }
    let mut slots: Vec<Option<Action>> = actions.into_iter().map(Some).collect();
    let actions = sequence
        .into_iter()
        .filter_map(|index| slots[index].take())
        .collect();
    Ok(Ordered { actions, waiting })
}

/// Of what is ready, the quick comes before the long, and every copy before the first proof: a proof
/// is worth most when it is fresh at the hand-over.
fn phase(action: &Action) -> u8 {
    match action.change {
        Change::MergeAccounts(_) => 0,
        Change::HoldService(_) => 1,
        Change::EditFile(_) | Change::EnforceUidl(_) | Change::SetUpBackup(_) => 2,
        Change::SetAside { .. } => 3,
        Change::ClaimTrees { .. } => 4,
        Change::CopyMail(_) => 5,
        Change::ProveMail(_) => 6,
        Change::EndLeftover(_) => 7,
        Change::AskBackup(_)
        | Change::Rounds(_)
        | Change::ProveIdentity(_)
        | Change::Survey(_)
        | Change::ProbeService(_)
        | Change::Arm(_)
        | Change::CarryQueue(_)
        | Change::Freeze(_)
        | Change::LastDelta(_)
        | Change::MendAddresses(_)
        | Change::LeaveAddresses(_)
        | Change::TakeAddresses(_)
        | Change::StartServices(_) => 8,
        Change::HandOver { .. } => 9,
        Change::ReleaseService(_) | Change::DrainBackup(_) => 10,
        // Before the mail stands still for a way back.
        Change::SetUpTimer(ref setup) if setup.to == TimerState::Removed => 2,
        Change::MoveMessages(_) | Change::SetUpTimer(_) => 11,
    }
}

/// Takes out what needs a fact that nobody gives, until nothing more falls out.
fn split_waiting(
    mut actions: Vec<Action>,
    settled: &BTreeSet<Fact>,
) -> (Vec<Action>, Vec<Blocked>) {
    let mut waiting = Vec::new();
    loop {
        let given: BTreeSet<Fact> = actions
            .iter()
            .flat_map(|a| a.gives.iter().cloned())
            .collect();
        let unmet = |action: &Action| -> Vec<Fact> {
            let held = |fact: &&Fact| !settled.contains(*fact) && !given.contains(*fact);
            action.needs.iter().filter(held).cloned().collect()
        };
        let before = actions.len();
        let mut kept = Vec::with_capacity(before);
        for action in actions {
            let on = unmet(&action);
            if on.is_empty() {
                kept.push(action);
            } else {
                let resource = Resource::of(&action);
                waiting.push(Blocked {
                    resource,
                    by: Obstacle::Waits { on },
                });
            }
        }
        actions = kept;
        if actions.len() == before {
            return (actions, waiting);
        }
    }
}

fn cycle(graph: &DiGraph<ActionId, Fact>) -> Error {
    let members: Vec<String> = tarjan_scc(graph)
        .into_iter()
        .flat_map(|component| match component.as_slice() {
            // One alone is in a cycle only if it needs what it gives itself.
            [one] if !graph.contains_edge(*one, *one) => Vec::new(),
            _ => component,
        })
        .map(|node| graph[node].to_string())
        .collect();
    Error::new(
        Kind::Internal,
        format!("the plan has a cycle: {}", members.join(", ")),
    )
    .hint("this is a defect of reconcile; please report it with the plan's observation")
}

#[cfg(test)]
mod tests;
