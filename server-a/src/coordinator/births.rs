//! Since when a name has meant the same file, so that an index never acts on another one.
//!
//! A listing carries the generation in which it was printed. A name that has lost its file since,
//! by a rename or a deletion, is *born* anew in a later generation, and an index printed before
//! that is refused. A save of the same name is no birth.

use std::collections::BTreeMap;

use common::path::RelPath;

const NAMES_MAX: usize = 200_000;

/// The generations in which names were born, as far back as we remember.
#[derive(Default)]
pub(super) struct Births {
    at: BTreeMap<RelPath, u64>,
    /// When what stands at a name was first seen, under whatever name; zero is from of old.
    made: BTreeMap<RelPath, u64>,
    /// Names that were taken by a file which had another name in a listing from the first of these
    /// generations on, and before the second.
    taken: BTreeMap<RelPath, (u64, u64)>,
    /// Names that are not listed may have been born up to then.
    floor: u64,
}

impl Births {
    /// The name, and every name below it, means another file from this generation on.
    pub(super) fn note(&mut self, path: &RelPath, generation: u64) {
        if self.at.len() >= NAMES_MAX || self.taken.len() >= NAMES_MAX {
            self.at.clear();
            self.taken.clear();
            self.floor = generation;
        }
        self.made.remove(path);
        self.at.insert(path.clone(), generation);
    }

    /// Something came to be under this name, unless it is known to have come from another one.
    pub(super) fn made(&mut self, path: &RelPath, generation: u64) {
        if self.made.len() >= NAMES_MAX {
            self.made.clear();
        }
        self.made.entry(path.clone()).or_insert(generation);
    }

    /// Files took other names, at once. Where that is how a name was saved, by a file that no
    /// listing up to then had shown, such a listing still means the name.
    pub(super) fn moved(&mut self, moves: &[(RelPath, RelPath)], generation: u64) {
        let since = |(from, _): &(RelPath, RelPath)| self.made.get(from).copied().unwrap_or(0);
        let sinces: Vec<u64> = moves.iter().map(since).collect();
        for (from, _) in moves {
            self.note(from, generation);
        }
        for ((_, to), since) in moves.iter().zip(sinces) {
            let (first, _) = self.taken.get(to).copied().unwrap_or((since, 0));
            self.taken.insert(to.clone(), (first.min(since), generation));
            self.made.insert(to.clone(), since);
        }
    }

    /// Whether the name still means what it meant in that generation.
    pub(super) fn same_since(&self, path: &RelPath, generation: u64) -> bool {
        let born = |p: &RelPath| self.at.get(p).copied().unwrap_or(0);
        let latest = path.ancestors().map(|above| born(&above)).max().unwrap_or(0);
        let taken = std::iter::once(path.clone()).chain(path.ancestors()).any(|p| {
            self.taken.get(&p).is_some_and(|(since, until)| (*since..*until).contains(&generation))
        });
        !taken && latest.max(born(path)).max(self.floor) <= generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).expect("a valid path")
    }

    fn moves(pairs: &[(&str, &str)]) -> Vec<(RelPath, RelPath)> {
        pairs.iter().map(|(from, to)| (path(from), path(to))).collect()
    }

    #[test]
    fn a_name_that_lost_its_file_is_not_the_one_that_was_shown() {
        let mut births = Births::default();
        births.note(&path("d"), 7);
        assert!(!births.same_since(&path("d/f"), 6), "its directory moved away after the listing");
        assert!(births.same_since(&path("d/f"), 7));
        assert!(births.same_since(&path("e"), 0));
    }

    #[test]
    fn a_file_that_was_shown_is_no_save_however_often_it_moved() {
        let mut births = Births::default();
        births.made(&path("new"), 8);
        births.moved(&moves(&[("new", "saved")]), 9);
        assert!(births.same_since(&path("saved"), 7), "no listing showed what was saved there");
        assert!(!births.same_since(&path("saved"), 8), "this one showed it as `new`");
        births.moved(&moves(&[("old", "between")]), 10);
        births.made(&path("between"), 10);
        births.moved(&moves(&[("between", "last")]), 11);
        assert!(!births.same_since(&path("last"), 9), "this one showed it as `old`");
        births.note(&path("between"), 12);
        births.made(&path("between"), 13);
        births.moved(&moves(&[("between", "last"), ("last", "between")]), 14);
        births.moved(&moves(&[("between", "after")]), 15);
        assert!(!births.same_since(&path("after"), 13), "it showed `last`, which traded places");
        births.moved(&moves(&[("last", "after")]), 16);
        assert!(!births.same_since(&path("after"), 13), "nor is the name what it was by that");
    }

    #[test]
    fn what_is_forgotten_is_refused_and_never_mistaken() {
        let mut births = Births::default();
        for n in 0..=NAMES_MAX as u64 {
            births.note(&path(&format!("f{n}")), n + 1);
        }
        assert!(!births.same_since(&path("f3"), 3), "older than our memory");
        assert!(births.same_since(&path("f3"), NAMES_MAX as u64 + 1));
    }
}
