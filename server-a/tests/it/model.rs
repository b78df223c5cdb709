//! One replica in memory: a directory with inodes, what its server knows of it, its trash.
//!
//! It looks, tells and commits as a real side does: what was seen is told once, in order, with the
//! moves that inodes give away; an operation is carried out only while its `before` holds.

use std::collections::{BTreeMap, BTreeSet};

use common::change::{Change, Operation, Outcome};
use common::digest::Digest;
use common::entry::{Entry, File, Link, same};
use common::merkle::{Question, Sum};
use common::path::{RelPath, rows_below};
use common::problem::Problem;
use common::reconcile::conflict::copy_path;
use common::side::Side;
use common::time::Timestamp;
use common::tree::Tree;
use common::wire::message::{Observation, Order, Report, Row};

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a valid path")
}

pub(crate) fn file(content: &str, mode: u32, seconds: i64) -> Entry {
    Entry::from(File {
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
        mode,
        modified: Timestamp { seconds, nanos: 0 },
    })
}

pub(crate) fn link(target: &str, seconds: i64) -> Entry {
    let modified = Timestamp { seconds, nanos: 0 };
    Entry::from(Link { target: target.as_bytes().into(), modified })
}

/// What a content is: of a file its digest, of a link the digest of its target.
pub(crate) fn content(entry: &Entry) -> Option<Digest> {
    match entry {
        Entry::File(file) => Some(file.digest),
        Entry::Link(link) => Some(Digest::of(&link.target)),
        Entry::Dir { .. } => None,
    }
}

/// What stands at a path, and as which inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) inode: u64,
    pub(crate) entry: Entry,
}

/// A directory and its server's knowledge of it.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// What is there.
    pub(crate) tree: BTreeMap<RelPath, Node>,
    /// What was told.
    pub(crate) known: BTreeMap<RelPath, Node>,
    /// Top names below which something may have changed.
    pub(crate) unseen: BTreeSet<Vec<u8>>,
    /// Contents that our hand removed or replaced.
    pub(crate) trash: BTreeSet<Digest>,
    /// The same in order, with what it was and where.
    pub(crate) trashed: Vec<(RelPath, Entry)>,
    /// Paths that cannot be read.
    pub(crate) problems: BTreeMap<RelPath, Problem>,
    inodes: u64,
}

impl Replica {
    pub(crate) fn entry(&self, path: &RelPath) -> Option<&Entry> {
        self.tree.get(path).map(|node| &node.entry)
    }

    pub(crate) fn contents(&self) -> impl Iterator<Item = Digest> {
        self.tree.values().filter_map(|node| content(&node.entry))
    }

    pub(crate) fn is_empty_below(&self, path: &RelPath) -> bool {
        rows_below(&self.tree, path).next().is_none()
    }

    pub(crate) fn has_parent(&self, path: &RelPath) -> bool {
        path.parent().is_none_or(|p| self.entry(&p).is_some_and(Entry::is_dir))
    }

    /// Puts an entry under a new inode, or nothing, at a path.
    pub(crate) fn put(&mut self, path: &RelPath, entry: Option<Entry>) {
        self.notice(path);
        match entry {
            Some(entry) => {
                self.inodes += 1;
                self.tree.insert(path.clone(), Node { inode: self.inodes, entry });
            }
            None => {
                self.tree.remove(path);
            }
        }
    }

    /// Changes an entry and keeps its inode.
    pub(crate) fn modify(&mut self, path: &RelPath, entry: Entry) {
        self.notice(path);
        if let Some(node) = self.tree.get_mut(path) {
            node.entry = entry;
        }
    }

    /// Moves a path and all below, inodes included.
    pub(crate) fn rename(&mut self, from: &RelPath, to: &RelPath) {
        self.notice(from);
        self.notice(to);
        rename_rows(&mut self.tree, from, to);
    }

    fn notice(&mut self, path: &RelPath) {
        let top = path.components().next().expect("a path has a component");
        self.unseen.insert(top.to_vec());
    }

    /// Everything that is known, in parts of at most `rows`.
    pub(crate) fn inventory(&self, rows: usize) -> Vec<Report> {
        let all: Vec<(RelPath, Entry)> =
            self.known.iter().map(|(p, n)| (p.clone(), n.entry.clone())).collect();
        let mut reports: Vec<Report> = all
            .chunks(rows.max(1))
            .map(|part| Report::Inventory { rows: part.to_vec(), problems: vec![], last: false })
            .collect();
        let problems = self.problems.iter().map(|(p, q)| (p.clone(), q.clone())).collect();
        reports.push(Report::Inventory { rows: Vec::new(), problems, last: true });
        reports
    }

    /// What it says when it is checked.
    pub(crate) fn check(&self, order: Order) -> Option<Report> {
        match order {
            Order::Compare { id, question } => {
                let rows = self.known.iter().map(|(p, n)| (p.clone(), n.entry.clone()));
                let except = question.except.iter().cloned().collect();
                let level = rows.collect::<Tree>().level(&question, &except);
                Some(Report::Compared { id, level })
            }
            Order::Reread { id } => Some(Report::Reread { id, read: 0, rotten: Vec::new() }),
            _ => None,
        }
    }

