//! What may have changed, and when to look at it.
//!
//! Pure: the time is an argument. A mark says where, how thoroughly, and from when on; marks for
//! one place merge, the more thorough and the earlier win. Only one thing is ever waited for: a
//! file that somebody is still writing, until it is quiet, and never longer than a bounded time
//! after the first write that has not been looked at.

use std::collections::BTreeMap;

use crate::limits::{QUIET_MS, STALE_MS};
use crate::path::RelPath;
use crate::time::Moment;

/// A path, or the root when it is `None`.
pub type Place = Option<RelPath>;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// At the entry; into a directory only when it is new there.
    Entry,
    /// At a directory and the entries in it.
    Listing,
    /// At everything below, too.
    Deep,
}

/// What is to be done about one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How thoroughly to look.
    pub depth: Depth,
    /// Whether to read the content even when the stamp says that nothing changed.
    pub read: bool,
    /// The first write that nobody has looked at.
    first: Moment,
    /// Not before this.
    due: Moment,
}

/// The places that may have changed.
#[derive(Debug, Default)]
pub struct Dirty {
    marks: BTreeMap<Place, Mark>,
}

impl Dirty {
    /// Something happened there that is complete: look at once.
    pub fn mark(&mut self, place: Place, depth: Depth, now: Moment) {
        self.put(place, Mark { depth, read: false, first: now, due: now });
    }

    /// A file was closed after writing, or was found unstable: read it at once.
    pub fn mark_read(&mut self, path: RelPath, now: Moment) {
        self.put(Some(path), Mark { depth: Depth::Entry, read: true, first: now, due: now });
    }

    /// A look did not come to an end, or cannot be trusted yet: look again, a little later.
    pub fn again(&mut self, place: Place, depth: Depth, read: bool, now: Moment, after_ms: u64) {
        self.put(place, Mark { depth, read, first: now, due: now.after_ms(after_ms) });
    }

    /// Somebody is writing into a file: look when it is quiet, at the latest when it is stale.
    pub fn wrote(&mut self, path: RelPath, now: Moment) {
        let first = self.marks.get(&Some(path.clone())).map_or(now, |m| m.first);
        let due = now.after_ms(QUIET_MS).min(first.after_ms(STALE_MS));
        let mark = Mark { depth: Depth::Entry, read: true, first, due };
        match self.marks.get_mut(&Some(path.clone())) {
            // Waiting for quiet starts anew with every write; what is due already stays due.
            Some(old) if old.due > now => *old = Mark { depth: old.depth, ..mark },
            Some(old) => old.read = true,
            None => self.put(Some(path), mark),
        }
    }

    /// Everything may have changed. Contents are read again only where the stamp says so.
    pub fn all(&mut self, now: Moment) {
        self.mark(None, Depth::Deep, now);
    }

    /// Forgets all marks.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// Whether a place is marked, or something above it that will be looked at with all below.
    #[must_use]
    pub fn covers(&self, path: &RelPath) -> bool {
        let deep = |place: &Place| self.marks.get(place).is_some_and(|m| m.depth == Depth::Deep);
        self.marks.contains_key(&Some(path.clone()))
            || deep(&None)
            || path.ancestors().any(|above| deep(&Some(above)))
    }

    /// Whether a path itself is marked.
    #[must_use]
    pub fn is_marked(&self, path: &RelPath) -> bool {
        self.marks.contains_key(&Some(path.clone()))
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.marks.values().map(|m| m.due).min()
    }

    /// Takes what is due, or everything, parents before children.
    pub fn take(&mut self, now: Moment, everything: bool) -> BTreeMap<Place, Mark> {
        if everything {
            return std::mem::take(&mut self.marks);
        }
        let (due, later) =
            std::mem::take(&mut self.marks).into_iter().partition(|(_, mark)| mark.due <= now);
        self.marks = later;
        due
    }

    /// Whether nothing is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    fn put(&mut self, place: Place, mark: Mark) {
        let merged = match self.marks.get(&place) {
            Some(old) => Mark {
                depth: old.depth.max(mark.depth),
                read: old.read || mark.read,
                first: old.first.min(mark.first),
                due: old.due.min(mark.due),
            },
            None => mark,
        };
        self.marks.insert(place, merged);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
mod tests {
    use super::*;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    #[test]
    fn a_file_that_keeps_being_written_is_looked_at_once_a_second() {
        let mut dirty = Dirty::default();
        let mut looks = Vec::new();
        for ms in (0..3500).step_by(10) {
            dirty.wrote(path("log"), Moment(ms));
            if !dirty.take(Moment(ms), false).is_empty() {
                looks.push(ms);
            }
        }
        assert_eq!(looks, [1000, 2010, 3020]);
    }

    #[test]
    fn a_written_file_is_looked_at_when_it_is_quiet() {
        let mut dirty = Dirty::default();
        dirty.wrote(path("f"), Moment(0));
        dirty.wrote(path("f"), Moment(50));
        assert_eq!(dirty.next_due(), Some(Moment(150)));
        assert!(dirty.take(Moment(149), false).is_empty());
        assert_eq!(dirty.take(Moment(150), false).len(), 1);
        assert!(dirty.is_empty());
    }

    #[test]
    fn a_close_ends_the_waiting() {
        let mut dirty = Dirty::default();
        dirty.wrote(path("f"), Moment(0));
        dirty.mark_read(path("f"), Moment(3));
        dirty.wrote(path("f"), Moment(3));
        let taken = dirty.take(Moment(3), false);
        assert!(taken[&Some(path("f"))].read);
    }

    #[test]
    fn the_more_thorough_look_wins() {
        let mut dirty = Dirty::default();
        dirty.mark(Some(path("d")), Depth::Deep, Moment(5));
        dirty.mark(Some(path("d")), Depth::Entry, Moment(6));
        assert!(dirty.covers(&path("d/x/y")) && !dirty.covers(&path("e")));
        assert_eq!(dirty.take(Moment(6), false)[&Some(path("d"))].depth, Depth::Deep);
    }

    #[test]
    fn everything_is_taken_for_a_barrier_even_what_is_not_quiet() {
        let mut dirty = Dirty::default();
        dirty.wrote(path("f"), Moment(0));
        assert_eq!(dirty.take(Moment(0), true).len(), 1);
    }
}
