//! The syntax of Dovecot 1.0 to 2.3: `%[-][0][OFFSET.][WIDTH][MODIFIERS]LETTER`.

use std::fmt;

use super::{Form, FormatError, Part, Variable, form_for, literal};

/// Modifiers of 2.3 (`lib/var-expand.c`): with an equivalent, then those without.
const TRANSLATED: &[char] = &['X', 'M', 'L', 'U'];
const UNTRANSLATED: &[char] = &['E', 'R', 'H', 'N', 'D', 'T'];

pub(super) fn parse(text: &str) -> Result<Vec<Part>, FormatError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '%' {
            let length = specifier_length(rest)?;
            let (specifier, after) = rest.split_at(length);
            parts.push(variable(specifier)?);
            rest = after;
        } else {
            parts.push(Part::Literal(literal(c)?.to_string()));
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(parts)
}

/// How many bytes the specifier at the beginning of `text` has, its letter included.
fn specifier_length(text: &str) -> Result<usize, FormatError> {
    let flags = |c: char| {
        c.is_ascii_digit()
            || matches!(c, '-' | '.')
            || TRANSLATED.contains(&c)
            || UNTRANSLATED.contains(&c)
    };
    text.char_indices()
        .skip(1)
        .find(|(_, c)| !flags(*c))
        .map(|(at, c)| at + c.len_utf8())
        .ok_or_else(|| FormatError::Incomplete(text.to_owned()))
}

fn variable(specifier: &str) -> Result<Part, FormatError> {
    let untranslated = || FormatError::NoTranslation(specifier.to_owned());
    let mut flags = specifier.strip_prefix('%').unwrap_or(specifier).to_owned();
    let letter = flags
        .pop()
        .ok_or_else(|| FormatError::Incomplete(specifier.to_owned()))?;
    if letter == '%' {
        return Err(untranslated());
    }
    let variable = Variable::ALL
        .into_iter()
        .find(|known| known.letter() == letter)
        .ok_or_else(|| FormatError::UnknownVariable(specifier.to_owned()))?;
    let digits = flags.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let modifiers = &flags[digits.len()..];
    let form = match (digits, modifiers) {
        ("", "") => Form::Plain,
        ("", "X") => Form::Hex,
        ("08", "X") => Form::Hex8,
        ("", "M") => Form::Md5Hex,
        ("", "L") => Form::Lower,
        ("", "U") => Form::Upper,
        (digits, "") => width(digits).ok_or_else(untranslated)?,
        _ => return Err(untranslated()),
    };
    form_for(variable, form, specifier)
}

/// `08` pads with zeros; `5.10` and `.2` cut.
fn width(digits: &str) -> Option<Form> {
    match digits.split_once('.') {
        None => Some(Form::ZeroPadded(number(digits.strip_prefix('0')?)?)),
        Some((offset, length)) => {
            let offset = if offset.is_empty() {
                0
            } else {
                number(offset)?
            };
            // A zero before the length would pad instead of cut.
            let length = if length.starts_with('0') {
                None
            } else {
                number(length)
            }?;
            Some(Form::Substring { offset, length })
        }
    }
}

fn number(digits: &str) -> Option<u32> {
    if digits.chars().all(|c| c.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// A part in this syntax.
pub(super) struct Shown<'a>(pub(super) &'a Part);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variable, form) = match self.0 {
            Part::Literal(text) => return f.write_str(text),
            Part::Variable(variable, form) => (variable.letter(), form),
        };
        match form {
            Form::Plain => write!(f, "%{variable}"),
            Form::Hex => write!(f, "%X{variable}"),
            Form::Hex8 => write!(f, "%08X{variable}"),
            Form::ZeroPadded(width) => write!(f, "%0{width}{variable}"),
            Form::Md5Hex => write!(f, "%M{variable}"),
            Form::Lower => write!(f, "%L{variable}"),
            Form::Upper => write!(f, "%U{variable}"),
            Form::Substring { offset: 0, length } => write!(f, "%.{length}{variable}"),
            Form::Substring { offset, length } => write!(f, "%{offset}.{length}{variable}"),
        }
    }
}
