//! The README's story of two live servers: its `console live` blocks, run in a lab.
//!
//! As in `tests/readme.rs`, each line after `$ ` goes to bash and what follows is its output; a line
//! `...` stands for any number of lines.

use std::fs;

use crate::lab::Lab;
use crate::letter::letter;

/// The sessions: a command and what it prints.
fn sessions() -> Vec<(String, Vec<String>)> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut sessions: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(language) => inside = language == "console live",
            None if !inside => {}
            None => match line.strip_prefix("$ ") {
                Some(command) => sessions.push((command.to_owned(), Vec::new())),
                None => sessions.last_mut().unwrap().1.push(line.to_owned()),
            },
        }
    }
    assert!(!sessions.is_empty(), "the README has no such block");
    sessions
}

/// Whether the lines of an output are those expected.
fn fits(expected: &[String], output: &[&str]) -> bool {
    match expected.split_first() {
        None => output.is_empty(),
        Some((wild, rest)) if wild == "..." => {
            (0..=output.len()).any(|skipped| fits(rest, &output[skipped..]))
        }
        Some((line, rest)) => {
            let first = output.first().map(|first| without_sizes(first));
            first == Some(without_sizes(line)) && fits(rest, &output[1..])
        }
    }
}

/// A line without the sizes of mail, which vary with the queue ids in its headers.
fn without_sizes(line: &str) -> String {
    let parts = line.trim_end().split('(').map(|part| {
        let size = part.split_once(" B)").or_else(|| part.split_once("kB)"));
        size.map_or(part, |(_, rest)| rest)
    });
    parts.collect::<Vec<_>>().join("(")
}

#[test]
fn the_story_of_two_live_servers_is_what_really_happens() {
    let Some(lab) = Lab::start(["old=bookworm", "new=trixie"]) else {
        return;
    };
    let old = lab.host("old");
    old.hold_service_address();
    old.users(["anna", "bela"]);
    for user in ["anna", "bela"] {
        for number in 1..=3 {
            let text = letter(user, &format!("letter {number}"), "A line.\n");
            old.deliver(user, &text);
        }
        let mut imap = old.imap(user);
        imap.create("Sent").subscribe("Sent");
        imap.append("Sent", "\\Seen", &letter(user, "sent", "A line.\n"));
        imap.select("INBOX");
        imap.logout();
        old.pop3(user).quit();
    }
    lab.bare_manifest("source", "");
    let program = env!("CARGO_BIN_EXE_reconcile");
    for (command, expected) in sessions() {
        let script = format!("reconcile() {{ {program} \"$@\"; }}\n{command}");
        let output = lab.operator("bash", ["-c", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            fits(&expected, &lines),
            "$ {command}\n{text}\n--- the README says\n{}",
            expected.join("\n")
        );
    }
}
