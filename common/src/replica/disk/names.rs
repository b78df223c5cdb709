//! The names in an open directory, from the kernel; `walkdir` stops here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use walkdir::WalkDir;

pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    // The link in `/proc` leads to the open directory itself, however long its path is and
    // wherever it has been moved.
    let here = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut names = Vec::new();
    for entry in WalkDir::new(here).min_depth(1).max_depth(1).follow_links(false) {
        match entry {
            Ok(entry) => names.push(entry.file_name().as_bytes().to_vec()),
            Err(error) => {
                let error = io::Error::from(error);
                return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
            }
        }
    }
    Ok(names)
}
