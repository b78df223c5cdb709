//! One directory's names, as they were at one instant.
//!
//! A listing that is made while somebody renames misses names and shows others twice. So it is
//! made between two looks at the directory itself, and made again when these differ. A directory
//! that never holds still gives a listing from which no absence may be concluded.

use std::io;

use crate::replica::disk::Handle;

/// How often a directory is listed before it is called unstable.
const TRIES: u32 = 4;

/// The names in a directory.
#[derive(Debug)]
pub struct Listing {
    /// The names, in no order.
    pub names: Vec<Vec<u8>>,
    /// Whether the directory held still meanwhile.
    pub stable: bool,
}

/// Lists an open directory.
pub fn list(directory: &Handle) -> io::Result<Listing> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = directory.stat()?;
        let names = directory.names()?;
        let after = directory.stat()?;
        let stable = before == after;
        if stable || tries == TRIES {
            return Ok(Listing { names, stable });
        }
    }
}

/// Whether the directory has not a single name.
pub fn is_empty_but_for(directory: &Handle, reserved: &[u8]) -> io::Result<bool> {
    Ok(list(directory)?.names.iter().all(|name| name == reserved))
}
