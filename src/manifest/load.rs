//! From the bytes of a file to a [`Manifest`], or to everything that is wrong with it.
//!
//! The order: bounds and encoding; YAML into a tree; the tree against the shape; values against
//! each other, wherever they could be read; serde last, once nothing is known to be wrong. Every
//! step but the first two runs in any case, so that all problems are reported at once.

use super::excerpt::{Source, is_unsafe};
use super::problem::{Place, Problem, Problems};
use super::{Invalid, Manifest, check, shape, tree, walk};

/// Largest manifest, in bytes. Whoever reads the file need read no more than one byte beyond.
pub const MAX_BYTES: usize = 1 << 20;

/// Parses a manifest. `name` is what messages call it, best the path as the user gave it.
///
/// # Errors
/// [`Invalid`] holds all problems. Takes less than a second and bounded memory for any text.
pub fn parse(name: &str, text: &str) -> Result<Manifest, Invalid> {
    parse_bytes(name, text.as_bytes())
}

/// Parses a manifest that may not be text at all; see [`parse`].
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Manifest, Invalid> {
    if bytes.len() > MAX_BYTES {
        let problem = Problem::new(format!("larger than {} MiB", MAX_BYTES >> 20)).help(
            "is this the right file? choose users by `users.uid` or by globs, not one by one",
        );
        return Err(fatal(problem, Source { name, text: "" }));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            let at = error.valid_up_to();
            let place = Place {
                start: at,
                end: at + char::REPLACEMENT_CHARACTER.len_utf8(),
            };
            return Err(fatal(not_utf8(bytes, place), Source { name, text: &text }));
        }
    };
    let source = Source { name, text };
    if let Some(problem) = control_character(text) {
        return Err(fatal(problem, source));
    }
    let mut problems = Problems::default();
    match tree::build(text, &mut problems) {
        Err(problem) => problems.push(problem),
        Ok(None) => problems.push(empty()),
        Ok(Some(root)) if root.is_null() => problems.push(empty()),
        Ok(Some(root)) => {
            walk::walk(shape::manifest(), &root, &mut problems);
            check::check(&root, &mut problems);
        }
    }
    if !problems.is_empty() {
        return Err(problems.report(&source));
    }
    serde_yaml::from_str(text).map_err(|error| fatal(rejected(&error, text), source))
}

fn fatal(problem: Problem, source: Source<'_>) -> Invalid {
    let mut problems = Problems::default();
    problems.push(problem);
    problems.report(&source)
}

fn empty() -> Problem {
    Problem::new("the manifest is empty")
        .help("`reconcile init SOURCE TARGET` writes one; examples/minimal.yaml is the smallest")
}

fn not_utf8(bytes: &[u8], place: Place) -> Problem {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let (label, help) = if utf16 {
        ("this is UTF-16", "save the file as UTF-8")
    } else {
        (
            "not UTF-8 from here on",
            "save the file as UTF-8; if it is Latin-1: iconv -f LATIN1 -t UTF-8",
        )
    };
    Problem::new("not a text in UTF-8")
        .at(place, label)
        .help(help)
}

/// YAML allows no control characters but tab and line breaks; the parser is more lenient.
fn control_character(text: &str) -> Option<Problem> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let (start, c) = text
        .char_indices()
        .find(|(_, c)| is_unsafe(*c) && !allowed(*c))?;
    let place = Place {
        start,
        end: start + c.len_utf8(),
    };
    let label = match c {
        '\0' => "a NUL byte".to_owned(),
        c => format!("U+{:04X}, which does not show", u32::from(c)),
    };
    Some(
        Problem::new("a control character")
            .at(place, label)
            .help("remove it"),
    )
}

/// What serde says although nothing else found a problem.
fn rejected(error: &serde_yaml::Error, text: &str) -> Problem {
    let problem = Problem::new("this manifest cannot be read");
    match error.location() {
        Some(location) => {
            let mut start = location.index().min(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let end = text[start..]
                .char_indices()
                .nth(1)
                .map_or(text.len(), |(n, _)| start + n);
            problem.at(Place { start, end }, error.to_string())
        }
        None => problem.help(error.to_string()),
    }
}
