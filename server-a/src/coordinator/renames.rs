//! Renames that one side reports are repeated as renames at the other: no content travels, and a
//! directory of any size moves in one step with all that is in it, ignored files too.
//!
//! A hint is only acted upon when it explains what is seen: gone here, there now, and the other
//! side and the archive still as before. After it, the archive's rows have moved along, so an edit
//! that either side made to a moved file is an ordinary edit at its new name.

use std::collections::{BTreeMap, BTreeSet};

use common::change::Operation;
use common::entry::Entry;
use common::limits::CHANGES_IN_FLIGHT_MAX;
use common::path::{RelPath, rows_below};
use common::side::Side;
use common::tree::Tree;
use common::wire::message::Content;

use super::Coordinator;
use super::action::{Action, ArchiveRow};
use super::flights::{Flight, Purpose};
use super::following::Leave;

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

/// The hints that are not used up, by old name and by new name.
#[derive(Default)]
pub(super) struct Hints {
    from: BTreeMap<RelPath, Hint>,
    by_new: BTreeMap<RelPath, RelPath>,
    /// The old names of those to be looked at now.
    ready: BTreeSet<RelPath>,
    /// The old names of those that wait until something moves at a path.
    waiting: BTreeMap<RelPath, BTreeSet<RelPath>>,
}

impl Hints {
    pub(super) fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.from.len()
    }

    /// Adds a hint; it takes the place of others of the same old or new name, whose names are
    /// answered.
    pub(super) fn insert(&mut self, hint: Hint) -> Vec<RelPath> {
        let same_new = self.by_new.get(&hint.to).cloned().and_then(|old| self.remove(&old));
        let displaced = same_new.into_iter().chain(self.remove(&hint.from));
        let displaced = displaced.flat_map(|old| [old.from, old.to]).collect();
        self.by_new.insert(hint.to.clone(), hint.from.clone());
        self.ready.insert(hint.from.clone());
        self.from.insert(hint.from.clone(), hint);
        displaced
    }

    fn remove(&mut self, from: &RelPath) -> Option<Hint> {
        let hint = self.from.remove(from)?;
        self.by_new.remove(&hint.to);
        self.ready.remove(from);
        Some(hint)
    }

    /// Something moved at a path: the hints that waited for it are looked at again.
    pub(super) fn wake(&mut self, on: &RelPath) {
        if let Some(woken) = self.waiting.remove(on) {
            self.ready.extend(woken);
        }
    }

    /// Whether what was at the path, or a directory above it, is said to have moved.
    pub(super) fn left_from(&self, path: &RelPath) -> bool {
        !self.is_empty() && upward(path).any(|p| self.from.contains_key(&p))
    }

    /// The new name in a hint that covers the path.
    fn covering(&self, path: &RelPath) -> Option<RelPath> {
        if self.is_empty() {
            return None;
        }
        upward(path).find_map(|p| {
            let by_old = self.from.get(&p).map(|hint| hint.to.clone());
            by_old.or_else(|| self.by_new.contains_key(&p).then_some(p))
        })
    }

    /// Whether a hint has a name at the path, above it or below it.
    pub(super) fn touches(&self, path: &RelPath) -> bool {
        self.covering(path).is_some()
            || rows_below(&self.from, path).next().is_some()
            || rows_below(&self.by_new, path).next().is_some()
    }

    /// Forgets what a side said; answers the names.
    pub(super) fn forget(&mut self, side: Side) -> Vec<RelPath> {
        let gone: Vec<RelPath> =
            self.from.values().filter(|h| h.side == side).map(|h| h.from.clone()).collect();
        let gone: Vec<Hint> = gone.iter().filter_map(|from| self.remove(from)).collect();
        gone.into_iter().flat_map(|hint| [hint.from, hint.to]).collect()
    }
}

/// The path and all above it.
fn upward(path: &RelPath) -> impl Iterator<Item = RelPath> {
    std::iter::successors(Some(path.clone()), RelPath::parent)
}

/// What a hint is good for.
pub(super) enum Use {
    /// It explains what is seen; what is there at the other side.
    Now(Entry),
    /// Perhaps, when something has moved at this path.
    Later(RelPath),
    /// Nothing.
    Never,
}

impl Coordinator {
    /// Takes a hint over. What others said of its names is decided without them.
    pub(super) fn take_hint(&mut self, hint: Hint) {
        for displaced in self.hints.insert(hint) {
            self.mark(&displaced);
            self.touch_below(&displaced);
            self.wake_parked(&displaced);
        }
    }

    /// Starts the renames that the hints call for; drops the hints that explain nothing. Answers
    /// whether any hint was used up.
    pub(super) fn rename_hinted(&mut self, out: &mut Vec<Action>) -> bool {
        let mut any = false;
        while self.flights.len() < CHANGES_IN_FLIGHT_MAX
            && let Some(from) = self.hints.ready.pop_first()
        {
            let Some(hint) = self.hints.from.get(&from).cloned() else { continue };
            match self.usefulness(&hint) {
                Use::Later(on) => {
                    self.hints.waiting.entry(on).or_default().insert(from);
                    continue;
                }
                Use::Now(before) => {
                    self.hints.remove(&from);
                    self.start_rename(&hint, before, out);
                }
                Use::Never => {
                    self.hints.remove(&from);
                    self.mark_renamed(&hint.from, &hint.to);
                }
            }
            any = true;
        }
        any
    }

