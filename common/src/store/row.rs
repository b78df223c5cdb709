//! Rows as they are kept: which table, and a seal that finds a flipped bit.
//!
//! The store beneath checks its own pages when it is opened, but not when it reads them. Each value
//! is therefore sealed together with its table and its key: a row that was damaged, or that turns
//! up under another key, is not a row. Nothing here touches the disk.

/// The tables of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// What both sides agreed on, by path.
    Archive,
    /// What a scan saw, by path. Only a cache.
    Scan,
    /// Small documents, by name.
    Docs,
    /// Locks, by id (big endian, so that they are in order).
    Locks,
}

/// Bytes of the seal in front of each value.
const SEAL_BYTES: usize = 8;

impl Table {
    /// The name on disk.
    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Archive => "archive",
            Table::Scan => "scan",
            Table::Docs => "docs",
            Table::Locks => "locks",
        }
    }
}

/// The value as it is kept: its seal, then itself.
pub(super) fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    [&seal_of(table, key, value), value].concat()
}

/// The value, if its seal is whole.
pub(super) fn unseal<'a>(table: Table, key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (seal, value) = sealed.split_first_chunk::<SEAL_BYTES>()?;
    (*seal == seal_of(table, key, value)).then_some(value)
}

fn seal_of(table: Table, key: &[u8], value: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.name().as_bytes());
    // The length keeps a byte from moving between key and value unseen.
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&hasher.finalize().as_bytes()[..SEAL_BYTES]);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_itself_only_under_its_own_table_and_key() {
        let sealed = seal(Table::Archive, b"a/b", b"value");
        assert_eq!(unseal(Table::Archive, b"a/b", &sealed), Some(b"value".as_slice()));
        assert_eq!(unseal(Table::Scan, b"a/b", &sealed), None);
        assert_eq!(unseal(Table::Archive, b"a/c", &sealed), None);
        for cut in 0..sealed.len() {
            assert_eq!(unseal(Table::Archive, b"a/b", &sealed[..cut]), None);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_row_is_found() {
        let sealed = seal(Table::Docs, b"key", b"a value of some length");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(Table::Docs, b"key", &damaged), None, "bit {bit}");
        }
    }
}
