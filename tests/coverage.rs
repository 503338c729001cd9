//! Every kind of thing that a plan can say is said in at least one planner case, so that its text
//! has been read by a person. The kinds come from the plan's schema: a new one without a case fails.

mod planner_case;

use std::collections::BTreeSet;
use std::path::Path;

use reconcile::plan::{self, render};
use serde_json::Value;

/// The schema's name of each enum whose variants are looked for.
const KINDS: [&str; 8] = [
    "Change",
    "Conflict",
    "OtherMail",
    "Problem",
    "Problem2",
    "Problem3",
    "Problem4",
    "Reason",
];

/// Variants that no manifest and observation lead to.
const ELSEWHERE: [(&str, &str); 7] = [
    ("at_work", "no plan freezes a host yet"),
    ("bad_pattern", "the manifest is refused before"),
    ("by_hand", "no plan freezes a host yet"),
    ("cannot_freeze", "no plan freezes a host yet"),
    ("exim_delivers", "no plan freezes a host yet"),
    ("remap_reserved", "the manifest is refused before"),
    ("source_out_of_reach", "the planner refuses the whole plan"),
];

/// Names of an enum's variants in the plan's JSON.
fn variants(schema: &Value, kind: &str) -> Vec<String> {
    let one_of = schema["$defs"][kind]["oneOf"].as_array();
    let one_of = one_of.unwrap_or_else(|| panic!("{kind} is an enum of the plan"));
    one_of
        .iter()
        .flat_map(|variant| {
            let named = variant["required"].as_array().into_iter().flatten();
            let plain = variant["enum"].as_array().into_iter().flatten();
            named.chain(plain).chain(variant.get("const"))
        })
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// Every key and every text of a JSON value.
fn words(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.insert(key.clone());
                words(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| words(value, found)),
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn said_in(case: &Path, found: &mut BTreeSet<String>) {
    let json = render::json(&planner_case::plan(case));
    let json: Value = serde_json::from_str(&json).expect("what was written as JSON is JSON");
    for part in ["actions", "blocked"] {
        words(&json[part], found);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a folder of the repository, not a host's"
)]
fn every_kind_of_change_reason_and_obstacle_is_in_a_case() {
    let mut said = BTreeSet::new();
    for case in std::fs::read_dir(planner_case::folder()).expect("there are cases") {
        said_in(&case.expect("the folder can be read").path(), &mut said);
    }
    let schema = plan::schema();
    let mut unsaid: Vec<String> = KINDS
        .iter()
        .flat_map(|kind| variants(&schema, kind))
        .filter(|name| !said.contains(name))
        .collect();
    let elsewhere = ELSEWHERE.map(|(name, _)| name.to_owned());
    unsaid.sort();
    assert_eq!(unsaid, elsewhere, "kinds without a case in tests/cases");
}
