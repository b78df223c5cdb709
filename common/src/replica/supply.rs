//! Gives content: pieces of a version that somebody asked for.
//!
//! Only the version that was asked for is given. The file must still have the stamp under which
//! that version was read, before and after the piece is taken; otherwise the answer is that it is
//! gone, and the asker will hear of the new version in its turn.

use rustix::io::Errno;
use serde_bytes::ByteBuf;

use crate::delta::recipe::Cutter;
use crate::exchange::giver::Tell;
use crate::limits::PIECE_BYTES_MAX;
use crate::replica::disk::Handle;
use crate::replica::known::{Known, Row};
use crate::replica::root::Root;
use crate::wire::message::{Ask, Given, Want};

/// Chunks in one part of a recipe: enough that its message does not matter, and so few that whoever
/// asks has work while the rest is cut.
const CHUNKS_PER_PART: usize = 128;

/// Answers a question for content. A recipe may have several parts; a piece has one.
pub fn supply(root: &Root, known: &Known, ask: &Ask, tell: Tell<'_>) {
    let Some(version) = Version::open(root, known, ask) else {
        tell(Given::Gone);
        return;
    };
    match ask.want {
        Want::Piece { offset, length } => {
            tell(version.piece(offset, length));
        }
        Want::Recipe => version.recipe(tell),
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

    /// The chunks of the whole file, part by part, as it is read.
    fn recipe(&self, tell: Tell<'_>) {
        let mut cutter = Cutter::default();
        let (mut offset, mut piece) = (0, vec![0; PIECE_BYTES_MAX]);
        loop {
            match self.file.read_at(&mut piece, offset) {
                Ok(0) => break,
                Ok(count) => {
                    cutter.update(&piece[..count]);
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    tell(Given::Gone);
                    return;
                }
            }
            if let Some(chunks) = cutter.part(CHUNKS_PER_PART)
                && !tell(Given::Recipe { chunks, last: false })
            {
                return;
            }
        }
        let last = Given::Recipe { chunks: cutter.finish().0, last: true };
        tell(if self.holds() { last } else { Given::Gone });
    }
}
