//! Pieces of content are packed where the way is long.
//!
//! On one machine a copy is faster than any packing, so whoever gives looks how long a sign of life
//! was under way: the fastest of all, as a busy machine is slow to answer, too. What does not
//! become smaller travels as it is.

use std::time::Duration;

use serde_bytes::ByteBuf;

use crate::limits::PIECE_BYTES_MAX;
use crate::wire::message::Given;

/// A way there and back that takes this long is no local one.
const FAR: Duration = Duration::from_millis(5);
/// Smaller pieces are hardly worth it.
const BYTES_MIN: usize = 256;

/// Whether a piece is to be packed for a way there and back of this length.
pub(super) fn is_far(round: Option<Duration>) -> bool {
    round.is_some_and(|round| round >= FAR)
}

/// Packs a piece, if that saves an eighth of it.
#[must_use]
pub fn pack(given: Given) -> Given {
    match given {
        Given::Piece(bytes) if (BYTES_MIN..=PIECE_BYTES_MAX).contains(&bytes.len()) => {
            let packed = lz4_flex::block::compress(&bytes);
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            match packed.len() <= bytes.len() - bytes.len() / 8 {
                true => Given::Packed { bytes: ByteBuf::from(packed), length },
                false => Given::Piece(bytes),
            }
        }
        given => given,
    }
}

/// Unpacks a piece. One that does not hold what it says is no piece.
#[must_use]
pub fn unpack(given: Given) -> Given {
    let Given::Packed { bytes, length } = given else { return given };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > PIECE_BYTES_MAX {
        return Given::Gone;
    }
    let mut piece = vec![0; length];
    match lz4_flex::block::decompress_into(&bytes, &mut piece) {
        Ok(written) if written == length => Given::Piece(ByteBuf::from(piece)),
        _ => Given::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: impl Into<Vec<u8>>) -> Given {
        Given::Piece(ByteBuf::from(bytes.into()))
    }

    /// Bytes that do not become smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn what_is_packed_is_smaller_and_comes_out_as_it_went_in() {
        for length in [BYTES_MIN, 5000, PIECE_BYTES_MAX] {
            let words = b"one word after another, ".iter().copied().cycle();
            let words: Vec<u8> = words.take(length).collect();
            let packed = pack(piece(words.clone()));
            let Given::Packed { bytes, .. } = &packed else { panic!("{length} is not packed") };
            assert!(bytes.len() < length / 4);
            assert_eq!(unpack(packed), piece(words));
        }
    }

    #[test]
    fn what_does_not_become_smaller_travels_as_it_is() {
        for given in [piece(noise(PIECE_BYTES_MAX)), piece(vec![0; BYTES_MIN - 1]), Given::Gone] {
            assert_eq!(pack(given.clone()), given);
            assert_eq!(unpack(given.clone()), given);
        }
    }

    #[test]
    fn a_piece_that_lies_about_its_length_is_none() {
        let Given::Packed { bytes, length } = pack(piece(vec![0; 5000])) else { panic!("packed") };
        for lie in [length - 1, length + 1, PIECE_BYTES_MAX as u32 + 1, u32::MAX] {
            assert_eq!(unpack(Given::Packed { bytes: bytes.clone(), length: lie }), Given::Gone);
        }
        for end in 0..bytes.len() {
            let torn = ByteBuf::from(&bytes[..end]);
            assert_eq!(unpack(Given::Packed { bytes: torn, length }), Given::Gone);
        }
    }

    #[test]
    fn nothing_is_packed_until_the_way_is_known_to_be_long() {
        assert!(!is_far(None) && !is_far(Some(Duration::from_micros(900))));
        assert!(is_far(Some(Duration::from_millis(40))));
    }
}
