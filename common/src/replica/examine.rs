//! Reading one path closely enough to act on it.
//!
//! A file that keeps its stamp from before the reading until after it was read whole as one
//! version. This is the committer's own look: what it finds is compared, never reported.

use std::io;

use rustix::fs::FileType;

use crate::digest::{Digest, Hasher};
use crate::entry::{self, Entry};
use crate::replica::ahead::each_piece;
use crate::replica::disk::Handle;
use crate::replica::known::Row;
use crate::replica::root::{open_file_at, read_link_at, stat_at};
use crate::replica::stamp::Stamp;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// An entry.
    There(Row),
    /// A file that changed while it was read, or a name that changed hands.
    Moving,
    /// A fifo, socket or device.
    Special,
}

/// Looks at a name in a directory; does not read a file again whose row still fits.
pub fn examine(dir: &Handle, name: &[u8], known: Option<&Row>) -> io::Result<Seen> {
    let Some(stamp) = stat_at(dir, name)? else { return Ok(Seen::Nothing) };
    if let Some(row) = known
        && row.stamp == stamp
    {
        return Ok(Seen::There(row.clone()));
    }
    match kind(&stamp) {
        FileType::RegularFile => examine_file(dir, name, stamp),
        FileType::Directory => {
            let entry = Entry::Dir { mode: stamp.permissions() };
            Ok(Seen::There(Row { stamp, entry }))
        }
        FileType::Symlink => {
            let target = match read_link_at(dir, name) {
                Ok(target) => target.into(),
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(Seen::Moving),
                Err(e) => return Err(e),
            };
            let entry = Entry::from(entry::Link { target, modified: stamp.modified });
            Ok(Seen::There(Row { stamp, entry }))
        }
        _ => Ok(Seen::Special),
    }
}

fn examine_file(dir: &Handle, name: &[u8], stamp: Stamp) -> io::Result<Seen> {
    let file = open_file_at(dir, name)?;
    if file.stat()? != stamp {
        return Ok(Seen::Moving);
    }
    let digest = digest_of(&file, stamp.size)?;
    let unmoved = file.stat()? == stamp && stat_at(dir, name)?.as_ref() == Some(&stamp);
    if !unmoved {
        return Ok(Seen::Moving);
    }
    Ok(Seen::There(Row { stamp, entry: file_entry(digest, &stamp) }))
}

/// The entry of a file whose content and stamp are known.
#[must_use]
pub fn file_entry(digest: Digest, stamp: &Stamp) -> Entry {
    Entry::from(entry::File {
        digest,
        size: stamp.size,
        mode: stamp.permissions(),
        modified: stamp.modified,
    })
}

/// The digest of a whole file, which is expected to have this size. Reads without moving the
/// file's position.
pub fn digest_of(file: &Handle, size: u64) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    each_piece(file, size, &mut |piece| {
        hasher.update(piece);
        Ok(true)
    })?;
    Ok(hasher.finish())
}

/// The kind of inode that a stamp is of.
#[must_use]
pub fn kind(stamp: &Stamp) -> FileType {
    FileType::from_raw_mode(stamp.mode as _)
}
