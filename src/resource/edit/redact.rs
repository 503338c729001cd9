//! Hiding the secrets of network configuration: Wi-Fi, 802.1X, VPN and modem passwords and keys.
//!
//! A value is hidden by the name of its key, line by line, so that line numbers stay true. Hiding too
//! much costs nothing (a hidden value is never changed), hiding too little puts a password into a
//! pull request: names are matched broadly. Redacting twice is redacting once.

use std::fmt;

use saphyr_parser::{Event, Parser, Span};
use serde::Serialize;

use crate::error::{Error, Kind};
use crate::plan::change::Redaction;
use crate::raw::HostPath;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "<hidden>";

/// A text whose secrets are hidden. Only [`redact`] makes one.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A place where a file is not what its format says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, without the text itself: it may be a secret.
    pub what: String,
}

impl Malformed {
    /// What is wrong at a line, counted from 1.
    pub fn at(line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { line, what }
    }

    /// The failure, with the host and the file.
    #[must_use]
    pub fn on(self, host: &str, path: &HostPath) -> Error {
        let Self { line, what } = self;
        Error::new(
            Kind::Malformed,
            format!("{path} on {host}, line {line}: {what}"),
        )
        .hint("mend the file and run again")
    }
}

/// Hides the secrets. Fails where the format is needed to find them and the text does not follow it.
pub fn redact(redaction: Redaction, text: &str) -> Result<Redacted, Malformed> {
    Ok(Redacted(match redaction {
        Redaction::None => text.to_owned(),
        Redaction::Keyfile => keyfile(text),
        Redaction::Shell => shell(text),
        Redaction::Words => words(text),
        Redaction::Yaml => yaml(text)?,
    }))
}

/// Parts of names that make a value a secret, wherever they stand in the name.
const PARTS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "psk",
    "wep",
    "private",
    "preshared",
    "pre-shared",
    "leap",
    "token",
    "cak",
    "credential",
];

/// Whole names that make a value a secret; a number at the end does not matter.
const NAMES: [&str; 8] = [
    "pass", "pin", "puk", "key", "keys", "shared", "input", "output",
];

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('_', "-");
    let last = key.rsplit(['.', '-', ' ']).next().unwrap_or(&key);
    PARTS.iter().any(|part| key.contains(part))
        || [key.as_str(), last]
            .iter()
            .any(|name| NAMES.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit())))
}

/// Splits a line into its text and its line ending.
fn ending(line: &str) -> (&str, &str) {
    let text = line.trim_end_matches(['\n', '\r']);
    (text, &line[text.len()..])
}

/// A key that is commented out still has its secret behind it.
fn uncommented(text: &str) -> &str {
    text.trim_start_matches(|c: char| c == '#' || c == ';' || c.is_whitespace())
}

/// `key=value`, in sections; a section of secrets is hidden whole.
fn keyfile(text: &str) -> String {
    let mut section_of_secrets = false;
    text.split_inclusive('\n')
        .map(|line| {
            let (body, end) = ending(line);
            if let Some(section) = body.trim_start().strip_prefix('[') {
                section_of_secrets = section.contains("secrets");
            }
            match body.split_once('=') {
                Some((key, _)) if section_of_secrets || is_secret(uncommented(key).trim_end()) => {
                    format!("{key}={HIDDEN}{end}")
                }
                _ => line.to_owned(),
            }
        })
        .collect()
}

/// `KEY=value` with shell quotes, which may go on over several lines.
fn shell(text: &str) -> String {
    let mut open = None;
    text.split_inclusive('\n')
        .map(|line| {
            let (body, end) = ending(line);
            if let Some(quote) = open {
                if body.contains(quote) {
                    open = None;
                }
                return format!("{HIDDEN}{end}");
            }
            match body.split_once('=') {
                Some((key, value)) if is_secret(uncommented(key)) => {
                    open = value
                        .chars()
                        .next()
                        .filter(|&c| matches!(c, '"' | '\'') && !value[1..].contains(c));
                    format!("{key}={HIDDEN}{end}")
                }
                _ => line.to_owned(),
            }
        })
        .collect()
}

