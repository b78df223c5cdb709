//! Deciding: every dirty path that nothing stands in the way of becomes operations, or agreement,
//! or a reason to wait.

use common::change::Operation;
use common::entry::{Entry, same};
use common::limits::CHANGES_IN_FLIGHT_MAX;
use common::path::{RelPath, rows_below};
use common::problem::ProblemKind;
use common::reconcile::{Conflict, Next, Step, Verdict, decide};
use common::side::Side;
use common::wire::message::Content;

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::{Flight, Purpose};
use super::waits::Reason;
use crate::locks::Whole;

/// Room that is kept for what somebody just touched.
const URGENT_ROOM: usize = 64;

impl Coordinator {
    /// Decides what can be decided now.
    pub(super) fn cycle(&mut self, out: &mut Vec<Action>) {
        if self.halted() || self.telling.a || self.telling.b || !self.ready.a {
            return;
        }
        self.step_drains(out);
        if !self.ready.b {
            return;
        }
        self.step_restores(out);
        // A hint that waits for a directory may come to nothing when that is decided.
        loop {
            self.rename_hinted(out);
            self.decide_all(out);
            if !self.rename_in_vain(out) {
                break;
            }
        }
        self.tell_settled(out);
    }

    fn decide_all(&mut self, out: &mut Vec<Action>) {
        loop {
            let room = CHANGES_IN_FLIGHT_MAX.saturating_sub(self.flights.len());
            let next = if room > 0 { self.urgent.pop_first() } else { None };
            let next = match next {
                Some(path) => Some(path),
                None if room > URGENT_ROOM => self.dirty.pop_first(),
                None => None,
            };
            let Some(path) = next else { break };
            self.dirty.remove(&path);
            self.decide_path(path, out);
        }
    }

    fn decide_path(&mut self, path: RelPath, out: &mut Vec<Action>) {
        self.decisions += 1;
        if let Some(on) = self.flights.touching(&path) {
            self.parked.park(path, on);
            return;
        }
        if let Some(on) = self.hinted(&path) {
            self.parked.park(path, on);
            return;
        }
        if self.waits.not_yet(&path, self.now.moment) {
            return;
        }
        if let Some(reason) = self.unknown_at(&path) {
            if self.all_same(&path) {
                self.waits.clear(&path);
            } else {
                self.withhold(&path, reason, out);
            }
            return;
        }
        if self.under_lock(&path, out) {
            return;
        }
        if self.clear(&path, out) {
            return;
        }
        let Verdict { next, conflict } = decide(&self.view(), &path);
        match next {
            Next::Agreed { learn } => {
                self.waits.clear(&path);
                self.is_same_again(&path);
                if learn {
                    let entry = self.seen.a.get(&path).cloned();
                    self.record_agreed(&path, entry.as_ref(), out);
                    self.learn(&path, entry, None);
                }
            }
            Next::Steps(steps) => self.issue(&path, steps, conflict, out),
            Next::After { side, path: child } => {
                self.withhold_with_child(&path, side, &child, out);
                self.parked.park(path, child);
            }
        }
    }

    /// A directory waits for what is in it: for the same reason, if that has one.
    fn withhold_with_child(
        &mut self,
        path: &RelPath,
        side: Side,
        child: &RelPath,
        out: &mut Vec<Action>,
    ) {
        match self.waits.reason(child) {
            Some(Reason::Ignored(_)) | None => self.waits.clear(path),
            Some(_) => {
                let detail = format!("`{child}` in it waits");
                self.withhold(path, Reason::Unknown(side, detail), out);
            }
        }
    }

    /// The problem that makes the state at a path, or above it, unknown.
    pub(super) fn unknown_at(&self, path: &RelPath) -> Option<Reason> {
        for side in Side::BOTH {
            if self.problems[side].is_empty() {
                continue;
            }
            let at = |p: &RelPath| self.problems[side].get(p).cloned();
            if let Some(problem) = at(path).or_else(|| path.ancestors().find_map(|p| at(&p))) {
                return Some(match problem.kind {
                    ProblemKind::Ignored => Reason::Ignored(side),
                    _ => Reason::Unknown(side, problem.detail),
                });
            }
        }
        None
    }

