//! One digest for a whole tree, by which two ends find out whether they know the same.
//!
//! The digest of a directory is over the names, in order, of what is in it, and over everything
//! about each that is synchronized; of a directory in it, over that one's digest. Digests are
//! remembered for each directory and forgotten upward with every change, so a tree that did not
//! change costs nothing, and one change costs the directories above it. What is excepted on both
//! sides is as if it were not there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::entry::Entry;
use crate::limits::{COMPARED_BYTES_MAX, ROWS_PER_MESSAGE_MAX};
use crate::path::{RelPath, rows_below};

/// What is below a directory, in one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Equal where everything below is equal.
    pub digest: Digest,
    /// How many files, links and directories are below.
    pub entries: u64,
}

/// What one end wants to know of the other's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What does not count, with all below it.
    pub except: Vec<RelPath>,
    /// Which directory; `None` is the root.
    pub directory: Option<RelPath>,
    /// Whether what is in it is asked for, too, and not its sum alone.
    pub rows: bool,
    /// Only what comes after this path.
    pub after: Option<RelPath>,
}

/// The answer: a directory, and some of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Everything below it.
    pub sum: Sum,
    /// What is directly in it, in order, as far as it was asked for and there was room.
    pub rows: Vec<LevelRow>,
    /// Whether nothing comes after these rows.
    pub last: bool,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelRow {
    /// Its path.
    pub path: RelPath,
    /// What it is; absent where only something below it is known.
    pub entry: Option<Entry>,
    /// What is below it, when it is a directory.
    pub below: Option<Sum>,
}

/// The remembered sums of a tree's directories.
///
/// Whoever owns the tree says of each path that it is otherwise now. A directory without a sum
/// has none above it either.
#[derive(Clone, Debug, Default)]
pub struct Merkle {
    root: Option<Sum>,
    below: BTreeMap<RelPath, Sum>,
}

/// What is remembered is no part of what a tree is.
impl PartialEq for Merkle {
    fn eq(&self, _: &Merkle) -> bool {
        true
    }
}

impl Eq for Merkle {}

/// A directory that is being summed.
struct Open<'m> {
    directory: Option<&'m [u8]>,
    hasher: Hasher,
    entries: u64,
    next: Bound<Vec<u8>>,
    /// Whether nothing below is excepted, so that the sum may be remembered.
    whole: bool,
}

impl Merkle {
    /// The path is otherwise now, or gone, or new.
    pub fn touch(&mut self, path: &RelPath) {
        if self.root.is_none() && self.below.is_empty() {
            return;
        }
        self.below.remove(path);
        self.root = None;
        for above in path.ancestors() {
            if self.below.remove(&above).is_none() {
                return;
            }
        }
    }

    /// Sums what is below a directory.
    pub fn sum<V: AsRef<Entry>>(
        &mut self,
        rows: &BTreeMap<RelPath, V>,
        directory: Option<&RelPath>,
        except: &BTreeSet<RelPath>,
    ) -> Sum {
        let mut open = vec![Open::new(directory.map(RelPath::as_bytes), except)];
        // No recursion: a tree may be deeper than a stack.
        loop {
            let Some(top) = open.last_mut() else { return Sum::of_nothing() };
            if let Some((path, entry)) = next_child(rows, top.directory, &mut top.next) {
                if is_excepted(except, path) || entry.is_none() && holds_none(rows, path, except) {
                    continue;
                }
                top.add(path, entry);
                if is_directory(entry) {
                    let found = self.remembered(path, except);
                    match found {
                        Some(sum) => top.add_below(sum),
                        None => open.push(Open::new(Some(path), except)),
                    }
                }
                continue;
            }
            let Some(done) = open.pop() else { return Sum::of_nothing() };
            let sum = Sum { digest: done.hasher.finish(), entries: done.entries };
            if done.whole {
                self.remember(done.directory, sum);
            }
            match open.last_mut() {
                Some(above) => above.add_below(sum),
                None => return sum,
            }
        }
    }

