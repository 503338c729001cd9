//! Where in the manifest the walk is, as messages name it.

use std::fmt;

use super::Place;
use crate::manifest::scalar::quote;

/// `users.include[0]`, and the place of the innermost key.
pub(super) struct Path {
    text: String,
    key: Option<Place>,
}

impl Path {
    pub(super) fn root() -> Self {
        Self {
            text: String::new(),
            key: None,
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// The place of the key that the value belongs to; none for the root and for items of lists.
    pub(super) fn key(&self) -> Option<Place> {
        self.key
    }

    pub(super) fn below(&self, key: &str, place: Place) -> Self {
        let key = quote(key).replace('`', "");
        Self {
            text: if self.is_root() {
                key
            } else {
                format!("{}.{key}", self.text)
            },
            key: Some(place),
        }
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            text: format!("{}[{index}]", self.text),
            key: None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str("the manifest")
        } else {
            write!(f, "`{}`", self.text)
        }
    }
}
