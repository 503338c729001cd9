//! Pieces of content on the wire: each an offset and bytes, which are copied whole. Serde by itself would
//! take them one at a time, as it does any sequence.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Piece = (u64, Vec<u8>);

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct Owned(Vec<u8>);

impl<'de> Deserialize<'de> for Owned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Copy)
    }
}

struct Copy;

impl Visitor<'_> for Copy {
    type Value = Owned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Owned, E> {
        Ok(Owned(bytes.to_vec()))
    }
}

pub(super) fn serialize<S: Serializer>(pieces: &[Piece], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(pieces.iter().map(|(offset, bytes)| (offset, Bytes(bytes))))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Piece>, D::Error> {
    let pieces = Vec::<(u64, Owned)>::deserialize(deserializer)?;
    Ok(pieces
        .into_iter()
        .map(|(offset, Owned(bytes))| (offset, bytes))
        .collect())
}
