//! A configuration as the sessions of one protocol see it: values by name, sections within sections,
//! whoever read it. What a name means is not known here.

use std::collections::BTreeMap;

use super::include::{Placed, Reading};
use super::syntax::unquote;
use crate::uidl::Syntax;

/// Values and sections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    values: BTreeMap<String, String>,
    sections: Vec<Section>,
}

/// A section: `namespace inbox { ... }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its first word.
    pub kind: String,
    /// The words that follow, unquoted; empty if it has no name.
    pub name: String,
    /// What is in it.
    pub body: Tree,
}

/// What `doveconf -a` is not known to print.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of its answer is no setting: {text}")]
pub struct Unheard {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

impl Tree {
    /// The value of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The sections of a kind, in order.
    pub fn sections<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |s| s.kind == kind)
    }

    /// The names that have the value `yes`: a list of 2.4.
    pub fn words_that_are_on(&self) -> impl Iterator<Item = &str> {
        let on = self.values.iter().filter(|(_, value)| *value == "yes");
        on.map(|(name, _)| name.as_str())
    }

    /// Reads what `doveconf -a` printed.
    pub fn from_doveconf(text: &str) -> Result<Self, Unheard> {
        let mut open = vec![(String::new(), Self::default())];
        for (index, raw) in text.lines().enumerate() {
            let line = raw.trim();
            let unheard = || Unheard {
                line: index + 1,
                text: line.to_owned(),
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(header) = line.strip_suffix('{') {
                open.push((header.trim().to_owned(), Self::default()));
            } else if line == "}" {
                let (header, body) = open.pop().ok_or_else(unheard)?;
                let (_, outer) = open.last_mut().ok_or_else(unheard)?;
                outer.sections.push(Section::new(&header, body));
            } else {
                let (key, value) = line
                    .split_once(" = ")
                    .or_else(|| line.strip_suffix(" =").map(|key| (key, "")))
                    .ok_or_else(unheard)?;
                let value = if value.starts_with("# hidden") {
                    ""
                } else {
                    value
                };
                let (_, tree) = open.last_mut().ok_or_else(unheard)?;
                tree.values.insert(key.to_owned(), unquote(value.trim()));
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some((_, tree)), true) => Ok(tree),
            _ => Err(Unheard {
                line: text.lines().count(),
                text: "it ends within a section".to_owned(),
            }),
        }
    }

    /// What our own reader found, as the sessions of `protocol` see it: a value for them beats the
    /// global ones. Sections for some addresses or names are left out.
    pub fn of_reading(reading: &Reading, protocol: &str, syntax: Syntax) -> Self {
        let mut tree = Self::default();
        for for_protocol in [false, true] {
            for placed in with_groups(&reading.statements) {
                if let Some((path, is_for)) = path_for(&placed.sections, protocol)
                    && is_for == for_protocol
                {
                    tree.place(&path, &placed, syntax);
                }
            }
        }
        tree
    }

    fn place(&mut self, path: &[&str], placed: &Placed, syntax: Syntax) {
        let expanded = match syntax {
            Syntax::V2_3 => self.expanded(&placed.value),
            Syntax::V2_4 => placed.value.clone(),
        };
        let mut at = self;
        for (depth, header) in path.iter().enumerate() {
            let opens = placed.key.is_empty() && depth + 1 == path.len();
            at = at.section(header, opens);
        }
        if !placed.key.is_empty() {
            at.values.insert(placed.key.clone(), expanded);
        }
    }

    /// The section with this header; each one without a name is a section of its own.
    fn section(&mut self, header: &str, opens: bool) -> &mut Self {
        let fresh = Section::new(header, Self::default());
        let known = self
            .sections
            .iter()
            .rposition(|s| s.kind == fresh.kind && s.name == fresh.name);
        let at = match known {
            Some(at) if !(opens && fresh.name.is_empty()) => at,
            _ => {
                self.sections.push(fresh);
                self.sections.len() - 1
            }
        };
        &mut self.sections[at].body
    }

    /// A value of 2.3 with `$name` replaced by what that setting is so far.
    fn expanded(&self, value: &str) -> String {
        if !value.contains('$') {
            return value.to_owned();
        }
        let is_setting = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let words = value.split(' ').map(|word| match word.strip_prefix('$') {
            Some(name) if is_setting(name) => self.get(name).unwrap_or_default(),
            _ => word,
        });
        words
            .filter(|w| !w.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Section {
    fn new(header: &str, body: Tree) -> Self {
        let (kind, name) = header.split_once(' ').unwrap_or((header, ""));
        Self {
            kind: kind.to_owned(),
            name: unquote(name.trim()),
            body,
        }
    }
}

/// The statements, with those of each group (2.4) where it is taken in.
fn with_groups(statements: &[Placed]) -> Vec<Placed> {
    let group = |placed: &Placed| format!("group {} {}", placed.key, placed.value);
    let mut all = Vec::with_capacity(statements.len());
    for placed in statements {
        if placed
            .sections
            .first()
            .is_some_and(|s| s.starts_with("group "))
        {
            continue;
        }
        if !placed.key.starts_with('@') {
            all.push(placed.clone());
            continue;
        }
        let header = group(placed);
        let members = statements
            .iter()
            .filter(|m| m.sections.first() == Some(&header));
        all.extend(members.map(|member| Placed {
            sections: [&placed.sections[..], &member.sections[1..]].concat(),
            ..member.clone()
        }));
    }
    all
}

/// Where a statement stands for the sessions of `protocol`, and whether it is meant for them rather
/// than for all; `None` if they do not see it.
fn path_for<'a>(sections: &'a [String], protocol: &str) -> Option<(Vec<&'a str>, bool)> {
    let mut path = Vec::new();
    let mut is_for = false;
    for header in sections {
        let (kind, name) = header.split_once(' ').unwrap_or((header, ""));
        match (kind, name.strip_prefix('!')) {
            ("protocol", Some(other)) if other != protocol => is_for = true,
            ("protocol", None) if name == protocol => is_for = true,
            ("protocol" | "local" | "remote" | "local_name", _) => return None,
            // Dovecot 1: everything about authentication is in one.
            ("auth", _) if name == "default" => {}
            _ => path.push(header.as_str()),
        }
    }
    Some((path, is_for))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_doveconf_prints_is_read() {
        // doveconf 2.3.19.1 and 2.4.1, shortened.
        let text = "# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\nmail_home = \n\
            protocols = \" imap pop3\"\nssl_key = # hidden, use -P to show it\nnamespace inbox {\n  \
            inbox = yes\n  mailbox \"Sent Messages\" {\n    auto = no\n  }\n}\npassdb pam {\n}\n";
        let tree = Tree::from_doveconf(text).unwrap();
        assert_eq!(tree.get("protocols"), Some(" imap pop3"));
        assert_eq!(tree.get("ssl_key"), Some(""));
        assert_eq!(tree.get("mail_home"), Some(""));
        let inbox = tree.sections("namespace").next().unwrap();
        assert_eq!(inbox.name, "inbox");
        assert_eq!(inbox.body.get("inbox"), Some("yes"));
        let sent = inbox.body.sections("mailbox").next().unwrap();
        assert_eq!(sent.name, "Sent Messages");
        assert_eq!(tree.sections("passdb").next().unwrap().name, "pam");
    }

    #[test]
    fn what_is_no_setting_is_not_passed_over() {
        for (text, line) in [("a = b\nfoo\n", 2), ("}\n", 1), ("a {\n", 1)] {
            assert_eq!(Tree::from_doveconf(text).unwrap_err().line, line, "{text}");
        }
    }
}
