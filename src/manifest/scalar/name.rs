//! Names: of the migration, and of the users it speaks of.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use globset::Glob;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadScalar, bad, quote, text_input, text_scalar, text_schema};

/// The name of a migration; names its directory under `/var/lib/reconcile` on the hosts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MigrationName(String);

impl MigrationName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MigrationName {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = text.len() <= 40
            && text.starts_with(first)
            && text.chars().all(|c| first(c) || c == '-');
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            bad(
                format!("{} cannot name a migration", quote(text)),
                "use 1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit",
            )
        }
    }
}

impl fmt::Display for MigrationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_scalar!(
    MigrationName,
    "^[a-z0-9][a-z0-9-]{0,39}$",
    "Name of this migration: 1 to 40 of a-z, 0-9 and '-'."
);

/// Grammar of a login name, or of a glob over login names.
pub(crate) enum UserPattern {}

impl UserPattern {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        if text.is_empty() {
            return bad(
                "an empty name",
                "write a login name or a glob, as in \"test*\"",
            );
        }
        if text.contains(char::is_whitespace) {
            return bad(
                format!("{} holds white space", quote(text)),
                "write each name as an item of its own: [alice, bob]",
            );
        }
        if text.contains([':', '/']) || text.contains(char::is_control) {
            return bad(
                format!("{} cannot be a login name", quote(text)),
                "leave out ':', '/' and control characters: no line of passwd(5) can hold them",
            );
        }
        check_glob(text)
    }
}

text_schema!(
    UserPattern,
    "^[^:/\\s]+$",
    "Login name, or glob over login names."
);

/// Whether globset takes it.
pub(super) fn check_glob(text: &str) -> Result<(), BadScalar> {
    match Glob::new(text) {
        Ok(_) => Ok(()),
        Err(error) => bad(
            format!("{} is no glob: {}", quote(text), error.kind()),
            "close every '[' and '{', or put a backslash before one that is meant literally",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_name_is_safe_as_a_directory_name() {
        for good in ["fc13-to-trixie", "2026", "a"] {
            assert_eq!(good.parse::<MigrationName>().unwrap().as_str(), good);
        }
        for wrong in ["", "-a", "A", "a_b", "a/b", "..", "ä", &"a".repeat(41)] {
            assert!(wrong.parse::<MigrationName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn user_patterns_are_names_and_globs() {
        for good in [
            "alice",
            "test*",
            "j.doe",
            "web-[0-9]",
            "{a,b}",
            "no",
            "WORK+bob",
            "ali$",
        ] {
            assert_eq!(UserPattern::check(good), Ok(()), "{good}");
        }
        for wrong in ["", "alice bob", "a:b", "../x", "test[", "{a", "a\u{7}"] {
            assert!(UserPattern::check(wrong).is_err(), "{wrong}");
        }
    }
}
