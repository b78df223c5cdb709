//! Recipes: whatever they say, a plan covers the target without gap or overlap and asks for nothing
//! too long; what is cut by our own recipes is assembled again.

use common::delta::assemble::{Piece, fetched_bytes, plan};
use common::delta::recipe::{CHUNK_BYTES_MAX, Cutter, chunks_of};
use common::digest::Mark;
use common::limits::PIECE_BYTES_MAX;
use common::wire::message::Chunk;

use crate::fuzzing::{Target, byte, number};

/// Two hostile recipes; or blocks of two honest contents.
pub(crate) const TARGET: Target = Target { name: "deltas", run, seeds, mutants: 300 };

/// Honest contents are so many blocks at most.
const BLOCKS_MAX: usize = 24;

fn run(mut bytes: &[u8]) -> bool {
    match byte(&mut bytes) % 2 {
        0 => hostile(bytes),
        _ => honest(bytes),
    }
}

fn recipe(bytes: &mut &[u8]) -> Vec<Chunk> {
    let count = usize::from(byte(bytes));
    let chunk = |bytes: &mut &[u8]| {
        let kind = byte(bytes);
        let length = match kind >> 4 {
            0 => number(bytes) as u32,
            1 => u32::MAX,
            2 => 0,
            3 => PIECE_BYTES_MAX as u32 + u32::from(byte(bytes)),
            more => u32::from(byte(bytes)) << more,
        };
        Chunk { length, mark: (kind & 15 != 15).then_some(Mark([kind & 7; 16])) }
    };
    (0..count).map(|_| chunk(bytes)).collect()
}

fn hostile(mut bytes: &[u8]) -> bool {
    let target = recipe(&mut bytes);
    let have = recipe(&mut bytes);
    let size = |chunks: &[Chunk]| chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
    let mut end = 0;
    let mut fetched = 0;
    let pieces = plan(&target, &have);
    for piece in &pieces {
        let (at, length) = match *piece {
            Piece::Have { from, at, length } => {
                assert!(from + length <= size(&have), "what is at hand is at hand");
                (at, length)
            }
            Piece::Fetch { at, length } => {
                assert!(length as usize <= PIECE_BYTES_MAX);
                fetched += u64::from(length);
                (at, u64::from(length))
            }
            Piece::Hole { at, length } => (at, length),
        };
        assert!(at == end && length > 0, "no gap, no overlap");
        end = at + length;
    }
    assert_eq!(end, size(&target), "all of it, and nothing beyond");
    assert_eq!(fetched, fetched_bytes(&pieces));
    !pieces.is_empty() && !have.is_empty()
}

/// A content of blocks, each known by a byte: 0 is a hole, others look random.
fn content(blocks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for block in blocks.iter().take(BLOCKS_MAX) {
        let length = 256 << (block & 7);
        if *block < 8 {
            content.resize(content.len() + length, 0);
            continue;
        }
        let mut state = u64::from(*block) << 32 | 1;
        content.extend((0..length).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        }));
    }
    content
}

fn honest(mut bytes: &[u8]) -> bool {
    let split = usize::from(byte(&mut bytes)).min(bytes.len());
    let step = 100 + usize::from(byte(&mut bytes)) * 251;
    let (old, new) = bytes.split_at(split.min(bytes.len()));
    let (old, new) = (content(old), content(new));
    let target = chunks_of(new.as_slice()).expect("memory can be read");
    let mut cutter = Cutter::default();
    new.chunks(step).for_each(|piece| cutter.update(piece));
    assert_eq!(cutter.finish(), target, "cuts are where the content says so");
    assert_eq!(target.size(), new.len() as u64);
    let long = |chunk: &Chunk| chunk.mark.is_some() && chunk.length as usize > CHUNK_BYTES_MAX;
    assert!(!target.0.iter().any(long));
    let have = chunks_of(old.as_slice()).expect("memory can be read");
    let mut made = vec![0; new.len()];
    for piece in plan(&target.0, &have.0) {
        match piece {
            Piece::Have { from, at, length } => {
                let part = &old[from as usize..(from + length) as usize];
                made[at as usize..(at + length) as usize].copy_from_slice(part);
            }
            Piece::Fetch { at, length } => {
                let range = at as usize..at as usize + length as usize;
                made[range.clone()].copy_from_slice(&new[range]);
            }
            Piece::Hole { .. } => {}
        }
    }
    assert!(made == new, "what is assembled is what was cut");
    !new.is_empty()
}

fn seeds() -> Vec<Vec<u8>> {
    let blocks: Vec<u8> = (20..60).collect();
    let edited = [&blocks[..10], &[0xff, 3, 3], &blocks[12..]].concat();
    vec![
        [&[1, 40, 200], blocks.as_slice(), &edited].concat(),
        [&[1, 3, 0], [15, 7, 31].as_slice(), &[31, 7, 7, 15]].concat(),
        vec![0, 3, 0x41, 9, 0x42, 9, 0x1f, 2, 0x42, 9, 0x41, 9],
        vec![0, 2, 0x31, 7, 0x11, 2, 0x31, 7, 0x20],
    ]
}
