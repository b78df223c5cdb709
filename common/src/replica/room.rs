//! Room that is left on the disk for its user: what the other side sends is not taken in where it
//! would be less.
//!
//! The file system is asked how much is free. While that is much more, it is asked again after a
//! second, or after much was written, since others write, too: so many small files cost no call
//! each. Holes take nothing, so no size that somebody says counts, but only what is written. What
//! is given up half way is not begun again before as much as that would fit.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::limits::{SPARED_BYTES_MAX, SPARED_NAMES_MAX, SPARED_PERCENT};
use crate::replica::disk::Handle;

/// What a new name takes of the disk beside its content, at least: a block.
const NAME_BYTES: u64 = 4096;
/// What the file system says counts for so long …
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// … and so many bytes (each name counts as a block), and only while twice as much is left …
const COUNTS_BYTES: u64 = 64 * 1024 * 1024;
/// … also for the names that go into these bytes.
const COUNTS_NAMES: u64 = COUNTS_BYTES / NAME_BYTES;
/// Contents of which it is remembered that they did not fit.
const MISFITS_MAX: usize = 1024;
/// A content that was given up earlier than this may as well be begun again.
const MISFIT_BYTES_MIN: u64 = 1024 * 1024;

/// How much is to stay free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spared {
    /// A hundredth of the disk, within bounds.
    #[default]
    Usual,
    /// So many bytes; 0 is nothing.
    Bytes(u64),
}

impl Spared {
    /// What the option says, in MiB.
    #[must_use]
    pub fn of(min_free: Option<u64>) -> Spared {
        min_free.map_or(Spared::Usual, |mebibytes| Spared::Bytes(mebibytes.saturating_mul(1 << 20)))
    }
}

/// The room on one file system.
#[derive(Debug)]
pub struct Room {
    /// Anything open on it, and how it is called in messages.
    place: Option<(Handle, PathBuf)>,
    spared: Spared,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the file system was asked, if there was much room, and what was taken since.
    asked: Option<Instant>,
    taken: u64,
    /// What had been written of contents when there was no room for more of them.
    misfits: BTreeMap<Digest, u64>,
}

/// Why there is no room.
#[derive(Debug, thiserror::Error)]
enum Full {
    #[error("`{}` has {} left, and {} are to stay free{}: make room there, or see `--min-free`",
        .place.display(), mebibytes(*.free), mebibytes(*.spared), but_needs(*.needed))]
    Bytes { place: PathBuf, free: u64, spared: u64, needed: u64 },
    #[error("`{}` has {free} inodes left, and {spared} are to stay free: remove files there, or \
        see `--min-free`", .place.display())]
    Names { place: PathBuf, free: u64, spared: u64 },
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

fn but_needs(bytes: u64) -> String {
    if bytes < MISFIT_BYTES_MIN {
        return String::new();
    }
    format!(", but it needs at least {}", mebibytes(bytes))
}

impl Room {
    /// The room on the file system of something open, which is called so in messages.
    #[must_use]
    pub fn on(disk: Handle, place: PathBuf, spared: Spared) -> Room {
        Room { place: Some((disk, place)), spared, state: Mutex::default() }
    }

    /// Room without end, as far as we care.
    #[must_use]
    pub fn boundless() -> Room {
        Room { place: None, spared: Spared::Bytes(0), state: Mutex::default() }
    }

    /// Takes room for a new name.
    pub fn take_name(&self) -> io::Result<()> {
        self.take(NAME_BYTES, 1)
    }

    /// Takes room for content.
    pub fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        self.take(bytes, 0)
    }

    /// Takes room for something whole, with its name.
    pub fn take_whole(&self, bytes: u64) -> io::Result<()> {
        self.take(bytes.saturating_add(NAME_BYTES), 1)
    }

    /// Whether a content may be begun: no, while it is known that it would not fit.
    pub fn begin(&self, content: &Digest) -> io::Result<()> {
        let mut state = self.lock();
        let Some(needed) = state.misfits.get(content).copied() else { return Ok(()) };
        self.ask(&mut state, needed, 0)?;
        state.misfits.remove(content);
        Ok(())
    }

    /// There was no room for more than so much of a content.
    pub fn gave_up(&self, content: Digest, written: u64) {
        if written >= MISFIT_BYTES_MIN && self.spared != Spared::Bytes(0) {
            let mut state = self.lock();
            state.misfits.insert(content, written);
            if state.misfits.len() > MISFITS_MAX {
                state.misfits.pop_first();
            }
        }
    }

    fn take(&self, bytes: u64, names: u64) -> io::Result<()> {
        if self.place.is_none() || self.spared == Spared::Bytes(0) {
            return Ok(());
        }
        let mut state = self.lock();
        let taken = state.taken.saturating_add(bytes);
        let is_recent = state.asked.is_some_and(|asked| asked.elapsed() < COUNTS_FOR);
        if !is_recent || taken > COUNTS_BYTES {
            return self.ask(&mut state, bytes, names);
        }
        state.taken = taken;
        Ok(())
    }

    /// Asks how much is free, and whether so much may be taken of it.
    fn ask(&self, state: &mut State, bytes: u64, names: u64) -> io::Result<()> {
        let Some((disk, place)) = &self.place else { return Ok(()) };
        // Where that is not said, the disk itself has the last word.
        let Some(Ok(now)) = disk.descriptor().map(rustix::fs::fstatvfs) else { return Ok(()) };
        if now.f_blocks == 0 {
            return Ok(());
        }
        let block = now.f_frsize.max(1);
        let free = now.f_bavail.saturating_mul(block);
        let spared = match self.spared {
            Spared::Bytes(bytes) => bytes,
            Spared::Usual => {
                let share = now.f_blocks.saturating_mul(block) / 100 * SPARED_PERCENT;
                share.min(SPARED_BYTES_MAX)
            }
        };
        // Some file systems make inodes as they need them, and say that there are none.
        let (free_names, spared_names) = match now.f_files {
            0 => (u64::MAX, 0),
            all => (now.f_favail, (all / 100 * SPARED_PERCENT).min(SPARED_NAMES_MAX)),
        };
        let left = free.saturating_sub(spared);
        let names_left = free_names.saturating_sub(spared_names);
        let is_much = left > COUNTS_BYTES.saturating_mul(2) && names_left > COUNTS_NAMES * 2;
        state.asked = is_much.then(Instant::now);
        state.taken = bytes;
        let place = || place.clone();
        let full = match () {
            () if left < bytes => Full::Bytes { place: place(), free, spared, needed: bytes },
            () if names_left < names => {
                Full::Names { place: place(), free: free_names, spared: spared_names }
            }
            () => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::StorageFull, full))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