    /// Starts the steps of a path, all or none.
    fn issue(
        &mut self,
        path: &RelPath,
        steps: Vec<Step>,
        conflict: Option<Conflict>,
        out: &mut Vec<Action>,
    ) {
        if let Some(Conflict { path: top, loser, .. }) = &conflict
            && let Some(holder) = self.keeper_of(top, *loser)
        {
            self.parked.park(path.clone(), top.clone());
            self.withhold(path, Reason::Locked { holder }, out);
            return;
        }
        for step in &steps {
            if let Some(on) = self.flights.touching(&step.change.path) {
                self.parked.park(path.clone(), on);
                return;
            }
            if self.waits.not_yet(&step.change.path, self.now.moment) {
                self.parked.park(path.clone(), step.change.path.clone());
                return;
            }
            if let Some(reason) = self.forbidden(step) {
                if step.change.path != *path {
                    self.parked.park(path.clone(), step.change.path.clone());
                }
                self.withhold(path, reason, out);
                return;
            }
        }
        if let Some(Conflict { path, copy, loser }) = conflict
            && steps.iter().any(|step| step.change.path == copy)
        {
            self.record_conflict(&path, loser, &copy, out);
            out.push(Action::Note(Note::Conflict { path, loser, copy }));
        }
        for step in steps {
            if step.change.path != *path {
                self.parked.park(path.clone(), step.change.path.clone());
            }
            self.start_step(step, out);
        }
    }

    /// Who holds the lock under which a version that is in the way is not set aside: what B's user
    /// did is held first, and what is at A stays where it is.
    fn keeper_of(&self, top: &RelPath, loser: Side) -> Option<String> {
        let winner_is_dir = self.seen[loser.other()].get(top).is_some_and(Entry::is_dir);
        let whole = if winner_is_dir { Whole::No } else { Whole::Yes };
        let lock = match loser {
            Side::A => self.locks.meets(top, whole),
            Side::B => self.locks.covering(top).filter(|_| self.has_edit_of_b(top)),
        };
        lock.map(|lock| lock.holder.clone())
    }

    /// Why a step must not be taken: a lock at A, or something unknown at, above or below its path.
    fn forbidden(&self, step: &Step) -> Option<Reason> {
        let path = &step.change.path;
        let displaces =
            step.change.before.is_some() && !step.change.after.as_ref().is_some_and(|e| e.is_dir());
        let whole = if displaces { Whole::Yes } else { Whole::No };
        if step.side == Side::A
            && let Some(lock) = self.locks.meets(path, whole)
        {
            return Some(Reason::Locked { holder: lock.holder.clone() });
        }
        if step.side == Side::B
            && let Some(lock) = self.locks.covering(path)
            && self.has_edit_of_b(path)
        {
            return Some(Reason::Locked { holder: lock.holder.clone() });
        }
        if let Some(reason) = self.unknown_at(path) {
            return Some(reason);
        }
        if displaces
            && let Some((below, problem)) = rows_below(&self.problems[step.side], path).next()
        {
            let detail = format!("it holds `{below}`: {}", problem.detail);
            return Some(Reason::Unknown(step.side, detail));
        }
        None
    }

    fn start_step(&mut self, step: Step, out: &mut Vec<Action>) {
        let content = match step.origin {
            None => Content::None,
            Some(origin) if origin.side == step.side => Content::Local(origin.path),
            Some(origin) => Content::Pull(origin.path),
        };
        self.fly(step.side, Operation::Change(step.change), content, Purpose::Agree, out);
    }

    /// Starts an operation.
    pub(super) fn fly(
        &mut self,
        side: Side,
        operation: Operation,
        content: Content,
        purpose: Purpose,
        out: &mut Vec<Action>,
    ) {
        let there = self.seen[side.other()].get(operation.path());
        let repeats = match &operation {
            Operation::Change(change) => same(there, change.after.as_ref()),
            Operation::Rename { .. } | Operation::Clear { .. } => true,
        };
        let repeats = repeats && purpose == Purpose::Agree;
        self.launch(Flight { side, operation, purpose, repeats }, content, out);
    }

    fn tell_settled(&mut self, out: &mut Vec<Action>) {
        if self.moved && self.is_idle() && self.drains.is_empty() {
            self.moved = false;
            let (agreed, waiting) = (self.archive.len(), self.waits.len());
            out.push(Action::Note(Note::Settled { agreed, waiting }));
        }
    }

    /// Whether both sides have the same at a path.
    pub(super) fn sides_same(&self, path: &RelPath) -> bool {
        same(self.seen.a.get(path), self.seen.b.get(path))
    }
}
