//! Receiving content aside: what is in `stage/` is invisible until it is whole.
//!
//! Names in `stage/` are random, made new and never followed, so a link that somebody put there
//! leads nothing astray. `n-…` is new and not ours to keep; `q-…` was taken out of the tree and
//! must never be deleted unseen; `….intent` says what is under way with the name before the dot.
//! Of permissions only the nine bits are taken over: no set-id bit ever comes from the other side.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::{Digest, Hasher};
use crate::entry::{self, Entry};
use crate::limits::PIECE_BYTES_MAX;
use crate::replica::disk::{Handle, Open};
use crate::replica::examine::digest_of;
use crate::replica::room::Room;
use crate::replica::root::{open_file_at, stat_at};
use crate::replica::stamp::Stamp;
use crate::replica::step::{Step, StepError};
use crate::sys::write_out;

/// Aligned runs of zero bytes of this length become holes.
const HOLE_BYTES_MIN: usize = 4096;

/// A file of this size passes through memory: its writing begins while it is being received, so
/// that the flush has little left to do, and what users read stays in memory instead.
const PASSING_BYTES_MIN: u64 = 8 << 20;

/// So much of what does not arrive in whole pages is written together.
const TOGETHER_BYTES: usize = PIECE_BYTES_MAX;

/// The open `stage/` of one replica, on the file system of its root.
#[derive(Clone, Debug)]
pub struct Stage {
    dir: Handle,
    run: u64,
    next: Arc<AtomicU64>,
    room: Arc<Room>,
}

/// When the content of a staged file goes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Before it counts as staged.
    Now,
    /// It sets out, and is waited for later.
    Begun,
    /// With all others of its group, by a flush of the file system. To send each on its way would
    /// be a request to the disk for each.
    Together,
}

/// A file that is being received.
pub struct StagedFile {
    file: Handle,
    name: Vec<u8>,
    size: u64,
    hasher: Hasher,
    /// Everything before it has arrived in order and is hashed.
    hashed: u64,
    in_order: bool,
    /// What was not written yet is zero.
    empty: bool,
    /// The file ends here, as far as is known; what was left out at its end does not count.
    end: Option<u64>,
    /// The last bytes that arrived, which are not written yet: they end at `hashed`. A page that
    /// passes through memory in two halves would have to come back for the second.
    rest: Vec<u8>,
    /// Where room is taken for it; not for what may use up all that there is.
    room: Option<Arc<Room>>,
    /// Bytes for which there was room.
    written: u64,
}

/// Something whole in `stage/`, not yet published.
#[derive(Clone, Debug)]
pub struct Staged {
    /// Its name in `stage/`.
    pub name: Vec<u8>,
    /// Its stamp.
    pub stamp: Stamp,
}

/// Why a received file is not what was announced.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Its content is another.
    #[error("the content that arrived is not the one that was announced")]
    Other,
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

impl Stage {
    /// Takes the open directory; `run` is random.
    #[must_use]
    pub fn new(dir: Handle, run: u64) -> Stage {
        Stage { dir, run, next: Arc::default(), room: Arc::new(Room::boundless()) }
    }

    /// The same, which takes in nothing for which there is no room.
    #[must_use]
    pub fn within(self, room: Room) -> Stage {
        Stage { room: Arc::new(room), ..self }
    }

