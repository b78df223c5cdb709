//! What was moved: something is gone here and there at another path, with one inode.
//!
//! A look takes time, and files may trade their names meanwhile: then one look finds a file gone,
//! and a later one finds it at its new name. Nothing is to be repeated by a rename then, but the
//! names mean other files now. [`Lately`] remembers as much as is needed to tell.

use std::collections::{BTreeMap, VecDeque};

use crate::path::RelPath;
use crate::replica::known::{Finding, Row};

/// Pairs what disappeared with what appeared: one inode, and for files one content.
pub(super) fn moves(
    rows: &BTreeMap<RelPath, Row>,
    fresh: &BTreeMap<RelPath, Finding>,
) -> Vec<(RelPath, RelPath)> {
    let mut gone: BTreeMap<(u64, u64), (&RelPath, &Row)> = BTreeMap::new();
    for path in fresh.iter().filter(|(_, f)| !matches!(f, Finding::Unknown(_))).map(|(p, _)| p) {
        let Some(row) = rows.get(path) else { continue };
        let stays = match &fresh[path] {
            Finding::Present(now, _) => now.stamp.same_inode(&row.stamp),
            _ => false,
        };
        if !stays {
            gone.insert((row.stamp.dev, row.stamp.ino), (path, row));
        }
    }
    if gone.is_empty() {
        return Vec::new();
    }
    let mut moved: Vec<(RelPath, RelPath)> = Vec::new();
    for (to, finding) in fresh {
        let Finding::Present(now, _) = finding else { continue };
        let Some(&(from, row)) = gone.get(&(now.stamp.dev, now.stamp.ino)) else { continue };
        let implied = |(f, t): &(RelPath, RelPath)| {
            to.is_below(t) && from.is_below(f) && to.rebase(t, f).as_ref() == Ok(from)
        };
        if from != to
            && row.entry.same_content(&now.entry)
            && !moved.iter().rev().take(64).any(implied)
        {
            moved.push((from.clone(), to.clone()));
        }
    }
    moved
}

/// As many files are remembered that lately took a name, and as many that lost one.
const LATELY_MAX: usize = 4096;

/// Files that lately took a name or lost one.
#[derive(Default)]
pub(super) struct Lately {
    came: Recent,
    went: Recent,
}

/// The last files, by device and inode, each with a name.
#[derive(Default)]
struct Recent {
    files: BTreeMap<(u64, u64), (RelPath, Row)>,
    order: VecDeque<(u64, u64)>,
}

impl Recent {
    fn put(&mut self, path: &RelPath, row: &Row) {
        let inode = (row.stamp.dev, row.stamp.ino);
        if self.files.insert(inode, (path.clone(), row.clone())).is_none() {
            self.order.push_back(inode);
        }
        if self.order.len() > LATELY_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.files.remove(&oldest);
        }
    }

    /// The other name at which this file was. An inode is soon used for another file: the content
    /// must be the same.
    fn other_name(&self, path: &RelPath, row: &Row) -> Option<&RelPath> {
        let (other, was) = self.files.get(&(row.stamp.dev, row.stamp.ino))?;
        (other != path && was.entry.same_content(&row.entry)).then_some(other)
    }
}

