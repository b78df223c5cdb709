//! What this side knows of its tree, and the order in which it says so.
//!
//! Observers look at the disk and committers change it, at the same time. A look that began before
//! a commit and is told after it would report the old state as news, and the coordinator would
//! take it for a user's edit. So every look carries a [`Ticket`], and a finding that a commit has
//! touched since is not told but looked at again. Reports leave under the same mutex that guards
//! the rows: their order is the order of knowing.

pub mod carry;
mod told;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::change::Outcome;
use crate::entry::Entry;
use crate::grown::Grown;
use crate::merkle::{self, Merkle, Question};
use crate::path::{RelPath, rows_below};
use crate::problem::{Problem, ProblemKind};
use crate::replica::moved::{Lately, moves};
use crate::replica::sift::sift;
use crate::replica::stamp::Stamp;
use crate::sys::return_memory;
use crate::time::Micros;
use crate::wire::message::{Condition, Observation, OrderId, Report, Row as ReportedRow};

/// A path's entry and the stamp under which it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Stamp, Entry)", into = "(Stamp, Entry)")]
pub struct Row {
    /// The stamp, taken before reading and found equal afterwards.
    pub stamp: Stamp,
    /// What was read. A time that the file system cannot keep is the one that was to be set.
    pub entry: Entry,
}

impl From<(Stamp, Entry)> for Row {
    fn from((stamp, entry): (Stamp, Entry)) -> Row {
        Row { stamp, entry }
    }
}

impl From<Row> for (Stamp, Entry) {
    fn from(Row { stamp, entry }: Row) -> (Stamp, Entry) {
        (stamp, entry)
    }
}

impl AsRef<Entry> for Row {
    fn as_ref(&self) -> &Entry {
        &self.entry
    }
}

/// What a look at a path found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An entry, and its content when it is a small file that was read just now.
    Present(Row, Option<Vec<u8>>),
    /// Nothing there.
    Absent,
    /// Something kept us from knowing. What was known before stands.
    Unknown(Problem),
}

/// When a look began.
#[derive(Debug)]
#[must_use]
pub struct Ticket(u64);

/// Where reports go. Called under the mutex: it must only queue.
pub type Reporter = Box<dyn Fn(Report) + Send + Sync>;

/// The knowledge of one side.
pub struct Known {
    inner: Mutex<Inner>,
    report: Reporter,
    /// What could not be brought out of `stage/`, in words.
    pub(super) unsettled: Mutex<Option<String>>,
}

#[derive(Default)]
struct Inner {
    rows: BTreeMap<RelPath, Row>,
    grown: Grown,
    /// Directories by device and inode, to find where a moved one came from.
    directories: BTreeMap<(u64, u64), RelPath>,
    lately: Lately,
    problems: BTreeMap<RelPath, Problem>,
    sums: Merkle,
    /// Of these an outcome told something that is not in the rows: what the next look finds is
    /// told, be it news here or not.
    ahead: BTreeMap<RelPath, ()>,
    /// Paths with a commit under way.
    committing: BTreeSet<RelPath>,
    /// Counts beginnings and ends of commits.
    clock: u64,
    /// When a commit last touched a path, as long as an open look may care.
    touched: BTreeMap<RelPath, u64>,
    open_looks: u64,
    /// Rows that changed since they were last saved.
    unsaved: BTreeSet<RelPath>,
    /// Nothing is reported before somebody asked for an inventory.
    asked: bool,
    /// The condition that was last reported; an inventory ends with it.
    condition: Option<Condition>,
    /// Answers that are due after the inventory.
    promised: Vec<Report>,
}

impl Known {
    /// Starts with what was remembered.
    pub fn new(rows: BTreeMap<RelPath, Row>, report: Reporter) -> Known {
        let directories = rows
            .iter()
            .filter(|(_, row)| row.entry.is_dir())
            .map(|(path, row)| ((row.stamp.dev, row.stamp.ino), path.clone()))
            .collect();
        let inner = Inner { rows, directories, ..Inner::default() };
        Known { inner: Mutex::new(inner), report, unsettled: Mutex::default() }
    }

    /// The row of a path.
    pub fn row(&self, path: &RelPath) -> Option<Row> {
        self.lock().rows.get(path).cloned()
    }

