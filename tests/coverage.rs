//! Every kind of thing that a plan can say is said in at least one planner case, so that its text
//! has been read by a person. The kinds come from the plan's schema: a new one without a case fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reconcile::manifest::load;
use reconcile::plan::{self, render};
use reconcile::planner;
use serde_json::Value;

/// The schema's name of each enum whose variants are looked for.
const KINDS: [&str; 6] = [
    "Change", "Conflict", "Problem", "Problem2", "Problem3", "Reason",
];

/// Variants that no manifest and observation lead to.
const ELSEWHERE: [(&str, &str); 3] = [
    ("bad_pattern", "the manifest is refused before"),
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
    let read = |file: &str| fs::read_to_string(case.join(file)).unwrap();
    let manifest = load::parse_bytes("manifest.yaml", read("manifest.yaml").as_bytes()).unwrap();
    let observation = serde_yaml::from_str(&read("observation.yaml")).unwrap();
    let plan = planner::plan(&manifest, &observation).unwrap();
    let json: Value = serde_json::from_str(&render::json(&plan)).unwrap();
    for part in ["actions", "blocked"] {
        words(&json[part], found);
    }
}

#[test]
fn every_kind_of_change_reason_and_obstacle_is_in_a_case() {
    let mut said = BTreeSet::new();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for case in fs::read_dir(cases).unwrap() {
        said_in(&case.unwrap().path(), &mut said);
    }
    let schema = plan::schema();
    let unsaid: Vec<String> = KINDS
        .iter()
        .flat_map(|kind| variants(&schema, kind))
        .filter(|name| !said.contains(name))
        .collect();
    let elsewhere = ELSEWHERE.map(|(name, _)| name.to_owned());
    let mut unsaid: Vec<_> = unsaid.into_iter().collect();
    unsaid.sort();
    assert_eq!(unsaid, elsewhere, "kinds without a case in tests/cases");
}
