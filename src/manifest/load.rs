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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::{Duration, Instant};

    use miette::{GraphicalReportHandler, GraphicalTheme};

    use super::*;

    const GOOD: &str = "version: 1\nname: a\nsource: {host: ssh://a}\ntarget: {host: ssh://b}\n\
                        serve_from: source\n";

    fn render(invalid: &Invalid) -> String {
        let mut out = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .with_width(100)
            .render_report(&mut out, invalid)
            .unwrap();
        out
    }

    /// What is said about a hostile text, which has to be said soon and briefly.
    fn refused(bytes: &[u8]) -> String {
        let start = Instant::now();
        let text = render(&parse_bytes("m", bytes).unwrap_err());
        let took = start.elapsed();
        // A second is the promise, and an idle machine keeps it even without optimisation; what
        // grows faster than the text would take minutes.
        assert!(took < Duration::from_secs(10), "took {took:?}");
        assert!(text.len() < 60_000, "{} bytes: {text:.2000}", text.len());
        text
    }

    #[test]
    fn a_large_file_is_refused_unread() {
        let text = refused(&vec![b'#'; 10 << 20]);
        assert!(text.contains("larger than 1 MiB"), "{text}");
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [
            ("[", "]"),
            ("{a: ", "}"),
            ("- ", ""),
            ("? ", ""),
            ("a:\n ", ""),
        ] {
            for times in [40, 100_000] {
                refused(format!("x: {}", open.repeat(times)).as_bytes());
                refused(format!("{}{}", open.repeat(times), close.repeat(times)).as_bytes());
            }
        }
        let text = refused(format!("x: {}1{}", "[".repeat(33), "]".repeat(33)).as_bytes());
        assert!(text.contains("nested too deeply"), "{text}");
    }

    #[test]
    fn nesting_of_blocks_is_bounded() {
        let mut text = String::new();
        for depth in 0..1000 {
            writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
        }
        assert!(refused(text.as_bytes()).contains("nested too deeply"));
    }

    #[test]
    fn aliases_are_paid_for_before_they_are_copied() {
        let mut text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
        for level in 1..20 {
            let alias = format!("*a{}", level - 1);
            writeln!(text, "a{level}: &a{level} [{}]", vec![alias; 10].join(",")).unwrap();
        }
        let said = refused(text.as_bytes());
        assert!(
            said.contains("aliases make this manifest too large"),
            "{said}"
        );

        // Anchors in anchors: each copy holds all copies within.
        let nested: String = "&a [".repeat(25);
        let text = format!("a: {nested}{}{}\n", "1,".repeat(10_000), "]".repeat(25));
        let said = refused(text.as_bytes());
        assert!(
            said.contains("aliases make this manifest too large"),
            "{said}"
        );

        let long = "x".repeat(500_000);
        let many = vec!["*a"; 100_000].join(",");
        let said = refused(format!("a: &a {long}\nb: [{many}]\n").as_bytes());
        assert!(
            said.contains("aliases make this manifest too large"),
            "{said}"
        );
    }

    #[test]
    fn a_value_cannot_hold_itself() {
        assert!(refused(b"a: &a [*a]\n").contains("a value that holds itself"));
        assert!(refused(b"a: &a { b: *a }\n").contains("a value that holds itself"));
    }

    #[test]
    fn many_problems_are_counted_and_the_first_shown() {
        let mut text = GOOD.to_owned();
        for key in 0..20_000 {
            writeln!(text, "serve_form{key}: 1").unwrap();
        }
        let said = refused(text.as_bytes());
        assert!(said.contains("20000 problems in m"), "{said:.500}");
        assert!(said.contains("only the first 30 problems are shown"));
    }

    #[test]
    fn a_file_of_nothing_but_values_is_bounded() {
        for unit in [
            "- \n", "a: 1\n", ",", "[],", "a\n\n", "\"\n", "'", "!a ", "&a ", "*a ", "%a\n", "|\n",
            "---\n", "#\n", "\t", "\r", "ü: ü\n",
        ] {
            refused(unit.repeat(MAX_BYTES / unit.len()).as_bytes());
            refused(format!("a: [{}", unit.repeat(200_000 / unit.len())).as_bytes());
        }
    }

    #[test]
    fn a_manifest_near_the_bounds_is_read() {
        let mut text = format!("{GOOD}users:\n  include:\n");
        for user in 0..49_000 {
            writeln!(text, "  - user{user}").unwrap();
        }
        assert_eq!(parse("m", &text).unwrap().users.include.len(), 49_000);
    }

    #[test]
    fn long_values_are_not_repeated_in_full() {
        let long = "x".repeat(900_000);
        for unit in [
            "x",
            "9",
            "/",
            "a.b@c",
            "*",
            "%",
            "ssh://",
            "2026-12-01T22:00:00.1",
            "\\e",
        ] {
            let long = unit.repeat(20_000 / unit.len());
            for text in [
                format!("source: {{ host: \"{long}\", host_key: \"{long}\" }}\nname: \"{long}\"\n"),
                format!("freeze: {{ budget: \"{long}\", not_before: \"{long}\" }}\n"),
                format!(
                    "users: {{ uid: \"{long}\", include: [\"{long}\"], remap: {{ \"{long}\": 1 }} }}\n"
                ),
                format!(
                    "cutover: {{ address: [\"{long}\"], hostname: \"{long}\", interface: \"{long}\" }}\n"
                ),
                format!("dovecot: {{ uidl_format: \"{long}\" }}\nspool: {{ warn: \"{long}\" }}\n"),
                format!("mail: {{ spool: {{ source: \"{long}\" }}, exclude: [\"{long}\"] }}\n"),
                format!("services: {{ mta: \"{long}\" }}\nname: {long}\n"),
            ] {
                let said = refused(text.as_bytes());
                assert!(said.len() < 12_000, "{} bytes: {said:.3000}", said.len());
                assert!(!said.contains('\u{1b}'), "{said:.3000}");
            }
        }
        for key in ["name", "version", "serve_from", "users", "freeze", &long] {
            let said = refused(
                format!("{key}: {long}\n")
                    .get(..MAX_BYTES)
                    .unwrap_or(&format!("{key}: a\n"))
                    .as_bytes(),
            );
            assert!(said.len() < 8000, "{} bytes for {key:.20}", said.len());
        }
    }

    #[test]
    fn encodings_that_editors_produce_are_read_or_named() {
        let bom = format!("\u{feff}{GOOD}");
        let crlf = GOOD.replace('\n', "\r\n");
        let cr = GOOD.replace('\n', "\r");
        for good in [GOOD, &bom, &crlf, &cr] {
            assert!(parse("m", good).is_ok(), "{good:?}");
        }
        let utf16: Vec<u8> = bom.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(refused(&utf16).contains("save the file as UTF-8"));
        assert!(refused(b"name: J\xfcrgen\n").contains("not UTF-8 from here on"));
        assert!(refused(b"name: a\0\n").contains("a NUL byte"));
        assert!(refused("name: a\u{202e}b\n".as_bytes()).contains("U+202E"));
    }

    #[test]
    fn a_text_without_values_is_an_empty_manifest() {
        for text in [
            "",
            "\n",
            "# nothing\n",
            "---\n",
            "null",
            "~\n",
            "\u{feff}",
            "---\n...\n",
        ] {
            assert!(
                refused(text.as_bytes()).contains("the manifest is empty"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn words_that_older_yaml_takes_for_booleans_are_names() {
        let text = format!("{GOOD}users: {{ include: [no, off, y, On], remap: {{ no: 2001 }} }}\n");
        let manifest = parse("m", &text).unwrap();
        assert_eq!(manifest.users.include, ["no", "off", "y", "On"]);
        assert_eq!(manifest.users.remap["no"], 2001);
    }

    #[test]
    fn an_alias_is_the_value_that_it_stands_for() {
        let text =
            format!("{GOOD}users: {{ include: &staff [alice, bob] }}\nmail: {{ adopt: *staff }}\n");
        assert_eq!(parse("m", &text).unwrap().mail.adopt, ["alice", "bob"]);
    }

    #[test]
    fn the_document_marker_and_comments_are_allowed() {
        let text = format!("%YAML 1.2\n--- # begins\n{GOOD}...\n");
        assert!(parse("m", &text).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Err(invalid) = parse_bytes("m", &bytes) {
                render(&invalid);
            }
        }

        #[test]
        fn no_yaml_makes_it_panic(text in "([a-c&*!%|>?'\"{}\\[\\],:# \t\r\n\u{85}ü-]|: |- |\n  |name: |users:\n|remap: ){0,60}") {
            if let Err(invalid) = parse("m", &text) {
                render(&invalid);
            }
        }

        #[test]
        fn no_damage_to_a_good_manifest_makes_it_panic(
            at in 0..GOOD.len(), cut in 0..20_usize, put in "[&*!|{}\\[\\]:\n' ü0-]{0,5}"
        ) {
            let end = (at + cut).min(GOOD.len());
            let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
            match parse("m", &text) {
                Ok(manifest) => proptest::prop_assert_eq!(manifest.version, 1),
                Err(invalid) => {
                    let said = render(&invalid);
                    // Serde finds nothing that the walk does not.
                    proptest::prop_assert!(!said.contains("cannot be read"), "{}\n{}", text, said);
                }
            }
        }
    }
}
