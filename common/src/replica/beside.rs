//! The digest of a large file, by all processors at once.
//!
//! The digest is a tree, so parts of the file are digested side by side, each by whoever is free.
//! They are taken in their order: to the disk it is one reader.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::digest::{Digest, Part};
use crate::replica::disk::Handle;
use crate::replica::stamp::Stamp;

/// From this size on more threads are worth their start.
pub(super) const LARGE_BYTES_MIN: u64 = 16 << 20;

/// More threads would only wait for memory.
const THREADS_MAX: usize = 4;
/// So often it is looked whether the file still is the one that reading began with: one that is
/// being written is not read to its end in vain.
const LOOK_EVERY_PARTS: u64 = (8 << 20) / Part::BYTES as u64;

/// The digest of a large file that has this stamp; nothing when it is seen to change meanwhile.
pub(super) fn digest(file: &Handle, stamp: &Stamp) -> io::Result<Option<Digest>> {
    let work = Work { file, stamp, next: AtomicU64::new(0), is_over: AtomicBool::new(false) };
    let count = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let done: Vec<io::Result<Option<Done>>> =
        thread::scope(|scope| {
            let others: Vec<_> = (1..count).map(|_| scope.spawn(|| work.take_part())).collect();
            let mut done = vec![work.take_part()];
            done.extend(others.into_iter().map(|other| {
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }));
            done
        });
    // Who could not read says so, whatever the others, who were stopped by that, have to say.
    let done: Vec<Option<Done>> = done.into_iter().collect::<io::Result<_>>()?;
    let Some(done) = done.into_iter().collect::<Option<Vec<Done>>>() else { return Ok(None) };
    let mut parts = done.concat();
    parts.sort_by_key(|(number, _)| *number);
    let parts: Vec<Part> = parts.into_iter().map(|(_, part)| part).collect();
    Ok(Some(Part::whole(&parts)))
}

/// Parts with their numbers.
type Done = Vec<(u64, Part)>;

struct Work<'f> {
    file: &'f Handle,
    stamp: &'f Stamp,
    next: AtomicU64,
    /// It changed, or cannot be read.
    is_over: AtomicBool,
}

impl Work<'_> {
    /// Digests parts until there are no more.
    fn take_part(&self) -> io::Result<Option<Done>> {
        let parts = self.digest_parts();
        if !matches!(parts, Ok(Some(_))) {
            self.is_over.store(true, Ordering::Relaxed);
        }
        parts
    }

    fn digest_parts(&self) -> io::Result<Option<Done>> {
        let mut buffer = vec![0; Part::BYTES];
        let mut parts = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let offset = number * Part::BYTES as u64;
            if offset >= self.stamp.size {
                return Ok(Some(parts));
            }
            if number % LOOK_EVERY_PARTS == LOOK_EVERY_PARTS - 1 && self.file.stat()? != *self.stamp
            {
                return Ok(None);
            }
            let length = (self.stamp.size - offset).min(Part::BYTES as u64) as usize;
            match self.file.read_exact_at(&mut buffer[..length], offset) {
                // It is shorter than it was.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            parts.push((number, Part::of(number, &buffer[..length])));
        }
        Ok(None)
    }
}
