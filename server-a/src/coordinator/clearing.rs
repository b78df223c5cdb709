//! A directory that one side has no longer, and that the other has wholly as last agreed, goes
//! there as one: one order and one outcome, whatever is in it.
//!
//! Nothing that would stop any single removal in it may be in the way, and the other side compares
//! all that it knows and all that is there, twice. Where that cannot be, or turns out not to be so,
//! its paths are decided one by one, as everything else: that keeps what must be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use common::change::{Change, Operation, Outcome};
use common::entry::{Entry, same};
use common::limits::CLEARED_ROWS_MAX;
use common::merkle::{Question, Sum};
use common::path::{RelPath, rows_below};
use common::side::Side;
use common::wire::message::Content;

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::{Flight, Purpose};
use super::quiet::touched;
use crate::locks::Whole;

impl Coordinator {
    /// From so many rows in it on a directory goes as one.
    pub fn clear_from(&mut self, rows: usize) {
        self.cleared_min = rows;
    }

    /// Orders that a directory goes with all that is in it, if it may; answers whether it did.
    pub(super) fn clear(&mut self, path: &RelPath, out: &mut Vec<Action>) -> bool {
        let Some(side) = self.clearable_at(path) else { return false };
        let Some(before) = self.archive.get(path).cloned() else { return false };
        let below = self.sum_below(path);
        let operation = Operation::Clear { path: path.clone(), before, below };
        // What is in it is decided with it.
        for marked in [&mut self.dirty, &mut self.urgent] {
            let (low, high) = path.bounds_below();
            let bounds = (Bound::Included(low.as_slice()), Bound::Excluded(high.as_slice()));
            let covered: Vec<RelPath> = marked.range::<[u8], _>(bounds).cloned().collect();
            for path in covered {
                marked.remove(&path);
            }
        }
        self.waits.clear(path);
        let flight = Flight { side, operation, purpose: Purpose::Agree, repeats: true };
        self.launch(flight, Content::None, out);
        true
    }

    /// The side at which a directory may go as one.
    fn clearable_at(&self, path: &RelPath) -> Option<Side> {
        let old = self.archive.get(path).filter(|old| old.is_dir())?;
        let gone = Side::BOTH.into_iter().find(|&side| self.seen[side].get(path).is_none())?;
        let side = gone.other();
        let is_whole = same(self.seen[side].get(path), Some(old))
            && self.seen[gone].below(path).next().is_none()
            && !self.singly.contains(path)
            && !self.is_hindered(path)
            && self.is_as_agreed_below(side, path);
        is_whole.then_some(side)
    }

    /// Whether a side has below a directory what was agreed on, and that is neither little nor too
    /// much.
    fn is_as_agreed_below(&self, side: Side, path: &RelPath) -> bool {
        let (mut agreed, mut there) = (self.archive.below(path), self.seen[side].below(path));
        for count in 0..=CLEARED_ROWS_MAX {
            match (agreed.next(), there.next()) {
                (None, None) => return count >= self.cleared_min,
                (Some((p, old)), Some((q, now))) if p == q && old.same(now) => {}
                _ => return false,
            }
        }
        false
    }

    /// Whether anything at, above or below a path may keep some of it from going.
    fn is_hindered(&self, path: &RelPath) -> bool {
        self.locks.meets(path, Whole::Yes).is_some()
            || !self.drains.is_empty()
            || self.queue.count_touching(path) > 0
            || self.holds.touching(path)
            || self.errands.are_going()
            || self.hints.touches(path)
            || Side::BOTH.iter().any(|&side| self.troubles(side, path))
            || self.waits.reason(path).is_some()
            || self.waits.any_below(path)
            || is_in(&self.restores, path)
            || touched(&self.copies, path)
            || touched(&self.unproven, path)
    }

    /// The sum of what was agreed on below a directory.
    fn sum_below(&mut self, path: &RelPath) -> Sum {
        let directory = Some(path.clone());
        let question = Question { except: Vec::new(), directory, rows: false, after: None };
        self.archive.level(&question, &BTreeSet::new()).sum
    }

    /// What became of it. If it did not go, its paths are decided one by one.
    pub(super) fn cleared(
        &mut self,
        flight: &Flight,
        path: &RelPath,
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        match outcome {
            Outcome::Done { .. } => {
                let seen = &self.seen[flight.side];
                let top = seen.get(path).map(|entry| (path, entry));
                let rows = top.into_iter().chain(seen.below(path));
                let rows: Vec<_> = rows.map(|(p, e)| (p.clone(), e.clone())).collect();
                for (path, before) in rows.into_iter().rev() {
                    self.went_along(flight, path, before, out);
                }
                self.learn_cleared(path, Some(flight.side.other()));
            }
            Outcome::Stale { .. } | Outcome::Busy | Outcome::Moved | Outcome::Failed(_) => {
                self.singly.insert(path.clone());
                self.touch_below(path);
                self.mark(path);
            }
        }
        self.wake_parked(path);
    }

    /// Something went with its directory: as if it had been removed alone.
    fn went_along(&mut self, flight: &Flight, path: RelPath, before: Entry, out: &mut Vec<Action>) {
        let side = flight.side;
        self.waits.clear(&path);
        self.put_row(side, &path, None);
        if self.archive.get(&path).is_some() {
            self.learn(&path, None, Some(side.other()));
        }
        self.is_same_again(&path);
        if !self.sides_same(&path) {
            self.mark(&path);
        }
        let change = Change { path, before: Some(before), after: None, copy: None };
        self.record_change(flight, &change, out);
        out.push(Action::Note(Note::Done(side, Operation::Change(change))));
    }

    /// The archive learns that a directory went with all that was in it.
    pub(super) fn learn_cleared(&mut self, path: &RelPath, source: Option<Side>) {
        let top = self.archive.get(path).map(|_| path);
        let rows = top.into_iter().chain(self.archive.below(path).map(|(p, _)| p));
        for path in rows.cloned().collect::<Vec<_>>().iter().rev() {
            self.learn(path, None, source);
        }
    }

    /// The same when nobody told of it, and it is written down as well.
    pub(super) fn learn_cleared_unheard(&mut self, path: &RelPath, out: &mut Vec<Action>) {
        let below: Vec<RelPath> = self.archive.below(path).map(|(p, _)| p.clone()).collect();
        for path in below.iter().rev().chain([path]) {
            self.record_agreed(path, None, out);
        }
        self.learn_cleared(path, None);
    }
}

/// Whether a map has a row at a path, above it or below it.
fn is_in<V>(map: &BTreeMap<RelPath, V>, path: &RelPath) -> bool {
    map.contains_key(path)
        || rows_below(map, path).next().is_some()
        || path.ancestors().any(|above| map.contains_key(&above))
}
