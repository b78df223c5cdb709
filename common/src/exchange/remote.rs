//! A file of the other end as a source of content, several pieces under way at once.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::digest::Digest;
use crate::exchange::asker::Asker;
use crate::limits::{CHUNK_BYTES_MIN, CHUNKS_MAX, PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX};
use crate::path::RelPath;
use crate::replica::source::{Source, SourceError};
use crate::wire::message::{Chunk, Given, Want};

/// One version of one file at the other end.
pub struct Remote {
    asker: Arc<Asker>,
    path: RelPath,
    digest: Digest,
}

impl Remote {
    /// The version with this digest of the file at this path.
    pub fn new(asker: Arc<Asker>, path: RelPath, digest: Digest) -> Remote {
        Remote { asker, path, digest }
    }

    fn ask<K>(&self, want: Want, key: K, to: &Sender<(K, Option<Given>)>)
    where
        K: Copy + Send + 'static,
    {
        let to = to.clone();
        let answered = move |given| {
            // Nobody listens when the fetch was given up; then the piece is not needed.
            let _ = to.send((key, given));
        };
        self.asker.ask(&self.path, self.digest, want, Box::new(answered));
    }
}

impl Source for Remote {
    fn recipe(&mut self, size: u64) -> Result<Option<Vec<Chunk>>, SourceError> {
        let chunks_max = usize::try_from(size / CHUNK_BYTES_MIN as u64 + 1).unwrap_or(usize::MAX);
        if chunks_max > CHUNKS_MAX {
            return Ok(None);
        }
        let (to, from) = channel();
        self.ask(Want::Recipe, (), &to);
        drop(to);
        let mut all = Vec::new();
        loop {
            match next(&from)?.1 {
                Given::Recipe { chunks, last } => {
                    // A part that says nothing, or of more than there can be, is no end of it.
                    if all.len() + chunks.len() > chunks_max || (chunks.is_empty() && !last) {
                        return Err(SourceError::Gone);
                    }
                    all.extend(chunks);
                    if last {
                        return Ok(Some(all));
                    }
                }
                Given::Piece(_) | Given::Packed { .. } | Given::Gone => {
                    return Err(SourceError::Gone);
                }
            }
        }
    }

    fn fetch(
        &mut self,
        ranges: &[(u64, u32)],
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), SourceError> {
        let (to, from) = channel();
        let mut pieces = ranges.iter().flat_map(|&(offset, length)| cut(offset, length));
        // In the order of asking: answers overtake each other, and what arrives in order need not
        // be read again to be verified.
        let mut under_way: VecDeque<(u64, u32)> = VecDeque::new();
        let mut early: BTreeMap<u64, Given> = BTreeMap::new();
        loop {
            while under_way.len() < PIECES_IN_FLIGHT_MAX
                && let Some((offset, length)) = pieces.next()
            {
                under_way.push_back((offset, length));
                self.ask(Want::Piece { offset, length }, offset, &to);
            }
            let Some((offset, length)) = under_way.pop_front() else { return Ok(()) };
            let given = loop {
                if let Some(given) = early.remove(&offset) {
                    break given;
                }
                let (offset, given) = next(&from)?;
                early.insert(offset, given);
            };
            match given {
                Given::Piece(bytes) if bytes.len() as u64 == u64::from(length) => {
                    sink(offset, &bytes)?;
                }
                _ => return Err(SourceError::Gone),
            }
        }
    }
}

fn next<K>(from: &Receiver<(K, Option<Given>)>) -> Result<(K, Given), SourceError> {
    match from.recv() {
        Ok((key, Some(given))) => Ok((key, given)),
        Ok((_, None)) | Err(_) => Err(SourceError::Lost),
    }
}

/// Cuts a range into pieces that one message can carry.
fn cut(offset: u64, length: u32) -> impl Iterator<Item = (u64, u32)> {
    let step = PIECE_BYTES_MAX as u32;
    (0..length)
        .step_by(PIECE_BYTES_MAX)
        .map(move |at| (offset + u64::from(at), step.min(length - at)))
}
