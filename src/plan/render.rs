//! A plan for people and programs: text, markdown, JSON, dot. Pure; decides nothing.

mod group;
mod hand_over;
mod markdown;
mod summary;
mod text;

use petgraph::dot::Dot;

use crate::plan::{Plan, Resource, graph};

pub use markdown::markdown;
pub use summary::summary;
pub use text::text;

/// Whether text carries ANSI colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// With colours.
    Colour,
}

/// What a line of the plan does to its resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is removed.
    Remove,
    /// Something is done that leaves it as it is (a proof, a record).
    Run,
}

impl Sign {
    /// The sign at the beginning of the line.
    pub const fn mark(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Remove => '-',
            Self::Run => '>',
        }
    }
}

/// One entry of the plan for people: a resource, what happens to it, and the details below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What happens.
    pub sign: Sign,
    /// To what.
    pub resource: Resource,
    /// One line: `uid 500, gid 500 (alice), home /home/alice`.
    pub title: String,
    /// Further lines, shown indented: one per field, or the lines of a unified diff.
    pub details: Vec<String>,
}

/// The plan as JSON, as `schemas/plan.schema.json` describes it.
pub fn json(plan: &Plan) -> String {
    let mut text = serde_json::to_string_pretty(plan).expect("a plan is plain data with text keys");
    text.push('\n');
    text
}

/// The DAG in graphviz form; edges carry the fact that makes the order.
pub fn dot(plan: &Plan) -> String {
    Dot::new(&graph::dag(&plan.actions)).to_string()
}
