//! What keeps one path from being synchronized. A problem never stops the rest of the tree.

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::DETAIL_BYTES_MAX;

/// A problem of one path at one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which sort of problem.
    pub kind: ProblemKind,
    /// The step that failed and its cause, for people.
    #[serde(deserialize_with = "clipped")]
    pub detail: String,
}

/// Words that somebody told, no more of them than anybody reads: a side may have very many
/// problems.
fn clipped<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    let mut words = String::deserialize(de)?;
    if words.len() > DETAIL_BYTES_MAX {
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|&at| words.is_char_boundary(at));
        words.truncate(end.unwrap_or(0));
        words.push('…');
        words.shrink_to_fit();
    }
    Ok(words)
}

/// The sorts of problems. For each, the path's state is unknown: neither it nor a parent of it may
/// be deleted or replaced on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// It cannot be read: no permission, an I/O error, no descriptors left.
    Unreadable,
    /// A fifo, socket or device: never synchronized.
    Special,
    /// Another file system is mounted there: never crossed.
    Mount,
    /// An ignore pattern covers it, though it was synchronized before.
    Ignored,
    /// A change could not be carried out there.
    Refused,
}

impl ProblemKind {
    /// Whether it is something that a person should look at; ignoring is what somebody asked for.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        self != ProblemKind::Ignored
    }
}
