//! Drafts of manifests: `tests/init/NAME/{findings.yaml,migration.yaml}`.
//!
//! Each folder is a test of its own; adding one needs no Rust. The draft must be as `migration.yaml`
//! says, be the same on a second call, load, and lead to a plan. `RECONCILE_BLESS=1` writes
//! `migration.yaml`, to be read by a person before it is committed.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads and writes files of its own"
)]

use std::fs;
use std::path::Path;

use reconcile::init::{self, Findings};
use reconcile::manifest::load;
use reconcile::planner::{self, Observation};

datatest_stable::harness! {
    { test = draft, root = "tests/init", pattern = r"/findings\.yaml$" },
    { test = is_known, root = "tests/init", pattern = r".*" },
}

fn draft(path: &Path) -> datatest_stable::Result<()> {
    let text = fs::read_to_string(path)?;
    // By way of a value, because that refuses keys that stand twice: a slip when written by hand.
    let value: serde_yaml::Value = serde_yaml::from_str(&text)?;
    let findings: Findings = serde_yaml::from_value(value)?;

    let draft = init::render(&findings);
    if init::render(&findings) != draft {
        return Err("the draft is not the same on a second call".into());
    }
    let manifest = load::parse("the draft", &draft.text)
        .map_err(|invalid| format!("{:?}", miette::Report::new(invalid)))?;
    let observation = Observation {
        accounts: findings.accounts,
        dovecot: findings.dovecot,
        spool: findings.spool,
        beside: findings.beside,
        ..Observation::empty()
    };
    planner::plan(&manifest, &observation)?;

    let expected = path.with_file_name("migration.yaml");
    if std::env::var_os("RECONCILE_BLESS").is_some() {
        fs::write(&expected, &draft.text)?;
    }
    let expected = fs::read_to_string(expected).map_err(|error| {
        format!("{error}; RECONCILE_BLESS=1 writes it, to be read before it is committed")
    })?;
    if expected == draft.text {
        return Ok(());
    }
    let diff = similar::TextDiff::from_lines(&expected, &draft.text)
        .unified_diff()
        .header("migration.yaml", "draft now")
        .to_string();
    Err(diff.into())
}

/// A file that no case uses is a mistake.
fn is_known(path: &Path) -> datatest_stable::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_part = matches!(name, Some("findings.yaml" | "migration.yaml"));
    if is_part && path.with_file_name("findings.yaml").exists() {
        return Ok(());
    }
    Err(format!("{} is used by no case", path.display()).into())
}