    /// Answers a question about a tree.
    pub fn level<V: AsRef<Entry>>(
        &mut self,
        rows: &BTreeMap<RelPath, V>,
        question: &Question,
        except: &BTreeSet<RelPath>,
    ) -> Level {
        let Question { directory, rows: wanted, after, .. } = question;
        let directory = directory.as_ref();
        let sum = match directory {
            Some(path) => match self.remembered(path.as_bytes(), except) {
                Some(sum) => sum,
                None => self.sum(rows, directory, except),
            },
            None => match self.root.filter(|_| except.is_empty()) {
                Some(sum) => sum,
                None => self.sum(rows, None, except),
            },
        };
        let mut level = Level { sum, rows: Vec::new(), last: true };
        if !wanted {
            return level;
        }
        let place = directory.map(RelPath::as_bytes);
        let mut next = match after {
            Some(after) => Bound::Excluded(after.as_bytes().to_vec()),
            None => first(place),
        };
        let mut bytes = 0;
        while let Some((path, entry)) = next_child(rows, place, &mut next) {
            // What lies below the last path of the part before is not its neighbour.
            let again = after.as_ref().is_some_and(|after| after.as_bytes() == path);
            let nothing = || entry.is_none() && holds_none(rows, path, except);
            if again || is_excepted(except, path) || nothing() {
                continue;
            }
            if level.rows.len() == ROWS_PER_MESSAGE_MAX || bytes > COMPARED_BYTES_MAX {
                level.last = false;
                break;
            }
            let Ok(path) = RelPath::new(path) else { continue };
            let below = is_directory(entry).then(|| self.sum_of(rows, &path, except));
            bytes += path.as_bytes().len() + entry.map_or(0, |e| e.size_as_link());
            level.rows.push(LevelRow { path, entry: entry.cloned(), below });
        }
        level
    }

    fn sum_of<V: AsRef<Entry>>(
        &mut self,
        rows: &BTreeMap<RelPath, V>,
        path: &RelPath,
        except: &BTreeSet<RelPath>,
    ) -> Sum {
        let found = self.remembered(path.as_bytes(), except);
        found.unwrap_or_else(|| self.sum(rows, Some(path), except))
    }

    fn remembered(&self, path: &[u8], except: &BTreeSet<RelPath>) -> Option<Sum> {
        self.below.get(path).copied().filter(|_| !holds_any(except, Some(path)))
    }

    fn remember(&mut self, directory: Option<&[u8]>, sum: Sum) {
        match directory.map(RelPath::new) {
            None => self.root = Some(sum),
            Some(Ok(path)) => drop(self.below.insert(path, sum)),
            Some(Err(_)) => {}
        }
    }
}

impl Sum {
    fn of_nothing() -> Sum {
        Sum { digest: Hasher::default().finish(), entries: 0 }
    }
}

