//! A directory that was renamed is told in one word, before anybody looks into it.
//!
//! What is known of it moves along as it is: the inode says that it is the same directory. A look
//! into it follows, and tells what else happened there; nobody waits for that.

use super::{Inner, Known, Row};
use crate::path::{RelPath, rows_below};
use crate::replica::root::Root;
use crate::replica::stamp::Stamp;
use crate::time::Micros;
use crate::wire::message::{Observation, Report, Row as ReportedRow};

/// The system says that something was renamed. If it is a directory as it is known, and nothing
/// stands at its old name, tells of it; answers whether it did. `age` says how long ago that was.
/// The directory must still be looked into.
pub fn carry(
    root: &Root,
    known: &Known,
    (from, to): (&RelPath, &RelPath),
    age: Option<Micros>,
) -> bool {
    if !known.row(from).is_some_and(|row| row.entry.is_dir()) {
        return false;
    }
    let (Ok(None), Ok(Some(now))) = (root.stat(from), root.stat(to)) else { return false };
    now.is_dir() && known.carry((from, to), &now, age)
}

impl Known {
    /// A directory has another name, and its stamp there is this. If nothing stands against it,
    /// all that is known of it moves along, and that is told in one word; what happened in it since
    /// is for a look to find. Answers whether it was so.
    fn carry(&self, (from, to): (&RelPath, &RelPath), now: &Stamp, age: Option<Micros>) -> bool {
        let mut inner = self.lock();
        if !inner.may_carry(from, to, now) {
            return false;
        }
        inner.clock += 1;
        if inner.open_looks > 0 {
            let clock = inner.clock;
            inner.touched.extend([(from.clone(), clock), (to.clone(), clock)]);
        }
        let entry = inner.rows.get(from).map(|row| row.entry.clone());
        let row = |path: &RelPath, entry, seen| ReportedRow {
            path: path.clone(),
            entry,
            content: None,
            seen,
        };
        let carried = vec![(from.clone(), to.clone())];
        let rows = vec![row(from, None, None), row(to, entry, age)];
        let news = Observation { carried, rows, ..Observation::default() };
        // Whoever hears of it works, while we move the rows.
        inner.say(&self.report, Report::Observed(news));
        inner.rename(from, to);
        true
    }
}

impl Inner {
    /// Whether a directory with this stamp is the one that was known at its old name, nothing is
    /// known at the new one, and nothing is uncertain at either.
    fn may_carry(&self, from: &RelPath, to: &RelPath, now: &Stamp) -> bool {
        let is_dir = |path: &RelPath| self.rows.get(path).is_some_and(|row| row.entry.is_dir());
        let is_it = |row: &Row| row.entry.is_dir() && row.stamp.same_inode(now);
        let uncertain = self.problems.keys().chain(self.ahead.keys()).chain(&self.committing);
        self.rows.get(from).is_some_and(is_it)
            && !self.rows.contains_key(to)
            && rows_below(&self.rows, to).next().is_none()
            && to.parent().is_none_or(|above| is_dir(&above))
            && !uncertain.into_iter().any(|path| path.touches(from) || path.touches(to))
    }
}
