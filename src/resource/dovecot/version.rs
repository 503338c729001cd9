//! Which generation of Dovecot a host has.

use crate::error::Result;
use crate::host::{Probe, ReadHost};
use crate::raw::HostPath;

use super::Version;
use super::config::include::Reading;

/// A setting that 2.4 demands at the top and that 2.3 refuses.
pub(super) const VERSION_SETTING: &str = "dovecot_config_version";

const BINARY: &str = "/usr/sbin/dovecot";
const DPKG_STATUS: &str = "/var/lib/dpkg/status";
const PACKAGE: &str = "dovecot-core";

/// What the host's programs and packages say about Dovecot; the configuration is not asked.
pub(super) enum Installed {
    /// A version, and how it is known.
    Yes(Version, String),
    /// There is a package database or a program directory that would know, and it knows nothing.
    No,
    /// A Dovecot without a version that can be told, or a root that says nothing about programs.
    Unknown,
}

pub(super) fn installed(host: &dyn ReadHost) -> Result<Installed> {
    if let Some(answer) = host.probe(&Probe::DovecotVersion)?
        && answer.status == Some(0)
        && let Some(version) = generation(String::from_utf8_lossy(&answer.stdout).trim())
    {
        let said = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        return Ok(Installed::Yes(
            version,
            format!("dovecot --version: {said}"),
        ));
    }
    let binary = host.stat(&HostPath::from(BINARY))?;
    let status = host.read(&HostPath::from(DPKG_STATUS))?;
    let Some(status) = status else {
        return Ok(Installed::Unknown);
    };
    let package = installed_version(&String::from_utf8_lossy(&status), PACKAGE);
    Ok(match (package, binary) {
        (Some(text), _) => match generation(upstream(&text)) {
            Some(version) => Installed::Yes(version, format!("dpkg: {PACKAGE} {text}")),
            None => Installed::Unknown,
        },
        (None, Some(_)) => Installed::Unknown,
        (None, None) => Installed::No,
    })
}

/// The generation by the configuration alone: without [`VERSION_SETTING`] 2.4 does not start.
pub(super) fn by_configuration(reading: &Reading) -> (Version, String) {
    match reading.of(VERSION_SETTING).first() {
        Some(setting) => {
            let evidence = format!("{VERSION_SETTING} = {} in {setting}", setting.value);
            (Version::V2_4, evidence)
        }
        None => (
            Version::V2_3,
            format!("no {VERSION_SETTING}, which 2.4 demands"),
        ),
    }
}

/// `2.3.19.1 (9b53102964)` is 2.3; `2.4.1-4` and whatever follows are 2.4.
fn generation(text: &str) -> Option<Version> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    Some(if (major, minor) < (2, 4) {
        Version::V2_3
    } else {
        Version::V2_4
    })
}

/// A Debian version without its epoch.
fn upstream(version: &str) -> &str {
    version
        .split_once(':')
        .map_or(version, |(_, upstream)| upstream)
}

/// The version of an installed package in dpkg's status file.
fn installed_version(status: &str, package: &str) -> Option<String> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim().to_owned())
        })
    };
    let paragraph = status
        .split("\n\n")
        .find(|p| field(p, "Package").is_some_and(|name| name == package))?;
    let installed = field(paragraph, "Status")?.ends_with(" installed");
    if installed {
        field(paragraph, "Version")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From /var/lib/dpkg/status of Debian 12, shortened.
    const STATUS: &str = "Package: base-files\nStatus: install ok installed\nVersion: 12.4\n\n\
        Package: dovecot-core\nStatus: install ok installed\nPriority: optional\n\
        Version: 1:2.3.19.1+dfsg1-2.1+deb12u6\nReplaces: dovecot-common\n\n\
        Package: dovecot-pop3d\nStatus: deinstall ok config-files\nVersion: 1:2.3.19.1\n";

    #[test]
    fn dpkg_knows_what_is_installed() {
        assert_eq!(
            installed_version(STATUS, "dovecot-core").as_deref(),
            Some("1:2.3.19.1+dfsg1-2.1+deb12u6")
        );
        assert_eq!(installed_version(STATUS, "dovecot"), None);
        assert_eq!(
            installed_version(STATUS, "dovecot-pop3d"),
            None,
            "removed, not purged"
        );
    }

    #[test]
    fn versions_fall_into_two_generations() {
        for (text, version) in [
            ("2.3.19.1 (9b53102964)", Some(Version::V2_3)),
            ("1.2.17", Some(Version::V2_3)),
            ("2.4.1-4 (7d8c0e5759)", Some(Version::V2_4)),
            (upstream("1:2.4.1+dfsg1-6+deb13u7"), Some(Version::V2_4)),
            ("3.0", Some(Version::V2_4)),
            ("unknown", None),
        ] {
            assert_eq!(generation(text), version, "{text}");
        }
    }
}
