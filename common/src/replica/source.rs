//! Where content comes from that is not at hand: the other end of a connection, or a held edit.

use std::io;

use crate::entry::File;
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

/// One version of one file, elsewhere. It may wait; it belongs to one commit.
pub trait Source {
    /// Its chunks, when the other end offers them, of a content of this size.
    fn recipe(&mut self, size: u64) -> Result<Option<Vec<Chunk>>, SourceError>;

    /// Gives ranges (offset and length) of the content to `sink`, in any order, several of them
    /// under way at once, each whole or in pieces.
    fn fetch(
        &mut self,
        ranges: &[(u64, u32)],
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), SourceError>;
}

/// Finds the source of a content.
pub trait Supplier: Send + Sync {
    /// The source of `file`, where `content` says that it is: `Pull` or `Held`.
    fn source(&self, content: &Content, file: &File) -> Result<Box<dyn Source>, SourceError>;
}
