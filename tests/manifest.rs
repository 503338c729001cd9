//! Bad manifests and what is said about them: `tests/manifest/NAME.yaml` and `NAME.txt`. Good ones:
//! `examples/`. The schema: `schemas/`. Each file is a test of its own.
//!
//! To add a case, write the YAML and run the test: it says where the text that it got was put, to
//! be read by eye and copied beside the YAML.

#![expect(
    clippy::disallowed_methods,
    reason = "a test reads and writes files of its own"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "datatest-stable hands contents over by value"
)]

use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use reconcile::manifest::{Invalid, load, schema};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn render(invalid: &Invalid) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut out, invalid as &dyn Diagnostic)?;
    // Trailing blanks would not survive editors.
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    Ok(format!("{}\n", lines.join("\n").trim_start_matches('\n')))
}

/// A bad manifest is refused with exactly this text.
fn refused(path: &Path, bytes: Vec<u8>) -> Outcome {
    let name = path
        .file_name()
        .ok_or("a case has a name")?
        .to_string_lossy();
    let Err(invalid) = load::parse_bytes(&name, &bytes) else {
        return Err("this manifest is accepted".into());
    };
    let got = render(&invalid)?;
    let expected = path.with_extension("txt");
    let wanted = match std::fs::read_to_string(&expected) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    if got == wanted {
        return Ok(());
    }
    let put = Path::new(env!("CARGO_TARGET_TMPDIR")).join(expected.file_name().ok_or("named")?);
    std::fs::write(&put, &got)?;
    let (got_at, wanted_at) = (put.display(), expected.display());
    Err(format!("{got}\nis not {wanted_at}; if it is right:\n  cp {got_at} {wanted_at}").into())
}

/// What the schema can know, it refuses as well. The first line of a case says when it cannot:
/// `# schema: accepts` for rules between values, `# schema: not YAML` where no editor gets that far.
fn refused_by_the_schema(_: &Path, bytes: Vec<u8>) -> Outcome {
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{feff}');
    if text.starts_with("# schema: not YAML") {
        return Ok(());
    }
    let value: serde_json::Value = serde_yaml::from_str(text)?;
    let valid = jsonschema::is_valid(&schema(), &value);
    match (text.starts_with("# schema: accepts"), valid) {
        (false, false) | (true, true) => Ok(()),
        (false, true) => Err("the schema accepts it".into()),
        (true, false) => Err("the schema refuses it: remove the first line".into()),
    }
}

/// Each expected text belongs to a case.
fn has_a_case(path: &Path) -> Outcome {
    if path.with_extension("yaml").exists() {
        Ok(())
    } else {
        Err("no manifest has this name".into())
    }
}

/// An example loads, tells editors where its schema is, satisfies it, and survives being written.
fn accepted(path: &Path, text: String) -> Outcome {
    if !text.starts_with("# yaml-language-server: $schema=../schemas/manifest.schema.json\n") {
        return Err("the first line does not name the schema".into());
    }
    let name = path.display().to_string();
    let manifest = match load::parse(&name, &text) {
        Ok(manifest) => manifest,
        Err(invalid) => return Err(render(&invalid)?.into()),
    };
    let value: serde_json::Value = serde_yaml::from_str(&text)?;
    jsonschema::validate(&schema(), &value).map_err(|error| error.to_string())?;
    let written = serde_yaml::to_string(&manifest)?;
    match load::parse("written", &written) {
        Ok(again) if again == manifest => Ok(()),
        Ok(_) => Err(format!("not the same when read again:\n{written}").into()),
        Err(invalid) => Err(render(&invalid)?.into()),
    }
}

/// The schema that editors read is the one of the types.
fn fresh(_: &Path, text: String) -> Outcome {
    let checked_in: serde_json::Value = serde_json::from_str(&text)?;
    if checked_in == schema() {
        return Ok(());
    }
    let put = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manifest.schema.json");
    std::fs::write(
        &put,
        format!("{}\n", serde_json::to_string_pretty(&schema())?),
    )?;
    Err(format!(
        "stale; run: reconcile schema > schemas/manifest.schema.json (or copy {})",
        put.display()
    )
    .into())
}

datatest_stable::harness! {
    { test = accepted, root = "examples", pattern = r"^[^/]+\.yaml$" },
    { test = fresh, root = "schemas", pattern = r"^manifest\.schema\.json$" },
    { test = refused, root = "tests/manifest", pattern = r"\.yaml$" },
    { test = refused_by_the_schema, root = "tests/manifest", pattern = r"\.yaml$" },
    { test = has_a_case, root = "tests/manifest", pattern = r"\.txt$" },
}