impl Lately {
    /// Remembers what a look found; answers the files that moved between an earlier look and this
    /// one, from and to.
    pub(super) fn strays(
        &mut self,
        rows: &BTreeMap<RelPath, Row>,
        fresh: &BTreeMap<RelPath, Finding>,
    ) -> Vec<(RelPath, RelPath)> {
        let is_lone = |row: &&Row| row.entry.as_file().is_some() && row.stamp.links == 1;
        let (mut strays, mut came, mut went) = (Vec::new(), Vec::new(), Vec::new());
        for (path, finding) in fresh {
            let old = rows.get(path);
            let now = match finding {
                Finding::Present(now, _) => Some(now),
                Finding::Absent => None,
                Finding::Unknown(_) => continue,
            };
            if let (Some(old), Some(now)) = (old, now)
                && old.stamp.same_inode(&now.stamp)
            {
                continue;
            }
            if let Some(now) = now.filter(is_lone) {
                let from = self.went.other_name(path, now);
                strays.extend(from.map(|from| (from.clone(), path.clone())));
                came.push((path, now));
            }
            if let Some(old) = old.filter(is_lone) {
                let to = self.came.other_name(path, old);
                strays.extend(to.map(|to| (path.clone(), to.clone())));
                went.push((path, old));
            }
        }
        came.into_iter().for_each(|(path, row)| self.came.put(path, row));
        went.into_iter().for_each(|(path, row)| self.went.put(path, row));
        strays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::entry::{Entry, File};
    use crate::replica::stamp::Stamp;
    use crate::time::Timestamp;

    fn path(name: &str) -> RelPath {
        RelPath::new(name).expect("a valid path")
    }

    /// A file whose content is its inode's number.
    fn file(ino: u64, links: u64) -> Row {
        let time = Timestamp { seconds: 0, nanos: 0 };
        let stamp = Stamp { dev: 1, ino, size: 8, modified: time, changed: time, mode: 0, links };
        let digest = Digest::of(&ino.to_le_bytes());
        let entry = Entry::from(File { digest, size: 8, mode: 0o644, modified: time });
        Row { stamp, entry }
    }

    /// Looks one after the other; answers what strayed in each.
    fn looks(rows: &[(&str, Row)], looks: &[&[(&str, Option<Row>)]]) -> Vec<Vec<String>> {
        let mut rows: BTreeMap<RelPath, Row> =
            rows.iter().map(|(name, row)| (path(name), row.clone())).collect();
        let mut lately = Lately::default();
        let look = |found: &&[(&str, Option<Row>)]| {
            let finding = |row: &Option<Row>| match row {
                Some(row) => Finding::Present(row.clone(), None),
                None => Finding::Absent,
            };
            let fresh = found.iter().map(|(name, row)| (path(name), finding(row))).collect();
            let strays = lately.strays(&rows, &fresh);
            for (name, row) in found.iter() {
                match row {
                    Some(row) => drop(rows.insert(path(name), row.clone())),
                    None => drop(rows.remove(&path(name))),
                }
            }
            strays.iter().map(|(from, to)| format!("{from} {to}")).collect()
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn two_files_that_trade_names_during_a_look_are_told_by_the_next() {
        let before = [("one", file(1, 1)), ("two", file(2, 1))];
        let half = [("one", Some(file(2, 1))), ("two", Some(file(2, 1)))];
        let whole = [("one", Some(file(2, 1))), ("two", Some(file(1, 1)))];
        let told = looks(&before, &[&half, &whole]);
        assert_eq!(told[0], Vec::<String>::new());
        assert_eq!(told[1], ["one two", "two one"]);
    }

    #[test]
    fn a_file_that_is_gone_in_one_look_is_told_where_a_later_one_finds_it() {
        let before = [("old", file(1, 1)), ("new", file(2, 1))];
        let told = looks(&before, &[&[("old", None)], &[("new", Some(file(1, 1)))]]);
        assert_eq!(told[1], ["old new"]);
    }

    #[test]
    fn another_name_or_an_inode_that_is_used_again_is_no_move() {
        let linked = [("one", Some(file(1, 2))), ("two", Some(file(1, 2)))];
        let told = looks(&[("one", file(1, 1))], &[&linked, &[("one", None)]]);
        assert_eq!(told[1], Vec::<String>::new(), "a second name");
        let mut other = file(1, 1);
        other.entry = file(7, 1).entry;
        let told = looks(&[("one", file(1, 1))], &[&[("one", None)], &[("two", Some(other))]]);
        assert_eq!(told[1], Vec::<String>::new(), "another file of this number");
    }
}
