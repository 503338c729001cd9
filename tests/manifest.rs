//! Bad manifests and what is said about them: `tests/manifest/NAME.yaml` and `NAME.txt`.
//!
//! To add a case, write the YAML and run the test: it says where the text that it got was put, to
//! be read by eye and copied beside the YAML.

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
    match path.with_extension("yaml").exists() {
        true => Ok(()),
        false => Err("no manifest has this name".into()),
    }
}

datatest_stable::harness! {
    { test = refused, root = "tests/manifest", pattern = r"\.yaml$" },
    { test = refused_by_the_schema, root = "tests/manifest", pattern = r"\.yaml$" },
    { test = has_a_case, root = "tests/manifest", pattern = r"\.txt$" },
}