impl<'m> Open<'m> {
    fn new(directory: Option<&'m [u8]>, except: &BTreeSet<RelPath>) -> Open<'m> {
        let (next, whole) = (first(directory), !holds_any(except, directory));
        Open { directory, hasher: Hasher::default(), entries: 0, next, whole }
    }

    /// A child: its name, and all about it that is synchronized. Each part says how long it is.
    fn add(&mut self, path: &[u8], entry: Option<&Entry>) {
        let depth = self.directory.map_or(0, |directory| directory.len() + 1);
        let mut bytes = Vec::with_capacity(128);
        let name = &path[depth..];
        bytes.extend((name.len() as u64).to_be_bytes());
        bytes.extend(name);
        match entry {
            None => bytes.push(0),
            Some(Entry::File(file)) => {
                bytes.push(1);
                bytes.extend(file.digest.0);
                bytes.extend(file.size.to_be_bytes());
                bytes.extend(file.mode.to_be_bytes());
                bytes.extend(file.modified.seconds.to_be_bytes());
                bytes.extend(file.modified.nanos.to_be_bytes());
            }
            Some(Entry::Link(link)) => {
                bytes.push(2);
                bytes.extend((link.target.len() as u64).to_be_bytes());
                bytes.extend(&*link.target);
            }
            Some(Entry::Dir { mode }) => {
                bytes.push(3);
                bytes.extend(mode.to_be_bytes());
            }
        }
        self.entries += u64::from(entry.is_some());
        self.hasher.update(&bytes);
    }

    /// What is below the child that was added last.
    fn add_below(&mut self, sum: Sum) {
        self.hasher.update(&sum.digest.0);
        self.entries += sum.entries;
    }
}

impl Entry {
    /// The bytes that it brings into a message beside the fixed ones.
    fn size_as_link(&self) -> usize {
        match self {
            Entry::Link(link) => link.target.len(),
            _ => 0,
        }
    }
}

/// Whether something may be below: a directory, or a name of which only what is below is known.
fn is_directory(entry: Option<&Entry>) -> bool {
    entry.is_none_or(Entry::is_dir)
}

fn is_excepted(except: &BTreeSet<RelPath>, path: &[u8]) -> bool {
    !except.is_empty() && except.contains(path)
}

/// Whether all that is known below a name of which nothing else is known is excepted.
fn holds_none<V>(rows: &BTreeMap<RelPath, V>, name: &[u8], except: &BTreeSet<RelPath>) -> bool {
    let Ok(name) = RelPath::new(name) else { return false };
    if !holds_any(except, Some(name.as_bytes())) {
        return false;
    }
    rows_below(rows, &name).all(|(path, _)| {
        except.contains(path) || path.ancestors().any(|above| except.contains(&above))
    })
}

/// Whether anything below a directory is excepted.
fn holds_any(except: &BTreeSet<RelPath>, directory: Option<&[u8]>) -> bool {
    match directory {
        _ if except.is_empty() => false,
        None => true,
        Some(directory) => {
            let (low, high) = ([directory, b"/"].concat(), [directory, b"0"].concat());
            let bounds = (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
            except.range::<[u8], _>(bounds).next().is_some()
        }
    }
}

fn first(directory: Option<&[u8]>) -> Bound<Vec<u8>> {
    match directory {
        Some(directory) => Bound::Included([directory, b"/"].concat()),
        None => Bound::Unbounded,
    }
}

/// The paths directly in a directory that are in a map, or of which something below is.
pub fn children<V: AsRef<Entry>>(
    rows: &BTreeMap<RelPath, V>,
    directory: Option<&RelPath>,
) -> Vec<RelPath> {
    let place = directory.map(RelPath::as_bytes);
    let mut next = first(place);
    let all = std::iter::from_fn(|| next_child(rows, place, &mut next));
    all.filter_map(|(path, _)| RelPath::new(path).ok()).collect()
}

/// The next path directly in a directory, and what is there. Whole subtrees are stepped over. A
/// name of which only what is below it is known comes without an entry.
fn next_child<'m, V: AsRef<Entry>>(
    rows: &'m BTreeMap<RelPath, V>,
    directory: Option<&[u8]>,
    next: &mut Bound<Vec<u8>>,
) -> Option<(&'m [u8], Option<&'m Entry>)> {
    let depth = directory.map_or(0, |directory| directory.len() + 1);
    let end = directory.map_or(Bound::Unbounded, |d| Bound::Excluded([d, b"0"].concat()));
    loop {
        let bounds = (next.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        let (path, row) = rows.range::<[u8], _>(bounds).next()?;
        let path = path.as_bytes();
        let Some(at) = path[depth..].iter().position(|&b| b == b'/') else {
            *next = Bound::Excluded(path.to_vec());
            return Some((path, Some(row.as_ref())));
        };
        let name = &path[..depth + at];
        *next = Bound::Included([name, b"0"].concat());
        if !rows.get(name).is_some_and(|row| row.as_ref().is_dir()) {
            return Some((name, None));
        }
    }
}
