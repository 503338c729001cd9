//! What a `pop3_uidl_format` means, apart from the syntax of the Dovecot version that it is written
//! for.
//!
//! Two formats are equal when they give the same UIDL for every message. Only what was seen to give
//! the same UIDL on Dovecot 2.3 and 2.4 has a [`Format`]; everything else is a [`FormatError`],
//! because a UIDL that is nearly right makes every client download everything again.
//!
//! How the setting stands in a configuration file is the business of `resource::dovecot`.

mod v2_3;
mod v2_4;

use std::fmt;

/// The meaning of a `pop3_uidl_format`: never empty, at least one variable, adjacent text joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format(Vec<Part>);

/// One part of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Text that stands in the UIDL as it is: printable ASCII without `%`.
    Literal(String),
    /// A property of the message.
    Variable(Variable, Form),
}

/// A property of a message that Dovecot can show in its UIDL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variable {
    /// IMAP UID of the message; a number below 2^32.
    Uid,
    /// IMAP UIDVALIDITY of the mailbox; a number below 2^32.
    UidValidity,
    /// File name of the message; Maildir only.
    Filename,
    /// GUID of the message.
    Guid,
    /// MD5 of some headers of the message; mbox only.
    Md5,
}

impl Variable {
    const ALL: [Self; 5] = [
        Self::Uid,
        Self::UidValidity,
        Self::Filename,
        Self::Guid,
        Self::Md5,
    ];

    /// Its letter in 2.3.
    fn letter(self) -> char {
        match self {
            Self::Uid => 'u',
            Self::UidValidity => 'v',
            Self::Filename => 'f',
            Self::Guid => 'g',
            Self::Md5 => 'm',
        }
    }

    /// Its name in 2.4.
    fn name(self) -> &'static str {
        match self {
            Self::Uid => "uid",
            Self::UidValidity => "uidvalidity",
            Self::Filename => "filename",
            Self::Guid => "guid",
            Self::Md5 => "md5",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Uid | Self::UidValidity)
    }
}

/// What of a message its UIDL can be made of.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its UID.
    pub uid: u32,
    /// UIDVALIDITY of its mailbox.
    pub uidvalidity: u32,
    /// Its file name without flags; `None` in an mbox.
    pub filename: Option<&'a str>,
}

impl Message<'_> {
    fn show(&self, variable: Variable, form: Form) -> Option<String> {
        let number = match variable {
            Variable::Uid => Some(self.uid),
            Variable::UidValidity => Some(self.uidvalidity),
            Variable::Filename | Variable::Guid | Variable::Md5 => None,
        };
        let text = match (variable, number) {
            (_, Some(number)) => number.to_string(),
            // A Maildir's GUID is the file name.
            (Variable::Filename | Variable::Guid, _) => self.filename?.to_owned(),
            _ => return None,
        };
        Some(match (form, number) {
            (Form::Plain, _) => text,
            (Form::Hex, Some(number)) => format!("{number:x}"),
            (Form::Hex8, Some(number)) => format!("{number:08x}"),
            (Form::ZeroPadded(width), Some(number)) => {
                format!("{number:0width$}", width = usize::try_from(width).ok()?)
            }
            (Form::Lower, _) => text.to_ascii_lowercase(),
            (Form::Upper, _) => text.to_ascii_uppercase(),
            (Form::Substring { offset, length }, _) => {
                let (offset, length) =
                    (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
                text.chars().skip(offset).take(length).collect()
            }
            (Form::Md5Hex | Form::Hex | Form::Hex8 | Form::ZeroPadded(_), _) => return None,
        })
    }
}

/// How a variable is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As it is; numbers in decimal.
    Plain,
    /// A number in lower-case hexadecimal, without padding.
    Hex,
    /// A number in lower-case hexadecimal, padded with zeros to eight digits.
    Hex8,
    /// A number in decimal, padded with zeros to this many digits, never cut; at least 2.
    ZeroPadded(u32),
    /// A text's MD5 in lower-case hexadecimal.
    Md5Hex,
    /// A text in lower case.
    Lower,
    /// A text in upper case.
    Upper,
    /// `length` characters from `offset` on; `length` is at least 1.
    Substring {
        /// Characters left out at the beginning.
        offset: u32,
        /// Characters kept at most.
        length: u32,
    },
}

/// Widths and offsets that Dovecot can be asked for; a UIDL has at most 70 characters (RFC 1939).
const WIDTH_LIMIT: u32 = 1000;

/// A format that Dovecot refuses, or one that is not known to mean the same in another version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// Dovecot: "`pop3_uidl_format` setting doesn't contain any variables".
    #[error("there is no variable in it, so every message would have the same UIDL")]
    NoVariable,
    /// A variable that Dovecot does not have.
    #[error("there is no variable `{0}`")]
    UnknownVariable(String),
    /// A function that Dovecot does not have; doveconf does not notice, the session fails.
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    /// A function called in a way that it does not accept; the session fails.
    #[error("`{0}` is not how that function is called")]
    BadCall(String),
    /// A `%` or a `%{` that does not begin a variable.
    #[error("`{0}` does not begin a variable")]
    Incomplete(String),
    /// A character that cannot stand in a UIDL (RFC 1939: 0x21 to 0x7E) or its configuration line.
    #[error("{0:?} cannot stand in a UIDL")]
    BadCharacter(char),
    /// Valid where it comes from, but not known to mean the same in another version.
    #[error("`{0}` has no proven equivalent in the other version of Dovecot")]
    NoTranslation(String),
}

