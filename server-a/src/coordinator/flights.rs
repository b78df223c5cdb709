//! What is under way: no two operations at one path, nor at a directory and what is below it.
//!
//! What repeats at one side what the other has is noted in [`Trail`]s, for the case that we are
//! killed before the store knows of it.
//!
//! Also who waits for whom: a path that cannot be decided until another one moves is parked on it,
//! and woken when it does.

use std::collections::{BTreeMap, BTreeSet};

use common::change::Operation;
use common::path::{RelPath, rows_below};
use common::side::Side;
use common::wire::message::{Content, Order, OrderId};

use super::Coordinator;
use super::action::{Action, Landed};
use super::event::ClientId;
use crate::underway::{Ordered, Trail};

/// Why an operation was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To bring the two sides together.
    Agree,
    /// To repeat a rename of the other side.
    Rename,
    /// To bring back from trash what a rejected loss had removed.
    Restore,
    /// To keep A's own version beside, before the held edits of this lock are applied.
    Aside {
        /// The lock.
        lock: u64,
    },
    /// To apply a held edit of this lock.
    Drain {
        /// The lock.
        lock: u64,
        /// The edit.
        seq: u64,
    },
    /// To do what a client asked for.
    Errand {
        /// The client.
        client: ClientId,
        /// Which of its tasks.
        number: usize,
    },
}

/// An operation under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// At which side.
    pub(super) side: Side,
    /// What.
    pub(super) operation: Operation,
    /// Why.
    pub(super) purpose: Purpose,
    /// Whether the other side had the outcome already when this was ordered. Then both sides have
    /// agreed on it once it is done, whatever the other side's user has made of it since.
    pub(super) repeats: bool,
}

impl Flight {
    /// Whether it must be known after a kill that this was ordered.
    pub(super) fn is_noted(&self) -> bool {
        self.repeats || matches!(self.purpose, Purpose::Drain { .. })
    }

    /// The paths that it touches.
    pub(super) fn paths(&self) -> Vec<&RelPath> {
        self.operation.paths()
    }
}

/// All operations under way.
#[derive(Default)]
pub(super) struct Flights {
    by_id: BTreeMap<OrderId, Flight>,
    at: BTreeMap<RelPath, BTreeSet<OrderId>>,
}

impl Flights {
    /// The path of an operation at this path, above it or below it.
    pub(super) fn touching(&self, path: &RelPath) -> Option<RelPath> {
        if self.at.is_empty() {
            return None;
        }
        if self.at.contains_key(path) {
            return Some(path.clone());
        }
        if let Some((below, _)) = rows_below(&self.at, path).next() {
            return Some(below.clone());
        }
        path.ancestors().find(|above| self.at.contains_key(above))
    }

    /// Whether an operation at this side is at this path, above it or below it.
    pub(super) fn touching_at(&self, side: Side, path: &RelPath) -> bool {
        let mut flights = self.by_id.values().filter(|flight| flight.side == side);
        flights.any(|flight| flight.paths().iter().any(|p| p.touches(path)))
    }

    pub(super) fn start(&mut self, id: OrderId, flight: Flight) {
        for path in flight.paths() {
            self.at.entry(path.clone()).or_default().insert(id);
        }
        self.by_id.insert(id, flight);
    }

    pub(super) fn finish(&mut self, id: OrderId) -> Option<Flight> {
        let flight = self.by_id.remove(&id)?;
        for path in flight.paths() {
            if let Some(ids) = self.at.get_mut(path) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.at.remove(path);
                }
            }
        }
        Some(flight)
    }

    /// Ends an operation that was ordered at this side.
    pub(super) fn finish_at(&mut self, side: Side, id: OrderId) -> Option<Flight> {
        self.by_id.get(&id).filter(|flight| flight.side == side)?;
        self.finish(id)
    }

    /// The operations at one side.
    pub(super) fn at_side(&self, side: Side) -> Vec<OrderId> {
        self.by_id.iter().filter(|(_, f)| f.side == side).map(|(id, _)| *id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl Coordinator {
    /// Starts an operation.
    pub(super) fn launch(&mut self, flight: Flight, content: Content, out: &mut Vec<Action>) {
        self.moved = true;
        let id = self.order_id();
        let Flight { side, operation, .. } = flight.clone();
        if flight.is_noted() {
            out.push(Action::Trail(Trail::Ordered(Box::new(self.ordered(id, &flight)))));
        }
        self.flights.start(id, flight);
        out.push(Action::Order(side, Order::Commit { id, operation, content }));
    }

    /// An operation under way, as it is noted.
    pub(super) fn ordered(&self, id: OrderId, flight: &Flight) -> Ordered {
        let Flight { side, operation, purpose, .. } = flight;
        let held = match purpose {
            Purpose::Drain { seq, .. } => self.queue.get(*seq),
            _ => None,
        };
        let held = held.map(|edit| (edit.path.clone(), edit.after.clone()));
        Ordered { id, side: *side, run: self.run, operation: operation.clone(), held }
    }

    /// An operation has ended. What the archive learned by it is over when that is saved.
    pub(super) fn landed(
        &mut self,
        id: OrderId,
        operation: &Operation,
        done: bool,
        out: &mut Vec<Action>,
    ) {
        if done && !self.unsaved.archive.is_empty() {
            out.push(Action::Trail(Trail::Done(id)));
            let at = operation.paths().into_iter().cloned().collect();
            self.unsaved.over.push(Landed { id, at });
        } else {
            out.push(Action::Trail(Trail::Over(vec![id])));
        }
    }
}

/// Who waits for whom.
#[derive(Default)]
pub(super) struct Parked {
    on: BTreeMap<RelPath, BTreeSet<RelPath>>,
}

impl Parked {
    pub(super) fn is_empty(&self) -> bool {
        self.on.is_empty()
    }

    /// Lets `path` wait until something moves at `on`.
    pub(super) fn park(&mut self, path: RelPath, on: RelPath) {
        self.on.entry(on).or_default().insert(path);
    }

    /// Who waits, and on what: first on what.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&RelPath, &RelPath)> {
        self.on.iter().flat_map(|(on, paths)| paths.iter().map(move |path| (on, path)))
    }

    /// Something moved there: answers who waited for it.
    pub(super) fn wake(&mut self, on: &RelPath) -> BTreeSet<RelPath> {
        self.on.remove(on).unwrap_or_default()
    }
}
