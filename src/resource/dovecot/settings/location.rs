//! Where mail is kept: `mail_location` of 2.3, and the settings that 2.4 has in its place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Version, Views, variables};
use crate::resource::dovecot::config::tree::Tree;

/// The setting of 2.3.
pub(super) const OLD: &str = "mail_location";

/// What stands behind the path in `mail_location`, and the setting of 2.4 for it.
const OPTIONS: [(&str, &str); 12] = [
    ("INBOX", "mail_inbox_path"),
    ("INDEX", "mail_index_path"),
    ("INDEXPVT", "mail_index_private_path"),
    ("CONTROL", "mail_control_path"),
    ("VOLATILEDIR", "mail_volatile_path"),
    ("ALT", "mail_alt_path"),
    ("LAYOUT", "mailbox_list_layout"),
    ("DIRNAME", "mailbox_directory_name"),
    ("MAILBOXDIR", "mailbox_root_directory_name"),
    ("SUBSCRIPTIONS", "mailbox_subscriptions_filename"),
    ("UTF-8", "mailbox_list_utf8"),
    ("BROKENCHAR", "mailbox_list_visible_escape_char"),
];

/// Where mail is kept. Empty: Dovecot looks for each user's mail itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Location {
    /// The format: `mbox`, `maildir`, ...; empty or `auto`: Dovecot finds out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The directory of the folders.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Settings of 2.4 that are not at the default for this format, by name. An empty value is one
    /// that is written as such and means something else than none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Location {
    /// Whether Dovecot is to find each user's mail itself.
    pub fn is_automatic(&self) -> bool {
        matches!(self.driver.as_str(), "" | "auto")
    }

    /// Reads `mail_location`.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.trim().split(':');
        let (driver, path) = match (parts.next(), text.contains(':')) {
            (Some(path), false) => ("", path),
            (driver, _) => (driver.unwrap_or_default(), parts.next().unwrap_or_default()),
        };
        let option = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, "yes"));
            let known = OPTIONS.iter().find(|(old, _)| *old == key);
            let name = known.map_or(key, |(_, new)| new);
            (name.to_owned(), variables::path(value, Version::V2_3))
        };
        Self {
            driver: driver.to_lowercase(),
            path: variables::path(path, Version::V2_3),
            options: parts.map(option).collect(),
        }
        .normal()
    }

    /// Reads the settings of 2.4. What is written is in `own`; what holds, in `views`.
    fn of_tree(text: impl Fn(&str) -> String, own: &Tree) -> Self {
        let options = OPTIONS.iter().filter_map(|(_, name)| {
            let value = variables::path(&text(name), Version::V2_4);
            let written_empty = *name == "mail_inbox_path" && own.get(name) == Some("");
            (!value.is_empty() || written_empty).then(|| ((*name).to_owned(), value))
        });
        Self {
            driver: text("mail_driver").to_lowercase(),
            path: variables::path(&text("mail_path"), Version::V2_4),
            options: options.collect(),
        }
        .normal()
    }

    /// Without what is the default for the format.
    fn normal(mut self) -> Self {
        let (path, layout) = match self.driver.as_str() {
            "mbox" => ("%{home}/mail", "fs"),
            "maildir" => ("%{home}/Maildir", "maildir++"),
            "sdbox" => ("%{home}/sdbox", "fs"),
            "mdbox" => ("%{home}/mdbox", "fs"),
            _ => ("", "fs"),
        };
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        let path = self.path.clone();
        let inbox_is_root = self.driver == "maildir";
        self.options.retain(|name, value| match name.as_str() {
            "mailbox_list_layout" => !value.eq_ignore_ascii_case(layout) && !value.is_empty(),
            "mail_inbox_path" if inbox_is_root => *value != path,
            "mail_inbox_path" => !value.is_empty(),
            "mail_index_path" | "mail_control_path" => *value != path,
            "mailbox_list_utf8" => value != "no",
            _ => true,
        });
        self
    }

    /// The spool file as INBOX; `None` if it is elsewhere.
    pub fn inbox(&self) -> Option<&str> {
        self.options.get("mail_inbox_path").map(String::as_str)
    }

    /// The settings of 2.4, each of which is needed.
    fn new_lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            ("mail_driver".to_owned(), self.driver.clone()),
            ("mail_path".to_owned(), self.path.clone()),
        ];
        // Debian 13 sets it to the spool file; empty, it would be a folder of its own.
        if self.driver == "maildir" && self.inbox().is_none() {
            lines.push(("mail_inbox_path".to_owned(), self.path.clone()));
        }
        lines.extend(self.options.clone());
        lines
    }

    /// The lines that make it so, where `now` is what holds; `spool` is the spool directory there.
    pub fn lines(&self, now: &Self, version: Version, spool: &str) -> Vec<String> {
        let line = |(name, value): (String, String)| {
            format!("{name} = {}", value.replace(variables::SPOOL, spool))
        };
        match version {
            Version::V2_4 => {
                let mut lines = self.new_lines();
                let gone = now
                    .options
                    .keys()
                    .filter(|name| *name != "mail_inbox_path" && !self.options.contains_key(*name));
                lines.extend(gone.map(|name| (name.clone(), String::new())));
                lines.into_iter().map(line).collect()
            }
            Version::V2_3 | Version::Absent => {
                let whole = self.old().replace(variables::SPOOL, spool);
                vec![line((OLD.to_owned(), whole))]
            }
        }
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
    }

    /// As 2.3 writes it, which is one value; `spool` is the spool directory there.
    pub fn shown(&self, spool: &str) -> String {
        if self.is_automatic() && self.path.is_empty() {
            "whatever Dovecot finds for a user".to_owned()
        } else {
            format!("`{}`", self.old().replace(variables::SPOOL, spool))
        }
    }

    /// The value of `mail_location`.
    fn old(&self) -> String {
        let write = |text: &str| variables::write(text, Version::V2_3);
        let options = self.options.iter().map(|(name, value)| {
            let known = OPTIONS.iter().find(|(_, new)| new == name);
            let old = known.map_or(name.as_str(), |(old, _)| old);
            match (old, value.as_str()) {
                ("UTF-8", _) => ":UTF-8".to_owned(),
                (old, value) => format!(":{old}={}", write(value)),
            }
        });
        let options: String = options.collect();
        format!("{}:{}{options}", self.driver, write(&self.path))
    }
}

