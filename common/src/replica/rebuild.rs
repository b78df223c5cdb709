//! A large new version from the old one at hand and the pieces that differ.
//!
//! The other end says of which chunks the new version consists, as it cuts it; those that the old
//! one has are copied from it at once, the others asked for, and everything is written in its
//! order, so that it is hashed on the way. Nothing of this is believed: the digest of the whole is
//! verified like that of any content.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;

use crate::delta::assemble::Piece;
use crate::delta::follow::{AHEAD, Follower};
use crate::limits::{DELTA_BYTES_MIN, PIECE_BYTES_MAX, PIECES_IN_FLIGHT_MAX};
use crate::replica::disk::Handle;
use crate::replica::receive::NotReceived;
use crate::replica::source::{Parts, Source};
use crate::replica::stage::StagedFile;
use crate::replica::step::Step;
use crate::wire::message::Chunk;

/// Whether chunks are worth their trouble for a new version of this size.
pub(super) fn is_worth_it(size: u64) -> bool {
    size >= DELTA_BYTES_MIN
}

/// Fills the staged file. `Ok(false)`: the other end does not say of which chunks the content is.
pub(super) fn rebuild(
    source: &mut dyn Source,
    old: &Handle,
    staged: &mut StagedFile,
    size: u64,
) -> Result<bool, NotReceived> {
    let Some(parts) = source.recipe(size)? else { return Ok(false) };
    let mut target = Target { parts, chunks: VecDeque::new(), is_over: false };
    let mut read = |from, buffer: &mut [u8]| read_old(old, from, buffer);
    let mut follower = Some(Follower::new(&mut read));
    let mut work = Work { source, old, staged, todo: VecDeque::new(), last: None, asked: 0 };
    let mut at = 0;
    while let Some(ahead) = target.ahead()? {
        let (chunk, length) = (ahead[0], u64::from(ahead[0].length));
        if length > size - at {
            return Err(NotReceived::Moved);
        }
        let found = follower.as_mut().map(|follower| follower.find(ahead));
        let found = found.transpose().unwrap_or_else(|_| {
            // What cannot be read is not at hand.
            follower = None;
            None
        });
        match (chunk.mark, found.flatten(), &mut follower) {
            (None, ..) => work.hole(at, length)?,
            (Some(_), Some(from), Some(follower)) => {
                let bytes = follower.bytes(from, chunk.length as usize);
                work.have(from, at, bytes.step("read the old version")?, length)?;
            }
            (Some(_), ..) => work.fetch(at, chunk.length)?,
        }
        target.chunks.pop_front();
        at += length;
    }
    if at != size {
        return Err(NotReceived::Moved);
    }
    work.end()?;
    Ok(true)
}

fn read_old(old: &Handle, from: u64, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match old.read_at(buffer, from) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// The chunks of the new version, as they arrive.
struct Target {
    parts: Parts,
    chunks: VecDeque<Chunk>,
    is_over: bool,
}

impl Target {
    /// The next chunk and those behind it; `None` behind the last.
    fn ahead(&mut self) -> Result<Option<&[Chunk]>, NotReceived> {
        while !self.is_over && self.chunks.len() <= AHEAD {
            match self.parts.next() {
                Some(part) => self.chunks.extend(part?.iter().filter(|chunk| chunk.length > 0)),
                None => self.is_over = true,
            }
        }
        let chunks = &*self.chunks.make_contiguous();
        let ahead = &chunks[..chunks.len().min(AHEAD + 1)];
        Ok((!ahead.is_empty()).then_some(ahead))
    }
}

/// What is written, in order: at once, or behind what was asked for and has not come.
struct Work<'w> {
    source: &'w mut dyn Source,
    old: &'w Handle,
    staged: &'w mut StagedFile,
    todo: VecDeque<Piece>,
    /// Will be asked for when it grows no more.
    last: Option<(u64, u32)>,
    /// Pieces in `todo` that were asked for.
    asked: usize,
}

impl Work<'_> {
    fn have(&mut self, from: u64, at: u64, bytes: &[u8], length: u64) -> Result<(), NotReceived> {
        self.settle()?;
        self.go_on(false)?;
        if self.todo.is_empty() {
            if bytes.len() as u64 != length {
                return Err(NotReceived::Moved);
            }
            return Ok(self.staged.write(at, bytes).step("write the staged file")?);
        }
        self.todo.push_back(Piece::Have { from, at, length });
        Ok(())
    }

    fn hole(&mut self, at: u64, length: u64) -> Result<(), NotReceived> {
        self.settle()?;
        self.todo.push_back(Piece::Hole { at, length });
        self.go_on(false)
    }

    fn fetch(&mut self, mut at: u64, mut length: u32) -> Result<(), NotReceived> {
        const MAX: u32 = PIECE_BYTES_MAX as u32;
        while length > 0 {
            let (start, before) = self.last.unwrap_or((at, 0));
            let part = length.min(MAX - before);
            self.last = Some((start, before + part));
            (at, length) = (at + u64::from(part), length - part);
            if before + part == MAX {
                self.settle()?;
            }
        }
        self.go_on(false)
    }

    /// Asks for what grows no more.
    fn settle(&mut self) -> Result<(), NotReceived> {
        let Some((at, length)) = self.last.take() else { return Ok(()) };
        while self.asked >= PIECES_IN_FLIGHT_MAX {
            self.step(true)?;
        }
        self.source.ask(at, length);
        self.asked += 1;
        self.todo.push_back(Piece::Fetch { at, length });
        Ok(())
    }

    fn end(&mut self) -> Result<(), NotReceived> {
        self.settle()?;
        self.go_on(true)
    }

    /// Writes what can be written.
    fn go_on(&mut self, patient: bool) -> Result<(), NotReceived> {
        while self.step(patient)? {}
        Ok(())
    }

    /// Writes the first of what is to be written, if it is there.
    fn step(&mut self, patient: bool) -> Result<bool, NotReceived> {
        match self.todo.front() {
            None => return Ok(false),
            Some(&Piece::Fetch { at, .. }) => {
                let Some(bytes) = self.source.take(patient)? else { return Ok(false) };
                self.asked -= 1;
                self.staged.write(at, &bytes).step("write the staged file")?;
            }
            Some(&Piece::Have { from, at, length }) => self.copy(from, at, length)?,
            Some(&Piece::Hole { at, length }) => self.zeros(at, length)?,
        }
        self.todo.pop_front();
        Ok(true)
    }

    fn copy(&mut self, from: u64, at: u64, length: u64) -> Result<(), NotReceived> {
        self.in_parts(length, |work, buffer, done| {
            work.old.read_exact_at(buffer, from + done).step("read the old version")?;
            Ok(work.staged.write(at + done, buffer).step("write the staged file")?)
        })
    }

    fn zeros(&mut self, at: u64, length: u64) -> Result<(), NotReceived> {
        self.in_parts(length, |work, zeros, done| {
            Ok(work.staged.write(at + done, zeros).step("write the staged file")?)
        })
    }

    fn in_parts(
        &mut self,
        length: u64,
        mut each: impl FnMut(&mut Self, &mut [u8], u64) -> Result<(), NotReceived>,
    ) -> Result<(), NotReceived> {
        let most = usize::try_from(length).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
        let mut buffer = vec![0; most];
        let mut done = 0;
        while done < length {
            let count = most.min(usize::try_from(length - done).unwrap_or(usize::MAX));
            each(self, &mut buffer[..count], done)?;
            done += count as u64;
        }
        Ok(())
    }
}
