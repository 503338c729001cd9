//! The scalars of a manifest: strings that mean something, each with its grammar and schema.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::raw::HostPath;

/// Implements serde and schemars for a type that is a string with `FromStr` and `Display`.
macro_rules! text_scalar {
    ($type:ident, $pattern:expr, $doc:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $doc })
            }
        }
    };
}

/// A scalar that does not follow its grammar; the text says what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadScalar(pub String);

fn bad<T>(text: impl Into<String>) -> Result<T, BadScalar> {
    Err(BadScalar(text.into()))
}

/// The name of a migration; names its directory under `/var/lib/reconcile` on the hosts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MigrationName(String);

impl MigrationName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MigrationName {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = text.len() <= 40
            && text.starts_with(first)
            && text.chars().all(|c| first(c) || c == '-');
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            bad(format!(
                "`{text}` is no name: use 1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit"
            ))
        }
    }
}

impl fmt::Display for MigrationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_scalar!(
    MigrationName,
    "^[a-z0-9][a-z0-9-]{0,39}$",
    "Name of this migration: 1 to 40 of a-z, 0-9 and '-'."
);

/// Where a host is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostAddress {
    /// An offline root on this machine: a mounted disk, a restored backup, a test tree.
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

impl FromStr for HostAddress {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.is_empty() {
                bad("`dir:` needs a directory: dir:/mnt/old-disk")
            } else {
                Ok(Self::Dir(HostPath::from(path)))
            };
        }
        let Some(rest) = text.strip_prefix("ssh://") else {
            return bad(format!(
                "`{text}` is no host: use ssh://[USER@]HOST[:PORT] or dir:PATH"
            ));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
            Some((v6, "")) => (v6, None),
            Some((v6, port)) => (v6, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port.map(u16::from_str) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return bad(format!("`{text}`: the port is a number from 1 to 65535")),
        };
        // A leading '-' would be read as an option by ssh.
        let word = |w: &str| {
            !w.is_empty()
                && !w.starts_with('-')
                && w.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-:%".contains(c))
        };
        if !word(host) || user.is_some_and(|u| !word(u)) {
            return bad(format!(
                "`{text}` is no host: use ssh://[USER@]HOST[:PORT] or dir:PATH"
            ));
        }
        Ok(Self::Ssh {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }
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
    "^(ssh://.+|dir:.+)$",
    "ssh://[USER@]HOST[:PORT], or dir:PATH for an offline root (mounted disk, backup, test tree)."
);

/// An inclusive range of uids, written `500..59999`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UidRange {
    /// The lowest uid.
    pub first: u32,
    /// The highest uid.
    pub last: u32,
}

impl FromStr for UidRange {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let parse = |n: &str| n.trim().parse::<u32>().ok();
        match text.split_once("..").map(|(a, b)| (parse(a), parse(b))) {
            Some((Some(first), Some(last))) if first <= last => Ok(Self { first, last }),
            Some((Some(_), Some(_))) => {
                bad(format!("`{text}` is empty: write the lower uid first"))
            }
            _ => bad(format!(
                "`{text}` is no uid range: write LOWEST..HIGHEST, as in 500..59999"
            )),
        }
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

text_scalar!(
    UidRange,
    "^[0-9]+\\.\\.[0-9]+$",
    "Inclusive range of uids: LOWEST..HIGHEST."
);

/// An address with the prefix of its subnet: `192.0.2.25/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        match text.parse::<IpNet>() {
            Ok(net) => Ok(Self(net)),
            Err(_) if text.contains('/') => bad(format!(
                "`{text}` is no address with a prefix, as in 192.0.2.25/24"
            )),
            Err(_) => bad(format!(
                "`{text}` needs the prefix of its subnet, as in 192.0.2.25/24 or 2001:db8::25/64"
            )),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_scalar!(
    Cidr,
    "^[0-9A-Fa-f.:]+/[0-9]{1,3}$",
    "Address with the prefix of its subnet."
);

/// A length of time, written `60s`, `5m`, `2h`, `365d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    /// Whole seconds.
    pub seconds: u64,
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl FromStr for Span {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        let parsed = UNITS.iter().find_map(|(unit, seconds)| {
            text.strip_suffix(unit)?
                .parse::<u64>()
                .ok()?
                .checked_mul(*seconds)
        });
        match parsed {
            Some(seconds) if seconds > 0 => Ok(Self { seconds }),
            _ => bad(format!(
                "`{text}` is no length of time: write 60s, 5m, 2h or 365d"
            )),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .iter()
            .find(|(_, size)| self.seconds.is_multiple_of(*size))
            .expect("every number of seconds is a multiple of one");
        write!(f, "{}{unit}", self.seconds / size)
    }
}

text_scalar!(Span, "^[0-9]+[smhd]$", "Length of time: 60s, 5m, 2h, 365d.");

/// A number of bytes, written `500MB` (decimal) or `500MiB` (binary).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
}

impl FromStr for Size {
    type Err = BadScalar;

    fn from_str(text: &str) -> Result<Self, BadScalar> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) => Ok(Self {
                bytes: size.as_u64(),
            }),
            Err(_) => bad(format!("`{text}` is no size: write 500MB, 2GB or 512MiB")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize::b(self.bytes).display().si().fmt(f)
    }
}

impl Serialize for Size {
    /// Exact, in bytes: the form for people is rounded.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}B", self.bytes))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)? ?([kKMGT]i?)?B?$",
            "description": "Number of bytes: 500MB, 2GB, 512MiB."
        })
    }
}
