//! Unlocked: what was held is applied at A in the order in which it was received, exactly once.
//!
//! Each held edit goes through the ordinary commit with its own expectation, and leaves the
//! pending directory only after its outcome is in and durable. After a crash an edit whose result
//! already stands in the tree is not applied again. A version that A's user made meanwhile is
//! kept beside, before anything takes its name.

use std::collections::{BTreeMap, BTreeSet};

use common::change::{Change, Operation, Outcome};
use common::entry::{Entry, File, same};
use common::path::RelPath;
use common::reconcile::Conflict;
use common::reconcile::conflict::copy_path;
use common::side::Side;
use common::wire::client::{DrainMode, HeldRow};
use common::wire::log::Happened;
use common::wire::message::Content;

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::Purpose;
use super::waits::Reason;
use crate::locks::{Lock, LockState};
use crate::pending::queue::HeldEdit;

/// Copies of one name that are tried before giving up.
const COPIES_MAX: u32 = 1000;

/// What an unlock has done so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Drained {
    /// The edits that were applied, in order.
    pub(super) applied: Vec<HeldRow>,
    /// How many went to trash.
    pub(super) discarded: u64,
    /// The versions that were kept beside.
    pub(super) conflicts: Vec<RelPath>,
}

/// An unlock under way.
pub(super) struct Drain {
    mode: DrainMode,
    /// Whether an operation or a removal from the pending directory is under way.
    busy: bool,
    /// Edits that are applied, or let go, and about to leave the pending directory; whether they
    /// are kept in trash.
    leaving: BTreeMap<u64, bool>,
    /// What was done.
    pub(super) done: Drained,
}

impl Drain {
    fn new(mode: DrainMode) -> Drain {
        Drain { mode, busy: false, leaving: BTreeMap::new(), done: Drained::default() }
    }
}

impl Coordinator {
    /// Takes up the drains that a stop of this server interrupted.
    pub(super) fn resume_drains(&mut self, out: &mut Vec<Action>) {
        self.let_uncovered_go(out);
        for lock in self.locks.iter() {
            if let LockState::Draining(mode) = lock.state {
                self.drains.insert(lock.id, Drain::new(mode));
            }
        }
    }

    /// What no lock covers any more is not held: it goes to trash, and B's file is decided anew.
    pub(super) fn let_uncovered_go(&mut self, out: &mut Vec<Action>) {
        for seq in self.hand_over_held() {
            let Some(edit) = self.queue.get(seq).cloned() else { continue };
            out.push(Action::Note(Note::DiscardedHeld(edit.path.clone(), seq)));
            self.record_held(Happened::Discarded, &edit, out);
            out.push(Action::Discard { seq, keep: true, edit });
        }
    }

    /// From now on the lock's held edits are drained.
    pub(super) fn begin_drain(&mut self, id: u64, mode: DrainMode) {
        if let Some(mode) = self.locks.begin_drain(id, mode) {
            self.unsaved.locks = Some(self.locks.clone());
            self.drains.entry(id).or_insert_with(|| Drain::new(mode));
        }
    }

    /// Takes the next step of every drain that can take one.
    pub(super) fn step_drains(&mut self, out: &mut Vec<Action>) {
        let ids: Vec<u64> = self.drains.keys().copied().collect();
        for id in ids {
            if self.drains.get(&id).is_none_or(|drain| drain.busy) {
                continue;
            }
            if self.is_nested(id) {
                self.end_drain(id, out);
                continue;
            }
            match self.next_edit(id) {
                Some(edit) => self.step_drain(id, edit, out),
                None if self.holds.of_lock(id) => {}
                None => self.end_drain(id, out),
            }
        }
    }

    /// Whether a lock above still covers the path: what was held waits for that one.
    fn is_nested(&self, id: u64) -> bool {
        let Some(lock) = self.locks.get(id) else { return false };
        self.locks.covering_all(&lock.path).nth(1).is_some()
    }

    /// Another lock, of something below a path.
    fn inner_lock(&self, id: u64, path: &RelPath) -> Option<&Lock> {
        self.locks.below(path).find(|lock| lock.id != id)
    }

