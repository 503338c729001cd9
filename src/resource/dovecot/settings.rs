//! What a host's Dovecot is set to, by meaning: the same for 2.3 and 2.4, as far as clients or the
//! copy can notice. [`read`] makes it from [`Tree`]s; nothing here does IO.
//!
//! Names and paths are written as 2.4 writes them (`%{user}`, `%{home}`), with [`SPOOL`] for the
//! directory of the spool files, wherever a host has it.

pub mod access;
mod defaults;
pub mod location;
pub mod namespace;
pub mod variables;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Version;
use super::config::tree::Tree;
pub(super) use access::login_service;
pub use access::{Access, Cleartext, Offer, Ssl};
pub use location::Location;
pub use namespace::Namespace;
pub use variables::SPOOL;

/// What Dovecot is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How clients get in.
    pub access: Access,
    /// Where mail is kept, unless a namespace says otherwise.
    pub location: Location,
    /// Namespaces, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, Namespace>,
    /// Uids that may log in.
    pub valid_uids: Range,
    /// Gids that processes may have.
    pub valid_gids: Range,
    /// The group that mail processes take on to lock in the spool directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged_group: Option<String>,
    /// Groups that mail processes always have.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub access_groups: BTreeSet<String>,
    /// Settings of the same name and meaning on 2.3 and 2.4, by name: those of [`SIMPLE`]. One that
    /// is left out has its default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub simple: BTreeMap<String, String>,
    /// Mailboxes from which Dovecot itself removes old messages.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub autoexpunge: BTreeSet<String>,
}

/// A range of ids, `first_valid_*..last_valid_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub first: u32,
    /// The last; 0 for no limit.
    pub last: u32,
}

impl Default for Range {
    /// Of uids: 500 on both versions.
    fn default() -> Self {
        Self {
            first: 500,
            last: 0,
        }
    }
}

impl Range {
    /// Whether an id is in it.
    pub fn has(self, id: u32) -> bool {
        id >= self.first && (self.last == 0 || id <= self.last)
    }
}

/// How a simple setting is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// As it is written.
    Text,
    /// Words, in any order.
    Words,
    /// Words, in their order.
    Sequence,
    /// Text with variables.
    Pattern,
}

/// Settings of the same name on both versions: whose sessions they are for, and how they compare.
pub const SIMPLE: &[(&str, Session, Kind)] = &[
    ("auth_username_format", Session::Imap, Kind::Pattern),
    ("imap_client_workarounds", Session::Imap, Kind::Words),
    ("lock_method", Session::Imap, Kind::Text),
    ("mail_home", Session::Imap, Kind::Pattern),
    ("mail_max_userip_connections", Session::Imap, Kind::Text),
    ("mail_plugins", Session::Imap, Kind::Words),
    ("mailbox_list_index", Session::Imap, Kind::Text),
    ("maildir_broken_filename_sizes", Session::Imap, Kind::Text),
    ("maildir_copy_with_hardlinks", Session::Imap, Kind::Text),
    ("maildir_empty_new", Session::Imap, Kind::Text),
    ("maildir_stat_dirs", Session::Imap, Kind::Text),
    ("maildir_very_dirty_syncs", Session::Imap, Kind::Text),
    ("mbox_dirty_syncs", Session::Imap, Kind::Text),
    ("mbox_lazy_writes", Session::Imap, Kind::Text),
    ("mbox_md5", Session::Pop3, Kind::Text),
    ("mbox_read_locks", Session::Imap, Kind::Sequence),
    ("mbox_very_dirty_syncs", Session::Imap, Kind::Text),
    ("mbox_write_locks", Session::Imap, Kind::Sequence),
    ("pop3_client_workarounds", Session::Pop3, Kind::Words),
    ("pop3_delete_type", Session::Pop3, Kind::Text),
    ("pop3_deleted_flag", Session::Pop3, Kind::Text),
    ("pop3_enable_last", Session::Pop3, Kind::Text),
    ("pop3_fast_size_lookups", Session::Pop3, Kind::Text),
    ("pop3_lock_session", Session::Pop3, Kind::Text),
    ("pop3_no_flag_updates", Session::Pop3, Kind::Text),
    ("pop3_reuse_xuidl", Session::Pop3, Kind::Text),
    ("pop3_save_uidl", Session::Pop3, Kind::Text),
    ("pop3_uidl_duplicates", Session::Pop3, Kind::Text),
];

/// Whose sessions a setting is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Session {
    /// IMAP's; where POP3's differ, that is a doubt.
    Imap,
    /// POP3's.
    Pop3,
}

