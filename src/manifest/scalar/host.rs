//! Where a host is, and how it proves that it is the one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadScalar, bad, quote, text_input, text_scalar, text_schema};
use crate::raw::{HostPath, Raw};

/// Where a host is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostAddress {
    /// An offline root on this machine: a mounted disk, a restored backup, a test tree. A relative
    /// path counts from the manifest's directory; the command line makes it absolute.
    Dir(HostPath),
    /// A live host over SSH.
    Ssh {
        /// Login name; the operator's ssh configuration decides if absent.
        user: Option<String>,
        /// Host name, address or alias of the operator's ssh configuration.
        host: String,
        /// TCP port; the operator's ssh configuration decides if absent.
        port: Option<u16>,
    },
}

impl HostAddress {
    /// Whether it is a running system.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Ssh { .. })
    }
}

const FORMS: &str = "write ssh://[USER@]HOST[:PORT] for a live host, dir:PATH for a mounted disk or a restored backup";

impl FromStr for HostAddress {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        if let Some(path) = text.strip_prefix("dir:") {
            directory(path)
        } else if let Some(rest) = text.strip_prefix("ssh://") {
            ssh(text, rest)
        } else if text.starts_with(['/', '.']) {
            bad(
                format!("{} does not say what kind of host it is", quote(text)),
                format!("write dir:{text} if it is a mounted disk or a restored backup"),
            )
        } else if !text.contains(':') && text.contains(['.', '@']) {
            bad(
                format!("{} does not say how to reach the host", quote(text)),
                format!("write ssh://{text}"),
            )
        } else {
            bad(format!("{} is no host", quote(text)), FORMS)
        }
    }
}

fn directory(path: &str) -> Result<HostAddress, BadScalar> {
    if path.is_empty() {
        return bad(
            "`dir:` without a directory",
            "write the directory that holds the host's root, as in dir:/mnt/old-disk",
        );
    }
    if path.starts_with('~') {
        return bad(
            format!(
                "{} begins with `~`, which no shell will expand",
                quote(path)
            ),
            "write the whole path; a directory of this name is dir:./~",
        );
    }
    match path.parse::<Raw>() {
        Ok(path) if path.as_bytes().contains(&0) => bad("a NUL byte in a path", "leave it out"),
        Ok(path) => Ok(HostAddress::Dir(HostPath::from(path.as_bytes()))),
        Err(error) => bad(format!("{}: {error}", quote(path)), BACKSLASH),
    }
}

/// Remedy for a path with a stray backslash.
pub(super) const BACKSLASH: &str =
    "write a backslash twice; \\xHH stands for a byte that is not UTF-8";

fn ssh(text: &str, rest: &str) -> Result<HostAddress, BadScalar> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return bad(
            "a password in the address of a host",
            "leave it out: logins are by key, as the operator's ssh configuration says",
        );
    }
    let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return bad(format!("{} is no host", quote(text)), FORMS),
        },
        None if place.matches(':').count() > 1 => {
            return bad(
                format!("{} holds a bare IPv6 address", quote(text)),
                "put it in brackets: ssh://root@[2001:db8::20]:22",
            );
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port.map(u16::from_str) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => {
            return bad(
                format!("{} has a bad port", quote(text)),
                "the port is a number from 1 to 65535; a path does not belong here",
            );
        }
    };
    if !is_word(host) || user.is_some_and(|user| !is_word(user)) {
        return bad(format!("{} is no host", quote(text)), FORMS);
    }
    Ok(HostAddress::Ssh {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
    })
}

/// Whether ssh takes it as a name. A leading '-' would be read as an option.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-:%".contains(c))
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{path}"),
            Self::Ssh { user, host, port } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                if host.contains(':') {
                    write!(f, "[{host}]")
                } else {
                    f.write_str(host)
                }?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

text_scalar!(
    HostAddress,
    "^(dir:.+|ssh://([A-Za-z0-9._%-]+@)?([A-Za-z0-9._%-]+|\\[[A-Za-z0-9._:%-]+\\])(:[0-9]{1,5})?/?)$",
    "ssh://[USER@]HOST[:PORT], or dir:PATH for an offline root (mounted disk, backup, test tree)."
);

/// Grammar of an SSH host key's fingerprint as ssh-keygen -l prints it.
pub(crate) enum HostKeyPin {}

/// Length of a SHA-256 digest in base64 without padding.
const DIGEST: usize = 43;

impl HostKeyPin {
    pub(super) fn check(text: &str) -> Result<(), BadScalar> {
        let base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        let problem = match text.strip_prefix("SHA256:") {
            Some(digest) if digest.len() == DIGEST && digest.chars().all(base64) => return Ok(()),
            Some(digest) if digest.chars().all(base64) => format!(
                "the digest has {} characters instead of {DIGEST}",
                digest.len()
            ),
            Some(_) => "the digest is not in base64".to_owned(),
            None => "does not begin with `SHA256:`".to_owned(),
        };
        bad(
            problem,
            "copy what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host",
        )
    }
}

text_schema!(
    HostKeyPin,
    "^SHA256:[A-Za-z0-9+/]{43}$",
    "Fingerprint of an SSH host key, as printed by ssh-keygen -l."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        for text in [
            "ssh://root@old.example.org",
            "ssh://old",
            "ssh://root@192.0.2.20:2222",
            "ssh://[2001:db8::20]:22",
            "ssh://admin@[fe80::1%eth0]",
            "dir:/mnt/old-disk",
            "dir:../old",
            "dir:/mnt/a\\\\b\\xE9",
        ] {
            assert_eq!(text.parse::<HostAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_ssh_would_misread_is_refused() {
        for text in [
            "",
            "old.example.org",
            "/mnt/old",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://root@-x",
            "ssh://root:secret@old",
            "ssh://old:0",
            "ssh://old:65536",
            "ssh://old:/srv",
            "ssh://2001:db8::20",
            "ssh://[2001:db8::20]22",
            "ssh://a b",
            "dir:",
            "dir:/a\\b",
            "dir:/a\\x00",
            "dir:~/old",
            "http://old",
        ] {
            assert!(text.parse::<HostAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = "ssh://root:hunter2@old".parse::<HostAddress>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_pin_is_what_ssh_keygen_prints() {
        // ssh-keygen -l of an ed25519 key; then the same in the old MD5 form.
        let good = "SHA256:uNiVztksCsDhcc0u9e8BrfJXmEPc6FO3kM7Jxu6BKDk";
        assert_eq!(HostKeyPin::check(good), Ok(()));
        for wrong in [
            "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
            "SHA256:uNiVztksCsDhcc0u9e8BrfJXmEPc6FO3kM7Jxu6BKDk=",
            "SHA256:short",
            "",
        ] {
            assert!(HostKeyPin::check(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_or_round_trips(text: String) {
            if let Ok(address) = text.parse::<HostAddress>() {
                proptest::prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn what_looks_like_an_address_is_refused_or_round_trips(
            text in "(ssh://|dir:)[a-z@:/\\[\\]0-9.\\\\-]{0,20}"
        ) {
            if let Ok(address) = text.parse::<HostAddress>() {
                proptest::prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
