//! A piece of content in a message, found without reading the message value by value.
//!
//! Of a first synchronization nearly every byte is in such a message. The general reader takes byte
//! strings apart and puts them together again; this one knows the one form in which we write these
//! messages. What has any other form is none of its business.

use serde_bytes::ByteBuf;

use crate::wire::message::{AskId, Give, Given};

/// `{"Give": {"id": …`
const BEFORE_ID: &[u8] = b"\xa1\x64Give\xa2\x62id";
/// `…, "given": {"Piece": …}}}`
const BEFORE_BYTES: &[u8] = b"\x65given\xa1\x65Piece";

/// The major type of numbers, and that of byte strings.
const NUMBER: u8 = 0;
const BYTES: u8 = 2;

/// The answer with a piece that a message is, when it is one.
pub(super) fn read(message: &[u8]) -> Option<Give> {
    let (id, rest) = head(NUMBER, message.strip_prefix(BEFORE_ID)?)?;
    let (length, rest) = head(BYTES, rest.strip_prefix(BEFORE_BYTES)?)?;
    let is_whole = rest.len() as u64 == length;
    is_whole.then(|| Give { id: AskId(id), given: Given::Piece(ByteBuf::from(rest)) })
}

/// The number at the beginning of a value of this major type, and what follows it.
fn head(major: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first >> 5 != major {
        return None;
    }
    let count = match first & 31 {
        few @ 0..=23 => return Some((u64::from(few), rest)),
        size @ 24..=27 => 1 << (size - 24),
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(count)?;
    let number = number.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cbor;
    use crate::wire::message::PeerMessage;

    fn message(id: u64, given: Given) -> Vec<u8> {
        cbor::to_vec(&PeerMessage::Give(Give { id: AskId(id), given })).expect("writable")
    }

    #[test]
    fn what_it_reads_is_what_the_general_reader_reads() {
        for id in [0, 23, 24, 255, 256, 65_535, 65_536, u64::from(u32::MAX) + 1, u64::MAX] {
            for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 262_144] {
                let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let message = message(id, Given::Piece(ByteBuf::from(bytes)));
                let general = cbor::from_slice::<PeerMessage>(&message).expect("readable");
                assert_eq!(read(&message).map(PeerMessage::Give), Some(general), "{id} {length}");
            }
        }
    }

    #[test]
    fn what_has_any_other_form_is_left_to_the_general_reader() {
        assert_eq!(read(&message(7, Given::Gone)), None);
        let packed = Given::Packed { bytes: ByteBuf::from(vec![1; 99]), length: 1000 };
        assert_eq!(read(&message(7, packed)), None);
        let whole = message(7, Given::Piece(ByteBuf::from(vec![5; 300])));
        (0..whole.len()).for_each(|end| assert_eq!(read(&whole[..end]), None, "cut at {end}"));
        assert_eq!(read(&[&whole[..], &[0]].concat()), None);
        for at in 0..whole.len() - 300 {
            let mut other = whole.clone();
            other[at] ^= 0x40;
            let general = cbor::from_slice::<PeerMessage>(&other).ok();
            assert!(read(&other).is_none_or(|give| general == Some(PeerMessage::Give(give))));
        }
    }
}
