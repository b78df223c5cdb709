//! A large new version from the old one at hand and the pieces that differ.
//!
//! The other end says of which chunks the new version consists; those that the old one has are
//! copied from it, the others fetched. Nothing of this is believed: the digest of the whole is
//! verified like that of any content.

use std::io::BufReader;
use std::thread;

use crate::delta::assemble::{Piece, plan};
use crate::delta::recipe::chunks_of;
use crate::limits::{DELTA_BYTES_MIN, PIECE_BYTES_MAX};
use crate::replica::disk::Handle;
use crate::replica::receive::NotReceived;
use crate::replica::source::Source;
use crate::replica::stage::StagedFile;
use crate::replica::step::{Step, StepError};
use crate::wire::message::Chunk;

/// Whether chunks are worth their trouble for a new version of this size.
pub(super) fn is_worth_it(size: u64) -> bool {
    size >= DELTA_BYTES_MIN
}

/// Fills the staged file. `Ok(false)`: the other end does not say of which chunks the content is.
pub(super) fn rebuild(
    source: &mut dyn Source,
    old: &Handle,
    staged: &mut StagedFile,
    size: u64,
) -> Result<bool, NotReceived> {
    // The other end reads its version while we read ours.
    let (target, have) = thread::scope(|scope| {
        let have = scope.spawn(|| chunks_at_hand(old));
        (source.recipe(size), have.join())
    });
    let Some(target) = target? else { return Ok(false) };
    let total: u64 = target.iter().map(|chunk| u64::from(chunk.length)).sum();
    if total != size {
        return Err(NotReceived::Moved);
    }
    // Without the old chunks everything is fetched.
    let have = have.ok().and_then(Result::ok).unwrap_or_default();
    let pieces = plan(&target, &have);
    let mut wanted = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Have { from, at, length } => copy(old, from, staged, at, length)?,
            Piece::Fetch { at, length } => wanted.push((at, length)),
            Piece::Hole { .. } => {}
        }
    }
    source.fetch(&wanted, &mut |at, bytes| staged.write(at, bytes))?;
    Ok(true)
}

fn chunks_at_hand(old: &Handle) -> std::io::Result<Vec<Chunk>> {
    Ok(chunks_of(BufReader::with_capacity(PIECE_BYTES_MAX, old.reader()))?.0)
}

fn copy(
    old: &Handle,
    mut from: u64,
    staged: &mut StagedFile,
    mut at: u64,
    mut length: u64,
) -> Result<(), StepError> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    while length > 0 {
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        old.read_exact_at(&mut buffer[..count], from).step("read the old version")?;
        staged.write(at, &buffer[..count]).step("write the staged file")?;
        (from, at) = (from + count as u64, at + count as u64);
        length -= count as u64;
    }
    Ok(())
}
