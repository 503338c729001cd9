//! Bytes from a host that need not be UTF-8: file names, GECOS fields, symlink targets.
//!
//! Old mail trees hold Latin-1 names, so a name is bytes. For people, JSON and YAML it is text with
//! escapes: `\xE9` for a byte that is not part of valid UTF-8, `\n`, `\t`, `\\`, and `\x1B` for the
//! other control characters, so that no name can forge a line of output or steer a terminal.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string that is shown and serialised losslessly as escaped text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Raw(Vec<u8>);

impl Raw {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, when it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes as a path or an argument.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Raw {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Raw {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Raw {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Raw {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes as text with escapes; see the module documentation.
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(bytes.len());
    let hex = |out: &mut String, byte: u8| {
        write!(out, "\\x{byte:02X}").expect("writing to a String cannot fail");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || is_bidi_control(c) => {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        hex(&mut out, byte);
                    }
                }
                c => out.push(c),
            }
        }
        for &byte in chunk.invalid() {
            hex(&mut out, byte);
        }
    }
    out
}

/// Direction overrides let a name show as another one.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// An escape that [`escape`] does not write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bad escape at byte {0}: expected \\\\, \\n, \\t or \\xHH")]
pub struct BadEscape(usize);

impl FromStr for Raw {
    type Err = BadEscape;

    /// The inverse of [`escape`].
    fn from_str(text: &str) -> Result<Self, BadEscape> {
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] != b'\\' {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
            let (byte, used) = match bytes.get(at + 1) {
                Some(b'\\') => (b'\\', 2),
                Some(b'n') => (b'\n', 2),
                Some(b't') => (b'\t', 2),
                Some(b'x') => {
                    let digits = text.get(at + 2..at + 4).ok_or(BadEscape(at))?;
                    (
                        u8::from_str_radix(digits, 16).map_err(|_| BadEscape(at))?,
                        4,
                    )
                }
                _ => return Err(BadEscape(at)),
            };
            out.push(byte);
            at += used;
        }
        Ok(Self(out))
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Raw {
    fn schema_name() -> Cow<'static, str> {
        "Raw".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Text; bytes that are not UTF-8 and control characters as \\xHH, \\n, \\t, \\\\."
        })
    }
}

/// An absolute path on a host, without `..`; bytes, because old trees hold names that are not UTF-8.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Debug, Default,
)]
#[serde(transparent)]
pub struct HostPath(Raw);

impl HostPath {
    /// The path as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The path as std knows it. It names a place on the host, not on this machine.
    pub fn as_path(&self) -> &Path {
        Path::new(self.0.as_os_str())
    }

    /// The path without its leading slashes, as it is given to `openat2` beneath a root; `.` for `/`.
    pub fn relative(&self) -> &Path {
        let bytes = self.as_bytes();
        let start = bytes.iter().position(|&b| b != b'/').unwrap_or(bytes.len());
        if start == bytes.len() {
            Path::new(".")
        } else {
            Path::new(OsStr::from_bytes(&bytes[start..]))
        }
    }

    /// This path with one more component or relative path.
    #[must_use]
    pub fn join(&self, name: impl AsRef<[u8]>) -> Self {
        let mut bytes = self.as_bytes().to_vec();
        if !bytes.ends_with(b"/") {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name.as_ref());
        Self(bytes.into())
    }

    /// The directory above; `/` for `/`.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parent = self.as_path().parent().unwrap_or(Path::new("/"));
        Self(parent.as_os_str().as_bytes().into())
    }

    /// The last component; empty for `/`.
    pub fn file_name(&self) -> &[u8] {
        self.as_path().file_name().map_or(b"", OsStrExt::as_bytes)
    }

    /// Whether this is the root directory, however it is spelt.
    pub fn is_root(&self) -> bool {
        self.as_path().parent().is_none()
    }
}

impl From<&str> for HostPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl From<&[u8]> for HostPath {
    fn from(path: &[u8]) -> Self {
        Self(path.into())
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_utf8_survive_as_text() {
        for (bytes, text) in [
            (&b"caf\xe9"[..], "caf\\xE9"),
            (b"a\nb\\c\t", "a\\nb\\\\c\\t"),
            (b"\x1b[2J", "\\x1B[2J"),
            ("grün".as_bytes(), "grün"),
            ("\u{202e}gpj".as_bytes(), "\\xE2\\x80\\xAEgpj"),
        ] {
            assert_eq!(escape(bytes), text);
            assert_eq!(text.parse::<Raw>().unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn bad_escapes_are_refused_at_their_place() {
        assert_eq!("ab\\q".parse::<Raw>(), Err(BadEscape(2)));
        assert_eq!("\\x4".parse::<Raw>(), Err(BadEscape(0)));
        assert_eq!("\\".parse::<Raw>(), Err(BadEscape(0)));
    }

    #[test]
    fn paths_are_taken_relative_to_a_root() {
        assert_eq!(
            HostPath::from("/etc/passwd").relative(),
            Path::new("etc/passwd")
        );
        assert_eq!(HostPath::from("//").relative(), Path::new("."));
        assert!(HostPath::from("//").is_root());
        assert_eq!(HostPath::from("/a/b").parent(), HostPath::from("/a"));
    }

    proptest::proptest! {
        #[test]
        fn escaping_round_trips(bytes: Vec<u8>) {
            let text = escape(&bytes);
            proptest::prop_assert!(!text.chars().any(char::is_control));
            let back: Raw = text.parse().unwrap();
            proptest::prop_assert_eq!(back.as_bytes(), &bytes[..]);
        }
    }
}
