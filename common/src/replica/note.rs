//! Small records beside files: what is under way in `stage/`, what lies in `trash/`.
//!
//! A record is a symbolic link whose target is the record. It is made by one call, so it is there
//! whole or not at all; and as it is metadata, a journaling file system never keeps a later rename
//! without it. That is why no record is ever flushed by itself. Only what is longer than a link
//! may be (a very deep path) becomes a file, and that one is flushed.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::limits::{LINK_BYTES_MAX, PATH_BYTES_MAX};
use crate::replica::root::{open_file_at, read_link_at};

/// Writes a record under a new name. It must not be empty and must not hold a zero byte.
pub fn write(dir: BorrowedFd<'_>, name: &[u8], record: &[u8]) -> io::Result<()> {
    if record.len() < LINK_BYTES_MAX {
        return Ok(rustix::fs::symlinkat(record, dir, name)?);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(fd);
    file.write_all(record)?;
    file.sync_all()?;
    Ok(rustix::fs::fsync(dir)?)
}

/// Reads a record.
pub fn read(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    match read_link_at(dir, name) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
            let mut record = Vec::new();
            let limit = (PATH_BYTES_MAX + LINK_BYTES_MAX) as u64;
            open_file_at(dir, name)?.take(limit).read_to_end(&mut record)?;
            Ok(record)
        }
        other => other,
    }
}

/// Removes a record; one that is not there is removed.
pub fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// The names in a directory, without `.` and `..`.
pub fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
