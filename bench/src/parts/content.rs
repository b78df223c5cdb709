//! What is done with bytes: digests, chunks, and what is left to send.

use anyhow::{Result, ensure};
use common::delta::assemble::{fetched_bytes, plan};
use common::delta::recipe::chunks_of;
use common::digest::{Digest, Mark};
use common::wire::message::Chunk;

use super::{Ground, Work};
use crate::dice::Dice;

/// The digest of a content.
pub(super) fn hash(ground: &mut Ground, bytes: usize) -> Result<Box<dyn Work>> {
    let content = ground.dice.bytes(bytes);
    let expected = Digest::of(&content);
    Ok(Box::new(move || {
        ensure!(Digest::of(&content) == expected, "another digest");
        Ok(content.len())
    }))
}

/// A content into chunks.
pub(super) fn cut(ground: &mut Ground, bytes: usize) -> Result<Box<dyn Work>> {
    let content = ground.dice.bytes(bytes);
    Ok(Box::new(move || {
        let recipe = chunks_of(content.as_slice())?;
        ensure!(recipe.0.len() > 16, "hardly any chunk");
        Ok(recipe.size() as usize)
    }))
}

/// A chunk of random content, of the usual length.
fn chunk(dice: &mut Dice) -> Chunk {
    let mark = Mark::of(&dice.between(0, u64::MAX - 1).to_le_bytes());
    Chunk { length: dice.between(16 << 10, 128 << 10) as u32, mark: Some(mark) }
}

/// A recipe in which one chunk of fifty is another than in the older one.
pub(super) fn delta(ground: &mut Ground, chunks: usize) -> Result<Box<dyn Work>> {
    let old: Vec<Chunk> = (0..chunks).map(|_| chunk(&mut ground.dice)).collect();
    let mut new = old.clone();
    for at in (0..chunks).step_by(50) {
        new[at] = chunk(&mut ground.dice);
    }
    let expected: u64 = new.iter().step_by(50).map(|chunk| u64::from(chunk.length)).sum();
    Ok(Box::new(move || {
        let fetched = fetched_bytes(&plan(&new, &old));
        ensure!(fetched == expected, "{fetched} bytes to fetch instead of {expected}");
        Ok(new.len())
    }))
}
