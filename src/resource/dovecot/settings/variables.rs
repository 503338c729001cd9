//! Variables in values, apart from the version that they are written for.
//!
//! The canonical form is that of 2.4. People have system accounts here, whose names hold no `@`, so
//! that `%n` is `%u`.

use super::Version;

/// Stands for the directory of the spool files, wherever a host has it.
pub const SPOOL: &str = "%{spool}";

/// A value in canonical form. What is not known stays as it is, and so differs from everything else.
pub fn canonical(text: &str, version: Version) -> String {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("%{{home}}{rest}"),
        _ => text.to_owned(),
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (variable, after) = variable(&rest[at..], version);
        out.push_str(&variable);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The canonical form of a path: without a slash at its end.
pub fn path(text: &str, version: Version) -> String {
    let canonical = canonical(text, version);
    match canonical.trim_end_matches('/') {
        "" => canonical,
        trimmed => trimmed.to_owned(),
    }
}

/// A canonical value as `version` writes it.
pub fn write(canonical: &str, version: Version) -> String {
    if version == Version::V2_4 {
        return canonical.to_owned();
    }
    let home = match canonical.strip_prefix("%{home}") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => canonical.to_owned(),
    };
    home.replace("%{home}", "%h")
        .replace("%{user | lower}", "%Lu")
        .replace("%{user | upper}", "%Uu")
        .replace("%{user | domain}", "%d")
        .replace("%{user}", "%u")
}

/// The variable that `text` begins with, in canonical form, and what follows it.
fn variable(text: &str, version: Version) -> (String, &str) {
    let inner = text
        .strip_prefix("%{")
        .and_then(|rest| rest.split_once('}'));
    if let Some((inner, after)) = inner {
        let parts: Vec<&str> = inner.split('|').map(str::trim).collect();
        let parts = match (&parts[..], version) {
            (["domain", rest @ ..], Version::V2_3) => [&["user", "domain"], rest].concat(),
            (["username", rest @ ..], Version::V2_3) | (["user", "username", rest @ ..], _) => {
                [&["user"], rest].concat()
            }
            (parts, _) => parts.to_vec(),
        };
        return (format!("%{{{}}}", parts.join(" | ")), after);
    }
    let known = [
        ("%Lu", "%{user | lower}"),
        ("%Ln", "%{user | lower}"),
        ("%Uu", "%{user | upper}"),
        ("%u", "%{user}"),
        ("%n", "%{user}"),
        ("%d", "%{user | domain}"),
        ("%h", "%{home}"),
    ];
    let known = known
        .iter()
        .filter(|_| version != Version::V2_4)
        .find_map(|(short, long)| Some((*long, text.strip_prefix(short)?)));
    match known {
        Some((long, after)) => (long.to_owned(), after),
        None => ("%".to_owned(), &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_write_the_same_thing() {
        for (old, new) in [
            ("~/mail", "%{home}/mail"),
            ("~/mail/", "~/mail"),
            ("%h/Maildir", "%{home}/Maildir"),
            ("/var/mail/%u", "/var/mail/%{user}"),
            ("/var/mail/%n", "/var/mail/%{user | username}"),
            ("%{home}/%{domain}", "%{home}/%{user|domain}"),
            ("%Lu", "%{user | lower}"),
            ("~other/mail", "~other/mail"),
        ] {
            let canonical = path(old, Version::V2_3);
            assert_eq!(canonical, path(new, Version::V2_4), "{old}");
            let again = path(&write(&canonical, Version::V2_3), Version::V2_3);
            assert_eq!(again, canonical, "{old}");
        }
        assert_ne!(path("%i", Version::V2_3), path("%{uid}", Version::V2_4));
    }
}