impl Settings {
    /// A simple setting, its default if it is not set.
    pub fn simple(&self, key: &str) -> &str {
        match self.simple.get(key) {
            Some(value) => value,
            None => defaults::of(key, Version::V2_4),
        }
    }
}

/// The configuration of one host: what its doveconf printed, where that ran, and what our own reader
/// found, each for IMAP and for POP3 sessions.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Which Dovecot.
    pub version: Version,
    /// For IMAP sessions.
    pub imap: Views<'a>,
    /// For POP3 sessions.
    pub pop3: Views<'a>,
}

/// The two readings for one kind of session.
#[derive(Clone, Copy, Debug)]
pub struct Views<'a> {
    /// By doveconf.
    pub doveconf: Option<&'a Tree>,
    /// By our own reader.
    pub own: &'a Tree,
}

impl Views<'_> {
    /// A value: doveconf's, else our own reader's, else the default; what is written comes first for
    /// settings of which doveconf does not tell the default.
    pub(super) fn text(self, key: &str, version: Version) -> String {
        let own = || self.own.get(key);
        let said = match self.doveconf {
            Some(_) if defaults::MISTOLD.contains(&key) => own(),
            Some(tree) if !defaults::DEPENDENT.contains(&key) => tree.get(key).or_else(own),
            Some(tree) => own().or_else(|| tree.get(key).filter(|value| !value.is_empty())),
            None => own(),
        };
        // A list of 2.4 may stand as a section: `protocols { imap = yes }`.
        let tree = self.doveconf.unwrap_or(self.own);
        let listed: Vec<&str> = tree
            .sections(key)
            .flat_map(|section| section.body.words_that_are_on())
            .collect();
        match (said, listed.is_empty()) {
            (Some(value), true) => value.trim().to_owned(),
            (said, false) => [said.unwrap_or_default().trim(), &listed.join(" ")]
                .join(" ")
                .trim()
                .to_owned(),
            (None, true) => defaults::of(key, version).to_owned(),
        }
    }

    pub(super) fn tree(&self) -> &Tree {
        self.doveconf.unwrap_or(self.own)
    }
}

/// The settings by meaning, and what could not be told, one sentence each.
pub fn read(found: &Found<'_>) -> (Settings, Vec<String>) {
    let version = found.version;
    let mut doubts = Vec::new();
    let text = |key: &str| found.imap.text(key, version);
    let mut number = |key: &str| {
        let value = text(key);
        value.parse().unwrap_or_else(|_| {
            doubts.push(format!("{key} is `{value}`, which is no number"));
            0
        })
    };
    let valid_uids = Range {
        first: number("first_valid_uid"),
        last: number("last_valid_uid"),
    };
    let valid_gids = Range {
        first: number("first_valid_gid"),
        last: number("last_valid_gid"),
    };
    let location = location::read(found.imap, version);
    if location != location::read(found.pop3, version) {
        doubts.push(
            "POP3 sessions look for mail elsewhere than IMAP sessions: only the latter is compared"
                .to_owned(),
        );
    }
    let simple = SIMPLE.iter().filter_map(|&(key, session, kind)| {
        let views = match session {
            Session::Imap => found.imap,
            Session::Pop3 => found.pop3,
        };
        let canonical = |value: &str| canonical(value, kind, version);
        let value = canonical(&views.text(key, version));
        (value != canonical(defaults::of(key, Version::V2_4))).then(|| (key.to_owned(), value))
    });
    let privileged = text("mail_privileged_group");
    let settings = Settings {
        access: access::read(found),
        namespaces: namespace::read(found.imap, version),
        location,
        valid_uids,
        valid_gids,
        privileged_group: (!privileged.is_empty()).then_some(privileged),
        access_groups: words(&text("mail_access_groups")),
        simple: simple.collect(),
        autoexpunge: namespace::autoexpunge(found.imap),
    };
    (settings, doubts)
}

/// A list, whichever of the two versions wrote it.
pub(super) fn words(value: &str) -> BTreeSet<String> {
    sequence(value).into_iter().collect()
}

fn sequence(value: &str) -> Vec<String> {
    let words = value.split([' ', ',', '\t', '\n']);
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn canonical(value: &str, kind: Kind, version: Version) -> String {
    match kind {
        Kind::Text => value.to_owned(),
        Kind::Sequence => sequence(value).join(" "),
        Kind::Words => words(value).into_iter().collect::<Vec<_>>().join(" "),
        Kind::Pattern => variables::canonical(value, version),
    }
}
