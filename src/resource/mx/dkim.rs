//! Which DKIM selectors a host signs with: opendkim.conf(5). No key is read.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::host::ReadHost;
use crate::raw::HostPath;

const CONFIGURATION: &str = "/etc/opendkim.conf";

/// The selectors that opendkim on a host signs with for a domain.
pub(super) fn selectors(host: &dyn ReadHost, domain: &str) -> Result<BTreeSet<String>> {
    let Some(text) = read(host, CONFIGURATION)? else {
        return Ok(BTreeSet::new());
    };
    let mut selectors = of_configuration(&text, domain);
    if let Some(path) = key_table(&text)
        && let Some(table) = read(host, path)?
    {
        selectors.extend(of_key_table(&table, domain));
    }
    Ok(selectors)
}

fn read(host: &dyn ReadHost, path: &str) -> Result<Option<String>> {
    let content = host.read(&HostPath::from(path))?;
    Ok(content.map(|content| String::from_utf8_lossy(&content).into_owned()))
}

/// Settings and their values; names are in any case.
fn settings(text: &str) -> impl Iterator<Item = (String, &str)> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name.to_ascii_lowercase(), value.trim()))
    })
}

/// One key for all of `Domain`.
fn of_configuration(text: &str, domain: &str) -> BTreeSet<String> {
    let value = |wanted: &str| {
        let mut all = settings(text).filter(|(name, _)| name == wanted);
        all.next().map(|(_, value)| value)
    };
    let signs = value("domain").is_some_and(|domains| {
        let mut domains = domains.split([',', ' ']).map(str::trim);
        domains.any(|one| one == "*" || one.eq_ignore_ascii_case(domain))
    });
    let selector = value("selector").filter(|_| signs && value("keytable").is_none());
    selector.map(str::to_owned).into_iter().collect()
}

/// The file of `KeyTable`, if it is one.
fn key_table(text: &str) -> Option<&str> {
    let (_, value) = settings(text).find(|(name, _)| name == "keytable")?;
    let path = value.rsplit_once(':').map_or(value, |(_, path)| path);
    path.starts_with('/').then_some(path)
}

/// `name domain:selector:key`; `%` is the domain of the sender.
fn of_key_table(table: &str, domain: &str) -> BTreeSet<String> {
    let keys = settings(table).filter_map(|(_, value)| {
        let mut parts = value.splitn(3, ':');
        let (of, selector) = (parts.next()?, parts.next()?);
        (of == "%" || of.eq_ignore_ascii_case(domain)).then(|| selector.to_owned())
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's package has it, with what its comments tell to add.
    const DEBIAN: &str = "# This is a basic configuration for signing and verifying.\n\
        Syslog\t\t\tyes\nCanonicalization\trelaxed/simple\n#Domain\t\t\texample.com\n\
        Domain\t\t\texample.org, example.net\nSelector\t\t2020\nKeyFile\t\t/etc/dkimkeys/2020.private\n";

    #[test]
    fn one_key_signs_for_the_domains_that_are_named() {
        assert_eq!(
            of_configuration(DEBIAN, "example.org"),
            ["2020".to_owned()].into()
        );
        assert_eq!(of_configuration(DEBIAN, "example.com"), BTreeSet::new());
    }

    #[test]
    fn a_table_names_the_selectors_of_each_domain() {
        let text = "KeyTable refile:/etc/opendkim/key.table\n";
        assert_eq!(key_table(text), Some("/etc/opendkim/key.table"));
        let table = "# keys\nmain example.org:mail2024:/etc/dkimkeys/a.private\n\
                     other example.net:x:/etc/dkimkeys/b.private\n\
                     any %:s1:/etc/dkimkeys/c.private\n";
        let expected = ["mail2024", "s1"].map(str::to_owned).into();
        assert_eq!(of_key_table(table, "example.org"), expected);
    }
}
