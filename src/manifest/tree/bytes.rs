//! Where a character is, in bytes: the parser counts characters.

/// From the parser's places, in characters, to bytes.
pub(super) enum Bytes {
    /// They are the same.
    Ascii(usize),
    /// The offset of each character, and of the end.
    Table(Vec<usize>),
}

impl Bytes {
    pub(super) fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.len());
        }
        let starts = text.char_indices().map(|(at, _)| at);
        Self::Table(starts.chain([text.len()]).collect())
    }

    /// The byte at which a character begins.
    pub(super) fn at(&self, characters: usize) -> usize {
        match self {
            Self::Ascii(len) => characters.min(*len),
            Self::Table(starts) => starts[characters.min(starts.len() - 1)],
        }
    }
}
