//! Namespaces: the names under which clients see their folders.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Location, Version, Views, location};
use crate::resource::dovecot::config::tree::{Section, Tree};

/// A namespace. Its default is that of a configuration without any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespace {
    /// What its folders' names begin with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands between the parts of a name; empty: what the format uses.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub separator: String,
    /// Whether INBOX is in it.
    pub inbox: Flag,
    /// Where its mail is kept, if not where all is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What else is not as usual: `hidden`, `list`, `subscriptions`, `type`, `alias_for`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unusual: BTreeMap<String, String>,
}

/// `yes` or `no`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// `yes`.
    Yes,
    /// `no`.
    #[default]
    No,
}

/// What is usual for the other settings.
const USUAL: [(&str, &str); 5] = [
    ("alias_for", ""),
    ("hidden", "no"),
    ("list", "yes"),
    ("subscriptions", "yes"),
    ("type", "private"),
];

/// A value in a namespace; 2.4 takes `namespace_prefix` for `prefix`, too.
fn value<'a>(body: &'a Tree, key: &str) -> Option<&'a str> {
    body.get(key)
        .or_else(|| body.get(&format!("namespace_{key}")))
}

/// The namespaces that are in use.
pub(super) fn read(views: Views<'_>, version: Version) -> BTreeMap<String, Namespace> {
    let tree = views.tree();
    let in_use = tree
        .sections("namespace")
        .filter(|section| value(&section.body, "disabled") != Some("yes"));
    in_use
        .map(|section| {
            let body = &section.body;
            let text = |key: &str| value(body, key).unwrap_or_default().to_owned();
            let unusual = USUAL.iter().filter_map(|&(key, usual)| {
                let value = value(body, key)?;
                (value != usual).then(|| (key.to_owned(), value.to_owned()))
            });
            // Before 2.1 a namespace had its type for a name.
            let name = match version {
                Version::V2_4 => section.name.clone(),
                _ if matches!(section.name.as_str(), "private" | "public" | "shared") => {
                    format!("{}{}", section.name, text("prefix"))
                }
                _ => section.name.clone(),
            };
            let namespace = Namespace {
                prefix: text("prefix"),
                separator: text("separator"),
                inbox: match value(body, "inbox") {
                    Some("yes") => Flag::Yes,
                    _ => Flag::No,
                },
                location: location::of_namespace(body, version),
                unusual: unusual.collect(),
            };
            (name, namespace)
        })
        .collect()
}

/// The mailboxes from which Dovecot removes old messages by itself.
pub(super) fn autoexpunge(views: Views<'_>) -> BTreeSet<String> {
    let removes = |mailbox: &&Section| {
        let set = |key: &str| {
            let value = mailbox.body.get(key);
            !matches!(value, None | Some("" | "0"))
        };
        [
            "autoexpunge",
            "autoexpunge_max_mails",
            "mailbox_autoexpunge",
        ]
        .iter()
        .any(|key| set(key))
    };
    let tree = views.tree();
    let mailboxes = |namespace: &Section| -> Vec<String> {
        let found = namespace.body.sections("mailbox").filter(removes);
        found.map(|mailbox| mailbox.name.clone()).collect()
    };
    tree.sections("namespace").flat_map(mailboxes).collect()
}

/// The namespace that has INBOX; without any namespace there is one without a name.
pub fn of_inbox(namespaces: &BTreeMap<String, Namespace>) -> (&str, Namespace) {
    let found = namespaces.iter().find(|(_, n)| n.inbox == Flag::Yes);
    match (found, namespaces.len()) {
        (Some((name, namespace)), _) => (name, namespace.clone()),
        // With just one, INBOX is in it.
        (None, 1) => namespaces
            .iter()
            .next()
            .map_or(("", Namespace::default()), |(name, n)| (name, n.clone())),
        (None, _) => ("", Namespace::default()),
    }
}

impl Namespace {
    /// Where its mail is kept; `global`: where all is.
    pub fn location<'a>(&'a self, global: &'a Location) -> &'a Location {
        self.location.as_ref().unwrap_or(global)
    }

    /// The separator that clients see.
    pub fn separator_for(&self, location: &Location) -> &str {
        let layout = location.options.get("mailbox_list_layout");
        let dots = match layout.map(String::as_str) {
            Some(layout) => layout.eq_ignore_ascii_case("maildir++"),
            None => location.driver == "maildir",
        };
        match (self.separator.as_str(), dots) {
            ("", true) => ".",
            ("", false) => "/",
            (given, _) => given,
        }
    }

    /// The settings in the section, in the words that both versions have.
    pub fn lines(&self, name: &str, separator: &str) -> Vec<String> {
        let name = if name.is_empty() { "inbox" } else { name };
        let inbox = match self.inbox {
            Flag::Yes => "yes",
            Flag::No => "no",
        };
        let mut lines = vec![
            format!("namespace {name} {{"),
            format!("  inbox = {inbox}"),
            format!("  prefix = {}", self.prefix).trim_end().to_owned(),
            format!("  separator = {separator}"),
        ];
        lines.extend(self.unusual.iter().map(|(k, v)| format!("  {k} = {v}")));
        lines.push("}".to_owned());
        lines
    }
}
