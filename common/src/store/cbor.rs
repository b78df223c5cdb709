//! CBOR for what is kept on disk. Nothing else of the store knows the encoding.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a value, or a value has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// They do not parse as the type that was asked for.
    #[error("cannot read the value: {0}")]
    Parse(String),
    /// They go on after the value.
    #[error("bytes follow the value")]
    Trailing,
    /// The value cannot be written.
    #[error("cannot write the value: {0}")]
    Unwritable(String),
}

/// The bytes of a value.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CborError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .map_err(|error| CborError::Unwritable(error.to_string()))?;
    Ok(bytes)
}

/// The value that the bytes are, and nothing more.
pub fn from_slice<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, CborError> {
    let value =
        ciborium::from_reader(&mut bytes).map_err(|error| CborError::Parse(error.to_string()))?;
    if bytes.is_empty() { Ok(value) } else { Err(CborError::Trailing) }
}
