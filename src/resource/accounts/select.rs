//! Which of the source's accounts are chosen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobMatcher};

use super::actual::{Database, User};
use super::conflict::Conflict;
use crate::manifest::{UidRange, Users};
use crate::names::{Uid, UserName};
use crate::plan::{Level, Note, Resource};

/// Root, `nobody` as 16-bit, 32-bit and `(uid_t)-1` or `-2`: these are nobody's login.
pub(super) const RESERVED: [Uid; 5] = [
    Uid(0),
    Uid(65534),
    Uid(65535),
    Uid(4_294_967_294),
    Uid(4_294_967_295),
];

/// The chosen accounts, by name, and what is to be said about the choice.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub(super) users: Vec<(&'a UserName, &'a User)>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) notes: Vec<Note>,
}

/// A list of names or globs.
pub(super) struct Patterns<'m> {
    globs: Vec<(&'m str, GlobMatcher)>,
}

impl<'m> Patterns<'m> {
    /// Compiles a list; what is no glob is a conflict.
    pub(super) fn new(list: &str, patterns: &'m [String], bad: &mut Vec<Conflict>) -> Self {
        let mut globs = Vec::new();
        for pattern in patterns {
            match GlobBuilder::new(pattern).build() {
                Ok(glob) => globs.push((pattern.as_str(), glob.compile_matcher())),
                Err(error) => bad.push(Conflict::BadPattern {
                    list: list.to_owned(),
                    pattern: pattern.clone(),
                    problem: error.kind().to_string(),
                }),
            }
        }
        Self { globs }
    }

    /// Whether any fits.
    pub(super) fn fit(&self, name: &UserName) -> bool {
        self.globs.iter().any(|(_, glob)| fits(glob, name))
    }

    /// The patterns that fit none of the names.
    fn idle(&self, names: &Database) -> impl Iterator<Item = &'m str> {
        self.globs
            .iter()
            .filter(|(_, glob)| !names.users.keys().any(|name| fits(glob, name)))
            .map(|(pattern, _)| *pattern)
    }
}

fn fits(glob: &GlobMatcher, name: &UserName) -> bool {
    glob.is_match(OsStr::from_bytes(name.as_bytes()))
}

/// Applies the manifest's range and patterns to the source.
pub(super) fn choose<'a>(manifest: &Users, source: &'a Database) -> Choice<'a> {
    let mut choice = Choice::default();
    let include = Patterns::new("users.include", &manifest.include, &mut choice.conflicts);
    let exclude = Patterns::new("users.exclude", &manifest.exclude, &mut choice.conflicts);
    let range = range(manifest, source);
    for (name, user) in &source.users {
        let named = include.fit(name);
        let in_range = (range.first..=range.last).contains(&user.uid.0);
        if exclude.fit(name) || !(named || in_range) {
            continue;
        }
        if is_reserved(name, user.uid) {
            choice.notes.push(Note {
                resource: Resource::Account(name.clone()),
                level: if named { Level::Warning } else { Level::Info },
                text: format!(
                    "{name} (uid {}) is no person's account and is never carried over",
                    user.uid
                ),
            });
            continue;
        }
        choice.users.push((name, user));
    }
    for pattern in include.idle(source) {
        choice.conflicts.push(Conflict::IncludeMatchesNobody {
            pattern: pattern.to_owned(),
            guess: guess(pattern, source.users.keys()),
        });
    }
    for pattern in exclude.idle(source) {
        if let Some(guess) = guess(pattern, source.users.keys()) {
            choice.notes.push(Note {
                resource: Resource::Accounts,
                level: Level::Warning,
                text: format!(
                    "`{pattern}` in users.exclude fits no account; did you mean {guess}?"
                ),
            });
        }
    }
    if choice.users.is_empty() {
        let patterns = |list: &[String]| format!("`{}`", list.join("`, `"));
        let mut among = vec![format!("uids {range} of the source")];
        if !manifest.include.is_empty() {
            among.push(format!("and {}", patterns(&manifest.include)));
        }
        if !manifest.exclude.is_empty() {
            among.push(format!("without {}", patterns(&manifest.exclude)));
        }
        let among = among.join(" ");
        choice.conflicts.push(Conflict::NobodyChosen { among });
    }
    choice
}

/// The uids that are looked at: the manifest's, or those of people on the source.
pub(super) fn range(manifest: &Users, source: &Database) -> UidRange {
    manifest.uid.unwrap_or(UidRange {
        first: source.ranges.uid_min,
        last: source.ranges.uid_max,
    })
}

/// As useradd of Debian has it, the most liberal of all: upper case, dots and other alphabets pass.
pub(super) fn usable(name: &UserName) -> Result<(), Conflict> {
    let bytes = name.as_bytes();
    let never = |byte: &u8| byte.is_ascii_control() || b" /:,".contains(byte);
    let bad = bytes.iter().any(never)
        || matches!(bytes, [] | b"." | b"..")
        || matches!(bytes.first(), Some(b'-' | b'+' | b'~'));
    if bad {
        let user = name.clone();
        return Err(Conflict::UnusableName { user });
    }
    Ok(())
}

fn is_reserved(name: &UserName, uid: Uid) -> bool {
    RESERVED.contains(&uid) || [&b"nobody"[..], b"nfsnobody"].contains(&name.as_bytes())
}

/// A name that may have been meant: at most two edits away, and not a different word.
pub(super) fn guess<'a>(
    written: &str,
    names: impl Iterator<Item = &'a UserName>,
) -> Option<String> {
    names
        .map(ToString::to_string)
        .map(|name| (strsim::damerau_levenshtein(written, &name), name))
        .filter(|(distance, name)| *distance <= 2 && distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_debians_useradd_refuses_are_not_usable() {
        for name in [
            "alice",
            "first.last",
            "Web_Master-2",
            "1234",
            "samba$",
            "j\u{fc}rgen",
        ] {
            assert!(usable(&UserName::from(name.as_bytes())).is_ok(), "{name}");
        }
        for name in [
            "", ".", "..", "../x", "a/b", "-rf", "+x", "~x", "a b", "a,b", "a:b", "\u{1b}",
        ] {
            assert!(usable(&UserName::from(name.as_bytes())).is_err(), "{name}");
        }
    }
}
