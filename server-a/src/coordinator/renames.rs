//! Renames that one side reports are repeated as renames at the other: no content travels, and a
//! directory of any size moves in one step with all that is in it, ignored files too.
//!
//! A hint is only acted upon when it explains what is seen: gone here, there now, and the other
//! side and the archive still as before. After it, the archive's rows have moved along, so an edit
//! that either side made to a moved file is an ordinary edit at its new name.

use common::change::Operation;
use common::entry::Entry;
use common::path::RelPath;
use common::side::Side;
use common::wire::message::{Content, Order};

use super::Coordinator;
use super::action::{Action, ArchiveRow};
use super::flights::{Flight, Purpose};

/// A side says that something moved.
#[derive(Clone, Debug)]
pub(super) struct Hint {
    /// Which side.
    pub(super) side: Side,
    /// The old name.
    pub(super) from: RelPath,
    /// The new name.
    pub(super) to: RelPath,
}

enum Use {
    Now(Entry),
    Later,
    Never,
}

impl Coordinator {
    /// Starts the renames that the hints call for; drops the hints that explain nothing.
    pub(super) fn rename_hinted(&mut self, out: &mut Vec<Action>) {
        let hints = std::mem::take(&mut self.hints);
        for hint in hints {
            match self.usefulness(&hint) {
                Use::Now(before) => self.start_rename(&hint, before, out),
                Use::Later => self.hints.push(hint),
                Use::Never => self.wake_parked(&hint.to),
            }
        }
    }

    /// The hint that covers a path, which must not be decided before the hint is used up.
    pub(super) fn hinted(&self, path: &RelPath) -> Option<&Hint> {
        let covers = |p: &RelPath| path == p || path.is_below(p);
        self.hints.iter().find(|hint| covers(&hint.from) || covers(&hint.to))
    }

    fn usefulness(&self, hint: &Hint) -> Use {
        let Hint { side, from, to } = hint;
        let other = side.other();
        let (here, there) = (&self.seen[*side], &self.seen[other]);
        let (Some(now), Some(before)) = (here.get(to), there.get(from)) else { return Use::Never };
        let explains = here.get(from).is_none()
            && there.get(to).is_none()
            && self.archive.get(to).is_none()
            && self.archive.get(from).is_some_and(|old| old.kind() == before.kind())
            && now.kind() == before.kind();
        let troubled = Side::BOTH
            .iter()
            .any(|&s| self.problems[s].keys().any(|p| p.touches(from) || p.touches(to)));
        let locked = self.locks.iter().any(|l| l.path.touches(from) || l.path.touches(to));
        if !explains || troubled || locked {
            return Use::Never;
        }
        match to.parent() {
            Some(parent) if !there.get(&parent).is_some_and(Entry::is_dir) => {
                let coming = self.flights.touching(&parent).is_some()
                    || self.dirty.contains(&parent)
                    || self.urgent.contains(&parent);
                return if coming { Use::Later } else { Use::Never };
            }
            _ => {}
        }
        if self.flights.touching(from).is_some() || self.flights.touching(to).is_some() {
            return Use::Later;
        }
        Use::Now(before.clone())
    }

    fn start_rename(&mut self, hint: &Hint, before: Entry, out: &mut Vec<Action>) {
        let side = hint.side.other();
        let operation = Operation::Rename { from: hint.from.clone(), to: hint.to.clone(), before };
        let id = self.order_id();
        let flight = Flight { side, operation: operation.clone(), purpose: Purpose::Rename };
        self.flights.start(id, flight);
        let order = Order::Commit { id, operation, content: Content::None };
        out.push(Action::Order(side, order));
    }

    /// A rename is done at a side: its tree and the archive move along.
    pub(super) fn renamed(&mut self, side: Side, from: &RelPath, to: &RelPath) {
        self.seen[side].rename(from, to);
        let mut rows: Vec<(RelPath, Option<Entry>)> = self
            .archive
            .get(from)
            .map(|entry| (from.clone(), Some(entry.clone())))
            .into_iter()
            .chain(self.archive.below(from).map(|(p, e)| (p.clone(), Some(e.clone()))))
            .collect();
        self.archive.rename(from, to);
        for (path, entry) in std::mem::take(&mut rows) {
            if let Ok(new) = path.rebase(from, to) {
                rows.push((path, None));
                rows.push((new, entry));
            }
        }
        let source = None;
        let rows = rows.into_iter().map(|(path, entry)| ArchiveRow { path, entry, source });
        self.unsaved.archive.extend(rows);
    }

    /// Marks all that a rename touched, at its old and its new place.
    pub(super) fn mark_renamed(&mut self, from: &RelPath, to: &RelPath) {
        for path in [from, to] {
            self.mark(path);
            self.touch_below(path);
            self.wake_parked(path);
        }
    }
}
