//! Which algorithm a password field was hashed with, crypt(5), and what a libcrypt can check.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::change::Password;
use crate::secret::{DigestKey, Secret};

/// How a password field without its locks reads. The names are those of crypt(5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    /// Nothing: everybody may enter.
    Empty,
    /// No hash of any kind (`*`, `!`, `!!`, `x`): no password fits, on any system.
    None,
    /// A hash, by the name of its scheme.
    Hash(&'static str),
}

/// Prefixes of hashes. `$8$` is not crypt(3)'s: no libcrypt takes it (FACTS 5).
const PREFIXES: [(&[u8], &str); 16] = [
    (b"$1$", "md5crypt"),
    (b"$2a$", "bcrypt"),
    (b"$2b$", "bcrypt"),
    (b"$2x$", "bcrypt"),
    (b"$2y$", "bcrypt"),
    (b"$3$", "nt"),
    (b"$5$", "sha256crypt"),
    (b"$6$", "sha512crypt"),
    (b"$7$", "scrypt"),
    (b"$y$", "yescrypt"),
    (b"$gy$", "gost-yescrypt"),
    (b"$md5$", "sunmd5"),
    (b"$md5,", "sunmd5"),
    (b"$sha1$", "sha1crypt"),
    (b"$8$", UNKNOWN),
    (b"$", UNKNOWN),
];

const UNKNOWN: &str = "unknown";
const DES: &str = "descrypt";
const BSDI: &str = "bsdicrypt";

impl Scheme {
    /// Recognises a field that has no lock in front.
    fn of(field: &[u8]) -> Self {
        let in_alphabet = |text: &[u8]| {
            text.iter()
                .all(|&b| b.is_ascii_alphanumeric() || b"./".contains(&b))
        };
        if field.is_empty() {
            Self::Empty
        } else if let Some((_, name)) = PREFIXES.iter().find(|(p, _)| field.starts_with(p)) {
            Self::Hash(name)
        } else if field.len() == 20 && field[0] == b'_' && in_alphabet(&field[1..]) {
            Self::Hash(BSDI)
        } else if field.len() == 13 && in_alphabet(field) {
            Self::Hash(DES)
        } else {
            Self::None
        }
    }

    pub(super) const EMPTY: &'static str = "empty";
    pub(super) const NONE: &'static str = "none";

    fn name(self) -> &'static str {
        match self {
            Self::Empty => Self::EMPTY,
            Self::None => Self::NONE,
            Self::Hash(name) => name,
        }
    }
}

/// What may be shown of a password field.
pub(super) fn describe(key: &DigestKey, field: &Secret) -> Password {
    let bytes = field.expose();
    let unlocked = bytes.trim_ascii_start();
    let hash = &unlocked[unlocked.iter().take_while(|&&b| b == b'!').count()..];
    let locked = hash.len() < unlocked.len();
    // `!` in front of nothing is a lock, not an empty password.
    let scheme = if locked && hash.is_empty() {
        Scheme::None
    } else {
        Scheme::of(hash)
    };
    Password {
        scheme: scheme.name().to_owned(),
        locked,
        digest: key.digest(field),
    }
}

/// Whether some password can fit the field.
pub(super) fn holds_hash(field: &Secret) -> bool {
    matches!(Scheme::of(field.expose()), Scheme::Hash(_))
}

/// The crypt(3) library of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Crypt {
    /// libxcrypt: everything that crypt(5) names.
    #[default]
    Libxcrypt,
    /// The old one of glibc (Debian up to 10, RHEL up to 7): DES, MD5, SHA-2.
    Glibc,
    /// None was found.
    Unknown,
}

impl Crypt {
    /// How a person knows it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Libxcrypt => "libxcrypt",
            Self::Glibc => "glibc's libcrypt",
            Self::Unknown => "an unknown libcrypt",
        }
    }

    /// Whether a login with such a password can succeed, or never could on any system. A library
    /// that was not found gets the benefit of the doubt.
    pub(super) fn accepts(self, scheme: &str) -> bool {
        match (self, scheme) {
            (Self::Unknown, _) | (_, Scheme::EMPTY | Scheme::NONE) => true,
            (_, UNKNOWN) => false,
            (Self::Libxcrypt, _) => true,
            (Self::Glibc, scheme) => {
                [DES, "md5crypt", "sha256crypt", "sha512crypt"].contains(&scheme)
            }
        }
    }

    /// Recognises the library by the name of its file.
    pub(super) fn of_file(name: &[u8]) -> Option<Self> {
        if name.starts_with(b"libcrypt.so.1.1") || name.starts_with(b"libcrypt.so.2") {
            Some(Self::Libxcrypt)
        } else if name.starts_with(b"libcrypt-2.") && name.ends_with(b".so") {
            Some(Self::Glibc)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(field: &str) -> (String, bool) {
        let password = describe(&DigestKey::derive(b"k"), &Secret::new(field.into()));
        (password.scheme, password.locked)
    }

    #[test]
    fn schemes_are_known_by_their_prefix() {
        for (field, scheme, locked) in [
            ("", "empty", false),
            ("*", "none", false),
            ("!", "none", true),
            ("!!", "none", true),
            ("!*", "none", true),
            ("*LK*", "none", false),
            ("x", "none", false),
            ("$1$abcdefgh$1234567890123456789012", "md5crypt", false),
            ("$2b$12$abcdefghijklmnopqrstuv", "bcrypt", false),
            ("$5$salt$hash", "sha256crypt", false),
            ("$6$rounds=5000$salt$hash", "sha512crypt", false),
            ("!$6$salt$hash", "sha512crypt", true),
            ("$y$j9T$salt$hash", "yescrypt", false),
            ("$gy$j9T$salt$hash", "gost-yescrypt", false),
            ("$7$CU..../....salt$hash", "scrypt", false),
            ("$3$$8846f7eaee8fb117ad06bdd830b7586c", "nt", false),
            ("$md5,rounds=904$salt$$hash", "sunmd5", false),
            ("$sha1$40000$salt$hash", "sha1crypt", false),
            ("$8$salt$hash", "unknown", false),
            ("abJnggxhB/yWI", "descrypt", false),
            ("_J9..CCCCXBrJUJV154M", "bsdicrypt", false),
        ] {
            assert_eq!(seen(field), (scheme.to_owned(), locked), "{field}");
        }
    }

    #[test]
    fn an_old_libcrypt_checks_only_what_glibc_had() {
        for scheme in [
            "descrypt",
            "md5crypt",
            "sha256crypt",
            "sha512crypt",
            "none",
            "empty",
        ] {
            assert!(Crypt::Glibc.accepts(scheme), "{scheme}");
        }
        for scheme in [
            "yescrypt",
            "gost-yescrypt",
            "bcrypt",
            "bsdicrypt",
            "unknown",
        ] {
            assert!(!Crypt::Glibc.accepts(scheme), "{scheme}");
        }
        assert!(Crypt::Libxcrypt.accepts("yescrypt"));
        assert!(!Crypt::Libxcrypt.accepts("unknown"));
        assert!(Crypt::Unknown.accepts("yescrypt"));
    }

    #[test]
    fn libraries_are_known_by_their_file() {
        assert_eq!(Crypt::of_file(b"libcrypt.so.1.1.0"), Some(Crypt::Libxcrypt));
        assert_eq!(Crypt::of_file(b"libcrypt.so.2"), Some(Crypt::Libxcrypt));
        assert_eq!(Crypt::of_file(b"libcrypt-2.28.so"), Some(Crypt::Glibc));
        assert_eq!(Crypt::of_file(b"libcrypto.so.3"), None);
    }
}
