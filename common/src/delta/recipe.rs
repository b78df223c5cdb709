//! The chunks of a content, in one pass.
//!
//! Both ends must cut alike, so the sizes below and the algorithm (FastCDC, the 2020 variant with
//! normalization level 1) are a part of the protocol. This module opens no file; it takes bytes.
//!
//! The one idea: a cut depends only on the bytes since the cut before it, at most
//! [`CHUNK_BYTES_MAX`] of them, so no more than that is ever held.

use std::io::{self, Read};

use fastcdc::v2020::FastCDC;

use crate::digest::Mark;
use crate::limits::{self, PIECE_BYTES_MAX};
use crate::wire::message::Chunk;

/// No chunk but the last is shorter.
pub const CHUNK_BYTES_MIN: usize = limits::CHUNK_BYTES_MIN;
/// What the length of chunks is around.
pub const CHUNK_BYTES_MEAN: usize = 64 * 1024;
/// No chunk is longer, unless it is a hole.
pub const CHUNK_BYTES_MAX: usize = PIECE_BYTES_MAX;
/// Longest hole that is one chunk.
pub const HOLE_BYTES_MAX: u32 = 1 << 30;

// The algorithm shifts its cuts by a byte when a size is odd.
const _: () = assert!(CHUNK_BYTES_MIN % 2 + CHUNK_BYTES_MEAN % 2 + CHUNK_BYTES_MAX % 2 == 0);
const _: () = assert!(CHUNK_BYTES_MIN < CHUNK_BYTES_MEAN && CHUNK_BYTES_MEAN < CHUNK_BYTES_MAX);

/// The chunks of a content, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe(pub Vec<Chunk>);

impl Recipe {
    /// The length of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.iter().map(|chunk| u64::from(chunk.length)).sum()
    }
}

/// Reads a content to its end.
pub fn chunks_of(mut content: impl Read) -> io::Result<Recipe> {
    let mut cutter = Cutter::default();
    let mut piece = vec![0; PIECE_BYTES_MAX];
    loop {
        match content.read(&mut piece) {
            Ok(0) => return Ok(cutter.finish()),
            Ok(length) => cutter.update(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Cuts a content that arrives in pieces of any length. The whole is not digested: who rebuilds a
/// content verifies it, whatever was said of its chunks.
#[derive(Default)]
pub struct Cutter {
    /// Bytes that are not in a chunk yet.
    rest: Vec<u8>,
    chunks: Vec<Chunk>,
}

impl Cutter {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        self.cut_while_more_than(CHUNK_BYTES_MAX - 1);
    }

    /// The chunks that are known by now, but for the last, which may be a hole that goes on; once
    /// there are so many. They are not there at the end again.
    pub fn part(&mut self, least: usize) -> Option<Vec<Chunk>> {
        let count = self.chunks.len().checked_sub(1).filter(|&count| count >= least.max(1))?;
        let last = self.chunks.split_off(count);
        Some(std::mem::replace(&mut self.chunks, last))
    }

    /// There are no more pieces.
    #[must_use]
    pub fn finish(mut self) -> Recipe {
        self.cut_while_more_than(0);
        Recipe(self.chunks)
    }

    fn cut_while_more_than(&mut self, kept: usize) {
        let mut from = 0;
        while self.rest.len() - from > kept {
            let rest = &self.rest[from..];
            let length = first_cut(rest);
            push(&mut self.chunks, chunk_of(&rest[..length]));
            from += length;
        }
        self.rest.drain(..from);
    }
}

/// Where the first chunk of these bytes ends, which go as far as a chunk may, or to the end of the
/// content.
pub(super) fn first_cut(bytes: &[u8]) -> usize {
    FastCDC::new(bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_MEAN, CHUNK_BYTES_MAX).cut(0, bytes.len()).1
}

/// The chunk that these bytes are. One of zero bytes only is a hole.
pub(super) fn chunk_of(bytes: &[u8]) -> Chunk {
    let length = u32::try_from(bytes.len()).expect("a chunk is at most CHUNK_BYTES_MAX long");
    let mark = bytes.iter().any(|&byte| byte != 0).then(|| Mark::of(bytes));
    Chunk { length, mark }
}

/// Appends a chunk. A hole joins the hole before it.
fn push(chunks: &mut Vec<Chunk>, chunk: Chunk) {
    match chunks.last_mut() {
        Some(hole)
            if hole.mark.is_none()
                && chunk.mark.is_none()
                && hole.length <= HOLE_BYTES_MAX - chunk.length =>
        {
            hole.length += chunk.length;
        }
        _ => chunks.push(chunk),
    }
}
