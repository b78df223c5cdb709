//! Which findings of a look may be told, and which must be looked at again first.
//!
//! What a commit has touched since the look began is not believed. And a directory is told before
//! what is in it: when the finding of a directory is held back, and a later look at something below
//! comes to an end first, that would stand in a tree without its directory.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::{RelPath, rows_below};
use crate::replica::known::{Finding, Row};

/// Separates the paths to be looked at again from the findings that may be told.
pub(super) fn sift(
    touched: &BTreeMap<RelPath, ()>,
    rows: &BTreeMap<RelPath, Row>,
    findings: BTreeMap<RelPath, Finding>,
) -> (BTreeSet<RelPath>, BTreeMap<RelPath, Finding>) {
    let mut again = BTreeSet::new();
    let mut fresh = BTreeMap::new();
    for (path, finding) in findings {
        if is_touched(touched, &path, &finding) {
            again.insert(path);
            continue;
        }
        let is_there = matches!(finding, Finding::Present(..));
        let missing = |above: &RelPath| is_there && !has_directory(rows, &fresh, above);
        match path.ancestors().take_while(missing).last() {
            Some(top) => drop(again.insert(top)),
            None => drop(fresh.insert(path, finding)),
        }
    }
    (again, fresh)
}

/// Whether a commit may have changed what was found: at the path, above it, or, when no directory
/// was found there, below it.
fn is_touched(touched: &BTreeMap<RelPath, ()>, path: &RelPath, finding: &Finding) -> bool {
    if touched.is_empty() {
        return false;
    }
    let is_dir = matches!(finding, Finding::Present(row, _) if row.entry.is_dir());
    touched.contains_key(path)
        || !is_dir && rows_below(touched, path).next().is_some()
        || path.ancestors().any(|above| touched.contains_key(&above))
}

/// Whether there is a directory, by what was just found, or else by what is known.
fn has_directory(
    rows: &BTreeMap<RelPath, Row>,
    fresh: &BTreeMap<RelPath, Finding>,
    path: &RelPath,
) -> bool {
    match fresh.get(path) {
        Some(Finding::Present(row, _)) => row.entry.is_dir(),
        Some(Finding::Absent) => false,
        Some(Finding::Unknown(_)) | None => rows.get(path).is_some_and(|row| row.entry.is_dir()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Link};
    use crate::replica::stamp::Stamp;
    use crate::time::Timestamp;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).expect("a valid path")
    }

    /// A directory when the name ends so, or else a link.
    fn row(name: &str) -> (RelPath, Row) {
        let time = Timestamp { seconds: 0, nanos: 0 };
        let (dev, ino, size, mode, links) = (1, 1, 0, 0, 1);
        let stamp = Stamp { dev, ino, size, modified: time, changed: time, mode, links };
        let entry = match name.ends_with('/') {
            true => Entry::Dir { mode: 0o755 },
            false => Entry::from(Link { target: b"x".to_vec().into(), modified: time }),
        };
        (path(name.trim_end_matches('/')), Row { stamp, entry })
    }

    /// What is looked at again, and what is told.
    fn sifted(touched: &[&str], known: &[&str], found: &[&str]) -> (Vec<String>, Vec<String>) {
        let touched = touched.iter().map(|name| (path(name), ())).collect();
        let known = known.iter().map(|name| row(name)).collect();
        let found = found.iter().map(|name| row(name));
        let found = found.map(|(path, row)| (path, Finding::Present(row, None))).collect();
        let (again, fresh) = sift(&touched, &known, found);
        (
            again.iter().map(ToString::to_string).collect(),
            fresh.keys().map(ToString::to_string).collect(),
        )
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_a_commit_touched_is_looked_at_again_with_all_below() {
        let (again, fresh) = sifted(&["d"], &[], &["d/", "d/e/", "d/e/f", "g"]);
        assert_eq!((again, fresh), (words("d d/e d/e/f"), words("g")));
        let (again, fresh) = sifted(&["d/e"], &["d/"], &["d", "d-1"]);
        assert_eq!((again, fresh), (words("d"), words("d-1")), "no directory, and a commit below");
    }

    #[test]
    fn a_directory_is_told_before_what_is_in_it() {
        let (again, fresh) = sifted(&[], &["d/"], &["d/e/f", "d/g", "h/", "h/i/", "h/i/j"]);
        assert_eq!((again, fresh), (words("d/e"), words("d/g h h/i h/i/j")));
        let (again, fresh) = sifted(&[], &["d"], &["d/e/", "d/e/f"]);
        assert_eq!((again, fresh), (words("d"), vec![]), "a link was known there");
    }
}