    /// Looks below some top names, or everywhere; answers what is news, in parts.
    pub(crate) fn look(&mut self, tops: &BTreeSet<Vec<u8>>, rows_max: usize) -> Vec<Report> {
        let within = |p: &RelPath| tops.contains(p.components().next().unwrap_or_default());
        self.unseen.retain(|top| !tops.contains(top));
        let looked = |replica: &Replica| -> BTreeSet<RelPath> {
            let all = replica.known.keys().chain(replica.tree.keys());
            all.filter(|path| within(path)).cloned().collect()
        };
        let carried = self.moves(&looked(self)).into_iter();
        let carried = carried.filter(|(from, to)| self.carries(from, to));
        let carried: Vec<(RelPath, RelPath)> = carried.take(1).collect();
        for (from, to) in &carried {
            rename_rows(&mut self.known, from, to);
        }
        let looked = looked(self);
        let moved = self.moves(&looked);
        let mut rows = Vec::new();
        for path in looked {
            let (old, new) = (self.known.get(&path), self.tree.get(&path));
            let news = !same(old.map(|n| &n.entry), new.map(|n| &n.entry));
            let entry = new.map(|n| n.entry.clone());
            match new.cloned() {
                Some(node) => self.known.insert(path.clone(), node),
                None => self.known.remove(&path),
            };
            if news {
                rows.push(Row { path, entry, content: None, seen: None });
            }
        }
        let parts = rows.len().div_ceil(rows_max.max(1)).max(1);
        let mut moved = Some(moved);
        let mut reports = Vec::new();
        if !carried.is_empty() {
            reports.push(Report::Observed(Observation { carried, ..Observation::default() }));
        }
        for part in 0..parts {
            let rest = rows.split_off(rows.len().min(rows_max.max(1)));
            let rows = std::mem::replace(&mut rows, rest);
            let moved = moved.take().unwrap_or_default();
            let more = part + 1 < parts;
            let observation = Observation { rows, moved, more, ..Observation::default() };
            if observation != Observation::default() {
                reports.push(Report::Observed(observation));
            }
        }
        reports
    }

    /// Whether a directory is told to have another name in one word: every other time that it can.
    fn carries(&self, from: &RelPath, to: &RelPath) -> bool {
        let is_known_dir =
            |path: &RelPath| self.known.get(path).is_some_and(|node| node.entry.is_dir());
        self.inodes.is_multiple_of(2)
            && is_known_dir(from)
            && to.parent().is_none_or(|above| is_known_dir(&above))
            && !self.tree.contains_key(from)
            && self.tree.get(to).is_some_and(|node| node.entry.is_dir())
            && !self.known.contains_key(to)
            && self.problems.keys().all(|path| !path.touches(from) && !path.touches(to))
    }

    fn moves(&self, looked: &BTreeSet<RelPath>) -> Vec<(RelPath, RelPath)> {
        let mut gone = BTreeMap::new();
        for path in looked {
            let Some(old) = self.known.get(path) else { continue };
            if self.tree.get(path).is_none_or(|new| new.inode != old.inode) {
                gone.insert(old.inode, (path, old));
            }
        }
        let mut moved: Vec<(RelPath, RelPath)> = Vec::new();
        for to in looked {
            let Some(new) = self.tree.get(to) else { continue };
            let Some(&(from, old)) = gone.get(&new.inode) else { continue };
            let implied = moved.iter().any(|(f, t)| {
                to.is_below(t) && from.is_below(f) && to.rebase(t, f).as_ref() == Ok(from)
            });
            if from != to && old.entry.same_content(&new.entry) && !implied {
                moved.push((from.clone(), to.clone()));
            }
        }
        moved
    }

    /// Carries out an operation. `at_hand` says whether a content is to be had; with `aside` an
    /// unseen edit is displaced and kept beside instead of being reported.
    pub(crate) fn carry_out(
        &mut self,
        side: Side,
        operation: &Operation,
        at_hand: impl Fn(Digest) -> bool,
        aside: bool,
    ) -> Outcome {
        match operation {
            Operation::Change(change) => self.change(side, change, at_hand, aside),
            Operation::Rename { from, to, before } => {
                let now = self.entry(from).cloned();
                let holds = now.as_ref().is_some_and(|now| match before {
                    Entry::Dir { .. } => now.is_dir(),
                    before => now.same(before),
                });
                if !holds || self.entry(to).is_some() || !self.has_parent(to) {
                    self.learn(from);
                    return Outcome::Stale { now };
                }
                self.rename(from, to);
                rename_rows(&mut self.known, from, to);
                Outcome::Done { now, aside: None }
            }
            Operation::Clear { path, before, below } => self.clear(path, before, below),
        }
    }

