//! Content identity: BLAKE3 over the bytes. Equal files are files with equal digests, never files
//! with equal times.

use std::fmt;

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The BLAKE3 digest of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of bytes that are at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Reads a digest that was written in hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Digest> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Digest(bytes))
    }

    /// The first eight hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)?;
        Ok(Digest(bytes.into_array()))
    }
}

/// The first bytes of a digest: enough to find a chunk by, and half as long on the wire. What is
/// made of such chunks is verified by the digest of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub [u8; 16]);

impl Mark {
    /// The mark of bytes that are at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Mark {
        let mut mark = [0; 16];
        mark.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Mark(mark)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Mark(serde_bytes::ByteArray::<16>::deserialize(deserializer)?.into_array()))
    }
}

/// A part of a content, digested by itself: side by side with the others, on any thread. All parts
/// but the last are [`Part::BYTES`] long.
#[derive(Clone, Copy, Debug)]
pub struct Part(ChainingValue);

impl Part {
    /// The length of all parts but the last: one that the digest's own tree is made of.
    pub const BYTES: usize = 256 * 1024;

    /// The part with this number, counted from zero; not empty.
    #[must_use]
    pub fn of(number: u64, bytes: &[u8]) -> Part {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(number * Part::BYTES as u64).update(bytes);
        Part(hasher.finalize_non_root())
    }

    /// The digest of the whole, of which these are all parts, in their order: two at least.
    #[must_use]
    pub fn whole(parts: &[Part]) -> Digest {
        let (left, right) = Part::halves(parts);
        let whole = merge_subtrees_root(&Part::joined(left), &Part::joined(right), Mode::Hash);
        Digest(*whole.as_bytes())
    }

    fn joined(parts: &[Part]) -> ChainingValue {
        if let [part] = parts {
            return part.0;
        }
        let (left, right) = Part::halves(parts);
        merge_subtrees_non_root(&Part::joined(left), &Part::joined(right), Mode::Hash)
    }

    /// The left half is whole: as many parts as a power of two, and more than the right half has.
    fn halves(parts: &[Part]) -> (&[Part], &[Part]) {
        parts.split_at(parts.len().next_power_of_two() / 2)
    }
}

/// Digests content that arrives in pieces.
#[derive(Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces so far.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_side_by_side_have_the_digest_of_the_whole() {
        let content: Vec<u8> = (0..9 * Part::BYTES).map(|at| (at / 3 % 251) as u8).collect();
        for count in 2..=9 {
            for length in [1, 1023, 1024, 1025, Part::BYTES - 1, Part::BYTES] {
                let content = &content[..(count - 1) * Part::BYTES + length];
                let parts = content.chunks(Part::BYTES).enumerate();
                let parts: Vec<Part> =
                    parts.map(|(number, bytes)| Part::of(number as u64, bytes)).collect();
                assert_eq!(Part::whole(&parts), Digest::of(content), "{count} and {length}");
            }
        }
    }
}
