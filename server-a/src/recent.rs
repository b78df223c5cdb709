//! Small contents that were just seen, in bounded memory. Pure.
//!
//! What a side just showed is what the next order will want. When there is no room for more the
//! oldest goes, and whoever wants it has to fetch it.

use std::collections::{BTreeMap, VecDeque};

use common::digest::Digest;

/// What a content takes of memory beside its bytes: so also one of no bytes takes some.
const EACH_BYTES: usize = 256;

/// Small contents by their digests.
#[derive(Debug)]
pub struct Recent {
    bytes_max: usize,
    bytes: usize,
    contents: BTreeMap<Digest, Vec<u8>>,
    /// The digests, the oldest first.
    order: VecDeque<Digest>,
}

impl Recent {
    /// Keeps as much as goes into so many bytes.
    #[must_use]
    pub fn of_at_most(bytes_max: usize) -> Recent {
        let (contents, order) = (BTreeMap::new(), VecDeque::new());
        Recent { bytes_max, bytes: 0, contents, order }
    }

    /// Keeps a content, and lets the oldest go when there is no room for all.
    pub fn keep(&mut self, digest: Digest, content: Vec<u8>) {
        self.bytes += weight(&content);
        match self.contents.insert(digest, content) {
            Some(old) => self.bytes -= weight(&old),
            None => self.order.push_back(digest),
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.contents.remove(&oldest).map_or(0, |content| weight(&content));
        }
    }

    /// The content with this digest, when it was seen a moment ago.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<&Vec<u8>> {
        self.contents.get(digest)
    }
}

/// What a content takes of our memory.
fn weight(content: &[u8]) -> usize {
    content.len() + EACH_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_just_seen_the_oldest_goes_when_there_is_no_room() {
        let mut recent = Recent::of_at_most(4 * (EACH_BYTES + 100));
        let content = |n: u32| [n.to_be_bytes().to_vec(), vec![7; 96]].concat();
        let digest = |n| Digest::of(&content(n));
        let left = |recent: &Recent| -> Vec<u32> {
            (0..1000).filter(|&n| recent.get(&digest(n)).is_some()).collect()
        };
        for n in 0..4 {
            recent.keep(digest(n), content(n));
        }
        // The same again takes no room.
        recent.keep(digest(0), content(0));
        assert_eq!(left(&recent), [0, 1, 2, 3]);
        for n in 4..1000 {
            recent.keep(digest(n), content(n));
            assert!(recent.bytes <= recent.bytes_max);
        }
        assert_eq!(left(&recent), [996, 997, 998, 999]);
        assert_eq!(recent.get(&digest(999)), Some(&content(999)));
        // One that does not fit at all takes nothing, and what is empty takes something.
        recent.keep(digest(0), vec![0; 10_000]);
        assert!(left(&recent).is_empty() && recent.bytes == 0 && recent.order.is_empty());
        for n in 0..1000 {
            recent.keep(digest(n), Vec::new());
        }
        assert_eq!(left(&recent).len(), recent.bytes_max / EACH_BYTES);
    }
}
