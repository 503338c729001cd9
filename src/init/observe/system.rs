//! What a host is: its distribution, its name, its mail transfer agents.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::host::{FileKind, ReadHost};
use crate::init::findings::Mta;
use crate::raw::HostPath;

/// The distribution and its version, as a person would say it.
pub(super) fn system(host: &dyn ReadHost) -> Result<Option<String>> {
    if let Some(text) = text(host, "/etc/os-release")?
        && let Some(name) = assigned(&text, "PRETTY_NAME")
    {
        return Ok(Some(name));
    }
    for path in ["/etc/redhat-release", "/etc/SuSE-release"] {
        if let Some(line) = first_line(host, path)? {
            return Ok(Some(line));
        }
    }
    let debian = first_line(host, "/etc/debian_version")?;
    Ok(debian.map(|version| format!("Debian {version}")))
}

/// The host's name for itself: Debian's and systemd's file, then Red Hat's and `SuSE`'s old ones.
pub(super) fn hostname(host: &dyn ReadHost) -> Result<Option<String>> {
    if let Some(name) = first_line(host, "/etc/hostname")? {
        return Ok(Some(name));
    }
    if let Some(text) = text(host, "/etc/sysconfig/network")?
        && let Some(name) = assigned(&text, "HOSTNAME")
    {
        return Ok(Some(name));
    }
    first_line(host, "/etc/HOSTNAME")
}

/// Programs and configuration files by which a mail transfer agent is known.
const SIGNS: [(&str, Mta); 8] = [
    ("/usr/sbin/exim", Mta::Exim),
    ("/usr/sbin/exim4", Mta::Exim),
    ("/etc/exim4/exim4.conf.template", Mta::Exim),
    ("/usr/sbin/postfix", Mta::Postfix),
    ("/etc/postfix/main.cf", Mta::Postfix),
    ("/etc/mail/sendmail.cf", Mta::Sendmail),
    ("/usr/sbin/sendmail.sendmail", Mta::Sendmail),
    ("/usr/lib/sm.bin/sendmail", Mta::Sendmail),
];

/// The mail transfer agents that are installed. Which of them runs is the business of services.
pub(super) fn mta(host: &dyn ReadHost) -> Result<BTreeSet<Mta>> {
    let mut found = BTreeSet::new();
    for (path, mta) in SIGNS {
        if is_file(host, path)? {
            found.insert(mta);
        }
    }
    Ok(found)
}

fn is_file(host: &dyn ReadHost, path: &str) -> Result<bool> {
    let stat = host.stat(&HostPath::from(path))?;
    Ok(stat.is_some_and(|stat| stat.kind == FileKind::File))
}

/// The text of a small file; bytes that are not UTF-8 are replaced. What is no file is not there.
fn text(host: &dyn ReadHost, path: &str) -> Result<Option<String>> {
    if !is_file(host, path)? {
        return Ok(None);
    }
    let bytes = host.read(&HostPath::from(path))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The first line that is neither empty nor a comment.
fn first_line(host: &dyn ReadHost, path: &str) -> Result<Option<String>> {
    let text = text(host, path)?.unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(line.map(str::to_owned))
}

/// The value of a shell assignment, os-release(5), without its quotes.
fn assigned(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_a_shell_would() {
        // Debian 13 and Fedora 13.
        let text = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
        let name = assigned(text, "PRETTY_NAME");
        assert_eq!(name.as_deref(), Some("Debian GNU/Linux 13 (trixie)"));
        let text = "NETWORKING=yes\nHOSTNAME=mail.example.org\nNETWORKING_IPV6=no\n";
        assert_eq!(
            assigned(text, "HOSTNAME").as_deref(),
            Some("mail.example.org")
        );
        assert_eq!(assigned("HOSTNAME=\n", "HOSTNAME"), None);
        assert_eq!(assigned("HOSTNAMES=x\n", "HOSTNAME"), None);
    }
}