    /// Where the directory with this inode was when it was last seen.
    pub fn directory_of(&self, stamp: &Stamp) -> Option<RelPath> {
        self.lock().directories.get(&(stamp.dev, stamp.ino)).cloned()
    }

    /// The known paths directly in a directory, and those of which only something below is known;
    /// `None` is the root.
    pub fn children(&self, directory: Option<&RelPath>) -> Vec<RelPath> {
        merkle::children(&self.lock().rows, directory)
    }

    /// All known paths below a path.
    pub fn below(&self, path: &RelPath) -> Vec<RelPath> {
        rows_below(&self.lock().rows, path).map(|(p, _)| p.clone()).collect()
    }

    /// How many paths are known.
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All known directories.
    pub fn directories(&self) -> Vec<RelPath> {
        let inner = self.lock();
        inner.rows.iter().filter(|(_, r)| r.entry.is_dir()).map(|(p, _)| p.clone()).collect()
    }

    /// All known files.
    pub fn files(&self) -> Vec<RelPath> {
        let inner = self.lock();
        let files = inner.rows.iter().filter(|(_, row)| row.entry.as_file().is_some());
        files.map(|(path, _)| path.clone()).collect()
    }

    /// The row of a path, and whether it has a problem or an outcome told something else of it.
    pub fn row_and_trouble(&self, path: &RelPath) -> (Option<Row>, bool) {
        let inner = self.lock();
        let troubled = inner.problems.contains_key(path) || inner.ahead.contains_key(path);
        (inner.rows.get(path).cloned(), troubled)
    }

    /// The paths below a place that have a problem, or more was told of them than is known; `None`
    /// is the root.
    pub fn troubled_below(&self, place: Option<&RelPath>) -> Vec<RelPath> {
        let inner = self.lock();
        match place {
            Some(path) => {
                let ahead = rows_below(&inner.ahead, path).map(|(p, ())| p);
                let problems = rows_below(&inner.problems, path).map(|(p, _)| p);
                problems.chain(ahead).cloned().collect()
            }
            None => inner.problems.keys().chain(inner.ahead.keys()).cloned().collect(),
        }
    }

    /// The paths that cannot be read, some of them: they are tried again from time to time.
    pub fn unreadable(&self, at_most: usize) -> Vec<RelPath> {
        let inner = self.lock();
        let unreadable = inner.problems.iter().filter(|(_, p)| p.kind == ProblemKind::Unreadable);
        unreadable.take(at_most).map(|(path, _)| path.clone()).collect()
    }

    /// All known names of these inodes, by device and number. Goes through all rows.
    pub fn names_of(&self, inodes: &BTreeSet<(u64, u64)>) -> Vec<RelPath> {
        let inner = self.lock();
        let is_named = |row: &Row| inodes.contains(&(row.stamp.dev, row.stamp.ino));
        inner.rows.iter().filter(|(_, r)| is_named(r)).map(|(p, _)| p.clone()).collect()
    }

    /// Files that have more names than are known here, some of them.
    pub fn linked_outside(&self, at_most: usize) -> Vec<RelPath> {
        let inner = self.lock();
        let mut names: BTreeMap<(u64, u64), (u64, &RelPath, u64)> = BTreeMap::new();
        for (path, row) in &inner.rows {
            if row.stamp.links > 1 && !row.entry.is_dir() {
                let key = (row.stamp.dev, row.stamp.ino);
                let seen = names.entry(key).or_insert((0, path, 0));
                seen.0 += 1;
                seen.2 = seen.2.max(row.stamp.links);
            }
        }
        let outside = names.values().filter(|(seen, _, links)| seen < links);
        outside.take(at_most).map(|(_, path, _)| (*path).clone()).collect()
    }

    /// The paths that have a problem.
    pub fn troubled(&self) -> Vec<RelPath> {
        self.lock().problems.keys().cloned().collect()
    }

    /// Whether a commit is under way at the path or above it.
    pub fn is_committing(&self, path: &RelPath) -> bool {
        let committing = &self.lock().committing;
        !committing.is_empty()
            && (committing.contains(path) || path.ancestors().any(|p| committing.contains(&p)))
    }

