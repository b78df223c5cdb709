//! Which chunks of a content an older one has, found out while the recipe is still arriving.
//!
//! The one idea: two versions are mostly the same, in the same order. So the older one is walked
//! along: where its next bytes have the mark of the next chunk, they are that chunk, and nothing
//! has to be cut. Where they differ, the older one is cut for a while, until one of the next
//! chunks is met; what comes before that is new. When none is met, or too much was taken for new,
//! all that is left of it is cut, and what it has is known for certain.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::delta::recipe::{CHUNK_BYTES_MAX, chunk_of, first_cut};
use crate::digest::Mark;
use crate::wire::message::Chunk;

/// So many chunks of a recipe are looked at beside the next, if there are as many.
pub const AHEAD: usize = 64;

/// Bytes of the older content that are cut in search of a chunk, before all of it is.
const SEARCHED_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one content that are taken for new though the older one was not cut to its end.
pub const BLIND_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the older content in memory.
const WINDOW_BYTES: usize = 1 << 20;

/// What a chunk is known by.
type Key = (Mark, u32);

/// Where an older content comes from: fills the buffer from an offset on, as far as it goes.
pub type Read<'r> = &'r mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>;

/// Walks along an older content.
pub struct Follower<'r> {
    window: Window<'r>,
    /// Where it goes on, if nothing changes.
    next: u64,
    /// Up to here it was cut or found to be chunks of the newer one.
    cut: u64,
    places: BTreeMap<Key, u64>,
    /// The chunk at `next`, which will come: those before it are new.
    met: Option<Key>,
    /// Bytes that were taken for new so far.
    blind: u64,
    /// All of it is cut.
    is_whole: bool,
}

impl<'r> Follower<'r> {
    /// Begins with an older content.
    #[must_use]
    pub fn new(read: Read<'r>) -> Follower<'r> {
        let window = Window { read, bytes: Vec::new(), at: 0, length: 0 };
        let places = BTreeMap::new();
        Follower { window, next: 0, cut: 0, places, met: None, blind: 0, is_whole: false }
    }

    /// Where the older content has the first of these chunks. The others are those that come next,
    /// [`AHEAD`] of them if there are as many. Each chunk is asked for once, in their order.
    pub fn find(&mut self, ahead: &[Chunk]) -> io::Result<Option<u64>> {
        let Some((&chunk, _)) = ahead.split_first() else { return Ok(None) };
        let Some(key) = key(chunk) else {
            self.pass_zeros(chunk.length)?;
            return Ok(None);
        };
        if self.met == Some(key) {
            self.met = None;
            return Ok(Some(self.go_on(self.next, chunk)));
        }
        if self.met.is_none() && !self.is_whole && self.is_next(key)? {
            self.places.entry(key).or_insert(self.next);
            return Ok(Some(self.go_on(self.next, chunk)));
        }
        if let Some(place) = self.place(key) {
            return Ok(Some(place));
        }
        if self.met.is_none() && !self.is_whole {
            self.search(ahead)?;
            if self.met == Some(key) {
                return self.find(ahead);
            }
            return Ok(self.place(key));
        }
        Ok(None)
    }

    /// The bytes of the older content that were found to be a chunk; fewer when it ends.
    pub fn bytes(&mut self, from: u64, length: usize) -> io::Result<&[u8]> {
        self.window.get(from, length)
    }

    fn go_on(&mut self, from: u64, chunk: Chunk) -> u64 {
        self.next = from + u64::from(chunk.length);
        self.cut = self.cut.max(self.next);
        from
    }

    fn is_next(&mut self, (mark, length): Key) -> io::Result<bool> {
        if length as usize > CHUNK_BYTES_MAX {
            return Ok(false);
        }
        let bytes = self.window.get(self.next, length as usize)?;
        Ok(bytes.len() == length as usize && Mark::of(bytes) == mark)
    }

    /// Where a chunk is that was come by; of one that repeats, the first.
    fn place(&self, key: Key) -> Option<u64> {
        self.places.get(&key).copied()
    }

    /// Zeros are taken from nowhere; where the older content has them, too, it goes on behind them.
    fn pass_zeros(&mut self, length: u32) -> io::Result<()> {
        let mut left = length as usize;
        while left > 0 && self.met.is_none() && !self.is_whole {
            let part = left.min(CHUNK_BYTES_MAX);
            let zeros = self.window.get(self.next, part)?;
            if zeros.len() < part || zeros.iter().any(|&byte| byte != 0) {
                break;
            }
            self.next += part as u64;
            self.cut = self.cut.max(self.next);
            left -= part;
        }
        Ok(())
    }

    /// Cuts until a chunk that will come is met, or all.
    fn search(&mut self, ahead: &[Chunk]) -> io::Result<()> {
        let wanted: BTreeSet<Key> = ahead.iter().filter_map(|&chunk| key(chunk)).collect();
        let end = self.cut.saturating_add(SEARCHED_BYTES_MAX);
        let mut found = None;
        while found.is_none() && self.cut < end {
            let Some((place, chunk)) = self.cut_next()? else { break };
            found = key(chunk).filter(|key| wanted.contains(key)).map(|key| (place, key));
        }
        if let Some((place, met)) = found {
            let before = ahead.iter().take_while(|&&chunk| key(chunk) != Some(met));
            let new = before.filter(|&&chunk| !key(chunk).is_some_and(|k| self.has(k)));
            let blind = self.blind + new.map(|chunk| u64::from(chunk.length)).sum::<u64>();
            if blind <= BLIND_BYTES_MAX {
                (self.next, self.met, self.blind) = (place, Some(met), blind);
                return Ok(());
            }
        }
        while self.cut_next()?.is_some() {}
        self.is_whole = true;
        Ok(())
    }

    fn has(&self, key: Key) -> bool {
        self.places.contains_key(&key)
    }

    fn cut_next(&mut self) -> io::Result<Option<(u64, Chunk)>> {
        let rest = self.window.get(self.cut, CHUNK_BYTES_MAX)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let chunk = chunk_of(&rest[..first_cut(rest)]);
        let place = self.cut;
        self.cut += u64::from(chunk.length);
        if let Some(key) = key(chunk) {
            self.places.entry(key).or_insert(place);
        }
        Ok(Some((place, chunk)))
    }
}

fn key(chunk: Chunk) -> Option<Key> {
    chunk.mark.map(|mark| (mark, chunk.length))
}

/// A part of the older content.
struct Window<'r> {
    read: Read<'r>,
    bytes: Vec<u8>,
    at: u64,
    length: usize,
}

impl Window<'_> {
    /// So many bytes from there, or as many as there are.
    fn get(&mut self, from: u64, length: usize) -> io::Result<&[u8]> {
        let is_in = from >= self.at && from + length as u64 <= self.at + self.length as u64;
        if !is_in {
            self.fill(from, length)?;
        }
        let start = usize::try_from(from - self.at).unwrap_or(usize::MAX).min(self.length);
        Ok(&self.bytes[start..self.length.min(start + length)])
    }

    fn fill(&mut self, from: u64, length: usize) -> io::Result<()> {
        self.bytes.resize(WINDOW_BYTES.max(length), 0);
        (self.at, self.length) = (from, 0);
        while self.length < length {
            match (self.read)(from + self.length as u64, &mut self.bytes[self.length..])? {
                0 => break,
                count => self.length += count,
            }
        }
        Ok(())
    }
}
