//! The checked-in schemas are those of the types.

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the repository, not a host's"
)]
fn is_fresh(file: &str, kind: &str, schema: &serde_json::Value) {
    let path = format!("{}/schemas/{file}", env!("CARGO_MANIFEST_DIR"));
    let checked_in = std::fs::read_to_string(path).expect("the schema is checked in");
    let fresh = format!("{schema:#}\n");
    assert!(
        checked_in == fresh,
        "schemas/{file} is stale: run `cargo run -- schema {kind} > schemas/{file}`"
    );
}

#[test]
fn the_manifest_schema_is_fresh() {
    is_fresh(
        "manifest.schema.json",
        "manifest",
        &reconcile::manifest::schema(),
    );
}

#[test]
fn the_plan_schema_is_fresh() {
    is_fresh("plan.schema.json", "plan", &reconcile::plan::schema());
}
