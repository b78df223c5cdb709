//! What stands before the content in a held edit's file.
//!
//! ```text
//! "lab3held"  format: u32  length: u32  checksum: 8 bytes  header: CBOR, `length` bytes  content
//! ```
//!
//! Numbers are big endian. The checksum is over everything of the header but itself, so that no
//! damaged path is ever acted on; the content has its digest in the header. Files of a format that
//! is unknown are left alone. The bytes are frozen by a fixture.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the head of a file")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use common::digest::Digest;
use common::wire::cbor;

use super::queue::HeldEdit;

/// How the file begins.
const MAGIC: &[u8; 8] = b"lab3held";
/// The format of the file.
pub const FORMAT: u32 = 2;
/// Bytes before the CBOR.
const FIXED_BYTES: usize = 24;
/// Longest CBOR: two links and the longest path take less than half.
const CBOR_BYTES_MAX: usize = 256 * 1024;
/// Why a file is not a held edit.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
    /// It is not a regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// It does not begin as one.
    #[error("it does not begin like a held edit")]
    Magic,
    /// A newer program wrote it.
    #[error("its format {0} is newer than this program")]
    Newer(u32),
    /// The header is cut off or changed.
    #[error("its header is damaged")]
    Checksum,
    /// The header is whole but makes no sense.
    #[error("its header makes no sense: {0}")]
    Meaning(String),
    /// The content is cut off, or more follows it.
    #[error("it has {found} bytes of content instead of {expected}")]
    Length {
        /// Bytes that the header speaks of.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
}

/// The bytes before the content.
#[must_use]
pub fn bytes(edit: &HeldEdit) -> Vec<u8> {
    let cbor = cbor::to_vec(edit).expect("a vector takes every value of the model");
    let length = u32::try_from(cbor.len()).expect("paths and links are bounded");
    let mut out = Vec::with_capacity(FIXED_BYTES + cbor.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&checksum(&out, &cbor));
    out.extend_from_slice(&cbor);
    out
}

/// Reads the header of the file that should be the held edit `seq`, and looks at its length.
pub(super) fn read(path: &Path, seq: u64) -> Result<(HeldEdit, File), HeaderError> {
    // Looked at by name first: opening a fifo would wait, and a link is not ours.
    let metadata = fs::symlink_metadata(path).map_err(HeaderError::Io)?;
    if !metadata.is_file() {
        return Err(HeaderError::NotAFile);
    }
    let mut file = File::open(path).map_err(HeaderError::Io)?;
    let mut fixed = Vec::new();
    take(&mut file, FIXED_BYTES, &mut fixed)?;
    let (magic, format, length) = fixed_parts(&fixed).ok_or(HeaderError::Magic)?;
    if magic != *MAGIC {
        return Err(HeaderError::Magic);
    }
    if format > FORMAT {
        return Err(HeaderError::Newer(format));
    }
    if length > CBOR_BYTES_MAX {
        return Err(HeaderError::Checksum);
    }
    let mut bytes = Vec::new();
    take(&mut file, length, &mut bytes)?;
    if bytes.len() != length || fixed[16..FIXED_BYTES] != checksum(&fixed[..16], &bytes) {
        return Err(HeaderError::Checksum);
    }
    let edit: HeldEdit =
        cbor::from_slice(&bytes).map_err(|error| HeaderError::Meaning(error.to_string()))?;
    if edit.seq != seq {
        return Err(HeaderError::Meaning(format!("it is held edit {}", edit.seq)));
    }
    let expected = edit.content_bytes();
    let found = metadata.len().saturating_sub((FIXED_BYTES + length) as u64);
    if expected != found {
        return Err(HeaderError::Length { expected, found });
    }
    Ok((edit, file))
}

fn take(file: &mut File, bytes: usize, into: &mut Vec<u8>) -> Result<(), HeaderError> {
    file.take(bytes as u64).read_to_end(into).map(drop).map_err(HeaderError::Io)
}

fn fixed_parts(fixed: &[u8]) -> Option<([u8; 8], u32, usize)> {
    let (magic, rest) = fixed.split_first_chunk::<8>()?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (rest.len() == 8).then_some((*magic, u32::from_be_bytes(*format), length))
}

fn checksum(fixed: &[u8], cbor: &[u8]) -> [u8; 8] {
    let digest = Digest::of(&[fixed, cbor].concat());
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&digest.0[..8]);
    checksum
}
