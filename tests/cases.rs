//! Planner cases: `tests/cases/NAME/{manifest.yaml,observation.yaml,plan.txt}`.
//!
//! Each folder is a test of its own; adding one needs no Rust. The plan must be as `plan.txt` says,
//! validate against the schema, be the same on a second call, and, once applied (as predicted),
//! leave nothing to do. `RECONCILE_BLESS=1` writes `plan.txt`, to be read by a person before it is
//! committed.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads and writes files of its own"
)]

use std::fs;
use std::path::Path;

use reconcile::manifest::load;
use reconcile::plan::{self, Plan, render};
use reconcile::planner::{self, Observation};

datatest_stable::harness! {
    { test = case, root = "tests/cases", pattern = r"/manifest\.yaml$" },
    { test = is_known, root = "tests/cases", pattern = r".*" },
}

fn case(path: &Path) -> datatest_stable::Result<()> {
    let folder = path.parent().ok_or("a case is a folder")?;
    let text = fs::read(path)?;
    let manifest = load::parse_bytes(&path.display().to_string(), &text)
        .map_err(|invalid| format!("{:?}", miette::Report::new(invalid)))?;
    let text = fs::read_to_string(folder.join("observation.yaml"))?;
    // By way of a value, because that refuses keys that stand twice: a slip when written by hand.
    let value: serde_yaml::Value = serde_yaml::from_str(&text)?;
    let observation: Observation = serde_yaml::from_value(value)?;

    let plan = planner::plan(&manifest, &observation)?;
    let mut actual = render::text(&plan, render::Paint::Plain);
    actual.push_str(&format!(
        "\nplan again: {}\n",
        plan_again(&plan, &observation)?
    ));

    let json: serde_json::Value = serde_json::from_str(&render::json(&plan))?;
    jsonschema::validate(&plan::schema(), &json).map_err(|error| error.to_string())?;
    let back: Plan = serde_json::from_value(json)?;
    if back != plan || planner::plan(&manifest, &observation)? != plan {
        return Err("the plan is not the same after JSON, or on a second call".into());
    }

    let expected = folder.join("plan.txt");
    if std::env::var_os("RECONCILE_BLESS").is_some() {
        fs::write(&expected, &actual)?;
    }
    let expected = fs::read_to_string(expected).map_err(|error| {
        format!("{error}; RECONCILE_BLESS=1 writes plan.txt, to be read before it is committed")
    })?;
    if expected == actual {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&expected, &actual)
        .unified_diff()
        .header("plan.txt", "plan now")
        .to_string();
    Err(diff.into())
}

/// What planning finds once the plan is applied; a blocked plan is never applied.
fn plan_again(plan: &Plan, observation: &Observation) -> datatest_stable::Result<&'static str> {
    if !plan.blocked.is_empty() {
        return Ok("still blocked");
    }
    // What a host takes back is known to that host alone.
    if plan.ends_leftovers() {
        return Ok("known when it is ended");
    }
    let after = planner::predict(&plan.manifest, observation, plan)?;
    let again = planner::plan(&plan.manifest, &after)?;
    if again.is_empty() {
        return Ok("empty");
    }
    Err(format!(
        "not empty after apply:\n{}",
        render::text(&again, render::Paint::Plain)
    )
    .into())
}

/// A file that no case uses is a mistake.
fn is_known(path: &Path) -> datatest_stable::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_part = matches!(
        name,
        Some("manifest.yaml" | "observation.yaml" | "plan.txt")
    );
    if is_part && path.with_file_name("manifest.yaml").exists() {
        return Ok(());
    }
    Err(format!("{} is used by no case", path.display()).into())
}
