//! One comparison of five trees, from the root down to what differs.
//!
//! A directory whose digests are equal everywhere is not entered. What is entered comes in parts;
//! a part counts up to the first end of any of the five, and the next one goes on there.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Entry, same};
use common::merkle::{Level, LevelRow, Question, Sum};
use common::path::RelPath;
use common::side::{PerSide, Side};
use common::time::Moment;
use common::wire::message::OrderId;
use common::wire::verify::ExceptionRow;

/// Differing paths that are named.
const DIFFERING_MAX: usize = 100;
/// Exceptions that are named.
const EXCEPTIONS_SHOWN: usize = 100;
/// Questions of one comparison.
const ROUNDS_MAX: u32 = 1000;
/// Directories that wait to be asked about.
const LEFT_MAX: usize = 100_000;

/// What is not compared: at which side the reason lies, and which it is.
pub(super) type Exceptions = BTreeMap<RelPath, (Option<Side>, String)>;

/// A comparison under way.
pub(super) struct Run {
    pub(super) began: Moment,
    /// What the coordinator had heard when it began.
    pub(super) motion: u64,
    pub(super) except: BTreeSet<RelPath>,
    pub(super) exceptions: Vec<ExceptionRow>,
    pub(super) exception_count: u64,
    pub(super) asked: PerSide<Option<OrderId>>,
    pub(super) got: PerSide<Option<Level>>,
    /// The directory that is asked about, and after which path; first only for the root's sum.
    at: (Option<RelPath>, Option<RelPath>),
    rows: bool,
    left: Vec<(Option<RelPath>, Option<RelPath>)>,
    rounds: u32,
    sum: Option<Sum>,
    pub(super) differing: Vec<(RelPath, [Option<Entry>; 5])>,
    pub(super) more: bool,
}

/// Exceptions as clients see them, the first of them.
pub(super) fn shown(all: Exceptions) -> Vec<ExceptionRow> {
    let shown = all.into_iter().take(EXCEPTIONS_SHOWN);
    shown.map(|(path, (side, reason))| ExceptionRow { path, side, reason }).collect()
}

impl Run {
    pub(super) fn new(began: Moment, motion: u64, all: Exceptions) -> Run {
        Run {
            began,
            motion,
            except: all.keys().cloned().collect(),
            exception_count: all.len() as u64,
            exceptions: shown(all),
            asked: PerSide::default(),
            got: PerSide::default(),
            at: (None, None),
            rows: false,
            left: Vec::new(),
            rounds: 0,
            sum: None,
            differing: Vec::new(),
            more: false,
        }
    }

    /// What is asked now.
    pub(super) fn question(&self) -> Question {
        let (directory, after) = self.at.clone();
        let except = self.except.iter().cloned().collect();
        Question { except, directory, rows: self.rows, after }
    }

    /// The sum of all, when everything is the same.
    pub(super) fn identical(&self) -> Option<Sum> {
        self.sum
    }

    /// Takes the answers of all five: the replicas', A's picture of both, the archive's.
    pub(super) fn compare(&mut self, levels: [Level; 5]) {
        let alike = levels.iter().all(|level| level.sum == levels[0].sum);
        if !self.rows {
            match alike {
                true => self.sum = Some(levels[0].sum),
                false => self.left.push((None, None)),
            }
            return;
        }
        let ends = levels.iter().filter(|level| !level.last);
        let end = ends.filter_map(|level| level.rows.last()).map(|row| row.path.clone()).min();
        let within = |path: &RelPath| end.as_ref().is_none_or(|end| path <= end);
        let mut rows: BTreeMap<RelPath, [Option<LevelRow>; 5]> = BTreeMap::new();
        for (at, level) in levels.into_iter().enumerate() {
            for row in level.rows.into_iter().filter(|row| within(&row.path)) {
                let path = row.path.clone();
                rows.entry(path).or_default()[at] = Some(row);
            }
        }
        for (path, rows) in rows {
            self.compare_rows(path, rows);
        }
        if let Some(end) = end {
            self.left.push((self.at.0.clone(), Some(end)));
        }
    }

    fn compare_rows(&mut self, path: RelPath, rows: [Option<LevelRow>; 5]) {
        let entries = rows.each_ref().map(|row| row.as_ref().and_then(|row| row.entry.clone()));
        let sums = rows.each_ref().map(|row| row.as_ref().and_then(|row| row.below));
        if !entries.iter().all(|entry| same(entry.as_ref(), entries[0].as_ref())) {
            self.differing.push((path, entries));
        } else if sums.iter().any(|sum| *sum != sums[0]) {
            self.left.push((Some(path), None));
        }
    }

    /// Goes on to what is asked next; answers whether there is anything.
    pub(super) fn next(&mut self) -> bool {
        self.rounds += 1;
        let endless = self.rounds >= ROUNDS_MAX || self.left.len() >= LEFT_MAX;
        if self.differing.len() >= DIFFERING_MAX || endless {
            self.more |= !self.left.is_empty() || self.differing.len() > DIFFERING_MAX;
            self.differing.truncate(DIFFERING_MAX);
            return false;
        }
        let Some(at) = self.left.pop() else { return false };
        self.at = at;
        self.rows = true;
        true
    }
}
