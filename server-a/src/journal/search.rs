//! Finds what a query asks for, from the newest row to the oldest. Pure.
//!
//! Going back, a rename to a wanted name makes the older name wanted from there on, so the history
//! of a file does not end where it got its present name.

use std::collections::BTreeSet;

use common::path::RelPath;
use common::wire::log::{Happened, LogPart, LogQuery, LogRow};

/// The rows of an answer take so many bytes at most, about.
const BYTES_MAX: usize = 1024 * 1024;
/// … and there are so many at most.
pub const ROWS_MAX: usize = 1000;

/// Names that one search follows.
const NAMES_MAX: usize = 10_000;

/// A search under way.
#[derive(Debug)]
pub struct Search {
    query: LogQuery,
    names: BTreeSet<RelPath>,
    found: Vec<LogRow>,
    bytes: usize,
    more: bool,
}

impl Search {
    /// Begins a search.
    #[must_use]
    pub fn new(query: LogQuery) -> Search {
        let names = query.path.clone().into_iter().collect();
        Search { query, names, found: Vec::new(), bytes: 0, more: false }
    }

    /// Takes the next older row. Answers whether still older ones are of interest.
    pub fn take(&mut self, row: LogRow) -> bool {
        if self.query.since.is_some_and(|since| row.time < since) {
            // The wall clock may have been set back: older rows may bear later times.
            return true;
        }
        if !self.wants(&row) {
            return true;
        }
        let limit = usize::try_from(self.query.limit).unwrap_or(ROWS_MAX).min(ROWS_MAX);
        if self.found.len() >= limit || self.bytes + row.weight() > BYTES_MAX {
            self.more = true;
            return false;
        }
        self.bytes += row.weight();
        self.found.push(row);
        true
    }

    /// What was found, the oldest first.
    #[must_use]
    pub fn found(mut self) -> LogPart {
        self.found.reverse();
        LogPart { rows: self.found, more: self.more, problem: None }
    }

    fn wants(&mut self, row: &LogRow) -> bool {
        if self.query.path.is_none() {
            return true;
        }
        let Some(path) = &row.path else { return false };
        if row.what == Happened::Renamed
            && let Some(to) = &row.to
        {
            return self.follow(path, to);
        }
        self.is_named(path) || row.to.as_ref().is_some_and(|to| self.is_named(to))
    }

    fn is_named(&self, path: &RelPath) -> bool {
        self.names.iter().any(|name| path == name || path.is_below(name))
    }

    /// A rename is of interest when either name is; before it, what had the new name had the old.
    fn follow(&mut self, from: &RelPath, to: &RelPath) -> bool {
        let mut older = Vec::new();
        for name in &self.names {
            if (name == to || name.is_below(to))
                && let Ok(old) = name.rebase(to, from)
            {
                older.push(old);
            } else if to.is_below(name) {
                older.push(from.clone());
            }
        }
        let named = !older.is_empty() || self.is_named(from) || self.passes_through(from);
        let room = NAMES_MAX.saturating_sub(self.names.len());
        self.names.extend(older.into_iter().take(room));
        named
    }

    /// Whether a directory above a wanted name was renamed away: then it went with it.
    fn passes_through(&self, from: &RelPath) -> bool {
        self.names.iter().any(|name| name.is_below(from))
    }
}