    /// Begins a look at the disk.
    pub fn look(&self) -> Ticket {
        let mut inner = self.lock();
        inner.open_looks += 1;
        Ticket(inner.clock)
    }

    /// Ends a look: takes the findings over, reports what is news, and answers the paths that must
    /// be looked at again because a commit touched them meanwhile.
    pub fn tell(&self, ticket: Ticket, findings: BTreeMap<RelPath, Finding>) -> BTreeSet<RelPath> {
        self.tell_aged(ticket, findings, &|_| None)
    }

    /// The same, when it is known how long ago the first hint of a path came.
    pub fn tell_aged(
        &self,
        ticket: Ticket,
        findings: BTreeMap<RelPath, Finding>,
        age: &dyn Fn(&RelPath) -> Option<Micros>,
    ) -> BTreeSet<RelPath> {
        let mut inner = self.lock();
        let (again, fresh) = sift(&inner.touched_since(&ticket), &inner.rows, findings);
        inner.open_looks -= 1;
        if inner.open_looks == 0 {
            inner.touched.clear();
        }
        let moved = moves(&inner.rows, &fresh);
        let Inner { rows, lately, .. } = &mut *inner;
        let strayed = lately.strays(rows, &fresh);
        let mut news = Observation { moved, strayed, ..Observation::default() };
        for (path, finding) in fresh {
            let Some(mut row) = inner.take(path, finding, &mut news.problems) else { continue };
            row.seen = age(&row.path);
            news.rows.push(row);
        }
        told::observation(news, |part| inner.say(&self.report, part));
        again
    }

    /// Begins a commit that touches these paths.
    pub fn begin(&self, paths: &[&RelPath]) {
        let mut inner = self.lock();
        inner.clock += 1;
        inner.committing.extend(paths.iter().map(|&p| p.clone()));
    }

    /// Ends a commit: takes over what it left, moves what it renamed, and reports its outcome.
    pub fn finish(
        &self,
        paths: &[&RelPath],
        renamed: Option<(&RelPath, &RelPath)>,
        left: Vec<(RelPath, Option<Row>)>,
        report: Report,
    ) {
        let mut inner = self.lock();
        inner.clock += 1;
        for &path in paths {
            inner.committing.remove(path);
            if inner.open_looks > 0 {
                let clock = inner.clock;
                inner.touched.insert(path.clone(), clock);
            }
        }
        if let Some((from, to)) = renamed {
            inner.rename(from, to);
        }
        for (path, row) in left {
            // A problem there stays until a look finds it gone, and says so.
            inner.put(path, row);
        }
        if let (Some(&path), Some(now)) = (paths.first(), found_instead(&report)) {
            let row = inner.rows.get(path);
            if !crate::entry::same(row.map(|row| &row.entry), now) {
                inner.ahead.insert(path.clone(), ());
            }
        }
        inner.say(&self.report, report);
    }

    /// Reports everything that is known.
    pub fn inventory(&self) {
        let mut inner = self.lock();
        inner.asked = true;
        inner.ahead.clear();
        // A side that is halted must be known to be so before anything is decided about it.
        if let Some(condition) = &inner.condition {
            (self.report)(Report::Condition(condition.clone()));
        }
        let rows = inner.rows.iter().map(|(path, row)| (path, &row.entry));
        told::inventory(rows, inner.problems.iter(), &self.report);
        for report in std::mem::take(&mut inner.promised) {
            (self.report)(report);
        }
    }

    /// Says what is known of a directory, in its place in the order.
    pub fn compare(&self, id: OrderId, question: &Question) {
        let mut inner = self.lock();
        let Inner { rows, sums, grown, .. } = &mut *inner;
        // The tree is at rest.
        if question.directory.is_none() && grown.pack(rows) {
            return_memory();
        }
        let except = question.except.iter().cloned().collect();
        let level = sums.level(rows, question, &except);
        inner.say(&self.report, Report::Compared { id, level });
    }

    /// Nobody listens any more; nothing is reported until the next inventory.
    pub fn hush(&self) {
        let mut inner = self.lock();
        inner.asked = false;
        inner.promised.clear();
    }

    /// Reports something even if no inventory was asked for yet.
    pub fn answer(&self, report: Report) {
        let _in_order = self.lock();
        (self.report)(report);
    }