/// Where mail is kept by these views.
pub(super) fn read(views: Views<'_>, version: Version) -> Location {
    match version {
        Version::V2_4 => Location::of_tree(|key| views.text(key, version), views.own),
        Version::V2_3 | Version::Absent => Location::parse(&views.text(OLD, version)),
    }
}

/// Where a namespace keeps its mail; `None` where all do.
pub(super) fn of_namespace(body: &Tree, version: Version) -> Option<Location> {
    let text = |key: &str| body.get(key).unwrap_or_default().to_owned();
    match version {
        Version::V2_4 => body
            .get("mail_driver")
            .or_else(|| body.get("mail_path"))
            .map(|_| Location::of_tree(text, body)),
        Version::V2_3 | Version::Absent => {
            let location = text("location");
            (!location.is_empty()).then(|| Location::parse(&location))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_and_written_for_both_versions() {
        // The pairs of FACTS, seen to serve the same mailbox on 2.3.19 and 2.4.1.
        for (old, new) in [
            (
                "mbox:~/mail:INBOX=/var/mail/%u",
                vec![
                    "mail_driver = mbox",
                    "mail_path = %{home}/mail",
                    "mail_inbox_path = /var/mail/%{user}",
                ],
            ),
            (
                "maildir:~/Maildir",
                vec![
                    "mail_driver = maildir",
                    "mail_path = %{home}/Maildir",
                    "mail_inbox_path = %{home}/Maildir",
                ],
            ),
            (
                "mbox:~/Mail:INBOX=/var/mail/%u:INDEX=~/idx:LAYOUT=fs",
                vec![
                    "mail_driver = mbox",
                    "mail_path = %{home}/Mail",
                    "mail_inbox_path = /var/mail/%{user}",
                    "mail_index_path = %{home}/idx",
                ],
            ),
        ] {
            let location = Location::parse(old);
            let lines = location.lines(&Location::default(), Version::V2_4, "/var/mail");
            assert_eq!(lines, new, "{old}");
            let text = lines.join("\n");
            let tree = Tree::from_doveconf(&text).unwrap();
            let back = Location::of_tree(|key| tree.get(key).unwrap_or_default().to_owned(), &tree);
            assert_eq!(back, location, "{old}");
            let [line] = &location.lines(&location, Version::V2_3, "/var/mail")[..] else {
                panic!("one line is enough for 2.3");
            };
            let value = line.strip_prefix("mail_location = ").unwrap();
            assert_eq!(Location::parse(value), location);
        }
    }

    #[test]
    fn debian_13_needs_the_inbox_of_a_maildir_in_writing() {
        let read = |text: &str| {
            let tree = Tree::from_doveconf(text).unwrap();
            Location::of_tree(|key| tree.get(key).unwrap_or_default().to_owned(), &tree)
        };
        let wanted = Location::parse("maildir:~/Maildir");
        let maildir = "mail_driver = maildir\nmail_path = ~/Maildir\n";
        assert_eq!(read(maildir), wanted);
        for inbox in ["~/Maildir", "%{home}/Maildir", "%{home}/Maildir/"] {
            assert_eq!(
                read(&format!("{maildir}mail_inbox_path = {inbox}\n")),
                wanted
            );
        }
        for inbox in ["/var/mail/%{user}", ""] {
            assert_ne!(
                read(&format!("{maildir}mail_inbox_path = {inbox}\n")),
                wanted
            );
        }
    }
}
