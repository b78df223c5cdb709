//! Locked: B's edits are held instead of applied.
//!
//! The lock is a filter on what is decided. A change counts as the next held edit only when B's
//! entry differs from the last held one in kind, content or mode. B's own file is never touched;
//! A's edits go to B as long as B has none of its own.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Entry, same};
use common::path::{RelPath, rows_below};
use common::time::Moment;
use common::wire::client::DrainMode;
use common::wire::log::Happened;

use super::Coordinator;
use super::action::{Action, Note};
use super::event::HoldFailure;
use super::waits::Reason;
use crate::pending::queue::HeldEdit;

/// Edits that may be on their way into the pending directory at once.
const HOLDS_MAX: usize = 256;

/// Edits on their way into the pending directory, at most one a path.
#[derive(Default)]
pub(super) struct Holds {
    by_path: BTreeMap<RelPath, HeldEdit>,
    path_of: BTreeMap<u64, RelPath>,
    bytes: u64,
    /// Paths that wait for room.
    crowded: BTreeSet<RelPath>,
}

impl Holds {
    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn of_lock(&self, lock: u64) -> bool {
        self.by_path.values().any(|edit| edit.lock == lock)
    }

    pub(super) fn touching(&self, path: &RelPath) -> bool {
        self.by_path.contains_key(path) || rows_below(&self.by_path, path).next().is_some()
    }

    fn start(&mut self, edit: HeldEdit) {
        self.bytes = self.bytes.saturating_add(edit.content_bytes());
        self.path_of.insert(edit.seq, edit.path.clone());
        self.by_path.insert(edit.path.clone(), edit);
    }

    fn finish(&mut self, seq: u64) -> Option<HeldEdit> {
        let edit = self.by_path.remove(&self.path_of.remove(&seq)?)?;
        self.bytes = self.bytes.saturating_sub(edit.content_bytes());
        Some(edit)
    }
}

/// Whether two states differ in nothing that makes an edit: kind, content, mode.
pub(super) fn same_edit(a: Option<&Entry>, b: Option<&Entry>) -> bool {
    match (a, b) {
        (Some(Entry::File(a)), Some(Entry::File(b))) => a.digest == b.digest && a.mode == b.mode,
        _ => same(a, b),
    }
}

impl Coordinator {
    /// Whether a lock keeps the path from being decided; starts to hold what is new.
    pub(super) fn under_lock(&mut self, path: &RelPath, out: &mut Vec<Action>) -> bool {
        let Some(lock) = self.locks.covering(path) else { return false };
        let (lock, holder, moved) = (lock.id, lock.holder.clone(), lock.moved.is_some());
        let last = self.queue.last_of(path).map(|edit| edit.after.clone());
        let unheld = last.is_none();
        let theirs = self.seen.b.get(path);
        let untouched = unheld && same_edit(theirs, self.archive.get(path));
        let agreed = unheld && self.sides_same(path);
        if self.holds.by_path.contains_key(path) {
            return true;
        }
        if moved && untouched && !agreed {
            self.withhold(path, Reason::Locked { holder }, out);
            self.take_up_moved(lock, path);
            return true;
        }
        if untouched || agreed {
            self.mark_moved_above(path);
            return false;
        }
        let base = last.unwrap_or_else(|| self.archive.get(path).cloned());
        if !same_edit(theirs, base.as_ref()) {
            if self.waits.not_yet(path, self.now.moment) {
                return true;
            }
            self.hold(lock, path, base, out);
        } else {
            self.withhold(path, Reason::Locked { holder }, out);
        }
        true
    }

    /// Whether B has an edit of a locked path that is held, or is to be.
    pub(super) fn has_edit_of_b(&self, path: &RelPath) -> bool {
        self.queue.last_of(path).is_some()
            || self.holds.by_path.contains_key(path)
            || !same_edit(self.seen.b.get(path), self.archive.get(path))
    }

    fn hold(&mut self, lock: u64, path: &RelPath, before: Option<Entry>, out: &mut Vec<Action>) {
        if self.holds.by_path.len() >= HOLDS_MAX {
            self.holds.crowded.insert(path.clone());
            return;
        }
        let after = self.seen.b.get(path).cloned();
        let bytes = after.as_ref().map_or(0, Entry::size);
        if self.queue.would_exceed(bytes, self.holds.bytes) {
            let reason = "the pending directory has reached its limit".to_string();
            self.withhold(path, Reason::PendingRefused(reason), out);
            return;
        }
        let seq = self.queue.take_seq();
        let received = self.now.wall;
        let edit = HeldEdit { seq, lock, path: path.clone(), before, after, received };
        self.holds.start(edit.clone());
        out.push(Action::Hold(edit));
    }

    pub(super) fn held(
        &mut self,
        seq: u64,
        result: Result<(), HoldFailure>,
        out: &mut Vec<Action>,
    ) {
        let Some(edit) = self.holds.finish(seq) else { return };
        let path = edit.path.clone();
        let edit = match self.locks.covering(&path) {
            Some(lock) => HeldEdit { lock: lock.id, ..edit },
            None => edit,
        };
        if let Some(next) = self.holds.crowded.pop_first() {
            self.mark(&next);
        }
        match result {
            Ok(()) => {
                self.moved = true;
                self.waits.clear(&path);
                self.record_held(Happened::Held, &edit, out);
                self.queue.insert(edit);
                let count = self.queue.count_touching(&path);
                out.push(Action::Note(Note::Held(path.clone(), count)));
            }
            Err(HoldFailure::Gone | HoldFailure::Lost) => {
                self.withhold(&path, Reason::Restless, out);
            }
            Err(HoldFailure::Refused(reason)) => {
                self.withhold(&path, Reason::PendingRefused(reason), out);
            }
        }
        self.mark(&path);
        self.wake_parked(&path);
    }

    /// Gives every held edit to the lock that covers its path now; answers those that none covers.
    pub(super) fn hand_over_held(&mut self) -> Vec<u64> {
        let mut orphans = Vec::new();
        let mut moved = Vec::new();
        for edit in self.queue.iter() {
            match self.locks.covering(&edit.path) {
                Some(lock) if lock.id == edit.lock => {}
                Some(lock) => moved.push(HeldEdit { lock: lock.id, ..edit.clone() }),
                None => orphans.push(edit.seq),
            }
        }
        for edit in moved {
            self.queue.insert(edit);
        }
        orphans
    }

    /// Locks whose time is over are unlocked as their holder would.
    pub(super) fn expire_locks(&mut self, out: &mut Vec<Action>) {
        for id in self.locks.expired(self.now.wall) {
            if let Some(lock) = self.locks.get(id) {
                let (path, holder) = (lock.path.clone(), lock.holder.clone());
                self.record_word(Happened::Expired, Some(&path), Some(holder.clone()), None, out);
                out.push(Action::Note(Note::Expired(path, holder)));
            }
            self.begin_drain(id, DrainMode::default());
        }
    }

    /// When the next lock expires.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let next = self.locks.next_expiry()?;
        let seconds = next.seconds.saturating_sub(self.now.wall.seconds).max(0);
        let ms = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
        // A second more than the difference, so that the whole of it is over; never hot.
        Some(self.now.moment.after_ms(ms.clamp(1000, 86_400_000)))
    }
}
