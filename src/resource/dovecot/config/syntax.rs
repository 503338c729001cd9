//! The grammar of one file of `dovecot.conf`. Pure: text in, statements out.
//!
//! Follows `config_parse_line` of Dovecot's `config/config-parser.c`: comments begin at `#` outside
//! of quotes, a line that ends in `\` goes on in the next, a value is unquoted only when it is quoted
//! as a whole.

/// A statement and the line that it begins in, from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The line's number.
    pub number: usize,
    /// What it says.
    pub statement: Statement,
}

/// What a line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statement {
    /// `key = value`.
    Assign {
        /// The name of the setting.
        key: String,
        /// Its value, unquoted.
        value: String,
    },
    /// `header {`: the words of the header, single spaces between them.
    Open(String),
    /// `}`.
    Close,
    /// `!include pattern`: at least one file must match.
    Include(String),
    /// `!include_try pattern`: none need match.
    IncludeTry(String),
}

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads a file. Every section is closed in the file that opens it.
pub fn parse(text: &str) -> Result<Vec<Line>, SyntaxError> {
    let mut lines = Vec::new();
    let mut open = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let at = index + 1;
        if raw.contains('\0') {
            return Err(SyntaxError {
                line: at,
                what: "a NUL byte: this is no text file",
            });
        }
        let line = strip_comment(raw.trim_matches(WHITE)).trim_end_matches(WHITE);
        if line.is_empty() {
            // Dovecot forgets what was continued, without a word.
            if let Some((line, _)) = pending {
                return Err(SyntaxError {
                    line,
                    what: "a `\\` is followed by an empty line or a comment",
                });
            }
            continue;
        }
        let (number, mut full) = pending.take().unwrap_or((at, String::new()));
        if let Some(part) = line.strip_suffix('\\') {
            full.push_str(part.trim_end_matches(WHITE));
            full.push(' ');
            pending = Some((number, full));
            continue;
        }
        full.push_str(line);
        let statement = statement(&full).map_err(|what| SyntaxError { line: number, what })?;
        match &statement {
            Statement::Open(_) => open.push(number),
            Statement::Close => {
                open.pop().ok_or(SyntaxError {
                    line: number,
                    what: "`}` closes no section",
                })?;
            }
            _ => {}
        }
        lines.push(Line { number, statement });
    }
    if let Some(line) = open.pop() {
        return Err(SyntaxError {
            line,
            what: "this section is never closed: `}` is missing",
        });
    }
    match pending {
        Some((line, _)) => Err(SyntaxError {
            line,
            what: "the file ends after a `\\`",
        }),
        None => Ok(lines),
    }
}

const WHITE: &[char] = &[' ', '\t', '\r'];

/// The text before a `#` that does not stand in quotes.
fn strip_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if let Some(q) = quote {
            escaped = c == '\\';
            if c == q {
                quote = None;
            }
        } else if c == '#' {
            return &line[..at];
        } else if matches!(c, '"' | '\'') {
            quote = Some(c);
        }
    }
    line
}

fn statement(line: &str) -> Result<Statement, &'static str> {
    if line == "}" {
        return Ok(Statement::Close);
    }
    let key_end = line
        .find(|c: char| WHITE.contains(&c) || c == '=')
        .unwrap_or(line.len());
    let (key, rest) = line.split_at(key_end);
    let rest = rest.trim_start_matches(WHITE);
    match key {
        "!include" => return pattern(rest).map(Statement::Include),
        "!include_try" => return pattern(rest).map(Statement::IncludeTry),
        _ => {}
    }
    if let Some(value) = rest.strip_prefix('=') {
        if key.is_empty() {
            return Err("there is no name before `=`");
        }
        return Ok(Statement::Assign {
            key: key.to_owned(),
            value: value_of(value.trim_start_matches(WHITE)),
        });
    }
    header(key, rest).map(Statement::Open)
}

/// `protocol pop3 {`: `key` and what follows it.
fn header(key: &str, rest: &str) -> Result<String, &'static str> {
    let name = rest
        .strip_suffix('{')
        .ok_or("expected `name = value`, `name {` or `}`")?;
    if key.is_empty() || key == "{" {
        return Err("there is no name before `{`");
    }
    if !name.is_empty() && !name.ends_with(WHITE) && !name.ends_with('"') {
        return Err("a space is missing before `{`");
    }
    let name = name.trim_matches(WHITE);
    let words = name.split(WHITE).filter(|word| !word.is_empty()).count();
    if name.contains(['{', '}']) {
        Err("there is something after `{`")
    } else if words > 1 && key != "group" && !name.starts_with('"') {
        Err("expected `{` after the first name")
    } else {
        Ok(format!("{key} {}", unquote(name)).trim_end().to_owned())
    }
}

fn pattern(rest: &str) -> Result<String, &'static str> {
    if rest.is_empty() {
        Err("the name of the file to include is missing")
    } else {
        // Quotes would be part of the name: Dovecot does not remove them here.
        Ok(rest.to_owned())
    }
}

/// A value without its quotes; a reference (`<file`, `$name`) without the space after its sign.
fn value_of(written: &str) -> String {
    for sign in ['<', '$'] {
        if let Some(name) = written.strip_prefix(sign) {
            return format!("{sign}{}", name.trim_start_matches(WHITE));
        }
    }
    unquote(written)
}

/// Removes the quotes around the whole of a value, and the backslashes before characters in them.
pub fn unquote(value: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let Some(inner) = inner else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// A value as it must be written after `=` so that [`parse`], and Dovecot, read it back unchanged.
/// For values without control characters.
pub fn quote(value: &str) -> String {
    let special = value.is_empty()
        || value.starts_with(['"', '\'', '<', '$', ' ', '\t'])
        || value.ends_with(['"', '\'', '\\', ' ', '\t'])
        || value.contains('#');
    if !special {
        return value.to_owned();
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}