    /// Reports something that is not about rows, in its place in the order.
    pub fn say(&self, report: Report) {
        let mut inner = self.lock();
        if let Report::Condition(condition) = &report {
            inner.condition = Some(condition.clone());
        }
        if !inner.asked && matches!(report, Report::Settled { .. } | Report::Synced { .. }) {
            // Somebody waits for this, and will have heard everything before it only with the
            // inventory that is about to be told.
            inner.promised.push(report);
            return;
        }
        inner.say(&self.report, report);
    }

    /// Takes the rows that changed since the last call, to be saved.
    pub fn unsaved(&self) -> Vec<(RelPath, Option<Row>)> {
        let mut inner = self.lock();
        let paths = std::mem::take(&mut inner.unsaved);
        paths
            .into_iter()
            .map(|p| {
                let row = inner.rows.get(&p).cloned();
                (p, row)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn say(&self, reporter: &Reporter, report: Report) {
        if self.asked {
            reporter(report);
        }
    }

    /// What commits touched since a look began, and what they are at.
    fn touched_since(&self, ticket: &Ticket) -> BTreeMap<RelPath, ()> {
        let recent = self.touched.iter().filter(|&(_, &when)| when > ticket.0);
        recent
            .map(|(path, _)| path)
            .chain(&self.committing)
            .map(|path| (path.clone(), ()))
            .collect()
    }

    /// Takes one finding over; answers the row to report, when it is news.
    fn take(
        &mut self,
        path: RelPath,
        finding: Finding,
        problems: &mut Vec<(RelPath, Option<Problem>)>,
    ) -> Option<ReportedRow> {
        if let Finding::Unknown(problem) = finding {
            if self.problems.get(&path) != Some(&problem) {
                self.problems.insert(path.clone(), problem.clone());
                problems.push((path, Some(problem)));
            }
            return None;
        }
        if self.problems.remove(&path).is_some() {
            problems.push((path.clone(), None));
        }
        let old = self.rows.get(&path);
        let (row, content) = match finding {
            Finding::Present(mut row, content) => {
                // Nothing happened to it; its time may be kept less exactly than it was set.
                let kept = old.filter(|old| old.stamp.same_version(&row.stamp));
                let kept = kept.filter(|old| old.entry.same_content(&row.entry));
                row.entry = kept.map_or(row.entry, |old| old.entry.clone());
                (Some(row), content)
            }
            _ => (None, None),
        };
        let ahead = self.ahead.remove(&path).is_some();
        if old == row.as_ref() && !ahead {
            return None;
        }
        let entry = row.as_ref().map(|r| r.entry.clone());
        let news = ahead || !crate::entry::same(old.map(|r| &r.entry), entry.as_ref());
        self.put(path.clone(), row);
        let content = content.map(ByteBuf::from);
        news.then_some(ReportedRow { path, entry, content, seen: None })
    }

    fn put(&mut self, path: RelPath, row: Option<Row>) {
        if let Some(old) = self.rows.get(&path)
            && old.entry.is_dir()
        {
            let key = (old.stamp.dev, old.stamp.ino);
            if self.directories.get(&key) == Some(&path) {
                self.directories.remove(&key);
            }
        }
        self.unsaved.insert(path.clone());
        self.sums.touch(&path);
        match row {
            Some(row) => {
                if row.entry.is_dir() {
                    self.directories.insert((row.stamp.dev, row.stamp.ino), path.clone());
                }
                if self.rows.insert(path, row).is_none() {
                    self.grown.add();
                }
            }
            None => {
                self.rows.remove(&path);
            }
        }
    }

    fn rename(&mut self, from: &RelPath, to: &RelPath) {
        let mut moved: Vec<RelPath> =
            rows_below(&self.rows, from).map(|(p, _)| p.clone()).collect();
        moved.insert(0, from.clone());
        for old in moved {
            let Ok(new) = old.rebase(from, to) else { continue };
            let row = self.rows.get(&old).cloned();
            self.put(old, None);
            self.put(new, row);
        }
    }
}

/// What an outcome tells of a path that nobody has looked at.
fn found_instead(report: &Report) -> Option<Option<&Entry>> {
    match report {
        Report::Outcome { outcome: Outcome::Stale { now }, .. } => Some(now.as_ref()),
        _ => None,
    }
}
