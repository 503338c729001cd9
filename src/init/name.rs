//! A name for the migration, made from what the hosts are called.

use crate::init::findings::HostFindings;
use crate::manifest::{HostAddress, MigrationName};

/// Longest part that each host gives, so that `A-to-B` has at most 40 characters.
const LONGEST: usize = 18;

/// The name: from the hosts' own names, or from where they are if those are the same or unknown.
pub(super) fn migration_name(source: &HostFindings, target: &HostFindings) -> MigrationName {
    let own = |host: &HostFindings| word(host.hostname.as_deref().unwrap_or_default());
    let place = |host: &HostFindings| word(&place(&host.host));
    let either = |host: &HostFindings| own(host).or_else(|| place(host));
    let pairs = [
        (own(source), own(target)),
        (either(source), either(target)),
        (place(source), place(target)),
    ];
    let different = |pair| match pair {
        (Some(source), Some(target)) if source != target => Some(format!("{source}-to-{target}")),
        _ => None,
    };
    pairs
        .into_iter()
        .find_map(different)
        .unwrap_or_else(|| "old-to-new".to_owned())
        .parse()
        .expect("two words of at most 18 lower-case letters and digits make a name")
}

/// Host part of an address; the last directory of a root.
fn place(host: &HostAddress) -> String {
    match host {
        HostAddress::Dir(path) => String::from_utf8_lossy(path.file_name()).into_owned(),
        HostAddress::Ssh { host, .. } if host.parse::<std::net::IpAddr>().is_ok() => String::new(),
        HostAddress::Ssh { host, .. } => host.clone(),
    }
}

/// The first label of a name as a word of a migration's name.
fn word(name: &str) -> Option<String> {
    let label = name.split('.').find(|label| !label.is_empty())?;
    let word: String = label
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .skip_while(|c| *c == '-')
        .take(LONGEST)
        .collect();
    let word = word.trim_end_matches('-');
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, hostname: Option<&str>) -> HostFindings {
        let mut host = HostFindings::at(address.parse().unwrap());
        host.hostname = hostname.map(str::to_owned);
        host
    }

    #[test]
    fn the_name_says_from_where_to_where() {
        for (source, target, name) in [
            (
                ("dir:/mnt/old", Some("Fedora.example.org")),
                ("dir:/", Some("trixie")),
                "fedora-to-trixie",
            ),
            (("dir:old", None), ("dir:new/", None), "old-to-new"),
            // Both keep the name by which clients know the server.
            (
                ("ssh://root@a.example.org", Some("mail")),
                ("ssh://b", Some("mail")),
                "a-to-b",
            ),
            (
                ("ssh://192.0.2.10", None),
                ("ssh://192.0.2.20", None),
                "old-to-new",
            ),
            (("dir:.", None), ("dir:..", None), "old-to-new"),
            (
                ("dir:/x/_Old_Disk_of_the_Mail_Server_", None),
                ("dir:/\u{fc}", None),
                "old-to-new",
            ),
            (
                ("dir:/x/_Old_Disk_of_the_Mail_Server_", None),
                ("dir:/b", None),
                "old-disk-of-the-ma-to-b",
            ),
        ] {
            let found = migration_name(&host(source.0, source.1), &host(target.0, target.1));
            assert_eq!(found.as_str(), name);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_hosts_have_a_name(a: String, b: String) {
            migration_name(&host("dir:/a", Some(&a)), &host("dir:/b", Some(&b)));
        }
    }
}
