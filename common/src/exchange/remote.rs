//! A file of the other end as a source of content, several pieces under way at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::digest::Digest;
use crate::exchange::asker::Asker;
use crate::limits::{CHUNK_BYTES_MIN, CHUNKS_MAX};
use crate::path::RelPath;
use crate::replica::source::{Parts, Source, SourceError};
use crate::wire::message::{Chunk, Given, Want};

/// One version of one file at the other end.
pub struct Remote {
    asker: Arc<Asker>,
    path: RelPath,
    digest: Digest,
    /// The pieces that were asked for and not taken, with their lengths.
    under_way: VecDeque<(u32, Receiver<Option<Given>>)>,
}

impl Remote {
    /// The version with this digest of the file at this path.
    pub fn new(asker: Arc<Asker>, path: RelPath, digest: Digest) -> Remote {
        Remote { asker, path, digest, under_way: VecDeque::new() }
    }

    fn question(&self, want: Want) -> Receiver<Option<Given>> {
        let (to, from) = channel();
        let answered = move |given| {
            // Nobody listens when the content was given up; then the piece is not needed.
            let _ = to.send(given);
        };
        self.asker.ask(&self.path, self.digest, want, Box::new(answered));
        from
    }
}

impl Source for Remote {
    fn recipe(&mut self, size: u64) -> Result<Option<Parts>, SourceError> {
        let chunks_max = usize::try_from(size / CHUNK_BYTES_MIN as u64 + 1).unwrap_or(usize::MAX);
        if chunks_max > CHUNKS_MAX {
            return Ok(None);
        }
        let (to, from) = channel();
        let mut left = Some((to, chunks_max));
        // Judged where they arrive: what is more than there can be never waits to be taken.
        let answered = move |given| {
            let Some((to, most)) = left.take() else { return };
            let part = part_of(given, most);
            let rest = match &part {
                Ok((chunks, false)) => most - chunks.len(),
                Ok((_, true)) | Err(_) => 0,
            };
            let is_over = !matches!(part, Ok((_, false)));
            if to.send(part.map(|(chunks, _)| chunks)).is_ok() && !is_over {
                left = Some((to, rest));
            }
        };
        self.asker.ask(&self.path, self.digest, Want::Recipe, Box::new(answered));
        Ok(Some(Box::new(Recipe { from })))
    }

    fn ask(&mut self, offset: u64, length: u32) {
        let from = self.question(Want::Piece { offset, length });
        self.under_way.push_back((length, from));
    }

    fn take(&mut self, patient: bool) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((length, from)) = self.under_way.front() else { return Ok(None) };
        let given = match patient {
            true => from.recv().map_err(|_| SourceError::Lost)?,
            false => match from.try_recv() {
                Ok(given) => given,
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(SourceError::Lost),
            },
        };
        let length = *length;
        self.under_way.pop_front();
        match given {
            Some(Given::Piece(bytes)) if bytes.len() as u64 == u64::from(length) => {
                Ok(Some(bytes.into_vec()))
            }
            Some(_) => Err(SourceError::Gone),
            None => Err(SourceError::Lost),
        }
    }
}

/// The chunks of a part, of so many at most, and whether it is the last.
fn part_of(given: Option<Given>, most: usize) -> Result<(Vec<Chunk>, bool), SourceError> {
    match given {
        // A part that says nothing, or of more than there can be, is no end of it.
        Some(Given::Recipe { chunks, last })
            if chunks.len() <= most && (last || !chunks.is_empty()) =>
        {
            Ok((chunks, last))
        }
        Some(_) => Err(SourceError::Gone),
        None => Err(SourceError::Lost),
    }
}

/// The parts of a recipe that is on its way; its sender is gone behind the last.
struct Recipe {
    from: Receiver<Result<Vec<Chunk>, SourceError>>,
}

impl Iterator for Recipe {
    type Item = Result<Vec<Chunk>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.from.recv().ok()
    }
}
