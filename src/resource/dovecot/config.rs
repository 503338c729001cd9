//! Our own reader of `dovecot.conf`, for roots in which `doveconf` cannot run.
//!
//! It knows the grammar that Dovecot 1.0 to 2.4 share ([`syntax`]), follows includes
//! ([`include`]) and remembers where each assignment of the asked settings stands, so that the one a
//! POP3 session sees can be told ([`effective`]). What doveconf or this reader found is a [`tree`]. It knows nothing of what a setting means.

mod braces;
pub mod files;
pub mod include;
pub mod syntax;
pub mod tree;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::HostPath;
use crate::uidl::Syntax;

/// Which sessions an assignment is meant for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "section", rename_all = "snake_case")]
pub enum Scope {
    /// All of them: outside of every section.
    Global,
    /// Every POP3 session; the section's header: `protocol pop3`, or a negation as `protocol !imap`.
    Pop3(String),
    /// POP3 sessions from or to some addresses or names only; the headers, outermost first.
    Some(String),
    /// Whoever names the group, Dovecot 2.4; the header: `group @NAME VALUE`.
    Group(String),
    /// No POP3 session.
    Other,
}

impl Scope {
    /// The scope within these section headers, outermost first.
    fn of(sections: &[String]) -> Self {
        let mut pop3 = false;
        let mut some = false;
        for header in sections {
            let (kind, name) = header.split_once(' ').unwrap_or((header, ""));
            match (kind, name.strip_prefix('!')) {
                ("protocol", Some("pop3")) => return Self::Other,
                ("protocol", Some(_)) => pop3 = true,
                ("protocol", None) if name == "pop3" => pop3 = true,
                ("local" | "remote" | "local_name", _) => some = true,
                ("group", _) => return Self::Group(sections.join(" ")),
                _ => return Self::Other,
            }
        }
        match (some, pop3) {
            (true, _) => Self::Some(sections.join(" { ")),
            (false, true) => Self::Pop3(sections.join(" { ")),
            (false, false) => Self::Global,
        }
    }
}

/// A value and where it is given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The file.
    pub file: HostPath,
    /// The line in it, from 1.
    pub line: usize,
    /// For whom.
    pub scope: Scope,
    /// The value, unquoted. References (`<file`, `$name`) stay as they are written.
    pub value: String,
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The assignment that every POP3 session sees: one for POP3 sessions, else the last global one.
/// Assignments for [`Scope::Some`] sessions are left out.
///
/// Where `protocol pop3` and a negation as `protocol !imap` both have a value, Dovecot 2.4 takes the
/// last one and 2.3 the section that came first (both observed with doveconf).
pub fn effective(assignments: &[Assignment], syntax: Syntax) -> Option<&Assignment> {
    let for_pop3 = || {
        assignments
            .iter()
            .filter(|a| matches!(a.scope, Scope::Pop3(_)))
    };
    let pop3 = match syntax {
        Syntax::V2_4 => for_pop3().next_back(),
        Syntax::V2_3 => for_pop3()
            .next()
            .and_then(|first| for_pop3().rfind(|a| a.scope == first.scope)),
    };
    pop3.or_else(|| assignments.iter().rfind(|a| a.scope == Scope::Global))
}

#[cfg(test)]
mod tests;