    /// The room that there is for what is received.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The handle on `stage/`.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.dir
    }

    /// A fresh name for something new.
    #[must_use]
    pub fn new_name(&self) -> Vec<u8> {
        self.fresh('n')
    }

    /// A fresh name for something that is taken out of the tree.
    #[must_use]
    pub fn quarantine_name(&self) -> Vec<u8> {
        self.fresh('q')
    }

    /// The name for what makes room for something staged; no other has its number.
    pub(super) fn aside_of(name: &[u8]) -> Vec<u8> {
        [b"q", name.get(1..).unwrap_or_default()].concat()
    }

    /// Starts receiving a file of `size` bytes.
    pub fn file(&self, size: u64) -> Result<StagedFile, StepError> {
        self.room.take_name().step("receive it")?;
        Ok(StagedFile { room: Some(self.room.clone()), ..self.file_of_ours(size)? })
    }

    /// Starts writing a file of what is on our disk already and leaves its place for this one. It
    /// may use up all room that there is.
    pub fn file_of_ours(&self, size: u64) -> Result<StagedFile, StepError> {
        let name = self.new_name();
        let file = self.dir.open_at(&name, Open::New).step("create a file in `.lab3/stage`")?;
        let hasher = Hasher::default();
        let (in_order, empty, end) = (true, true, Some(0));
        let (hashed, rest, room, written) = (0, Vec::new(), None, 0);
        Ok(StagedFile {
            file,
            name,
            size,
            hasher,
            hashed,
            in_order,
            empty,
            end,
            rest,
            room,
            written,
        })
    }

    /// Stages a link.
    pub fn link(&self, link: &entry::Link) -> Result<Staged, StepError> {
        self.room.take_name().step("receive it")?;
        let name = self.new_name();
        self.dir.make_link(&link.target, &name).step("create a link in `.lab3/stage`")?;
        let _ = self.dir.set_modified_at(&name, link.modified);
        self.look(name)
    }

    /// Stages a directory. It stays writable for us until it is published: one that is not cannot
    /// be moved to another parent.
    pub fn directory(&self, mode: u32) -> Result<Staged, StepError> {
        self.room.take_name().step("receive it")?;
        let name = self.new_name();
        self.dir.make_directory(&name, 0o700).step("create a directory in `.lab3/stage`")?;
        self.dir
            .set_mode_at(&name, mode & 0o777 | 0o700)
            .step("set the mode of the staged directory")
            .inspect_err(|_| self.discard(&name))?;
        self.look(name)
    }

    /// Removes something that was never published. What cannot be removed is left to recovery.
    pub fn discard(&self, name: &[u8]) {
        if self.dir.remove(name).is_err() {
            let _ = self.dir.remove_directory(name);
        }
    }

    /// The names in `stage/`.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.dir.names()?)
    }

    /// Waits until the content of something staged has left for the disk.
    pub(super) fn written(&self, staged: &Staged) {
        // What cannot be opened is a link or a directory.
        if let Ok(file) = open_file_at(self.handle(), &staged.name)
            && let Some(file) = file.descriptor()
        {
            write_out(file, true);
        }
    }

    fn look(&self, name: Vec<u8>) -> Result<Staged, StepError> {
        let stamp = stat_at(self.handle(), &name)
            .and_then(|s| s.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .step("look at what was staged")
            .inspect_err(|_| self.discard(&name))?;
        Ok(Staged { name, stamp })
    }

    fn fresh(&self, sort: char) -> Vec<u8> {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{sort}-{:016x}-{count:x}", self.run).into_bytes()
    }
}

impl StagedFile {
    /// Its name in `stage/`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The open file, for who can fill it faster than by [`StagedFile::write`].
    #[must_use]
    pub fn file(&self) -> &Handle {
        &self.file
    }

    /// Says that the file was filled by other means: it will be read to be verified.
    pub fn filled(&mut self) {
        self.in_order = false;
        self.empty = false;
        self.end = None;
    }

    /// Writes a piece; no byte is written twice. Zeros are left out, so that a sparse file stays
    /// sparse.
    pub fn write(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        if offset.checked_add(piece.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more content than announced"));
        }
        if offset == self.hashed {
            self.hasher.update(piece);
            self.hashed += piece.len() as u64;
            return self.append(offset, piece);
        }
        self.in_order = false;
        self.write_rest(0)?;
        self.write_sparse(offset, piece)
    }

    /// Writes what follows on all before it, at once or with what comes next.
    fn append(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        let is_even = |bytes: u64| bytes.is_multiple_of(HOLE_BYTES_MIN as u64);
        let at_end = self.hashed == self.size;
        let whole = is_even(offset) && (at_end || is_even(piece.len() as u64));
        if self.size < PASSING_BYTES_MIN || (self.rest.is_empty() && whole) {
            return self.write_sparse(offset, piece);
        }
        self.rest.extend_from_slice(piece);
        match (at_end, self.rest.len() >= TOGETHER_BYTES) {
            (true, _) => self.write_rest(0),
            // What is written ends with a page, wherever it begins.
            (false, true) => self.write_rest((self.hashed % HOLE_BYTES_MIN as u64) as usize),
            (false, false) => Ok(()),
        }
    }