    /// The first edit that can be applied: a directory goes only after what is in it.
    fn next_edit(&self, id: u64) -> Option<HeldEdit> {
        let full = |edit: &&HeldEdit| {
            let removes = !edit.after.as_ref().is_some_and(Entry::is_dir);
            let place = self.place_at_a(id, &edit.path);
            let holds_rows = || self.seen.a.below(&place).next().is_some();
            removes && (holds_rows() || self.inner_lock(id, &place).is_some())
        };
        let mut edits = self.queue.of_lock(id);
        let first = self.queue.of_lock(id).next();
        let mut skipped: BTreeSet<&RelPath> = BTreeSet::new();
        let fit = edits.find(|edit| {
            let fits = !skipped.contains(&edit.path) && !full(edit);
            skipped.insert(&edit.path);
            fits
        });
        fit.or(first).cloned()
    }

    fn step_drain(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        let Some(drain) = self.drains.get(&id) else { return };
        let place = self.place_at_a(id, &edit.path);
        if [&edit.path, &place].iter().any(|path| self.waits.not_yet(path, self.now.moment)) {
            return;
        }
        if let Some(&keep) = drain.leaving.get(&edit.seq) {
            self.discard(id, edit, keep, out);
            return;
        }
        match drain.mode {
            DrainMode::Discard => self.let_go(id, edit, out),
            DrainMode::KeepA => self.keep_a(id, edit, out),
            DrainMode::Apply => self.apply(id, edit, out),
        }
    }

    fn apply(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        let path = self.place_at_a(id, &edit.path);
        if self.flights.touching(&path).is_some() {
            return;
        }
        let now = self.seen.a.get(&path).cloned();
        let after = wanted(now.as_ref(), &edit);
        // After a stop, the archive knows what was applied even if A's user went on from there.
        let known = same(self.archive.get(&edit.path), edit.after.as_ref());
        if known || same(now.as_ref(), after.as_ref()) {
            self.applied(id, edit, out);
            return;
        }
        let removes = !after.as_ref().is_some_and(Entry::is_dir);
        if removes && let Some(lock) = self.inner_lock(id, &path) {
            let holder = lock.holder.clone();
            self.withhold(&path, Reason::Locked { holder }, out);
            return;
        }
        if removes && self.seen.a.below(&path).next().is_some() {
            if self.holds.touching(&path) {
                return;
            }
            self.spare_directory(id, edit, out);
            return;
        }
        if after.is_some() && !self.parents_stand(id, &path, out) {
            return;
        }
        let mut copy = None;
        if let Some(version) = now.as_ref().filter(|now| is_edited(now, &edit)) {
            let content = Content::Local(path.clone());
            copy = self.keep_beside(id, Side::A, &path, version, content, out);
            if copy.is_none() {
                return;
            }
        }
        let needs = match (&now, &after) {
            (Some(now), Some(after)) => after.as_file().is_some() && !now.same_content(after),
            (None, Some(after)) => after.as_file().is_some(),
            _ => false,
        };
        let content = if needs { Content::Held(edit.seq) } else { Content::None };
        let change = Change { path, before: now, after, copy };
        self.begin_step(id);
        let purpose = Purpose::Drain { lock: id, seq: edit.seq };
        self.fly(Side::A, Operation::Change(change), content, purpose, out);
    }

    /// A's user has put something into a directory that a held edit removes or replaces: the
    /// directory stays, and what would have replaced it is kept beside.
    fn spare_directory(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        if let Some(version) = edit.after.clone() {
            let content = Content::Held(edit.seq);
            let place = self.place_at_a(id, &edit.path);
            if self.keep_beside(id, Side::B, &place, &version, content, out).is_none() {
                return;
            }
            self.let_go(id, edit, out);
        } else {
            self.applied(id, edit, out);
        }
    }

    /// A keeps the name; the last version that B had is kept beside, and all go to trash.
    fn keep_a(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        let path = self.place_at_a(id, &edit.path);
        let last = self.queue.last_of(&edit.path).is_some_and(|last| last.seq == edit.seq);
        let same_as_a =
            self.seen.a.get(&path).is_some_and(|now| {
                edit.after.as_ref().is_some_and(|after| after.same_content(now))
            });
        if last
            && !same_as_a
            && let Some(version) = edit.after.as_ref().filter(|e| !e.is_dir())
        {
            let content = match version {
                Entry::File(_) => Content::Held(edit.seq),
                _ => Content::None,
            };
            let version = version.clone();
            if self.keep_beside(id, Side::B, &path, &version, content, out).is_none() {
                return;
            }
        }
        self.let_go(id, edit, out);
    }

