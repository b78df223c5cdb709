//! CBOR in memory. The `ciborium` package stops here.
//!
//! Both directions are strict about limits: a value is read from bytes that are already at hand,
//! must use all of them, and may nest no deeper than [`NESTING_MAX`]. Unknown fields are passed
//! over, so that a later version may say more.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deepest nesting of arrays, maps, variants and tags. Our own values need eight.
pub const NESTING_MAX: usize = 16;

/// Why bytes are not the expected value, or a value cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The bytes are not CBOR, or end too early.
    #[error("not CBOR at byte {at}")]
    Syntax {
        /// Where.
        at: usize,
    },
    /// They are another value.
    #[error("another value than expected: {0}")]
    Value(String),
    /// They nest too deeply.
    #[error("nested deeper than {NESTING_MAX}")]
    Nesting,
    /// More bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The value cannot be written.
    #[error("cannot be written: {0}")]
    Unwritable(String),
}

/// Writes a value.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    append(value, &mut bytes)?;
    Ok(bytes)
}

/// Writes a value behind what is already there.
pub fn append<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CborError> {
    ciborium::into_writer(value, bytes).map_err(|error| CborError::Unwritable(error.to_string()))
}

/// Reads the one value that the bytes are.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, NESTING_MAX)
        .map_err(|error| read_error(error, bytes.len()))?;
    match rest.len() {
        0 => Ok(value),
        trailing => Err(CborError::Trailing(trailing)),
    }
}

fn read_error(error: ciborium::de::Error<io::Error>, end: usize) -> CborError {
    match error {
        // Reading from memory fails in one way only: the bytes end too early.
        ciborium::de::Error::Io(_) => CborError::Syntax { at: end },
        ciborium::de::Error::Syntax(at) => CborError::Syntax { at },
        ciborium::de::Error::Semantic(_, what) => CborError::Value(what),
        ciborium::de::Error::RecursionLimitExceeded => CborError::Nesting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Hello, PeerMessage};

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = to_vec(&PeerMessage::Ping).expect("writable");
        assert_eq!(from_slice(&bytes), Ok(PeerMessage::Ping));
        bytes.extend([0, 0]);
        assert_eq!(from_slice::<PeerMessage>(&bytes), Err(CborError::Trailing(2)));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_an_overflow() {
        // An unknown field of a hello, whose value nests a million times: arrays, maps, tags.
        for opener in [&[0x81][..], &[0xa1, 0x00], &[0xc1], &[0x9f], &[0xbf, 0x00]] {
            let mut bytes = vec![0xa1, 0x61, b'x'];
            bytes.extend(opener.repeat(1_000_000));
            bytes.push(0);
            assert_eq!(from_slice::<Hello>(&bytes), Err(CborError::Nesting), "{opener:02x?}");
        }
        // Tags before a field that is known are passed over one by one.
        let mut bytes = vec![0xa1, 0x65];
        bytes.extend(b"magic");
        bytes.extend([0xc1].repeat(1_000_000));
        bytes.push(0);
        assert!(from_slice::<Hello>(&bytes).is_err());
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        for claim in [0x5b_u8, 0x7b, 0x9b, 0xbb] {
            let mut bytes = vec![0xa1, 0x68];
            bytes.extend(b"features");
            bytes.push(claim);
            bytes.extend([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
            assert!(from_slice::<Hello>(&bytes).is_err(), "{claim:02x}");
        }
    }

    #[test]
    fn every_cut_of_a_value_is_an_error() {
        let bytes = to_vec(&PeerMessage::Report(crate::wire::message::Report::Condition(
            crate::wire::message::Condition::default(),
        )))
        .expect("writable");
        for end in 0..bytes.len() {
            assert!(from_slice::<PeerMessage>(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
