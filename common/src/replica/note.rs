//! Small records beside files: what is under way in `stage/`, what lies in `trash/`.
//!
//! A record is a symbolic link whose target is the record. It is made by one call, so it is there
//! whole or not at all; and as it is metadata, a journaling file system never keeps a later rename
//! without it. That is why no record is ever flushed by itself. Only what is longer than a link
//! may be (a very deep path) becomes a file, and that one is flushed.

use std::io::{self, Read};

use rustix::io::Errno;

use crate::limits::{LINK_BYTES_MAX, PATH_BYTES_MAX};
use crate::replica::disk::{Handle, Open};
use crate::replica::root::{open_file_at, read_link_at};

/// Writes a record under a new name. It must not be empty and must not hold a zero byte.
pub fn write(dir: &Handle, name: &[u8], record: &[u8]) -> io::Result<()> {
    if record.len() < LINK_BYTES_MAX {
        return Ok(dir.make_link(record, name)?);
    }
    let file = dir.open_at(name, Open::New)?;
    file.write_all_at(record, 0)?;
    file.sync()?;
    Ok(dir.sync()?)
}

/// Reads a record.
pub fn read(dir: &Handle, name: &[u8]) -> io::Result<Vec<u8>> {
    match read_link_at(dir, name) {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::INVAL) => {
            let mut record = Vec::new();
            let limit = (PATH_BYTES_MAX + LINK_BYTES_MAX) as u64;
            open_file_at(dir, name)?.reader().take(limit).read_to_end(&mut record)?;
            Ok(record)
        }
        other => other,
    }
}

/// Removes a record; one that is not there is removed.
pub fn remove(dir: &Handle, name: &[u8]) -> io::Result<()> {
    match dir.remove(name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
