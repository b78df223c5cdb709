//! A content that is edited in places is put together again from what is at hand and little more.

use std::io::Read;

use common::delta::assemble::{Piece, fetched_bytes, plan};
use common::delta::follow::{AHEAD, BLIND_BYTES_MAX, Follower};
use common::delta::recipe::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Cutter, Recipe, chunks_of};
use common::digest::Mark;
use common::limits::PIECE_BYTES_MAX;
use common::wire::message::Chunk;
use proptest::prelude::*;

use crate::world::Rng;

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(length).collect()
}

fn recipe_of(content: &[u8]) -> Recipe {
    chunks_of(content).expect("memory can be read")
}

/// Carries a plan out, with the other end's content for what is fetched.
fn assembled(pieces: &[Piece], target: &[u8], have: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    for piece in pieces {
        let (at, bytes) = match *piece {
            Piece::Have { from, at, length } => {
                (at, have[from as usize..(from + length) as usize].to_vec())
            }
            Piece::Fetch { at, length } => {
                assert!(length as usize <= PIECE_BYTES_MAX && length > 0);
                (at, target[at as usize..at as usize + length as usize].to_vec())
            }
            Piece::Hole { at, length } => (at, vec![0; length as usize]),
        };
        assert_eq!(at, made.len() as u64, "no gap and no overlap");
        made.extend(bytes);
    }
    made
}

fn fetched(target: &[u8], have: &[u8]) -> u64 {
    let pieces = plan(&recipe_of(target).0, &recipe_of(have).0);
    assert_eq!(assembled(&pieces, target, have), target);
    let bytes = fetched_bytes(&pieces);
    let followed = fetched_by_following(target, have);
    assert!(followed <= bytes + BLIND_BYTES_MAX, "{followed} bytes, and {bytes} are new");
    bytes
}

/// What is fetched by who walks along the older content, and has no recipe of it.
fn fetched_by_following(target: &[u8], have: &[u8]) -> u64 {
    let recipe = recipe_of(target).0;
    let mut read = |from: u64, buffer: &mut [u8]| {
        let rest = &have[have.len().min(from as usize)..];
        // A part at a time, as a slow file does.
        let count = rest.len().min(buffer.len()).min(100_000);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    };
    let mut follower = Follower::new(&mut read);
    let (mut pieces, mut at) = (Vec::new(), 0);
    for (index, chunk) in recipe.iter().enumerate() {
        let length = u64::from(chunk.length);
        let end = recipe.len().min(index + 1 + AHEAD);
        let found = follower.find(&recipe[index..end]).expect("memory can be read");
        if let (Some(from), Some(mark)) = (found, chunk.mark) {
            let bytes = follower.bytes(from, chunk.length as usize).expect("memory can be read");
            assert_eq!((bytes.len() as u64, Mark::of(bytes)), (length, mark));
        }
        pieces.push(match (chunk.mark, found) {
            (None, _) => Piece::Hole { at, length },
            (Some(_), Some(from)) => Piece::Have { from, at, length },
            (Some(_), None) => Piece::Fetch { at, length: chunk.length },
        });
        at += length;
    }
    assert_eq!(assembled(&pieces, target, have), target);
    fetched_bytes(&pieces)
}

#[test]
fn who_walks_along_finds_what_moved_far_and_no_more_is_new_than_there_is() {
    let parts: Vec<Vec<u8>> = (0..4).map(|seed| noise(seed, 5 << 20)).collect();
    let have = parts.concat();
    let swapped = [&parts[2][..], &parts[3], &parts[0], &parts[1]].concat();
    assert!(fetched_by_following(&swapped, &have) <= BLIND_BYTES_MAX + (1 << 20));
    for place in [0, 1 << 20, have.len() - 1] {
        let mut edited = have.clone();
        edited[place] ^= 1;
        assert_eq!(fetched_by_following(&edited, &have), fetched(&edited, &have), "{place}");
        edited.insert(place, 7);
        assert_eq!(fetched_by_following(&edited, &have), fetched(&edited, &have), "{place}");
    }
    let grown = [&parts[0][..], &noise(9, 12 << 20), &parts[1]].concat();
    let new = fetched_by_following(&grown, &have);
    assert!(new <= (12 << 20) + 2 * CHUNK_BYTES_MAX as u64, "{new} bytes");
    assert_eq!(fetched_by_following(&have, &[]), have.len() as u64);
}

