//! Packed pieces: a packed piece comes out as it went in, and a hostile one is what it says or
//! nothing.

use common::exchange::packing::{pack, unpack};
use common::limits::PIECE_BYTES_MAX;
use common::wire::message::Given;
use serde_bytes::ByteBuf;

use crate::fuzzing::{Target, byte, number};

/// A packed piece and its length; or a piece.
pub(crate) const TARGET: Target = Target { name: "packed", run, seeds, mutants: 3000 };

fn run(mut bytes: &[u8]) -> bool {
    match byte(&mut bytes) % 2 {
        0 => {
            let length = number(&mut bytes) as u32;
            match unpack(Given::Packed { bytes: ByteBuf::from(bytes), length }) {
                Given::Piece(piece) => {
                    assert_eq!(piece.len(), length as usize, "as long as it says");
                    assert!(piece.len() <= PIECE_BYTES_MAX);
                    true
                }
                Given::Gone => false,
                other => panic!("{other:?}"),
            }
        }
        _ => {
            let times = 1 + usize::from(byte(&mut bytes)) % 32;
            let piece = Given::Piece(ByteBuf::from(bytes.repeat(times)));
            let packed = pack(piece.clone());
            let is_packed = matches!(packed, Given::Packed { .. });
            assert_eq!(unpack(packed), piece);
            is_packed
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let piece = Given::Piece(ByteBuf::from(b"one word after another, ".repeat(40)));
    let Given::Packed { bytes, length } = pack(piece) else { panic!("it is packed") };
    let hostile = [&[0], u64::from(length).to_be_bytes().as_slice(), &bytes].concat();
    vec![hostile, [&[1, 20], b"again and again ".as_slice()].concat()]
}