    /// When everything is decided, a directory that is not under way is not coming any more: looks
    /// again at the hints that wait for it, and at those that came up meanwhile. Answers whether
    /// any hint was used up.
    pub(super) fn rename_in_vain(&mut self, out: &mut Vec<Action>) -> bool {
        if self.hints.is_empty() || !self.urgent.is_empty() || !self.dirty.is_empty() {
            return false;
        }
        let idle = |on: &&RelPath| self.flights.touching(on).is_none();
        let idle: Vec<RelPath> = self.hints.waiting.keys().filter(idle).cloned().collect();
        for on in idle {
            self.hints.wake(&on);
        }
        self.rename_hinted(out)
    }

    /// The new name in a hint that covers a path, which must not be decided before it is used up.
    pub(super) fn hinted(&self, path: &RelPath) -> Option<RelPath> {
        self.hints.covering(path)
    }

    pub(super) fn usefulness(&self, hint: &Hint) -> Use {
        let Hint { side, from, to } = hint;
        let other = side.other();
        let (here, there) = (&self.seen[*side], &self.seen[other]);
        let (Some(now), Some(before)) = (here.get(to), there.get(from)) else { return Use::Never };
        let explains = here.get(from).is_none()
            && there.get(to).is_none()
            && self.archive.get(to).is_none()
            && self.archive.get(from).is_some_and(|old| old.kind() == before.kind())
            && now.kind() == before.kind();
        let troubled = Side::BOTH.iter().any(|&s| self.troubles(s, from) || self.troubles(s, to));
        if !explains || troubled {
            return Use::Never;
        }
        match self.may_rename(hint) {
            Leave::Granted => {}
            Leave::After(on) => return Use::Later(on),
            Leave::Refused => return Use::Never,
        }
        match to.parent() {
            Some(parent) if !there.get(&parent).is_some_and(Entry::is_dir) => {
                let coming = self.flights.touching(&parent);
                let undecided = self.dirty.contains(&parent) || self.urgent.contains(&parent);
                let on = coming.or_else(|| undecided.then_some(parent));
                return on.map_or(Use::Never, Use::Later);
            }
            _ => {}
        }
        match self.flights.touching(from).or_else(|| self.flights.touching(to)) {
            Some(on) => Use::Later(on),
            None => Use::Now(before.clone()),
        }
    }

    /// Whether something is unknown at, above or below a path.
    pub(super) fn troubles(&self, side: Side, path: &RelPath) -> bool {
        let problems = &self.problems[side];
        !problems.is_empty()
            && (upward(path).any(|p| problems.contains_key(&p))
                || rows_below(problems, path).next().is_some())
    }

    fn start_rename(&mut self, hint: &Hint, before: Entry, out: &mut Vec<Action>) {
        let side = hint.side.other();
        let operation = Operation::Rename { from: hint.from.clone(), to: hint.to.clone(), before };
        let flight = Flight { side, operation, purpose: Purpose::Rename, repeats: true };
        self.launch(flight, Content::None, out);
    }

    /// A rename is done at a side: its tree and the archive move along.
    pub(super) fn renamed(&mut self, side: Side, from: &RelPath, to: &RelPath) {
        self.checks.moved();
        self.seen[side].rename(from, to);
        if side == Side::B {
            self.lock_is_followed(from, to);
        }
        self.learn_rename(from, to);
    }

    /// The archive's rows move along with a rename that both sides have.
    pub(super) fn learn_rename(&mut self, from: &RelPath, to: &RelPath) {
        self.put_off_as_one(&[from, to]);
        let mut rows: Vec<(RelPath, Option<Entry>)> = self
            .archive
            .get(from)
            .map(|entry| (from.clone(), Some(entry.clone())))
            .into_iter()
            .chain(self.archive.below(from).map(|(p, e)| (p.clone(), Some(e.clone()))))
            .collect();
        let old: Tree = rows.iter().filter_map(|(p, e)| Some((p.clone(), e.clone()?))).collect();
        self.archive.rename(from, to);
        for (path, entry) in std::mem::take(&mut rows) {
            if let Ok(new) = path.rebase(from, to) {
                rows.push((path, None));
                rows.push((new, entry));
            }
        }
        for (path, _) in &rows {
            let old = old.get(path).cloned();
            self.stored.entry(path.clone()).or_insert(old);
        }
        let source = None;
        let rows = rows.into_iter().map(|(path, entry)| ArchiveRow { path, entry, source });
        self.unsaved.archive.extend(rows);
    }

    /// Marks what waits below a path, also where nothing is any more.
    pub(super) fn mark_waiting_below(&mut self, path: &RelPath) {
        for waiting in self.waits.below(path) {
            self.mark(&waiting);
        }
    }

    /// Marks all that a rename touched, at its old and its new place.
    pub(super) fn mark_renamed(&mut self, from: &RelPath, to: &RelPath) {
        for path in [from, to] {
            self.mark(path);
            self.touch_below(path);
            self.mark_waiting_below(path);
            self.wake_parked(path);
        }
    }
}
