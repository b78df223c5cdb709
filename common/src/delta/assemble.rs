//! Which parts of a content are at hand in an older one, and which must be fetched.
//!
//! It trusts neither recipe: whatever they say, the pieces cover the target without gap or overlap
//! and none that is fetched is longer than a piece may be. Whoever carries the plan out verifies
//! the digest of the whole.

use std::collections::BTreeMap;

use crate::digest::Mark;
use crate::limits::PIECE_BYTES_MAX;
use crate::wire::message::Chunk;

/// A part of the target, and where its bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// From the older content.
    Have {
        /// Where it is there.
        from: u64,
        /// Where it goes in the target.
        at: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// From the other end.
    Fetch {
        /// Where it is in the target.
        at: u64,
        /// Its length in bytes, at most [`PIECE_BYTES_MAX`].
        length: u32,
    },
    /// Nothing but zero bytes.
    Hole {
        /// Where it is in the target.
        at: u64,
        /// Its length in bytes.
        length: u64,
    },
}

/// How to make the target, in order. Neighbours of one sort are one piece where they can be.
#[must_use]
pub fn plan(target: &[Chunk], have: &[Chunk]) -> Vec<Piece> {
    let at_hand = offsets(have);
    let mut pieces = Vec::new();
    let mut at = 0_u64;
    for chunk in target.iter().filter(|chunk| chunk.length > 0) {
        let length = u64::from(chunk.length);
        match chunk.mark {
            None => hole(&mut pieces, at, length),
            Some(mark) => match at_hand.get(&(mark, chunk.length)) {
                Some(places) => take(&mut pieces, places, at, length),
                None => fetch(&mut pieces, at, chunk.length),
            },
        }
        at = at.saturating_add(length);
    }
    pieces
}

/// How many bytes a plan fetches.
#[must_use]
pub fn fetched_bytes(pieces: &[Piece]) -> u64 {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Fetch { length, .. } => u64::from(*length),
            Piece::Have { .. } | Piece::Hole { .. } => 0,
        })
        .sum()
}

type Places = Vec<u64>;

/// Where each chunk is. Of one that repeats, a few places: enough to go on where one began.
fn offsets(have: &[Chunk]) -> BTreeMap<(Mark, u32), Places> {
    const PLACES_MAX: usize = 8;
    let mut places: BTreeMap<_, Places> = BTreeMap::new();
    let mut from = 0_u64;
    for chunk in have {
        if let Some(mark) = chunk.mark {
            let known = places.entry((mark, chunk.length)).or_default();
            if known.len() < PLACES_MAX {
                known.push(from);
            }
        }
        from = from.saturating_add(u64::from(chunk.length));
    }
    places
}

fn take(pieces: &mut Vec<Piece>, places: &Places, at: u64, length: u64) {
    if let Some(Piece::Have { from, length: before, .. }) = pieces.last_mut()
        && places.contains(&(*from + *before))
    {
        *before += length;
        return;
    }
    pieces.push(Piece::Have { from: places[0], at, length });
}

fn hole(pieces: &mut Vec<Piece>, at: u64, length: u64) {
    match pieces.last_mut() {
        Some(Piece::Hole { length: before, .. }) => *before += length,
        _ => pieces.push(Piece::Hole { at, length }),
    }
}

fn fetch(pieces: &mut Vec<Piece>, mut at: u64, mut length: u32) {
    const MAX: u32 = PIECE_BYTES_MAX as u32;
    if let Some(Piece::Fetch { length: before, .. }) = pieces.last_mut() {
        let joined = length.min(MAX - *before);
        *before += joined;
        at += u64::from(joined);
        length -= joined;
    }
    while length > 0 {
        let part = length.min(MAX);
        pieces.push(Piece::Fetch { at, length: part });
        at += u64::from(part);
        length -= part;
    }
}