#[test]
fn a_recipe_that_is_taken_in_parts_is_the_same() {
    let content = [noise(1, 3 << 20), vec![0; 3 << 20], noise(2, 2 << 20)].concat();
    let (mut cutter, mut chunks) = (Cutter::default(), Vec::new());
    for piece in content.chunks(100_000) {
        cutter.update(piece);
        chunks.extend(cutter.part(4).unwrap_or_default());
    }
    assert!(chunks.len() > 20, "most is known before the end");
    chunks.extend(cutter.finish().0);
    assert_eq!(chunks, recipe_of(&content).0);
}

#[test]
fn a_recipe_describes_its_content() {
    let content = [noise(1, 3 << 20), vec![0; 3 << 20], noise(2, 100_001)].concat();
    let recipe = recipe_of(&content);
    assert_eq!(recipe.size(), content.len() as u64);
    let mut from = 0;
    for (index, chunk) in recipe.0.iter().enumerate() {
        let bytes = &content[from..from + chunk.length as usize];
        from += bytes.len();
        match chunk.mark {
            Some(mark) => {
                assert_eq!(mark, Mark::of(bytes));
                assert!(bytes.len() <= CHUNK_BYTES_MAX);
                assert!(bytes.len() >= CHUNK_BYTES_MIN || index + 1 == recipe.0.len());
            }
            None => assert!(bytes.iter().all(|&byte| byte == 0)),
        }
    }
    assert!(recipe.0.iter().any(|chunk| chunk.mark.is_none() && chunk.length > 2 << 20));
    assert_eq!(recipe_of(b"").0, []);
}

/// Cuts are a part of the protocol: two versions of this program must cut alike.
#[test]
fn the_cuts_are_frozen() {
    let lengths: Vec<u32> =
        recipe_of(&noise(7, 600_000)).0.iter().map(|chunk| chunk.length).collect();
    assert_eq!(lengths, FROZEN);
}

const FROZEN: [u32; 9] = [31171, 38807, 128500, 79518, 159009, 45867, 78194, 29481, 9453];

/// Gives a few bytes at a time, as a slow file does.
struct Dribble<'a>(&'a [u8], Rng, usize);

