//! `key=value` in `[sections]`, as systemd units and `NetworkManager` keyfiles have it.

use crate::resource::edit::redact::Malformed;

/// One assignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    /// The section, without brackets.
    pub(super) section: &'a str,
    /// The key.
    pub(super) key: &'a str,
    /// The value, without the space around it.
    pub(super) value: &'a str,
    /// The line, from 1.
    pub(super) line: usize,
}

/// All assignments, in order. `#` and `;` begin comment lines; a backslash at the end of a line
/// (systemd) carries a value on, of which only the first line is told.
pub(super) fn parse(text: &str) -> Result<Vec<Entry<'_>>, Malformed> {
    let mut section = None;
    let mut carried = false;
    let mut entries = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        let goes_on = trimmed.ends_with('\\');
        if std::mem::replace(&mut carried, goes_on) {
            continue;
        }
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            carried = false;
        } else if let Some(name) = trimmed.strip_prefix('[') {
            let name = name.strip_suffix(']');
            section = Some(name.ok_or_else(|| Malformed::at(line, "a section lacks its `]`"))?);
        } else {
            let (key, value) = trimmed
                .split_once('=')
                .ok_or_else(|| Malformed::at(line, "expected KEY=VALUE"))?;
            let section =
                section.ok_or_else(|| Malformed::at(line, "expected a [SECTION] first"))?;
            entries.push(Entry {
                section,
                key: key.trim_end(),
                value: value.trim_start(),
                line,
            });
        }
    }
    Ok(entries)
}
