//! The README says what the program does, and nothing else.
//!
//! How a fenced block is held to that follows from its language:
//!
//! - `console`: a session. The blocks run in order on one pair of hosts, made by the quickstart's
//!   `make-hosts`. Each line after `$ ` goes to bash in the directory of the manifest; what follows
//!   is its output, stdout and stderr together. A line `...` stands for any number of lines; digests
//!   and times are not compared. This needs root, to make files of other users; without it the test
//!   is left out, and fails in CI.
//! - `sh`: commands for a checkout. They are not run from here (`tests/run` runs the quickstart), but
//!   each must be a file of the repository, or a command line that the program's parser knows.
//! - `yaml`: a whole manifest, which must be valid.
//!
//! The tables of keys and of exit codes are compared with the schema and with [`Exit`].

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads files, starts programs, and panics"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use reconcile::error::Exit;
use reconcile::manifest::{self, load};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_reconcile");

/// A fenced block.
struct Block {
    language: String,
    /// Of the fence in the README, from 1.
    line: usize,
    text: Vec<String>,
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap()
}

fn blocks(language: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut inside = false;
    for (number, line) in readme().lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                all.push(Block {
                    language: language.to_owned(),
                    line: number + 1,
                    text: Vec::new(),
                });
            }
        } else if inside {
            all.last_mut().unwrap().text.push(line.to_owned());
        }
    }
    all.retain(|block| block.language == language);
    assert!(!all.is_empty(), "the README has no {language} block");
    all
}

#[test]
fn sessions_are_what_really_happens() {
    if !rustix::process::geteuid().is_root() {
        let what = "this test needs root, to make files of other users";
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI nothing is left out: {what}"
        );
        eprintln!("left out: {what}");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let hosts = temporary.path().join("hosts");
    let make = Path::new(ROOT).join("examples/quickstart/make-hosts");
    assert!(Command::new(make).arg(&hosts).status().unwrap().success());
    for block in blocks("console") {
        for (command, expected) in commands(&block) {
            let actual = run(&command, &hosts);
            let expected: Vec<String> = expected.iter().map(|line| steady(line)).collect();
            let actual: Vec<String> = actual.lines().map(steady).collect();
            assert!(
                fits(&expected, &actual),
                "README.md, line {}: `{command}` says now:\n{}",
                block.line,
                diff(&expected, &actual),
            );
        }
    }
}

/// The commands of a session, each with the output that the README shows.
fn commands(block: &Block) -> Vec<(String, Vec<&str>)> {
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    for line in &block.text {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
            (None, Some((_, output))) => output.push(line),
            (None, None) => panic!("README.md, line {}: output before a command", block.line),
        }
    }
    commands
}

/// What a command says to a pipe, in an environment of its own.
fn run(command: &str, directory: &Path) -> String {
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"))
        .env("HOME", directory)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A line without what is different on every run: digests, times, rates.
fn steady(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', '.', ')']);
        if bare.parse::<jiff::Timestamp>().is_ok() {
            return word.replace(bare, "<time>");
        }
        match word.split_once('#') {
            Some((before, digest)) if digest.starts_with(|c: char| c.is_ascii_hexdigit()) => {
                let rest = digest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                format!("{before}<digest>{rest}")
            }
            _ => word.to_owned(),
        }
    };
    let words: Vec<String> = line.split(' ').map(word).collect();
    words.join(" ")
}

/// Whether the output is as shown, where `...` is any number of lines.
fn fits(shown: &[String], actual: &[String]) -> bool {
    match shown.split_first() {
        None => actual.is_empty(),
        Some((line, rest)) if line == "..." => (0..=actual.len()).any(|n| fits(rest, &actual[n..])),
        Some((line, rest)) => actual.first() == Some(line) && fits(rest, &actual[1..]),
    }
}

fn diff(shown: &[String], actual: &[String]) -> String {
    let [shown, actual] = [shown, actual].map(|lines| {
        lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        })
    });
    similar::TextDiff::from_lines(&shown, &actual)
        .unified_diff()
        .header("README.md", "now")
        .to_string()
}

#[test]
fn commands_for_a_checkout_can_be_typed() {
    for block in blocks("sh") {
        for line in block.text.iter().filter(|line| !line.is_empty()) {
            let command = line.split('#').next().unwrap_or_default();
            let mut words = command.split_whitespace();
            let known = match words.next() {
                None | Some("cargo" | "git") => true,
                Some("reconcile") => Command::new(PROGRAM)
                    .args(words)
                    .arg("--help")
                    .output()
                    .unwrap()
                    .status
                    .success(),
                Some(file) => Path::new(ROOT).join(file).is_file(),
            };
            assert!(
                known,
                "README.md, line {}: `{line}` cannot be typed",
                block.line
            );
        }
    }
}

#[test]
fn manifests_are_valid() {
    for block in blocks("yaml") {
        if let Err(invalid) = load::parse("README.md", &block.text.join("\n")) {
            panic!(
                "README.md, line {}: {:?}",
                block.line,
                miette::Report::new(invalid)
            );
        }
    }
}

/// The first cells of the table under a heading, without backquotes.
fn first_cells(heading: &str) -> BTreeSet<String> {
    readme()
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split('|').next())
        .map(|cell| cell.trim().replace('`', ""))
        .skip(2)
        .collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let schema = manifest::schema();
    let mut keys = BTreeSet::new();
    collect(&schema, &schema, "", &mut keys);
    assert_eq!(first_cells("## The manifest"), keys);
}

/// Paths of all values of the manifest that are not mappings of known keys themselves.
fn collect(schema: &Value, part: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let referred = part["$ref"].as_str().map(|name| {
        let name = name.trim_start_matches("#/");
        schema.pointer(&format!("/{name}")).unwrap()
    });
    let part = referred.unwrap_or(part);
    match part["properties"].as_object() {
        None => {
            keys.insert(path.to_owned());
        }
        Some(properties) => {
            for (key, value) in properties {
                let dot = if path.is_empty() { "" } else { "." };
                collect(schema, value, &format!("{path}{dot}{key}"), keys);
            }
        }
    }
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let codes = [
        Exit::Done,
        Exit::Error,
        Exit::Changes,
        Exit::Blocked,
        Exit::VerificationFailed,
        Exit::RolledBack,
        Exit::Usage,
        Exit::Interrupted,
    ];
    let codes: BTreeSet<String> = codes.iter().map(|exit| exit.code().to_string()).collect();
    assert_eq!(first_cells("## Exit codes"), codes);
}