    /// Makes sure that a copy of a version stands at A beside its name; answers where, when it
    /// does.
    fn keep_beside(
        &mut self,
        id: u64,
        loser: Side,
        path: &RelPath,
        version: &Entry,
        content: Content,
        out: &mut Vec<Action>,
    ) -> Option<RelPath> {
        for attempt in 0..COPIES_MAX {
            let copy = copy_path(path, loser, version, attempt);
            if self.waits.not_yet(&copy, self.now.moment) {
                return None;
            }
            if self.locks.covering(&copy).is_some_and(|lock| lock.id != id) {
                continue;
            }
            match self.seen.a.get(&copy).cloned() {
                Some(there) if there.same_content(version) => return Some(copy),
                Some(_) => {}
                None if self.flights.touching(&copy).is_some() => return None,
                None if !self.parents_stand(id, &copy, out) => return None,
                None => {
                    let content = if version.as_file().is_some() { content } else { Content::None };
                    let after = Some(version.clone());
                    let change = Change { path: copy.clone(), before: None, after, copy: None };
                    self.begin_step(id);
                    if let Some(drain) = self.drains.get_mut(&id)
                        && !drain.done.conflicts.contains(&copy)
                    {
                        drain.done.conflicts.push(copy.clone());
                        let (path, copy) = (path.clone(), copy.clone());
                        self.note_conflict(Conflict { path, copy, loser }, out);
                    }
                    let purpose = Purpose::Aside { lock: id };
                    self.fly(Side::A, Operation::Change(change), content, purpose, out);
                    return None;
                }
            }
        }
        None
    }

    /// Makes sure that the directories above a path stand at A; answers whether they do.
    fn parents_stand(&mut self, id: u64, path: &RelPath, out: &mut Vec<Action>) -> bool {
        let mut above: Vec<RelPath> = path.ancestors().collect();
        above.reverse();
        for directory in above {
            let before = match self.seen.a.get(&directory) {
                Some(Entry::Dir { .. }) => continue,
                before => before.cloned(),
            };
            if self.waits.not_yet(&directory, self.now.moment)
                || self.flights.touching(&directory).is_some()
            {
                return false;
            }
            // A file in the way of a directory is kept beside.
            let mut copy = None;
            if let Some(version) = &before {
                let content = Content::Local(directory.clone());
                copy = self.keep_beside(id, Side::A, &directory, version, content, out);
                if copy.is_none() {
                    return false;
                }
            }
            let theirs = self.seen.b.get(&directory).filter(|e| e.is_dir()).cloned();
            let after = theirs.or(Some(Entry::Dir { mode: 0o755 }));
            let change = Change { path: directory, before, after, copy };
            self.begin_step(id);
            let purpose = Purpose::Aside { lock: id };
            self.fly(Side::A, Operation::Change(change), Content::None, purpose, out);
            return false;
        }
        true
    }

    fn begin_step(&mut self, id: u64) {
        if let Some(drain) = self.drains.get_mut(&id) {
            drain.busy = true;
        }
    }

    /// An operation of a drain ended.
    pub(super) fn drain_went(
        &mut self,
        purpose: &Purpose,
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        let (lock, seq) = match purpose {
            Purpose::Aside { lock } => (*lock, None),
            Purpose::Drain { lock, seq } => (*lock, Some(*seq)),
            _ => return,
        };
        let Some(drain) = self.drains.get_mut(&lock) else { return };
        drain.busy = false;
        if let (Some(seq), Outcome::Done { aside, .. }) = (seq, outcome) {
            drain.done.conflicts.extend(aside.clone());
            if let Some(edit) = self.queue.get(seq).cloned() {
                self.applied(lock, edit, out);
            }
        }
    }

    /// A held edit stands in the tree, durably: it leaves the pending directory.
    fn applied(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        out.push(Action::Note(Note::Drained(edit.path.clone(), edit.seq)));
        self.record_held(Happened::Drained, &edit, out);
        // B had this and A took it: what either makes of it from now on is a later edit.
        self.learn(&edit.path, edit.after.clone(), Some(Side::B));
        self.discard(id, edit, false, out);
    }

