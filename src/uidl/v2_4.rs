//! The syntax of Dovecot 2.4: `%{VARIABLE | FUNCTION(ARGUMENT, ...) | ...}`.

use std::fmt;

use super::{Form, FormatError, Part, Variable, form_for, literal};

/// Functions of 2.4 (`lib-var-expand/expansion-filter.c`) that are not in the table of proven
/// equivalents; any other name makes every POP3 session fail.
const UNTRANSLATED: &[&str] = &[
    "base64",
    "benumber",
    "calculate",
    "concat",
    "decrypt",
    "default",
    "domain",
    "encrypt",
    "hash",
    "if",
    "index",
    "ldap_dn",
    "lenumber",
    "list",
    "literal",
    "lookup",
    "regexp",
    "reverse",
    "rfill",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "text",
    "truncate",
    "unbase64",
    "unhex",
    "unhexlify",
    "username",
];

pub(super) fn parse(text: &str) -> Result<Vec<Part>, FormatError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("%{") {
            let end =
                closing_brace(inner).ok_or_else(|| FormatError::Incomplete(rest.to_owned()))?;
            parts.push(variable(&inner[..end], &rest[..end + 3])?);
            rest = &inner[end + 1..];
        } else if c == '%' {
            // It would stand in the UIDL as it is, which 2.3 can only say as `%%`.
            return Err(FormatError::NoTranslation(rest.to_owned()));
        } else {
            parts.push(Part::Literal(literal(c)?.to_string()));
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(parts)
}

/// Where the `}` is that ends an expansion; one in quotes does not.
fn closing_brace(text: &str) -> Option<usize> {
    outside_quotes(text)
        .find(|(_, c)| *c == '}')
        .map(|(at, _)| at)
}

/// The characters that do not stand in `"` or `'`, with their byte positions.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut open = None;
    text.char_indices().filter(move |(_, c)| match open {
        Some(quote) => {
            if *c == quote {
                open = None;
            }
            false
        }
        None if matches!(c, '"' | '\'') => {
            open = Some(*c);
            false
        }
        None => true,
    })
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in outside_quotes(text).filter(|(_, c)| *c == separator) {
        pieces.push(text[start..at].trim());
        start = at + separator.len_utf8();
    }
    pieces.push(text[start..].trim());
    pieces
}

fn variable(inner: &str, written: &str) -> Result<Part, FormatError> {
    let mut stages = split(inner, '|').into_iter();
    let name = stages.next().unwrap_or_default();
    let variable = Variable::ALL
        .into_iter()
        .find(|known| known.name() == name)
        .ok_or_else(|| FormatError::UnknownVariable(name.to_owned()))?;
    let calls = stages.map(Call::parse).collect::<Result<Vec<_>, _>>()?;
    let form = match calls.as_slice() {
        [] => Form::Plain,
        [Call::Hex(None)] => Form::Hex,
        [Call::Hex(Some(8))] => Form::Hex8,
        [Call::ZeroFill(width)] => Form::ZeroPadded(*width),
        [Call::Md5, Call::Hexlify] => Form::Md5Hex,
        [Call::Lower] => Form::Lower,
        [Call::Upper] => Form::Upper,
        [Call::Substring(offset, length)] => Form::Substring {
            offset: *offset,
            length: *length,
        },
        _ => return Err(FormatError::NoTranslation(written.to_owned())),
    };
    form_for(variable, form, written)
}

/// One function call of a pipeline.
enum Call {
    Hex(Option<u32>),
    ZeroFill(u32),
    Md5,
    Hexlify,
    Lower,
    Upper,
    Substring(u32, u32),
    Untranslated,
}

impl Call {
    fn parse(text: &str) -> Result<Self, FormatError> {
        let bad = || FormatError::BadCall(text.to_owned());
        let (name, arguments) = match text.split_once('(') {
            None => (text, Vec::new()),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(bad)?;
                (name.trim(), split(inner, ','))
            }
        };
        match (name, arguments.as_slice()) {
            ("hex", []) => Ok(Self::Hex(None)),
            ("hex", [width]) => {
                Ok(number(width).map_or(Self::Untranslated, |w| Self::Hex(Some(w))))
            }
            ("lfill", [width, fill]) => {
                let width = number(width).ok_or_else(bad)?;
                // `lfill(4, 0)`, without the quotes, passes doveconf and fails in the session.
                match unquote(fill).ok_or_else(bad)? {
                    "0" => Ok(Self::ZeroFill(width)),
                    _ => Ok(Self::Untranslated),
                }
            }
            ("substr", [offset, length]) => Ok(number(offset)
                .zip(number(length))
                .map_or(Self::Untranslated, |(o, l)| Self::Substring(o, l))),
            ("md5", []) => Ok(Self::Md5),
            ("hexlify", []) => Ok(Self::Hexlify),
            ("lower", []) => Ok(Self::Lower),
            ("upper", []) => Ok(Self::Upper),
            ("lfill" | "substr" | "hexlify", [_]) => Ok(Self::Untranslated),
            ("hex" | "lfill" | "substr" | "md5" | "hexlify" | "lower" | "upper", _) => Err(bad()),
            (name, _) if UNTRANSLATED.contains(&name) => Ok(Self::Untranslated),
            (name, _) => Err(FormatError::UnknownFunction(name.to_owned())),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn unquote(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|q| text.strip_prefix(q)?.strip_suffix(q))
}

/// A part in this syntax.
pub(super) struct Shown<'a>(pub(super) &'a Part);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variable, form) = match self.0 {
            Part::Literal(text) => return f.write_str(text),
            Part::Variable(variable, form) => (variable.name(), form),
        };
        match form {
            Form::Plain => write!(f, "%{{{variable}}}"),
            Form::Hex => write!(f, "%{{{variable} | hex}}"),
            Form::Hex8 => write!(f, "%{{{variable} | hex(8)}}"),
            Form::ZeroPadded(width) => write!(f, "%{{{variable} | lfill({width},\"0\")}}"),
            Form::Md5Hex => write!(f, "%{{{variable} | md5 | hexlify}}"),
            Form::Lower => write!(f, "%{{{variable} | lower}}"),
            Form::Upper => write!(f, "%{{{variable} | upper}}"),
            Form::Substring { offset, length } => {
                write!(f, "%{{{variable} | substr({offset},{length})}}")
            }
        }
    }
}
