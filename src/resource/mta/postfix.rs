//! What postconf(1) tells of how Postfix is set up: postconf(5).

use std::collections::{BTreeMap, BTreeSet};

/// What is asked for.
pub(super) const PARAMETERS: [&str; 25] = [
    "home_mailbox",
    "inet_interfaces",
    "inet_protocols",
    "local_recipient_maps",
    "mail_spool_directory",
    "mailbox_command",
    "mailbox_size_limit",
    "mailbox_transport",
    "master_service_disable",
    "message_size_limit",
    "mydestination",
    "myhostname",
    "relay_domains",
    "smtpd_enforce_tls",
    "smtpd_sasl_auth_enable",
    "smtpd_tls_auth_only",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_dcert_file",
    "smtpd_tls_eccert_file",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// The parameters that name domains.
pub(super) const DOMAINS: [&str; 4] = [
    "mydestination",
    "relay_domains",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// `name = value` lines; a name without a value has an empty one.
pub(super) fn parameters(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

/// The words of a list.
pub(super) fn words(list: &str) -> BTreeSet<String> {
    list.split([',', ' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

/// A word of a list of domains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// A domain.
    Domain(String),
    /// A file with a domain or more in each line.
    File(String),
    /// A table whose text is beside it: `hash:/etc/postfix/virtual`.
    Table(String),
    /// Something whose keys cannot be listed.
    Unlisted(String),
}

/// Kinds of tables that postmap(1) makes of a text file of the same name, or reads as it is.
const TEXT_TABLES: [&str; 7] = ["btree", "cdb", "dbm", "hash", "lmdb", "sdbm", "texthash"];

pub(super) fn domain_words(list: &str) -> Vec<Word> {
    let words = list.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.map(word).collect()
}

fn word(word: &str) -> Word {
    // An address in brackets is a domain; so is anything that has neither colon nor slash.
    if word.starts_with('/') {
        return Word::File(word.to_owned());
    }
    let table = word.strip_prefix("proxy:").unwrap_or(word);
    match table.split_once(':') {
        Some((kind, path)) if TEXT_TABLES.contains(&kind) => Word::Table(path.to_owned()),
        Some(_) if !word.starts_with('[') => Word::Unlisted(word.to_owned()),
        _ => Word::Domain(word.to_ascii_lowercase()),
    }
}

/// The domains that are keys of a table or lines of a file; addresses and patterns are none.
pub(super) fn keys(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(['#', ' ', '\t']));
    let keys = lines.filter_map(|line| line.split_whitespace().next());
    let domain = |key: &&str| key.contains('.') && !key.contains('@') && !key.starts_with('.');
    keys.filter(domain).map(str::to_ascii_lowercase).collect()
}

/// A limit in bytes; 0 is none.
pub(super) fn limit(value: &str) -> Option<u64> {
    value.parse().ok().filter(|&limit| limit > 0)
}
