//! Rows of a file that only grows, as bytes. Pure.
//!
//! A file begins with what it is. Each row is a mark, a length, a check, and a CBOR value. What is
//! torn at the end, and what is damaged anywhere, is passed over to the next whole row; nothing is
//! ever half believed.

use common::digest::Digest;
use common::wire::cbor;
use serde::Serialize;
use serde::de::DeserializeOwned;

const MARK: [u8; 4] = [0xff, b'l', b'3', b'j'];
const CHECK_BYTES: usize = 8;
const HEAD_BYTES: usize = MARK.len() + 4 + CHECK_BYTES;
/// Larger than any row: two paths and some text.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The whole rows, in order.
    pub rows: Vec<T>,
    /// Where the last whole row ends.
    pub end: usize,
    /// How many bytes before that belong to no whole row.
    pub damaged: usize,
    /// Whether the file is of another format, which is left alone.
    pub foreign: bool,
}

/// Appends a row.
pub fn append<T: Serialize>(row: &T, bytes: &mut Vec<u8>) {
    // Plain values can always be written; a row that could not would be no row.
    let Ok(body) = cbor::to_vec(row) else { return };
    let Ok(length) = u32::try_from(body.len()) else { return };
    if body.len() > BODY_BYTES_MAX {
        return;
    }
    bytes.extend(MARK);
    bytes.extend(length.to_be_bytes());
    bytes.extend(check(&body));
    bytes.extend(body);
}

/// Reads the rows of a file that begins with this header.
#[must_use]
pub fn parse<T: DeserializeOwned>(header: &[u8], bytes: &[u8]) -> Parsed<T> {
    let mut parsed = Parsed { rows: Vec::new(), end: 0, damaged: 0, foreign: false };
    let Some(rest) = bytes.strip_prefix(header) else {
        // A file that a crash left without its whole header has no row either.
        parsed.foreign = !header.starts_with(bytes);
        return parsed;
    };
    parsed.end = header.len();
    let mut at = 0;
    while at < rest.len() {
        if let Some((row, length)) = row_at(&rest[at..]) {
            parsed.damaged += header.len() + at - parsed.end;
            at += length;
            parsed.end = header.len() + at;
            parsed.rows.push(row);
        } else {
            let next = rest[at + 1..].windows(MARK.len()).position(|window| window == MARK);
            at = next.map_or(rest.len(), |next| at + 1 + next);
        }
    }
    parsed
}

fn row_at<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, usize)> {
    let (mark, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if *mark != MARK || length > BODY_BYTES_MAX {
        return None;
    }
    let body = rest.get(..length)?;
    if check(body) != *sum {
        return None;
    }
    Some((cbor::from_slice(body).ok()?, HEAD_BYTES + length))
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&Digest::of(body).0[..CHECK_BYTES]);
    check
}
