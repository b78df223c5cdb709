//! CBOR for the values of the store. Nothing else of the store knows the encoding.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum CborError {
    /// They do not parse as the type that was asked for.
    #[error("cannot read the value: {0}")]
    Parse(String),
    /// They go on after the value.
    #[error("bytes follow the value")]
    Trailing,
}

/// The bytes of a value.
pub(super) fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector takes every value of the model");
    bytes
}

/// The value that the bytes are, and nothing more.
pub(super) fn from_slice<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, CborError> {
    let value =
        ciborium::from_reader(&mut bytes).map_err(|error| CborError::Parse(error.to_string()))?;
    if bytes.is_empty() { Ok(value) } else { Err(CborError::Trailing) }
}