impl Read for Dribble<'_> {
    fn read(&mut self, piece: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.below(self.2) + 1;
        let length = most.min(piece.len()).min(self.0.len());
        piece[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

#[test]
fn cuts_do_not_depend_on_how_the_content_arrives() {
    // A content that never says where to cut is cut at the greatest length.
    let content =
        [noise(3, 2 << 20), vec![0; 700_000], vec![1; 900_000], noise(4, 12_345)].concat();
    let whole = recipe_of(&content);
    for most in [1500, 70_000] {
        let slow = Dribble(&content, Rng(5), most);
        assert_eq!(chunks_of(slow).expect("memory can be read"), whole);
    }
    let mut cutter = Cutter::default();
    cutter.update(&content);
    assert_eq!(cutter.finish(), whole);
}

#[test]
fn one_byte_inserted_into_four_mebibytes_fetches_less_than_one_piece() {
    for seed in 0..8 {
        let have = noise(seed, 4 << 20);
        let mut target = have.clone();
        target.insert(Rng(seed).below(have.len()), 0x55);
        let bytes = fetched(&target, &have);
        assert!(bytes > 0 && bytes < PIECE_BYTES_MAX as u64, "seed {seed}: {bytes} bytes");
    }
}

#[test]
fn what_is_the_same_or_empty_or_zero_fetches_nothing() {
    let have = noise(1, 1 << 20);
    assert_eq!(fetched(&have, &have), 0);
    assert_eq!(fetched(&[], &have), 0);
    assert_eq!(fetched(&vec![0; 5 << 20], &have), 0);
    assert_eq!(plan(&recipe_of(&have).0, &recipe_of(&have).0).len(), 1);
    assert_eq!(fetched(&have, &[]), 1 << 20);
}

#[test]
fn a_recipe_that_lies_makes_no_piece_that_is_too_long() {
    let mark = Some(Mark::of(b"x"));
    let target = [
        Chunk { length: u32::MAX, mark },
        Chunk { length: 0, mark },
        Chunk { length: 5, mark },
        Chunk { length: u32::MAX, mark: None },
    ];
    let have = [Chunk { length: 7, mark }];
    let mut end = 0;
    for piece in plan(&target, &have) {
        let (at, length) = match piece {
            Piece::Have { .. } => panic!("a chunk of another length is not the same"),
            Piece::Fetch { at, length } => {
                assert!(length as usize <= PIECE_BYTES_MAX);
                (at, u64::from(length))
            }
            Piece::Hole { at, length } => (at, length),
        };
        assert_eq!(at, end);
        end += length;
    }
    assert_eq!(end, 2 * u64::from(u32::MAX) + 5);
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(usize, usize, u64),
    Delete(usize, usize),
    Replace(usize, usize, u64),
    Move(usize, usize, usize),
    Zero(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0_usize..1_500_000;
    let length = 1_usize..120_000;
    prop_oneof![
        (place.clone(), length.clone(), any::<u64>()).prop_map(|(p, l, s)| Edit::Insert(p, l, s)),
        (place.clone(), length.clone()).prop_map(|(p, l)| Edit::Delete(p, l)),
        (place.clone(), length.clone(), any::<u64>()).prop_map(|(p, l, s)| Edit::Replace(p, l, s)),
        (place.clone(), length.clone(), place.clone()).prop_map(|(p, l, t)| Edit::Move(p, l, t)),
        (place, 1_usize..600_000).prop_map(|(p, l)| Edit::Zero(p, l)),
    ]
}

fn apply(edit: &Edit, content: &mut Vec<u8>) {
    let clamp = |place: usize, length: usize, content: &[u8]| {
        let from = place.min(content.len());
        from..(from + length).min(content.len())
    };
    match *edit {
        Edit::Insert(place, length, seed) => {
            let at = place.min(content.len());
            content.splice(at..at, noise(seed, length));
        }
        Edit::Delete(place, length) => {
            content.drain(clamp(place, length, content));
        }
        Edit::Replace(place, length, seed) => {
            let range = clamp(place, length, content);
            let new = noise(seed, range.len());
            content[range].copy_from_slice(&new);
        }
        Edit::Move(place, length, to) => {
            let moved: Vec<u8> = content.drain(clamp(place, length, content)).collect();
            let at = to.min(content.len());
            content.splice(at..at, moved);
        }
        Edit::Zero(place, length) => {
            let range = clamp(place, length, content);
            content[range].fill(0);
        }
    }
}

/// Small chunks that repeat and come in any order; number 0 is a hole.
fn blocks(numbers: &[u8]) -> (Vec<u8>, Vec<Chunk>) {
    let block = |number: &u8| vec![*number; usize::from(*number) + 1];
    let chunk = |number: &u8| Chunk {
        length: u32::from(*number) + 1,
        mark: (*number > 0).then(|| Mark::of(&block(number))),
    };
    (numbers.iter().flat_map(block).collect(), numbers.iter().map(chunk).collect())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn whatever_was_edited_is_assembled_again(
        seed in any::<u64>(),
        length in 0_usize..1_500_000,
        edits in prop::collection::vec(edit(), 0..6),
    ) {
        let have = noise(seed, length);
        let mut target = have.clone();
        edits.iter().for_each(|edit| apply(edit, &mut target));
        let bytes = fetched(&target, &have);
        let new: usize = edits.iter().map(|edit| match *edit {
            Edit::Insert(_, length, _) | Edit::Replace(_, length, _) => length,
            Edit::Delete(..) | Edit::Move(..) | Edit::Zero(..) => 0,
        }).sum();
        // Around each seam of an edit (three at most) a few chunks are new.
        let bound = new + edits.len() * 3 * 4 * CHUNK_BYTES_MAX;
        prop_assert!(bytes as usize <= bound, "{bytes} bytes of at most {bound}");
    }

    #[test]
    fn chunks_in_any_order_are_found_where_they_are(
        target in prop::collection::vec(0_u8..6, 0..24),
        have in prop::collection::vec(0_u8..6, 0..24),
    ) {
        let ((target, wanted), (older, at_hand)) = (blocks(&target), blocks(&have));
        let pieces = plan(&wanted, &at_hand);
        prop_assert_eq!(assembled(&pieces, &target, &older), target);
        let missing: u64 = wanted
            .iter()
            .filter(|chunk| chunk.mark.is_some() && !at_hand.contains(chunk))
            .map(|chunk| u64::from(chunk.length))
            .sum();
        prop_assert_eq!(fetched_bytes(&pieces), missing, "only what is not at hand");
    }
}
