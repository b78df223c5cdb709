//! Versions in trash, as servers and clients speak of them.
//!
//! A version is named by its side and by the name that it has in that side's `trash/`. That name is
//! a type that cannot lead anywhere else.

use serde::{Deserialize, Deserializer, Serialize};

use crate::entry::Entry;
use crate::path::RelPath;
use crate::side::Side;
use crate::time::Timestamp;

/// Longest name of a version in trash, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of a version in the trash of one side: digits, small letters and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TrashName(String);

impl TrashName {
    /// A name, when it can be one.
    #[must_use]
    pub fn new(text: &str) -> Option<TrashName> {
        let fits = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-';
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits);
        fits.then(|| TrashName(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TrashName {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<TrashName, D::Error> {
        let text = String::deserialize(de)?;
        TrashName::new(&text).ok_or_else(|| serde::de::Error::custom("not a name in trash"))
    }
}

/// Names a version in trash: `B-01795255800-0123456789abcdef-7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrashId {
    /// In whose trash.
    pub side: Side,
    /// Its name there.
    pub name: TrashName,
}

impl TrashId {
    /// Reads what [`std::fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<TrashId> {
        let (side, name) = text.split_once('-')?;
        let side = match side {
            "A" | "a" => Side::A,
            "B" | "b" => Side::B,
            _ => return None,
        };
        Some(TrashId { side, name: TrashName::new(name)? })
    }
}

impl std::fmt::Display for TrashId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.side, self.name.0)
    }
}

/// Why a version is in trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrashReason {
    /// Another version took its name.
    Replaced,
    /// It was deleted.
    Deleted,
    /// It was found after a crash.
    Recovered,
    /// It was held under a lock and let go.
    Discarded,
}

/// A version in the trash of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashRow {
    /// Its name.
    pub name: TrashName,
    /// Where it was.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was put there.
    pub time: Timestamp,
    /// Why.
    pub reason: TrashReason,
}

/// A version that was looked at to be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashFound {
    /// Where it was.
    pub path: RelPath,
    /// What it is now: a late writer may have changed it since it came to trash.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_trash_leads_nowhere_else() {
        for bad in ["", "..", "a/b", "x.about", "A", "\u{fc}", &"1".repeat(65)] {
            assert_eq!(TrashName::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let text = "B-01795255800-0123456789abcdef-7";
        let id = TrashId::parse(text).expect("an id");
        assert_eq!((id.side, id.to_string().as_str()), (Side::B, text));
        for bad in ["", "B", "B-", "C-1", "01795255800-0123456789abcdef-7", "A-../id"] {
            assert_eq!(TrashId::parse(bad), None, "{bad}");
        }
    }
}
