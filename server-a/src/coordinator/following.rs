//! A lock follows its file when A's user renames it.
//!
//! Many programs save by renaming the old version away for a moment, so the lock covers both names
//! at first. When the old name stays away and B has no edit of the file, B takes the new name over,
//! and the lock has only that. When B has edits, the new name waits like everything else: they are
//! held under the old name, drained into the file under the new one, and then B is renamed.

use common::path::RelPath;
use common::side::Side;
use common::tree::Tree;

use super::Coordinator;
use super::action::Action;
use super::holding::same_edit;
use super::renames::{Hint, Use};
use super::waits::Reason;
use crate::locks::{Lock, LockState, Whole, rebased};

/// Whether a rename may be repeated, for all that locks have to say.
pub(super) enum Leave {
    /// It may.
    Granted,
    /// Not before something moves here.
    After(RelPath),
    /// It may not.
    Refused,
}

impl Coordinator {
    /// A's user renamed something: the locks at its old name and below cover the new one, too.
    /// Answers them.
    pub(super) fn locks_move_along(
        &mut self,
        from: &RelPath,
        to: &RelPath,
        out: &mut Vec<Action>,
    ) -> Vec<u64> {
        let seen = &self.seen.a;
        let ids = self.locks.moved_at_a(from, to, |path| seen.get(path).is_some());
        if !ids.is_empty() {
            self.unsaved.locks = Some(self.locks.clone());
            self.let_uncovered_go(out);
        }
        ids
    }

    /// What was renamed under these locks is left alone for a moment.
    pub(super) fn give_renamed_locks_time(&mut self, locks: Vec<u64>, out: &mut Vec<Action>) {
        for id in locks {
            let lock = self.locks.get(id).filter(|lock| lock.moved.is_some());
            if let Some(path) = lock.map(|lock| lock.path.clone()) {
                self.withhold(&path, Reason::Renamed, out);
            }
        }
    }

    /// A row of A: whether what a lock followed is what its user meant to rename.
    pub(super) fn lock_stays(&mut self, path: &RelPath, there: bool, out: &mut Vec<Action>) {
        let name = self.locks.at(path).map(|lock| lock.path.clone());
        if let Some(uncovered) = self.locks.stays(path, there) {
            self.unsaved.locks = Some(self.locks.clone());
            self.let_uncovered_go(out);
            // What is below the old name may have waited for the new one.
            for name in [Some(uncovered), name].into_iter().flatten() {
                self.touch_below(&name);
                self.mark_waiting_below(&name);
                self.mark_upward(&name);
            }
        }
    }

    /// B has taken a new name over.
    pub(super) fn lock_is_followed(&mut self, from: &RelPath, to: &RelPath) {
        if self.locks.moved_at_b(from, to) {
            self.unsaved.locks = Some(self.locks.clone());
            self.mark_upward(from);
        }
    }

    /// The new names of locked files that B does not have are hinted at again after a start.
    pub(super) fn hint_moved_locks(&mut self) {
        let moved: Vec<Lock> =
            self.locks.iter().filter(|lock| lock.moved.is_some()).cloned().collect();
        for lock in moved {
            self.hint_moved(&lock);
        }
    }

    /// B may take the new name over now.
    pub(super) fn hint_moved(&mut self, lock: &Lock) {
        let Some(to) = lock.moved.clone() else { return };
        self.take_hint(Hint { side: Side::A, from: lock.path.clone(), to: to.clone() });
        self.mark_renamed(&lock.path, &to);
        self.mark_upward(&to);
    }

    /// What is above a name may have waited for its lock.
    fn mark_upward(&mut self, path: &RelPath) {
        self.mark(path);
        for above in path.ancestors() {
            self.mark(&above);
        }
    }

    /// What a lock has followed waits at its old name: if B can take the new one over now, it does;
    /// otherwise that is tried again when something moves where it is to go.
    pub(super) fn take_up_moved(&mut self, id: u64, path: &RelPath) {
        let Some(lock) = self.locks.get(id).filter(|lock| lock.path == *path).cloned() else {
            return;
        };
        let Some(to) = lock.moved.clone() else { return };
        let hint = Hint { side: Side::A, from: path.clone(), to: to.clone() };
        match self.usefulness(&hint) {
            Use::Now(_) => self.hint_moved(&lock),
            Use::Later(on) => self.parked.park(path.clone(), on),
            Use::Never => self.parked.park(path.clone(), to.parent().unwrap_or(to)),
        }
    }

    /// B has no edit at a path that a lock covers: if that was all that kept what is above it from
    /// taking its new name, it can now.
    pub(super) fn mark_moved_above(&mut self, path: &RelPath) {
        let covering = self.locks.covering_all(path);
        let moved = covering.filter(|lock| lock.moved.is_some() && lock.path != *path);
        let moved: Vec<RelPath> = moved.map(|lock| lock.path.clone()).collect();
        moved.iter().for_each(|path| self.mark(path));
    }

    /// Whether locks let a rename of one side be repeated at the other.
    pub(super) fn may_rename(&self, hint: &Hint) -> Leave {
        let Hint { side, from, to } = hint;
        let met = |path: &RelPath| self.locks.meets(path, Whole::Yes).is_some();
        if !met(from) && !met(to) {
            return Leave::Granted;
        }
        if *side == Side::B || self.b_has_edits(from) || self.b_has_edits(to) {
            return Leave::Refused;
        }
        let above = self.locks.covering_all(from).chain(self.locks.covering_all(to));
        for lock in self.locks.below(from).chain(self.locks.below(to)).chain(above) {
            let along = lock.moved.is_some() && rebased(&lock.path, from, to) == lock.moved;
            let over_both = lock.moved.is_none() && from.is_below(&lock.path);
            let over_new = lock.moved.is_none() && to.is_below(&lock.path);
            if lock.state != LockState::Held || !(along || over_both || over_new) {
                return Leave::Refused;
            }
            if along && self.waits.not_yet(&lock.path, self.now.moment) {
                return Leave::After(lock.path.clone());
            }
        }
        Leave::Granted
    }

    /// Whether B has an edit at a path or below that is held, or is to be.
    fn b_has_edits(&self, path: &RelPath) -> bool {
        let own = |tree: &Tree| -> Vec<RelPath> {
            std::iter::once(path.clone()).chain(tree.below(path).map(|(p, _)| p.clone())).collect()
        };
        let edited = |path: &RelPath| !same_edit(self.seen.b.get(path), self.archive.get(path));
        self.queue.count_touching(path) > 0
            || self.holds.touching(path)
            || own(&self.seen.b).iter().chain(&own(&self.archive)).any(edited)
    }

    /// Where at A a held edit of this lock is applied: never under another lock.
    pub(super) fn place_at_a(&self, id: u64, path: &RelPath) -> RelPath {
        let place = self.locks.get(id).map(|lock| lock.place_at_a(path));
        let own = |place: &RelPath| self.locks.covering_all(place).all(|lock| lock.id == id);
        place.filter(own).unwrap_or_else(|| path.clone())
    }
}
