//! Where content comes from that is not at hand: the other end of a connection, or a held edit.

use std::io;

use crate::entry::File;
use crate::limits::{PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX};
use crate::wire::message::{Chunk, Content};

/// Why content cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is no longer that version there.
    #[error("the content is no longer there")]
    Gone,
    /// The other end went away.
    #[error("the connection was lost")]
    Lost,
    /// A step failed on this end.
    #[error("cannot take the content over")]
    Io(#[from] io::Error),
}

/// The chunks of a content, in parts, as they become known.
pub type Parts = Box<dyn Iterator<Item = Result<Vec<Chunk>, SourceError>>>;

/// One version of one file, elsewhere. It may wait; it belongs to one commit.
pub trait Source {
    /// Its chunks, when the other end offers them, of a content of this size.
    fn recipe(&mut self, size: u64) -> Result<Option<Parts>, SourceError>;

    /// Asks for a piece: an offset, and a length that one message can carry.
    fn ask(&mut self, offset: u64, length: u32);

    /// The piece that was asked for first and has not been taken, whole. Without patience, `None`
    /// when it is not there yet.
    fn take(&mut self, patient: bool) -> Result<Option<Vec<u8>>, SourceError>;

    /// Gives ranges (offset and length) of the content to `sink`, in pieces, in their order,
    /// several of them under way at once.
    fn fetch(
        &mut self,
        ranges: &[(u64, u32)],
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), SourceError> {
        let mut asked = ranges.iter().flat_map(|&(offset, length)| cut(offset, length));
        let taken = asked.clone();
        for (offset, length) in asked.by_ref().take(PIECES_IN_FLIGHT_MAX) {
            self.ask(offset, length);
        }
        for (offset, _) in taken {
            let piece = self.take(true)?.ok_or(SourceError::Lost)?;
            if let Some((offset, length)) = asked.next() {
                self.ask(offset, length);
            }
            sink(offset, &piece)?;
        }
        Ok(())
    }
}

/// Cuts a range into pieces that one message can carry.
fn cut(offset: u64, length: u32) -> impl Iterator<Item = (u64, u32)> + Clone {
    let step = PIECE_BYTES_MAX as u32;
    (0..length)
        .step_by(PIECE_BYTES_MAX)
        .map(move |at| (offset + u64::from(at), step.min(length - at)))
}

/// Finds the source of a content.
pub trait Supplier: Send + Sync {
    /// The source of `file`, where `content` says that it is: `Pull` or `Held`.
    fn source(&self, content: &Content, file: &File) -> Result<Box<dyn Source>, SourceError>;
}