/// `option value`; a backslash at the end of a line carries it on. Commands (`up ...`) that mention
/// a secret are hidden whole.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut logical: Vec<&str> = Vec::new();
    for line in text.split_inclusive('\n') {
        logical.push(line);
        if !ending(line).0.ends_with('\\') {
            push_words(&mut out, &logical);
            logical.clear();
        }
    }
    push_words(&mut out, &logical);
    out
}

/// One option with the lines that it is carried on to.
fn push_words(out: &mut String, logical: &[&str]) {
    let all: String = logical.concat();
    let text = uncommented(&all);
    let indent = &all[..all.len() - text.len()];
    let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if value.trim().is_empty() || !(is_secret(key) || command_with_secret(key, value)) {
        out.push_str(&all);
        return;
    }
    for (nth, line) in logical.iter().enumerate() {
        let (body, end) = ending(line);
        if nth == 0 {
            out.push_str(indent);
            out.push_str(key);
            out.push(' ');
        }
        out.push_str(HIDDEN);
        if body.ends_with('\\') {
            out.push('\\');
        }
        out.push_str(end);
    }
}

fn command_with_secret(key: &str, value: &str) -> bool {
    const COMMANDS: [&str; 6] = ["up", "down", "pre-up", "post-up", "pre-down", "post-down"];
    COMMANDS.contains(&key)
        && value
            .split(|c: char| c.is_whitespace() || c == '=')
            // The chains of a packet filter are no keys of a tunnel.
            .any(|word| is_secret(word) && !matches!(word, "INPUT" | "OUTPUT"))
}

/// YAML: scalars beneath a secret's key, and those with an anchor, which may be used anywhere.
fn yaml(text: &str) -> Result<String, Malformed> {
    let text: String = text.split_inclusive('\n').map(yaml_comment).collect();
    let mut hidden = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in secret_scalars(&text)? {
        let value = text[start..end].trim_end();
        // Some scalars are sent twice by aliases or are empty.
        if start < done || value.is_empty() {
            continue;
        }
        hidden.push_str(&text[done..start]);
        hidden.push_str(HIDDEN);
        hidden.extend(value.chars().filter(|&c| c == '\n'));
        done = start + value.len();
    }
    hidden.push_str(&text[done..]);
    Ok(hidden)
}

fn yaml_comment(line: &str) -> String {
    let (body, end) = ending(line);
    match body.split_once(':') {
        Some((key, _)) if key.trim_start().starts_with('#') && is_secret(uncommented(key)) => {
            format!("{key}: {HIDDEN}{end}")
        }
        _ => line.to_owned(),
    }
}

/// One open collection: the key that its next value belongs to.
enum Open {
    Mapping { key: Option<String> },
    Sequence { key: Option<String> },
}

/// Where the secret scalars stand, as byte ranges from the top down.
fn secret_scalars(text: &str) -> Result<Vec<(usize, usize)>, Malformed> {
    let offsets: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let bytes = |span: &Span| {
        let at = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
        (at(span.start.index()), at(span.end.index()))
    };
    let mut found = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| Malformed::at(e.marker().line(), "this is no valid YAML"))?;
        match event {
            Event::Scalar(value, _, anchor, _) => match open.last_mut() {
                Some(Open::Mapping { key: key @ None }) => *key = Some(value.into_owned()),
                Some(Open::Mapping { key }) => {
                    if anchor != 0 || key.take().is_some_and(|key| is_secret(&key)) {
                        found.push(bytes(&span));
                    }
                    *key = None;
                }
                Some(Open::Sequence { key })
                    if anchor != 0 || key.as_deref().is_some_and(is_secret) =>
                {
                    found.push(bytes(&span));
                }
                Some(Open::Sequence { .. }) | None => {}
            },
            Event::Alias(_) => value_taken(&mut open),
            Event::MappingStart(..) => open.push(Open::Mapping { key: None }),
            Event::SequenceStart(..) => {
                let key = match open.last() {
                    Some(Open::Mapping { key } | Open::Sequence { key }) => key.clone(),
                    None => None,
                };
                open.push(Open::Sequence { key });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                value_taken(&mut open);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    Ok(found)
}

/// After a collection or an alias: the mapping around it waits for its next key, unless what ended
/// was a key itself.
fn value_taken(open: &mut [Open]) {
    if let Some(Open::Mapping { key }) = open.last_mut() {
        *key = match key.take() {
            Some(_) => None,
            None => Some(String::new()),
        };
    }
}

#[cfg(test)]
mod tests;