    /// A directory goes with all that is in it, when that is as it is known.
    fn clear(&mut self, path: &RelPath, before: &Entry, below: &Sum) -> Outcome {
        let rows = |rows: &BTreeMap<RelPath, Node>| -> BTreeMap<RelPath, Node> {
            let top = rows.get_key_value(path).into_iter();
            top.chain(rows_below(rows, path)).map(|(p, n)| (p.clone(), n.clone())).collect()
        };
        let (known, there) = (rows(&self.known), rows(&self.tree));
        let mut tree: Tree = known.iter().map(|(p, n)| (p.clone(), n.entry.clone())).collect();
        let directory = Some(path.clone());
        let question = Question { except: Vec::new(), directory, rows: false, after: None };
        let now = known.get(path).map(|node| node.entry.clone());
        let is_it = same(now.as_ref(), Some(before))
            && tree.level(&question, &BTreeSet::new()).sum == *below
            && self.problems.keys().all(|at| !at.touches(path));
        if known != there || !is_it && !there.is_empty() {
            self.notice(path);
            return Outcome::Stale { now };
        }
        for (gone, node) in there.into_iter().rev() {
            self.put(&gone, None);
            self.known.remove(&gone);
            if let Some(digest) = content(&node.entry) {
                self.trash.insert(digest);
                self.trashed.push((gone, node.entry));
            }
        }
        Outcome::Done { now: None, aside: None }
    }

    fn change(
        &mut self,
        side: Side,
        change: &Change,
        at_hand: impl Fn(Digest) -> bool,
        aside: bool,
    ) -> Outcome {
        let Change { path, before, after, copy: must_stand } = change;
        let now = self.entry(path).cloned();
        let replaces_dir = now.as_ref().is_some_and(Entry::is_dir)
            && !after.as_ref().is_some_and(Entry::is_dir)
            && !self.is_empty_below(path);
        let unseen = !same(now.as_ref(), before.as_ref());
        let displaced = unseen && aside && before.is_some() && !replaces_dir;
        let displaced = displaced && now.as_ref().is_some_and(|e| e.as_file().is_some());
        let is_copy = |at: &RelPath| {
            let (copy, now) = (self.entry(at), now.as_ref());
            copy.zip(now).is_some_and(|(copy, now)| copy.same_content(now))
        };
        let alone = must_stand.as_ref().is_some_and(|at| !is_copy(at));
        let no_place = after.is_some() && !self.has_parent(path);
        if unseen && !displaced || replaces_dir || no_place {
            self.learn(path);
            return Outcome::Stale { now };
        }
        let needs = after.as_ref().and_then(Entry::as_file).map(|file| file.digest);
        let needs = needs.filter(|digest| now.as_ref().and_then(content) != Some(*digest));
        if let Some(digest) = needs
            && !at_hand(digest)
        {
            return Outcome::Moved;
        }
        let mut copy = None;
        if (displaced || alone)
            && let Some(node) = self.tree.get(path).cloned()
        {
            let at = (0..)
                .map(|attempt| copy_path(path, side, &node.entry, attempt))
                .find(|copy| self.entry(copy).is_none())
                .expect("a free name");
            self.notice(&at);
            self.tree.insert(at.clone(), node);
            copy = Some(at);
        } else if let Some(old) = now.as_ref().and_then(content)
            && after.as_ref().and_then(content) != Some(old)
        {
            self.trash.insert(old);
            self.trashed.extend(now.clone().map(|entry| (path.clone(), entry)));
        }
        match (&now, after) {
            (Some(now), Some(after)) if now.same_content(after) => self.modify(path, after.clone()),
            _ => self.put(path, after.clone()),
        }
        self.learn(path);
        Outcome::Done { now: after.clone(), aside: copy }
    }

    /// What is at a path is known now.
    fn learn(&mut self, path: &RelPath) {
        match self.tree.get(path).cloned() {
            Some(node) => self.known.insert(path.clone(), node),
            None => self.known.remove(path),
        };
    }
}

impl Replica {
    /// A server that starts anew knows what it had saved, or what it finds.
    pub(crate) fn come_back(&mut self, rescanned: bool) {
        let tops: Vec<Vec<u8>> = self.tree.keys().chain(self.known.keys()).map(top).collect();
        if rescanned {
            self.known = self.tree.clone();
            self.unseen.clear();
        } else {
            self.unseen.extend(tops);
        }
    }
}

fn top(path: &RelPath) -> Vec<u8> {
    path.components().next().unwrap_or_default().to_vec()
}

fn rename_rows(rows: &mut BTreeMap<RelPath, Node>, from: &RelPath, to: &RelPath) {
    let below: Vec<RelPath> = rows_below(rows, from).map(|(p, _)| p.clone()).collect();
    for old in std::iter::once(from.clone()).chain(below) {
        let new = old.rebase(from, to).expect("short paths");
        if let Some(node) = rows.remove(&old) {
            rows.insert(new, node);
        }
    }
}
