//! What became of an operation, and what follows from it.

use common::change::{Change, Operation, Outcome};
use common::entry::{Entry, same};
use common::path::RelPath;
use common::reconcile::Conflict;
use common::side::Side;
use common::wire::message::{Order, OrderId};

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::{Flight, Purpose};
use super::renames::Hint;
use super::waits::Reason;

impl Coordinator {
    pub(super) fn outcome(
        &mut self,
        side: Side,
        id: OrderId,
        outcome: Outcome,
        out: &mut Vec<Action>,
    ) {
        // An outcome of an operation that was given up when its link broke is not ours any more.
        // And nobody but who was ordered can tell what became of it.
        let Some(flight) = self.flights.finish_at(side, id) else { return };
        if let Purpose::Errand { client, number } = flight.purpose {
            self.errand_went(&flight, (client, number), &outcome, out);
            return;
        }
        let is_done = matches!(outcome, Outcome::Done { .. });
        match flight.operation.clone() {
            Operation::Change(change) => self.changed(&flight, &change, outcome.clone(), out),
            Operation::Rename { from, to, before } => {
                self.rename_ended(&flight, (&from, &to), &before, outcome.clone(), out);
            }
            Operation::Clear { path, .. } => self.cleared(&flight, &path, &outcome, out),
        }
        self.drain_went(&flight.purpose, &outcome, out);
        if flight.is_noted() {
            self.landed(id, &flight.operation, is_done, out);
        }
    }

    fn changed(
        &mut self,
        flight: &Flight,
        change: &Change,
        outcome: Outcome,
        out: &mut Vec<Action>,
    ) {
        let (side, path) = (flight.side, &change.path);
        match outcome {
            Outcome::Done { now, aside } => {
                self.waits.clear(path);
                out.push(Action::Note(Note::Done(side, flight.operation.clone())));
                self.record_change(flight, change, out);
                if let Some(copy) = aside {
                    self.record_conflict(path, side, &copy, out);
                    out.push(Action::Note(Note::Conflict {
                        path: path.clone(),
                        loser: side,
                        copy,
                    }));
                }
                self.put_row(side, path, now.clone());
                let agreed = self.sides_same(path);
                let news = !same(self.archive.get(path), now.as_ref());
                let both = flight.repeats || agreed && flight.purpose == Purpose::Agree;
                if both && news {
                    self.learn(path, now, Some(side.other()));
                }
                if both {
                    self.is_same_again(path);
                }
                if !agreed || flight.purpose != Purpose::Agree {
                    self.mark(path);
                }
            }
            Outcome::Stale { now } => {
                self.put_row(side, path, now);
                self.withhold(path, Reason::Restless, out);
            }
            Outcome::Busy => self.withhold(path, Reason::Busy(side), out),
            Outcome::Moved => {
                self.withhold(path, Reason::Restless, out);
                let path = Some(path.clone());
                out.push(Action::Order(side.other(), Order::Rescan { path }));
            }
            Outcome::Failed(problem) => {
                self.withhold(path, Reason::Failed(side, problem.detail), out);
            }
        }
        self.wake_parked(path);
    }

    fn rename_ended(
        &mut self,
        flight: &Flight,
        (from, to): (&RelPath, &RelPath),
        before: &Entry,
        outcome: Outcome,
        out: &mut Vec<Action>,
    ) {
        match outcome {
            Outcome::Done { now, .. } => {
                self.renamed(flight.side, from, to);
                // It may have been edited since it was last told of.
                self.put_row(flight.side, to, now);
                self.record_rename(flight.side, (from, to), before, out);
                out.push(Action::Note(Note::Done(flight.side, flight.operation.clone())));
            }
            Outcome::Stale { now } => {
                let edited = now.as_ref().is_some_and(|now| !now.same(before) && !now.is_dir());
                self.put_row(flight.side, from, now);
                if edited {
                    // An edit that nobody had seen: it moves along.
                    let hint =
                        Hint { side: flight.side.other(), from: from.clone(), to: to.clone() };
                    self.take_hint(hint);
                }
            }
            Outcome::Busy => self.wait_to_rename(from, Reason::Busy(flight.side), out),
            Outcome::Moved => self.wait_to_rename(from, Reason::Restless, out),
            Outcome::Failed(problem) => {
                let reason = Reason::Failed(flight.side, problem.detail);
                self.wait_to_rename(from, reason, out);
            }
        }
        self.mark_renamed(from, to);
    }

    /// A rename did not work. Under a lock it is tried again, later; otherwise content travels.
    fn wait_to_rename(&mut self, from: &RelPath, reason: Reason, out: &mut Vec<Action>) {
        let lock = self.locks.covering(from);
        if lock.is_some_and(|lock| lock.moved.is_some() && lock.path == *from) {
            self.withhold(from, reason, out);
        }
    }

    /// Tells people of a conflict that an unlock made.
    pub(super) fn note_conflict(&mut self, conflict: Conflict, out: &mut Vec<Action>) {
        let Conflict { path, copy, loser } = conflict;
        self.record_conflict(&path, loser, &copy, out);
        out.push(Action::Note(Note::Conflict { path, loser, copy }));
    }
}
