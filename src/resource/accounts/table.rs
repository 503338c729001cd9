//! The common form of passwd, shadow, group and gshadow: lines of fields between colons.
//!
//! Lossless: a table renders to the bytes it was parsed from, and an edit touches nothing but the
//! fields and lines it names. Comments, blank lines and NIS entries (`+`, `-`) are kept as they are.
//! What the fields mean is said by the four modules that implement [`Record`].

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::Secret;

/// A line's meaning.
pub(super) trait Record: Sized {
    /// Number of fields of a well-formed line.
    const FIELDS: usize;

    /// Reads the fields; there are exactly [`Self::FIELDS`]. The error says which field is wrong.
    fn parse(fields: &[&[u8]]) -> Result<Self, String>;
}

/// A line that is not as the format says. The text never holds a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// From 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) problem: String,
}

/// Whether the last line ends in a line feed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Newline,
    Missing,
}

struct Line<R> {
    /// It may hold a hash.
    text: Secret,
    /// `None` for a line that is not ours to understand.
    record: Option<R>,
}

/// A parsed file.
pub(super) struct Table<R> {
    lines: Vec<Line<R>>,
    end: End,
    /// Index of the first line of each name: the one that counts.
    by_name: BTreeMap<Vec<u8>, usize>,
    duplicates: Vec<Vec<u8>>,
    /// Where new lines go: before the first NIS entry, which may stand for "everybody else".
    insert_at: usize,
    added: Vec<Secret>,
}

/// The lines may be secret.
impl<R> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} lines)", self.lines.len())
    }
}

impl<R: Record> Table<R> {
    /// Parses a whole file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut texts: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
        let end = match texts.last() {
            Some([]) => {
                texts.pop();
                End::Newline
            }
            _ => End::Missing,
        };
        let mut table = Self {
            insert_at: texts.len(),
            lines: Vec::with_capacity(texts.len()),
            end,
            by_name: BTreeMap::new(),
            duplicates: Vec::new(),
            added: Vec::new(),
        };
        for (index, text) in texts.into_iter().enumerate() {
            let record = table.line(index, text).map_err(|problem| Malformed {
                line: index + 1,
                problem,
            })?;
            table.lines.push(Line {
                text: Secret::new(text.to_vec()),
                record,
            });
        }
        Ok(table)
    }

    fn line(&mut self, index: usize, text: &[u8]) -> Result<Option<R>, String> {
        if text.contains(&0) {
            return Err("it holds a NUL byte".to_owned());
        }
        match text.trim_ascii_start().first() {
            None | Some(b'#') => return Ok(None),
            Some(b'+' | b'-') => {
                self.insert_at = self.insert_at.min(index);
                return Ok(None);
            }
            Some(_) => {}
        }
        if text.ends_with(b"\r") {
            return Err("it ends in a carriage return, as DOS files do".to_owned());
        }
        let fields: Vec<&[u8]> = text.split(|&b| b == b':').collect();
        if fields.len() != R::FIELDS {
            return Err(format!(
                "it has {} fields instead of {}",
                fields.len(),
                R::FIELDS
            ));
        }
        if fields[0].is_empty() {
            return Err("the name is empty".to_owned());
        }
        let record = R::parse(&fields)?;
        if self.by_name.contains_key(fields[0]) {
            self.duplicates.push(fields[0].to_vec());
        } else {
            self.by_name.insert(fields[0].to_vec(), index);
        }
        Ok(Some(record))
    }

    /// The names and records that count, by name: the first line of each.
    pub(super) fn records(&self) -> impl Iterator<Item = (&[u8], &R)> {
        self.by_name
            .iter()
            .filter_map(|(name, &at)| Some((name.as_slice(), self.lines[at].record.as_ref()?)))
    }

    /// The record of a name, as parsed.
    pub(super) fn get(&self, name: &[u8]) -> Option<&R> {
        self.lines[*self.by_name.get(name)?].record.as_ref()
    }

    /// Whether there are NIS entries.
    pub(super) fn has_nis(&self) -> bool {
        self.insert_at < self.lines.len()
    }

    /// Names that have more than one line.
    pub(super) fn duplicates(&self) -> impl Iterator<Item = &[u8]> {
        self.duplicates.iter().map(Vec::as_slice)
    }

    /// Replaces one field of a name's line (from 0); the others keep their bytes.
    pub(super) fn set(&mut self, name: &[u8], field: usize, value: &[u8]) {
        if let Some(&at) = self.by_name.get(name) {
            let line = &mut self.lines[at];
            let mut fields: Vec<&[u8]> = line.text.expose().split(|&b| b == b':').collect();
            fields[field] = value;
            line.text = Secret::new(fields.join(&b':'));
        }
    }

    /// Adds a line of these fields.
    pub(super) fn add(&mut self, fields: &[&[u8]]) {
        debug_assert_eq!(fields.len(), R::FIELDS, "a line has all its fields");
        self.added.push(Secret::new(fields.join(&b':')));
    }

    /// The file as it is now.
    pub(super) fn render(&self) -> Vec<u8> {
        let (before, after) = self.lines.split_at(self.insert_at);
        let texts = before
            .iter()
            .map(|line| &line.text)
            .chain(&self.added)
            .chain(after.iter().map(|line| &line.text));
        let mut out = Vec::new();
        for text in texts {
            out.extend_from_slice(text.expose());
            out.push(b'\n');
        }
        if self.end == End::Missing {
            out.pop();
        }
        out
    }
}

/// A decimal number of 32 bits, or what is wrong with it. Not for secret fields.
pub(super) fn number(what: &str, field: &[u8]) -> Result<u32, String> {
    let shown = || crate::raw::escape(&field[..field.len().min(40)]);
    if field.is_empty() || !field.iter().all(u8::is_ascii_digit) {
        return Err(format!("{what} \"{}\" is not a number", shown()));
    }
    std::str::from_utf8(field)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{what} {} is larger than 4294967295", shown()))
}

/// The names in a comma-separated list.
pub(super) fn list(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// Appends names to a comma-separated list, which keeps its bytes.
pub(super) fn extend_list<'a>(field: &[u8], names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = field.to_vec();
    for name in names {
        if !out.is_empty() && !out.ends_with(b",") {
            out.push(b',');
        }
        out.extend_from_slice(name);
    }
    out
}
