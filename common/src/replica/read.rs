//! Reads a file so that what was read is one version of it.
//!
//! The file is looked at through its handle before and after reading, and by its name at last.
//! Only when all three agree is the content that of the name, whole. Nothing is ever waited for:
//! a fifo opens and is recognised, a file that keeps changing is left for later.

use std::io;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::digest::{Digest, Hasher};
use crate::entry::{Entry, File as FileEntry};
use crate::replica::ahead::each_piece;
use crate::replica::beside;
use crate::replica::disk::{Handle, Lease, Leased};
use crate::replica::known::Row;
use crate::replica::root::{open_file_at, stat_at};
use crate::replica::stamp::Stamp;

/// How often a file is read before it is left for later.
const TRIES: u32 = 3;

/// What came of reading a file.
#[derive(Debug)]
pub enum Content {
    /// One version, and its bytes when it is small enough to keep.
    Whole(Row, Option<Vec<u8>>),
    /// It changed while it was read, every time.
    Moving,
    /// The name now leads to something that is no regular file, or nowhere.
    Replaced,
}

/// Tells whether somebody has the file open for writing, if that can be told.
pub type WriterProbe = fn(&Handle) -> Option<bool>;

/// Asks the kernel whether somebody has the file open for writing, in whatever way.
#[must_use]
pub fn is_open_for_writing(file: &Handle) -> Option<bool> {
    match Lease::take(file) {
        Leased::Granted(_) => Some(false),
        Leased::Hot => Some(true),
        Leased::Unsupported => None,
    }
}

/// Reads the file of this name in an open directory, keeping contents of at most `keep` bytes. With
/// patience, a file that is open for writing counts as moving.
pub fn content(
    directory: &Handle,
    name: &[u8],
    keep: u64,
    probe: Option<WriterProbe>,
    patient: bool,
) -> io::Result<Content> {
    for _ in 0..TRIES {
        let file = match open_file_at(directory, name) {
            Ok(file) => file,
            Err(e) if is_replaced(&e) => return Ok(Content::Replaced),
            Err(e) => return Err(e),
        };
        if probe.is_some_and(|writes| writes(&file) == Some(true)) {
            if patient {
                return Ok(Content::Moving);
            }
            // Stores through a mapping reach the time of modification only when they are flushed.
            file.sync_data()?;
        }
        let before = file.stat()?;
        if FileType::from_raw_mode(before.mode as _) != FileType::RegularFile {
            return Ok(Content::Replaced);
        }
        let Some((digest, size, bytes)) = digest(&file, &before, before.size <= keep)? else {
            continue;
        };
        let after = file.stat()?;
        if before != after || stat_at(directory, name)? != Some(after) {
            continue;
        }
        if size != after.size {
            return Err(io::Error::other("its size is not that of its content"));
        }
        let (mode, modified) = (after.permissions(), after.modified);
        let entry = Entry::from(FileEntry { digest, size, mode, modified });
        return Ok(Content::Whole(Row { stamp: after, entry }, bytes));
    }
    Ok(Content::Moving)
}

fn is_replaced(error: &io::Error) -> bool {
    let replaced = [Errno::NOENT, Errno::LOOP, Errno::NOTDIR, Errno::NXIO, Errno::NODEV];
    Errno::from_io_error(error).is_some_and(|e| replaced.contains(&e))
}

/// Digest, size, and the bytes when they are kept.
type Digested = (Digest, u64, Option<Vec<u8>>);

/// Digests a file, and keeps it when told to; nothing when it is seen to change
/// meanwhile. Of a file that grew only so much is kept as it had.
fn digest(file: &Handle, before: &Stamp, keep: bool) -> io::Result<Option<Digested>> {
    let size = before.size;
    let mut kept = keep.then(Vec::new);
    if size >= beside::LARGE_BYTES_MIN && !keep {
        return Ok(beside::digest(file, before)?.map(|digest| (digest, size, None)));
    }
    let mut hasher = Hasher::default();
    let mut done = 0_u64;
    each_piece(file, size, &mut |piece| {
        hasher.update(piece);
        done += piece.len() as u64;
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(piece);
        }
        Ok(done <= size)
    })?;
    Ok(Some((hasher.finish(), done, kept)))
}
