//! Places of mail, and the services that handle it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::host::BACKSLASH;
use super::name::check_glob;
use super::{BadScalar, bad, quote, text_schema};
use crate::raw::Raw;

/// Whether a component of the path is `..`.
fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// Grammar of a spool directory: absolute, without `..`, and not the root.
pub(crate) enum SpoolPath {}

impl SpoolPath {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let expected = "write an absolute path without `..`, as in /var/spool/mail";
        if !text.starts_with('/') {
            return bad(format!("{} is not absolute", quote(text)), expected);
        }
        if climbs(text) {
            return bad(format!("{} climbs with `..`", quote(text)), expected);
        }
        if text.split('/').all(|part| part.is_empty() || part == ".") {
            return bad("the root directory is no spool", expected);
        }
        match text.parse::<Raw>() {
            Ok(path) if path.as_bytes().contains(&0) => {
                bad(format!("{} holds a NUL byte", quote(text)), expected)
            }
            Ok(_) => Ok(()),
            Err(error) => bad(format!("{}: {error}", quote(text)), BACKSLASH),
        }
    }
}

text_schema!(SpoolPath, "^/.+$", "Absolute path without `..`.");

/// Grammar of a glob over paths beneath a home.
pub(crate) enum HomeGlob {}

impl HomeGlob {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let expected = "write it as seen from the home, as in .cache/**";
        if text.is_empty() {
            return bad("an empty glob", expected);
        }
        if text.starts_with('/') {
            return bad(format!("{} is absolute", quote(text)), expected);
        }
        if text.starts_with("~/") {
            return bad(format!("{} begins with `~/`", quote(text)), expected);
        }
        if climbs(text) {
            return bad(
                format!("{} leaves the home with `..`", quote(text)),
                expected,
            );
        }
        check_glob(text)
    }
}

text_schema!(
    HomeGlob,
    "^[^/]",
    "Glob over paths beneath a home, as in .cache/**."
);

/// Grammar of a mail folder's name.
pub(crate) enum FolderName {}

impl FolderName {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let expected = "write the name of a folder, as in Archive or Archive/2026";
        if text.trim().is_empty() {
            return bad("a folder without a name", expected);
        }
        if text.eq_ignore_ascii_case("INBOX") {
            return bad("INBOX is the spool itself", expected);
        }
        if text.starts_with('-') || text.contains(['*', '?', '%']) {
            return bad(
                format!(
                    "{} would be an option or a pattern for doveadm",
                    quote(text)
                ),
                expected,
            );
        }
        let parts_named = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !parts_named || text.starts_with('~') || text.contains(char::is_control) {
            return bad(format!("{} cannot name a folder", quote(text)), expected);
        }
        Ok(())
    }
}

text_schema!(FolderName, "^[^/~*?%-][^*?%]*$", "Name of a mail folder.");

/// Grammar of a file for the textfile collector: it takes `*.prom` and nothing else. A unit of systemd and
/// a shell take its characters as they are.
pub(crate) enum MetricsFile {}

impl MetricsFile {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let expected = "write an absolute path that ends in .prom, as in \
                        /var/lib/prometheus/node-exporter/spool.prom";
        if !text.starts_with('/') {
            return bad(format!("{} is not absolute", quote(text)), expected);
        }
        if climbs(text) {
            return bad(format!("{} climbs with `..`", quote(text)), expected);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,".contains(c);
        if let Some(other) = text.chars().find(|c| !plain(*c)) {
            let other = quote(&other.to_string());
            return bad(
                format!("{} holds {other}", quote(text)),
                "use letters, digits and / . _ - + @ , only",
            );
        }
        match text
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".prom"))
        {
            Some(name) if !name.is_empty() => Ok(()),
            _ => bad(format!("{} is no .prom file", quote(text)), expected),
        }
    }
}

text_schema!(
    MetricsFile,
    "^/[A-Za-z0-9/._+@,-]*\\.prom$",
    "Absolute path of a file that ends in .prom, without `..`."
);

/// Grammar of the units of one service.
pub(crate) enum UnitNames {}

impl UnitNames {
    pub(crate) fn check(text: &str) -> Result<(), BadScalar> {
        let expected = "write auto, or names of units with spaces between: postfix.service";
        let names: Vec<&str> = text.split_whitespace().collect();
        if names.is_empty() {
            return bad("no units", expected);
        }
        if names.len() > 1 && names.contains(&"auto") {
            return bad("`auto` beside names of units", expected);
        }
        let word = |name: &str| {
            !name.starts_with('-')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ":_.@\\-".contains(c))
        };
        match names.into_iter().find(|name| !word(name)) {
            Some(name) => bad(format!("{} cannot name a unit", quote(name)), expected),
            None => Ok(()),
        }
    }
}

text_schema!(
    UnitNames,
    "^\\s*[A-Za-z0-9:_.@\\\\][A-Za-z0-9:_.@\\\\\\s-]*$",
    "`auto`, or names of units (systemd) or services (sysv) with spaces between."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_an_absolute_directory() {
        for good in ["/var/mail", "/var/spool/mail/", "/srv/caf\\xE9"] {
            assert_eq!(SpoolPath::check(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            "var/mail",
            "/",
            "//",
            "/.",
            "/var/../mail",
            "/a\\q",
            "/a\\x00",
            "~/mail",
        ] {
            assert!(SpoolPath::check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn globs_stay_beneath_the_home() {
        for good in [".cache/**", "*.tmp", "a..b", "mail/{old,new}"] {
            assert_eq!(HomeGlob::check(good), Ok(()), "{good}");
        }
        for wrong in ["", "/home/*/x", "../x", "a/..", "~/x", "a[", "{a"] {
            assert!(HomeGlob::check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_has_a_name_and_is_not_the_inbox() {
        for good in ["Archive", "Archive/2026", "Ablage für später"] {
            assert_eq!(FolderName::check(good), Ok(()), "{good}");
        }
        for wrong in [
            "", " ", "inbox", "/a", "a//b", "a/", "../a", "~root", "a\nb",
        ] {
            assert!(FolderName::check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_metrics_file_is_one_that_the_collector_takes() {
        for good in [
            "/var/lib/prometheus/node-exporter/spool.prom",
            "/srv/a+b@c,d_e/x.prom",
        ] {
            assert_eq!(MetricsFile::check(good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            "spool.prom",
            "/var/lib/../etc/spool.prom",
            "/var/lib/spool.txt",
            "/var/lib/.prom",
            "/var/lib/a b.prom",
            "/var/lib/$HOME.prom",
            "/var/lib/%i.prom",
            "/var/lib/'.prom",
            "/spool.prom/",
        ] {
            assert!(MetricsFile::check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn units_are_auto_or_names() {
        for good in [
            "auto",
            "postfix.service",
            "postfix@-.service dovecot.socket",
            "sendmail",
        ] {
            assert_eq!(UnitNames::check(good), Ok(()), "{good}");
        }
        for wrong in ["", "  ", "auto postfix", "-x", "a;b", "a/b"] {
            assert!(UnitNames::check(wrong).is_err(), "{wrong}");
        }
    }
}
