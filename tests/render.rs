//! The plan in the forms that `tests/cases.rs` does not compare: markdown, colours, a graph.

mod planner_case;

use reconcile::plan::{Level, Plan, render};

fn plan_of(case: &str) -> Plan {
    planner_case::plan(&planner_case::folder().join(case))
}

#[test]
fn markdown_begins_with_what_a_reviewer_must_know() {
    let plan = plan_of("supplementary-groups");
    let markdown = render::markdown(&plan);
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(
        lines[..7],
        [
            "### reconcile plan `office`",
            "",
            "**Plan: 4 actions; 5 accounts and groups to create, 3 accounts and groups to change, \
             254 files to copy or touch (60.8 MB).**",
            "",
            "- Merge accounts: 5 missing and 3 different on the target (8 entries)",
            "- Claim the trees: never copied before (1 entry)",
            "- Copy mail: never copied before (2 entries)",
        ]
    );
    let warnings = plan.notes.iter().filter(|n| n.level == Level::Warning);
    let shown = lines.iter().filter(|l| l.starts_with("- **warning**"));
    assert_eq!(shown.count(), warnings.count());
}

#[test]
fn markdown_has_a_row_for_everything_that_is_blocked() {
    let plan = plan_of("many-conflicts-as-one-table");
    let markdown = render::markdown(&plan);
    for blocked in &plan.blocked {
        let row = format!("| `{}` | {} |", blocked.resource, blocked.by);
        assert!(markdown.lines().any(|line| line == row), "{row}");
    }
}

#[test]
fn markdown_holds_the_whole_text_in_one_fence() {
    let plan = plan_of("hand-over-in-one-go");
    let markdown = render::markdown(&plan);
    let (_, after) = markdown.split_once("```diff\n").expect("a fence opens");
    let (inside, rest) = after.split_once("\n```\n").expect("and closes");
    assert_eq!(inside, render::text(&plan, render::Paint::Plain).trim_end());
    assert!(!rest.contains("```"), "{rest}");
}

#[test]
fn colours_change_nothing_but_colours() {
    for case in ["hand-over-in-one-go", "many-conflicts-as-one-table"] {
        let plan = plan_of(case);
        let coloured = render::text(&plan, render::Paint::Colour);
        assert!(coloured.contains('\u{1b}'));
        assert_eq!(
            anstream::adapter::strip_str(&coloured).to_string(),
            render::text(&plan, render::Paint::Plain)
        );
    }
}

#[test]
fn the_graph_has_a_node_for_each_action_and_an_edge_for_each_need() {
    let plan = plan_of("hand-over-in-one-go");
    let dot = render::dot(&plan);
    for action in &plan.actions {
        let label = format!("[ label = \"{}\" ]", action.id);
        assert_eq!(dot.matches(&label).count(), 1, "{dot}");
    }
    assert!(
        dot.contains("[ label = \"target has authority\" ]"),
        "{dot}"
    );
}