    fn let_go(&mut self, id: u64, edit: HeldEdit, out: &mut Vec<Action>) {
        out.push(Action::Note(Note::DiscardedHeld(edit.path.clone(), edit.seq)));
        self.record_held(Happened::Discarded, &edit, out);
        self.discard(id, edit, true, out);
    }

    fn discard(&mut self, id: u64, edit: HeldEdit, keep: bool, out: &mut Vec<Action>) {
        let Some(drain) = self.drains.get_mut(&id) else { return };
        drain.busy = true;
        drain.leaving.insert(edit.seq, keep);
        if keep && self.queue.last_of(&edit.path).is_some_and(|last| last.seq == edit.seq) {
            // Once it has left, a stop must not make an edit of it that A has yet to take.
            self.declined.push(edit);
        } else {
            out.push(Action::Discard { seq: edit.seq, keep, edit });
        }
    }

    pub(super) fn discarded(
        &mut self,
        seq: u64,
        result: Result<(), String>,
        out: &mut Vec<Action>,
    ) {
        let found = self.drains.iter_mut().find(|(_, drain)| drain.leaving.contains_key(&seq));
        let Some((_, drain)) = found else {
            // No lock covered it, and its content is in trash now. If one covers it by now, what B
            // has is held anew.
            if result.is_ok()
                && let Some(edit) = self.queue.remove(seq)
            {
                self.mark(&edit.path);
            }
            return;
        };
        drain.busy = false;
        let Some(edit) = self.queue.get(seq).cloned() else { return };
        if let Err(reason) = result {
            self.withhold(&edit.path, Reason::PendingRefused(reason), out);
            return;
        }
        let kept = drain.leaving.remove(&seq);
        if kept == Some(true) {
            drain.done.discarded += 1;
        } else {
            drain.done.applied.push(edit.row());
        }
        self.queue.remove(seq);
        let path = edit.path;
        self.waits.clear(&path);
        if kept == Some(true) && self.queue.last_of(&path).is_none() {
            // To the merge, A has declined it: A's version goes to B.
            self.learn(&path, edit.after, Some(Side::B));
        }
        self.mark(&path);
    }

    fn end_drain(&mut self, id: u64, out: &mut Vec<Action>) {
        let Some(drain) = self.drains.remove(&id) else { return };
        let Some(lock) = self.locks.remove(id) else { return };
        self.unsaved.locks = Some(self.locks.clone());
        self.let_uncovered_go(out);
        let forced_by = self.desk.forced_by(id);
        self.hint_moved(&lock);
        let (path, holder) = (lock.path, lock.holder);
        let what = match &forced_by {
            Some(_) => Happened::ForcedUnlock,
            None => Happened::Unlocked,
        };
        let detail = forced_by.as_ref().map(|by| format!("by {by}"));
        self.record_word(what, Some(&path), Some(holder.clone()), detail, out);
        out.push(Action::Note(Note::Unlocked { path: path.clone(), holder, forced_by }));
        self.mark(&path);
        self.touch_below(&path);
        self.mark_waiting_below(&path);
        for above in path.ancestors() {
            self.mark(&above);
        }
        self.wake_parked(&path);
        self.desk.drained(id, drain.done);
    }
}

/// What a held edit leaves when it is applied to what A has now: where A changed only the mode,
/// and B did not, A's mode stays.
fn wanted(now: Option<&Entry>, edit: &HeldEdit) -> Option<Entry> {
    match (now, &edit.before, &edit.after) {
        (Some(Entry::File(now)), Some(Entry::File(before)), Some(Entry::File(after)))
            if before.mode == after.mode
                && (now.digest == before.digest || now.digest == after.digest) =>
        {
            Some(Entry::from(File { mode: now.mode, ..**after }))
        }
        (_, _, after) => after.clone(),
    }
}

/// Whether A has a content that neither the held edit found nor left.
fn is_edited(now: &Entry, edit: &HeldEdit) -> bool {
    let is = |other: &Option<Entry>| other.as_ref().is_some_and(|other| now.same_content(other));
    !now.is_dir() && !is(&edit.before) && !is(&edit.after)
}
