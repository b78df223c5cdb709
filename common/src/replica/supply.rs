//! Gives content: pieces of a version that somebody asked for.
//!
//! Only the version that was asked for is given. The file must still have the stamp under which
//! that version was read, before and after the piece is taken; otherwise the answer is that it is
//! gone, and the asker will hear of the new version in its turn.

use std::io::BufReader;

use serde_bytes::ByteBuf;

use crate::delta::recipe::chunks_of;
use crate::limits::PIECE_BYTES_MAX;
use crate::replica::disk::Handle;
use crate::replica::known::{Known, Row};
use crate::replica::root::Root;
use crate::wire::message::{Ask, Given, Want};

/// Chunks in one part of a recipe.
const CHUNKS_PER_PART: usize = 10_000;

/// Answers a question for content. A recipe may have several parts; a piece has one.
#[must_use]
pub fn supply(root: &Root, known: &Known, ask: &Ask) -> Vec<Given> {
    let Some(version) = Version::open(root, known, ask) else { return vec![Given::Gone] };
    match ask.want {
        Want::Piece { offset, length } => vec![version.piece(offset, length)],
        Want::Recipe => version.recipe(),
    }
}

/// An open file that holds the version that was asked for.
struct Version {
    file: Handle,
    row: Row,
}

impl Version {
    fn open(root: &Root, known: &Known, ask: &Ask) -> Option<Version> {
        let row = known.row(&ask.path)?;
        if row.entry.as_file()?.digest != ask.digest {
            return None;
        }
        let version = Version { file: root.open_file(&ask.path).ok()?, row };
        version.holds().then_some(version)
    }

    fn holds(&self) -> bool {
        self.file.stat().is_ok_and(|stamp| stamp.same_version(&self.row.stamp))
    }

    fn piece(&self, offset: u64, length: u32) -> Given {
        let left = self.row.stamp.size.saturating_sub(offset);
        let length = u64::from(length).min(left).min(PIECE_BYTES_MAX as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) if self.holds() => Given::Piece(ByteBuf::from(bytes)),
            _ => Given::Gone,
        }
    }

    /// The chunks of the whole file, in parts that a message can carry.
    fn recipe(&self) -> Vec<Given> {
        let reader = BufReader::with_capacity(PIECE_BYTES_MAX, self.file.reader());
        let chunks = match chunks_of(reader) {
            Ok(recipe) if self.holds() => recipe.0,
            _ => return vec![Given::Gone],
        };
        let mut parts: Vec<Given> = chunks
            .chunks(CHUNKS_PER_PART)
            .map(|part| Given::Recipe { chunks: part.to_vec(), last: false })
            .collect();
        match parts.last_mut() {
            Some(Given::Recipe { last, .. }) => *last = true,
            _ => parts.push(Given::Recipe { chunks: Vec::new(), last: true }),
        }
        parts
    }
}
