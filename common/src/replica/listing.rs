//! One directory's names, as they were at one instant.
//!
//! A listing that is made while somebody renames misses names and shows others twice. So it is
//! made between two looks at the directory itself, and made again when these differ. A directory
//! that never holds still gives a listing from which no absence may be concluded.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use walkdir::WalkDir;

use crate::replica::root::stamp_of;

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
pub fn list(directory: BorrowedFd<'_>) -> io::Result<Listing> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = stamp_of(&rustix::fs::fstat(directory)?);
        let names = names(directory)?;
        let after = stamp_of(&rustix::fs::fstat(directory)?);
        let stable = before == after;
        if stable || tries == TRIES {
            return Ok(Listing { names, stable });
        }
    }
}

/// Whether the directory has not a single name.
pub fn is_empty_but_for(directory: BorrowedFd<'_>, reserved: &[u8]) -> io::Result<bool> {
    Ok(list(directory)?.names.iter().all(|name| name == reserved))
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    // The link in `/proc` leads to the open directory itself, however long its path is and
    // wherever it has been moved.
    let here = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut names = Vec::new();
    for entry in WalkDir::new(here).min_depth(1).max_depth(1).follow_links(false) {
        match entry {
            Ok(entry) => names.push(entry.file_name().as_bytes().to_vec()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(names)
}