    /// Writes what was not yet, but for so many bytes at its end.
    fn write_rest(&mut self, kept: usize) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        let count = rest.len().saturating_sub(kept);
        if count > 0 {
            self.write_sparse(self.hashed - rest.len() as u64, &rest[..count])?;
        }
        rest.drain(..count);
        self.rest = rest;
        Ok(())
    }

    /// Bytes for which there was room.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Verifies the content, sets mode and time, and flushes.
    pub fn finish(mut self, file: &entry::File, flush: Flush) -> Result<Staged, StageError> {
        self.write_rest(0).step("write the staged file")?;
        if self.end != Some(self.size) {
            self.file.set_len(self.size).step("give the staged file its size")?;
        }
        if self.digest()? != file.digest || self.size != file.size {
            return Err(StageError::Other);
        }
        self.file.set_mode(file.mode & 0o777).step("set the mode of the staged file")?;
        self.file.set_modified(file.modified).step("set the time of the staged file")?;
        match (flush, self.file.descriptor()) {
            (Flush::Now, _) => self.file.sync().step("flush the staged file")?,
            (Flush::Begun, Some(file)) => write_out(file, false),
            (Flush::Begun, None) | (Flush::Together, _) => {}
        }
        let stamp = self.file.stat().step("look at the staged file")?;
        Ok(Staged { name: self.name, stamp })
    }

    fn digest(&self) -> Result<Digest, StepError> {
        if self.in_order && self.hashed == self.size {
            return Ok(self.hasher.finish());
        }
        digest_of(&self.file, self.size).step("read the staged file again")
    }

    fn write_out(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(room) = &self.room {
            room.take_bytes(bytes.len() as u64)?;
        }
        self.written += bytes.len() as u64;
        match self.size >= PASSING_BYTES_MIN {
            true => self.file.pass_all_at(bytes, offset),
            false => self.file.write_all_at(bytes, offset),
        }
    }

    /// Writes what is not zero.
    fn write_sparse(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        let written = self.write_data(offset, piece)?;
        self.end = self.end.map(|end| end.max(written));
        Ok(())
    }

    /// Writes what is not zero; answers where the last of it ends, or 0.
    fn write_data(&mut self, offset: u64, piece: &[u8]) -> io::Result<u64> {
        // What was written before must be overwritten, even by zeros.
        if !self.empty {
            self.write_out(piece, offset)?;
            return Ok(offset + piece.len() as u64);
        }
        let lead = (HOLE_BYTES_MIN as u64 - offset % HOLE_BYTES_MIN as u64) % HOLE_BYTES_MIN as u64;
        let (head, body) = piece.split_at(piece.len().min(lead as usize));
        let start = offset + head.len() as u64;
        let mut end = 0;
        if !head.is_empty() {
            self.write_out(head, offset)?;
            end = start;
        }
        let mut data: Option<usize> = None;
        let mut write = |from: usize, to: usize| {
            end = start + to as u64;
            self.write_out(&body[from..to], start + from as u64)
        };
        for (i, block) in body.chunks(HOLE_BYTES_MIN).enumerate() {
            let at = i * HOLE_BYTES_MIN;
            let hole = block.len() == HOLE_BYTES_MIN && block.iter().all(|&b| b == 0);
            match (hole, data) {
                (false, None) => data = Some(at),
                (true, Some(from)) => {
                    write(from, at)?;
                    data = None;
                }
                _ => {}
            }
        }
        if let Some(from) = data {
            write(from, body.len())?;
        }
        Ok(end)
    }
}

/// The permission bits and the time that are taken over from an entry of the other side.
#[must_use]
pub fn plain(entry: &Entry) -> Entry {
    match entry {
        Entry::File(file) => Entry::from(entry::File { mode: file.mode & 0o777, ..**file }),
        Entry::Dir { mode } => Entry::Dir { mode: mode & 0o777 },
        Entry::Link(_) => entry.clone(),
    }
}