impl FormatError {
    /// Whether the version of Dovecot that the syntax belongs to refuses the format, too.
    pub fn is_refused_by_dovecot(&self) -> bool {
        !matches!(self, Self::NoTranslation(_))
    }
}

/// The two syntaxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// `%08Xu`: Dovecot 1.0 to 2.3.
    V2_3,
    /// `%{uid | hex(8)}`: Dovecot 2.4.
    V2_4,
}

impl Syntax {
    /// The syntax that a literal of the manifest is meant in: 2.3 has no `%{`.
    pub fn guess(text: &str) -> Self {
        if text.contains("%{") {
            Self::V2_4
        } else {
            Self::V2_3
        }
    }
}

impl Format {
    /// Reads a format in the given syntax.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, FormatError> {
        match syntax {
            Syntax::V2_3 => Self::parse_2_3(text),
            Syntax::V2_4 => Self::parse_2_4(text),
        }
    }

    /// Reads the syntax of Dovecot 2.3 and before.
    pub fn parse_2_3(text: &str) -> Result<Self, FormatError> {
        v2_3::parse(text).and_then(Self::from_parts)
    }

    /// Reads the syntax of Dovecot 2.4.
    pub fn parse_2_4(text: &str) -> Result<Self, FormatError> {
        v2_4::parse(text).and_then(Self::from_parts)
    }

    /// Writes the format in the given syntax.
    pub fn to(&self, syntax: Syntax) -> String {
        match syntax {
            Syntax::V2_3 => self.to_2_3(),
            Syntax::V2_4 => self.to_2_4(),
        }
    }

    /// Writes the syntax of Dovecot 2.3.
    pub fn to_2_3(&self) -> String {
        self.0
            .iter()
            .map(v2_3::Shown)
            .map(|p| p.to_string())
            .collect()
    }

    /// Writes the syntax of Dovecot 2.4.
    pub fn to_2_4(&self) -> String {
        self.0
            .iter()
            .map(v2_4::Shown)
            .map(|p| p.to_string())
            .collect()
    }

    /// The UIDL of a message; `None` where it takes more than is known of the message.
    pub fn expand(&self, message: &Message<'_>) -> Option<String> {
        let shown = self.0.iter().map(|part| match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Variable(variable, form) => message.show(*variable, *form),
        });
        shown.collect()
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    fn from_parts(parts: Vec<Part>) -> Result<Self, FormatError> {
        let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
        for part in parts {
            match (joined.last_mut(), part) {
                (Some(Part::Literal(before)), Part::Literal(text)) => before.push_str(&text),
                (_, part) => joined.push(part),
            }
        }
        if joined.iter().any(|part| matches!(part, Part::Variable(..))) {
            Ok(Self(joined))
        } else {
            Err(FormatError::NoVariable)
        }
    }
}

impl fmt::Display for Format {
    /// The syntax of Dovecot 2.4, which can be read aloud.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_2_4())
    }
}

/// A character of literal text, if it can stand in a UIDL.
fn literal(c: char) -> Result<char, FormatError> {
    if c.is_ascii_graphic() {
        Ok(c)
    } else {
        Err(FormatError::BadCharacter(c))
    }
}

/// A variable's form, if it makes sense for the variable and was seen to be equal on both versions.
fn form_for(variable: Variable, form: Form, written: &str) -> Result<Part, FormatError> {
    let fits = match form {
        Form::Plain => true,
        Form::Substring { offset, length } => {
            (1..=WIDTH_LIMIT).contains(&length) && offset <= WIDTH_LIMIT
        }
        Form::ZeroPadded(width) => variable.is_number() && (1..=WIDTH_LIMIT).contains(&width),
        Form::Hex | Form::Hex8 => variable.is_number(),
        Form::Md5Hex => matches!(variable, Variable::Filename | Variable::Guid),
        Form::Lower | Form::Upper => !variable.is_number(),
    };
    if !fits {
        return Err(FormatError::NoTranslation(written.to_owned()));
    }
    let form = match form {
        // Every number has one digit.
        Form::ZeroPadded(1) => Form::Plain,
        form => form,
    };
    Ok(Part::Variable(variable, form))
}

/// Says why no Dovecot accepts a literal of the manifest, in either syntax.
///
/// What one version accepts and the other cannot express passes: whether it can be had on the target
/// is for the plan to say.
pub fn check_literal(text: &str) -> Result<(), String> {
    match Format::parse(text, Syntax::guess(text)) {
        Err(error) if error.is_refused_by_dovecot() => Err(format!(
            "no Dovecot accepts `{text}` as a UIDL format: {error}"
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
