//! A planner case, for tests that look at plans in another way than `tests/cases.rs` does.

use std::path::{Path, PathBuf};

use reconcile::manifest::load;
use reconcile::plan::Plan;
use reconcile::planner;

/// The folder of all cases.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The plan of one case.
pub(crate) fn plan(case: &Path) -> Plan {
    let manifest = read(&case.join("manifest.yaml"));
    let manifest = load::parse_bytes("manifest.yaml", manifest.as_bytes());
    let manifest = manifest.unwrap_or_else(|invalid| panic!("{}: {invalid:?}", case.display()));
    let observation = serde_yaml::from_str(&read(&case.join("observation.yaml")));
    let observation = observation.unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    planner::plan(&manifest, &observation)
        .unwrap_or_else(|error| panic!("{}: {error}", case.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the repository, not a host's"
)]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
