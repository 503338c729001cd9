//! The scalars of a manifest: strings that mean something, each with its grammar and schema.
//!
//! A grammar looks at one value only; what two values mean together is the business of `check`.

mod host;
mod mail;
mod name;
mod network;
mod quantity;
mod time;

use std::str::FromStr;

use crate::raw::escape;
pub use host::HostAddress;
pub(crate) use host::HostKeyPin;
pub(crate) use mail::{FolderName, HomeGlob, MetricsFile, SpoolPath, UnitNames};
pub use name::MigrationName;
pub(crate) use name::UserPattern;
pub use network::{Cidr, IpAddress};
pub(crate) use network::{DnsName, InterfaceName};
pub use quantity::{Rate, Size, Span, UidRange};
pub(crate) use time::Instant;

/// A scalar that does not follow its grammar.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {expected}")]
pub struct BadScalar {
    /// What is wrong, quoting the text: "`60` has no unit".
    pub problem: String,
    /// What to write instead.
    pub expected: String,
}

fn bad<T>(problem: impl Into<String>, expected: impl Into<String>) -> Result<T, BadScalar> {
    Err(BadScalar {
        problem: problem.into(),
        expected: expected.into(),
    })
}

/// Longest part of a value that is repeated in a message, in characters.
const QUOTED: usize = 60;

/// A value as a message repeats it: in backquotes, escaped, never long.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}…`", escape(&text.as_bytes()[..end])),
        None => format!("`{}`", escape(text.as_bytes())),
    }
}

/// Implements serde and schemars for a type that is a string with `FromStr` and `Display`.
macro_rules! text_scalar {
    ($type:ident, $pattern:expr, $doc:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        text_input!($type);
        text_schema!($type, $pattern, $doc);
    };
}

/// Implements `Deserialize` by way of `FromStr`.
macro_rules! text_input {
    ($type:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Implements `JsonSchema` for a string with a grammar. The pattern accepts at least what the
/// grammar accepts, so that an editor never flags a good manifest.
macro_rules! text_schema {
    ($type:ident, $pattern:expr, $doc:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $doc })
            }
        }
    };
}

use {text_input, text_scalar, text_schema};

/// Tells whether a text follows a grammar.
pub(crate) type Grammar = fn(&str) -> Result<(), BadScalar>;

/// The grammar of the definition with this name in the schema.
pub(crate) fn grammar(definition: &str) -> Option<Grammar> {
    fn parse<T: FromStr<Err = BadScalar>>(text: &str) -> Result<(), BadScalar> {
        text.parse::<T>().map(|_| ())
    }
    Some(match definition {
        "Cidr" => parse::<Cidr>,
        "DnsName" => DnsName::check,
        "FolderName" => FolderName::check,
        "HomeGlob" => HomeGlob::check,
        "HostAddress" => parse::<HostAddress>,
        "HostKeyPin" => HostKeyPin::check,
        "Instant" => parse::<Instant>,
        "IpAddress" => parse::<IpAddress>,
        "InterfaceName" => InterfaceName::check,
        "MetricsFile" => MetricsFile::check,
        "MigrationName" => parse::<MigrationName>,
        "Rate" => parse::<Rate>,
        "Size" => parse::<Size>,
        "Span" => parse::<Span>,
        "SpoolPath" => SpoolPath::check,
        "UidRange" => parse::<UidRange>,
        "Units" => UnitNames::check,
        "UserPattern" => UserPattern::check,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_short_and_cannot_steer_a_terminal() {
        assert_eq!(quote("a\u{1b}[2J"), "`a\\x1B[2J`");
        assert_eq!(quote(&"ü".repeat(61)), format!("`{}…`", "ü".repeat(60)));
        assert_eq!(quote(&"ü".repeat(60)), format!("`{}`", "ü".repeat(60)));
    }
}
