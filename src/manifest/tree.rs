//! The text as a tree of nodes that know their places: what YAML says, before anything is made of it.
//!
//! The tree is bounded in depth and size before it is built, so that no file can exhaust the
//! machine. YAML that a manifest has no use for (tags, merge keys, several documents, keys that are
//! not text) is a problem here.

mod build;
mod bytes;
mod syntax;

pub(super) use build::build;

use super::problem::Place;

/// Deepest nesting; a manifest needs five levels.
pub(super) const MAX_DEPTH: usize = 32;
/// Most values, after aliases are replaced.
pub(super) const MAX_NODES: usize = 50_000;
/// Most text in all values, after aliases are replaced, in bytes.
pub(super) const MAX_TEXT: usize = 4 << 20;

/// A value and where it is.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Without anchor.
    pub(super) place: Place,
    /// The alias through which the value came here, if it stands elsewhere.
    pub(super) alias: Option<Place>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Node,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) scalar: Scalar,
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
}

/// Whether a scalar can only be text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// Without quotes: the text decides what it is.
    Plain,
    /// In quotes, or a block: always text.
    Text,
}

/// What YAML 1.2 takes a scalar for (core schema). `no`, `off`, `y` are text here, not booleans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
}

impl Scalar {
    pub(super) fn kind(&self) -> Kind {
        if self.style == Style::Text {
            return Kind::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Boolean,
            text if is_number(text) => Kind::Number,
            _ => Kind::Text,
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let based = |prefix: &str, radix: u32| {
        unsigned
            .strip_prefix(prefix)
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    if based("0x", 16) || based("0o", 8) || based("0b", 2) {
        return true;
    }
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return true;
    }
    // std also takes the words inf, infinity and nan, which YAML does not.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.parse::<f64>().is_ok()
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Body::Mapping(entries) = &self.body else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.key.scalar.text == key)?;
        Some(&entry.value)
    }

    /// The value without quotes that stands for nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.body, Body::Scalar(scalar) if scalar.kind() == Kind::Null)
    }

    /// What this is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.body {
            Body::List(_) => "a list",
            Body::Mapping(_) => "a mapping",
            Body::Scalar(scalar) => match scalar.kind() {
                Kind::Null => "nothing",
                Kind::Boolean => "a boolean",
                Kind::Number => "a number",
                Kind::Text => "text",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        let kind = |text: &str| {
            let text = text.to_owned();
            Scalar {
                text,
                style: Style::Plain,
            }
            .kind()
        };
        for text in [
            "1", "012", "-3", "+4", "1.5", ".5", "1e3", "0x1F", "0o17", ".inf", "-.INF",
        ] {
            assert_eq!(kind(text), Kind::Number, "{text}");
        }
        for text in [
            "no", "off", "y", "1_000", "500..599", "60s", "inf", "nan", "0x", "a", "-", "1.2.3",
        ] {
            assert_eq!(kind(text), Kind::Text, "{text}");
        }
        assert_eq!(kind("True"), Kind::Boolean);
        assert_eq!(kind("~"), Kind::Null);
    }
}
