//! A tree: which entry stands at which path.
//!
//! A flat ordered map. In a well-formed tree the parent of every path is a directory.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::entry::Entry;
use crate::grown::Grown;
use crate::merkle::{Level, Merkle, Question, Sum};
use crate::path::{RelPath, rows_below};

/// Entries by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    rows: BTreeMap<RelPath, Entry>,
    sums: Merkle,
    grown: Grown,
}

impl Tree {
    /// The entry at a path.
    #[must_use]
    pub fn get(&self, path: &RelPath) -> Option<&Entry> {
        self.rows.get(path)
    }

    /// Puts an entry, or absence, at a path; answers what was there.
    pub fn set(&mut self, path: &RelPath, entry: Option<Entry>) -> Option<Entry> {
        self.sums.touch(path);
        match entry {
            Some(entry) => match self.rows.get_mut(path) {
                Some(row) => Some(std::mem::replace(row, entry)),
                None => {
                    self.grown.add();
                    self.rows.insert(path.clone(), entry)
                }
            },
            None => self.rows.remove(path),
        }
    }

    /// The same path and entry, as they are here where they are equal: so they are in memory once.
    #[must_use]
    pub fn lend(&self, path: RelPath, entry: Entry) -> (RelPath, Entry) {
        match self.rows.get_key_value(&path) {
            Some((own, there)) if *there == entry => (own.clone(), there.clone()),
            Some((own, _)) => (own.clone(), entry),
            None => (path, entry),
        }
    }

    /// The same tree, with what it has in common with another one as that one lends it.
    #[must_use]
    pub fn sharing(self, other: &Tree) -> Tree {
        let mut lenders = other.rows.iter().peekable();
        let rows = self.rows.into_iter().map(|(path, entry)| {
            while lenders.next_if(|(own, _)| **own < path).is_some() {}
            match lenders.next_if(|(own, _)| **own == path) {
                Some((own, there)) if *there == entry => (own.clone(), there.clone()),
                Some((own, _)) => (own.clone(), entry),
                None => (path, entry),
            }
        });
        Tree { rows: rows.collect(), sums: self.sums, grown: Grown::default() }
    }

    /// All paths of two trees in order, with what each has there. It costs one step for each row,
    /// where asking one tree for every path of the other costs a search.
    pub fn beside<'t>(
        &'t self,
        other: &'t Tree,
    ) -> impl Iterator<Item = (&'t RelPath, Option<&'t Entry>, Option<&'t Entry>)> {
        let (mut ours, mut theirs) = (self.rows.iter().peekable(), other.rows.iter().peekable());
        std::iter::from_fn(move || {
            let next = match (ours.peek(), theirs.peek()) {
                (Some((our, _)), Some((their, _))) => our.cmp(their),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let our = if next.is_le() { ours.next() } else { None };
            let their = if next.is_ge() { theirs.next() } else { None };
            let path = our.or(their)?.0;
            Some((path, our.map(|(_, entry)| entry), their.map(|(_, entry)| entry)))
        })
    }

    /// Makes it anew where it has grown, so that it takes no more memory than it needs.
    pub fn pack(&mut self) {
        self.grown.pack(&mut self.rows);
    }

    /// The same as [`Tree::set`], with what the other tree lends.
    pub fn set_as(&mut self, other: &Tree, path: &RelPath, entry: Option<Entry>) -> Option<Entry> {
        match entry.map(|entry| other.lend(path.clone(), entry)) {
            Some((path, entry)) => self.set(&path, Some(entry)),
            None => self.set(path, None),
        }
    }

    /// All rows, parents before children.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&RelPath, &Entry)> {
        self.rows.iter()
    }

    /// The rows after `path`, in order; all rows when it is `None`.
    pub fn after(&self, path: Option<&RelPath>) -> impl Iterator<Item = (&RelPath, &Entry)> {
        let from = path.map_or(Bound::Unbounded, |p| Bound::Excluded(p.as_bytes()));
        self.rows.range::<[u8], _>((from, Bound::Unbounded))
    }

    /// The rows below a path, without its own.
    pub fn below(&self, path: &RelPath) -> impl DoubleEndedIterator<Item = (&RelPath, &Entry)> {
        rows_below(&self.rows, path)
    }

    /// Moves a path and all below it. What stood at the new place is replaced row by row.
    pub fn rename(&mut self, from: &RelPath, to: &RelPath) {
        let moved: Vec<RelPath> = std::iter::once(from.clone())
            .chain(self.below(from).map(|(path, _)| path.clone()))
            .collect();
        for path in moved {
            self.sums.touch(&path);
            if let Some(entry) = self.rows.remove(&path)
                && let Ok(new) = path.rebase(from, to)
            {
                self.sums.touch(&new);
                self.rows.insert(new, entry);
            }
        }
    }

    /// The digest of all, but for what is excepted.
    pub fn sum(&mut self, except: &BTreeSet<RelPath>) -> Sum {
        let question = Question { except: Vec::new(), directory: None, rows: false, after: None };
        self.level(&question, except).sum
    }

    /// What is in a directory, to be compared.
    pub fn level(&mut self, question: &Question, except: &BTreeSet<RelPath>) -> Level {
        self.sums.level(&self.rows, question, except)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether every parent of a row is a directory.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.rows.keys().all(|path| {
            path.parent().is_none_or(|parent| self.get(&parent).is_some_and(Entry::is_dir))
        })
    }
}

impl FromIterator<(RelPath, Entry)> for Tree {
    fn from_iter<I: IntoIterator<Item = (RelPath, Entry)>>(rows: I) -> Self {
        Tree { rows: rows.into_iter().collect(), ..Tree::default() }
    }
}
