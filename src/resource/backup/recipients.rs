//! For whom a host takes mail besides its users: aliases(5), virtual(5), and sendmail's tables.

use std::collections::{BTreeMap, BTreeSet};

use super::Known;
use super::observe::pairs;
use crate::error::{Kind, Result};
use crate::host::{HostState, Probe, ReadHost};
use crate::raw::HostPath;

/// Where tables are by default, whichever MTA.
const ALIASES: [&str; 2] = ["/etc/aliases", "/etc/mail/aliases"];
const VIRTUAL: [&str; 2] = ["/etc/postfix/virtual", "/etc/mail/virtusertable"];

const PARAMETERS: [&str; 5] = [
    "alias_maps",
    "luser_relay",
    "recipient_delimiter",
    "virtual_alias_maps",
    "virtual_mailbox_maps",
];

/// There where Postfix is.
const POSTCONF: &str = "/usr/sbin/postconf";

/// Kinds of tables that are a text file of the same name, or made of one.
const TEXT_TABLES: [&str; 7] = ["btree", "cdb", "dbm", "hash", "lmdb", "sdbm", "texthash"];

/// Reads what the serving host knows of a domain.
pub(super) fn known(host: &dyn ReadHost, domain: &str) -> Result<Known> {
    let mut known = Known::default();
    let mut named = BTreeSet::new();
    let mut aliases: BTreeSet<String> = ALIASES.map(str::to_owned).into();
    let mut tables: BTreeSet<String> = VIRTUAL.map(str::to_owned).into();
    if host.state() == HostState::Live {
        for (name, value) in parameters(host, &mut known)? {
            match name.as_str() {
                "alias_maps" => listed(&value, &mut aliases, &mut known.unlisted),
                "luser_relay" => known.everybody |= !value.is_empty(),
                "recipient_delimiter" => known.delimiter = value,
                _ => listed(&value, &mut named, &mut known.unlisted),
            }
        }
    }
    tables.extend(named.iter().cloned());
    for path in aliases {
        if let Some(text) = read(host, &path)? {
            known.names.extend(names(&text));
        }
    }
    for path in tables {
        match read(host, &path)? {
            Some(text) => addressed(&text, domain, &mut known),
            // What it was made from is gone, and the MTA goes by it still.
            None if named.contains(&path) => drop(known.unlisted.insert(path)),
            None => {}
        }
    }
    Ok(known)
}

/// What Postfix goes by; nothing without one. What it does not tell cannot be listed.
fn parameters(host: &dyn ReadHost, known: &mut Known) -> Result<BTreeMap<String, String>> {
    let probe = Probe::PostfixParameters(PARAMETERS.map(str::to_owned).to_vec());
    let why = match pairs(host, &probe) {
        Ok(Some(parameters)) => return Ok(parameters),
        Ok(None) if host.stat(&HostPath::from(POSTCONF))?.is_none() => return Ok(BTreeMap::new()),
        Ok(None) => "postconf does not answer".to_owned(),
        Err(error) if error.kind() == Kind::Host => crate::error::chain(&error),
        Err(error) => return Err(error),
    };
    known.unlisted.insert(why);
    Ok(BTreeMap::new())
}

fn read(host: &dyn ReadHost, path: &str) -> Result<Option<String>> {
    let content = host.read(&HostPath::from(path))?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// Sorts the tables of a parameter into those that can be read and those that cannot.
fn listed(value: &str, paths: &mut BTreeSet<String>, unlisted: &mut BTreeSet<String>) {
    let words = value
        .split([',', ' ', '\t'])
        .filter(|word| !word.is_empty());
    for word in words {
        let table = word.strip_prefix("proxy:").unwrap_or(word);
        match table.split_once(':') {
            Some((kind, path)) if TEXT_TABLES.contains(&kind) && path.starts_with('/') => {
                paths.insert(path.to_owned());
            }
            // Debian's sendmail and NIS: not there where nobody set it up.
            Some(("nis", _)) => {}
            _ => {
                unlisted.insert(word.to_owned());
            }
        }
    }
}

/// Lines that are neither comments nor go on with the one before.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with(['#', ' ', '\t']))
}

/// The names of aliases(5).
fn names(text: &str) -> BTreeSet<String> {
    let names = entries(text).filter_map(|line| {
        let (name, _) = line.split_once(':')?;
        let name = name.trim().trim_matches('"');
        name.split('@').next().map(str::to_ascii_lowercase)
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The names in a domain of virtual(5) or a virtusertable.
fn addressed(text: &str, domain: &str, known: &mut Known) {
    for line in entries(text) {
        let mut words = line.split_whitespace();
        let Some(key) = words.next() else {
            continue;
        };
        // Whom sendmail refuses: `@example.org error:nouser No such user`.
        if words.next().is_some_and(|to| to.starts_with("error:")) {
            continue;
        }
        let key = key.to_ascii_lowercase();
        match key.split_once('@') {
            Some(("", of)) if of.eq_ignore_ascii_case(domain) => known.everybody = true,
            Some((name, of)) if of.eq_ignore_ascii_case(domain) => {
                known.names.insert(name.to_owned());
            }
            // A name alone is one of the host's own domains, and a domain alone is no recipient.
            None if !key.contains('.') => {
                known.names.insert(key);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn aliases_are_the_names_before_the_colons() {
        let text = "# see man 5 aliases\nPostmaster:    root\noffice: anna,\n\tbela\n\
                    \"sales.team\": |/bin/x\n\nlist: :include:/etc/mail/list\n";
        assert_eq!(
            names(text),
            set(["list", "office", "postmaster", "sales.team"])
        );
    }

    #[test]
    fn of_a_virtual_table_only_this_domain_counts() {
        let text = "example.org  anything\nInfo@Example.org anna\nsales@example.net bela\n\
                    helpdesk bela\n# @example.org x\n";
        let mut known = Known::default();
        addressed(text, "example.org", &mut known);
        assert_eq!(known.names, set(["helpdesk", "info"]));
        assert!(!known.everybody);
        addressed("@example.org anna\n", "example.org", &mut known);
        assert!(known.everybody);
    }

    #[test]
    fn whom_a_virtusertable_refuses_is_no_recipient() {
        let text = "info@example.org\tanna\nleft@example.org\terror:nouser 550 No such user here\n\
                    @example.org\terror:nouser 550 No such user here\n";
        let mut known = Known::default();
        addressed(text, "example.org", &mut known);
        assert_eq!(known.names, set(["info"]));
        assert!(!known.everybody);
    }

    #[test]
    fn tables_that_cannot_be_read_are_named() {
        let (mut paths, mut unlisted) = (BTreeSet::new(), BTreeSet::new());
        listed(
            "hash:/etc/aliases, ldap:/etc/postfix/l.cf proxy:lmdb:/etc/x",
            &mut paths,
            &mut unlisted,
        );
        assert_eq!(paths, set(["/etc/aliases", "/etc/x"]));
        assert_eq!(unlisted, set(["ldap:/etc/postfix/l.cf"]));
    }
}
