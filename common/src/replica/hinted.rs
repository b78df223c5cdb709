//! When the first hint of a path came that nobody has looked at yet, to tell later how long ago
//! that was.
//!
//! It is for people who want to know how fast we are, and decides nothing: what is not remembered
//! is told without it. Only paths with a mark of their own are remembered, and not too many.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::dirty::Dirty;
use crate::path::RelPath;
use crate::time::Micros;

/// So many paths are remembered. What comes in larger crowds is not all measured.
const PATHS_MAX: usize = 16_384;

/// The first hints.
#[derive(Debug, Default)]
pub(super) struct Hinted {
    first: BTreeMap<RelPath, Instant>,
}

impl Hinted {
    /// A hint came.
    pub(super) fn note(&mut self, path: &RelPath, at: Instant) {
        if let Some(first) = self.first.get_mut(path) {
            *first = at.min(*first);
        } else if self.first.len() < PATHS_MAX {
            self.first.insert(path.clone(), at);
        }
    }

    /// When the first hint of a path came, or else of what it was found in.
    pub(super) fn since(&self, path: &RelPath) -> Option<Instant> {
        if self.first.is_empty() {
            return None;
        }
        let above = || path.ancestors().find_map(|above| self.first.get(&above));
        self.first.get(path).or_else(above).copied()
    }

    /// How long ago that was.
    pub(super) fn age(&self, path: &RelPath) -> Option<Micros> {
        self.since(path).map(age)
    }

    /// The paths with hints among those of which something was found.
    pub(super) fn among<T>(&self, found: &BTreeMap<RelPath, T>) -> Vec<RelPath> {
        self.first.keys().filter(|path| found.contains_key(*path)).cloned().collect()
    }

    /// A look is over, and these were told: only what is still to be looked at is remembered. That
    /// something is looked at once more, though it was told, is no hint.
    pub(super) fn looked(&mut self, told: &[RelPath], dirty: &Dirty) {
        for path in told {
            self.first.remove(path);
        }
        self.first.retain(|path, _| dirty.is_marked(path));
    }
}

/// How long ago something was.
pub(super) fn age(since: Instant) -> Micros {
    Micros::from(since.elapsed())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dirty::Depth;
    use crate::time::Moment;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).unwrap()
    }

    #[test]
    fn the_first_hint_counts_until_it_was_looked_at() {
        let (mut hinted, mut dirty) = (Hinted::default(), Dirty::default());
        let start = Instant::now();
        let later = start + Duration::from_millis(5);
        hinted.note(&path("f"), later);
        hinted.note(&path("f"), start);
        hinted.note(&path("d"), later);
        dirty.mark(Some(path("f")), Depth::Entry, Moment(0));
        assert_eq!(hinted.since(&path("f")), Some(start));
        assert_eq!(hinted.since(&path("d/e/f")), Some(later), "it was found in a new directory");
        assert_eq!(hinted.since(&path("e")), None);
        hinted.looked(&[], &dirty);
        assert_eq!((hinted.since(&path("f")), hinted.since(&path("d"))), (Some(start), None));
        let found = BTreeMap::from([(path("f"), ()), (path("g"), ())]);
        let told = hinted.among(&found);
        assert_eq!(told, [path("f")]);
        hinted.looked(&told, &dirty);
        assert_eq!(hinted.since(&path("f")), None, "it is looked at again, and was told");
        hinted.note(&path("f"), later);
        dirty.clear();
        hinted.looked(&[], &dirty);
        assert_eq!(hinted.since(&path("f")), None, "nobody will look at it");
    }

    #[test]
    fn a_crowd_is_remembered_in_part() {
        let mut hinted = Hinted::default();
        let now = Instant::now();
        (0..PATHS_MAX + 5).for_each(|i| hinted.note(&path(&i.to_string()), now));
        assert_eq!(hinted.first.len(), PATHS_MAX);
    }
}
