//! All that is known of a directory, when that is what somebody takes it to be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inner, Known, Row};
use crate::entry::Entry;
use crate::limits::CLEARED_ROWS_MAX;
use crate::merkle::{Question, Sum};
use crate::path::{RelPath, rows_below};

impl Known {
    /// The rows of a directory and of all below it, when these are what is expected and nothing is
    /// uncertain there.
    pub(in crate::replica) fn whole(
        &self,
        path: &RelPath,
        before: &Entry,
        below: &Sum,
    ) -> Option<BTreeMap<RelPath, Row>> {
        if below.entries > CLEARED_ROWS_MAX as u64 {
            return None;
        }
        let mut inner = self.lock();
        let Inner { rows, sums, problems, ahead, .. } = &mut *inner;
        let top = rows.get(path).filter(|row| row.entry.is_dir() && row.entry.same(before))?;
        let top = (path.clone(), top.clone());
        let mut uncertain = problems.keys().chain(ahead.keys());
        let directory = Some(path.clone());
        let question = Question { except: Vec::new(), directory, rows: false, after: None };
        if uncertain.any(|at| at.touches(path))
            || sums.level(rows, &question, &BTreeSet::new()).sum != *below
        {
            return None;
        }
        let rows = rows_below(rows, path).map(|(path, row)| (path.clone(), row.clone()));
        Some(std::iter::once(top).chain(rows).collect())
    }
}
