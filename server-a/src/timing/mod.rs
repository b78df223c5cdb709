//! How long edits take from one side to the other, part by part. Pure, and never asked by whoever
//! decides.
//!
//! It hears what the driver hears, and sees what the driver is told to do. A finding waits under
//! its side and path until an order brings that path to the other side; the order's number leads to
//! its outcome; then the path, to the save that has it. Whatever breaks this chain makes it an edit
//! that is not counted: a hint was missed, a newer edit took its place, it was held, or had to wait
//! for a person, for B, or for another try. So no figure has a person's time in it.
//!
//! No clock of B is compared with one of A: all moments here are A's, in microseconds since some
//! start, and of B there are durations only.

pub mod histogram;
pub mod traces;

use std::collections::BTreeMap;
use std::time::Duration;

use common::change::{Operation, Outcome};
use common::path::RelPath;
use common::side::{PerSide, Side};
use common::time::{Micros, Timestamp};
use common::wire::client::timed::{Speed, Stages, Trace};
use common::wire::client::{Answer, Request};
use common::wire::message::{Order, OrderId, Report, Row, Spent};

use crate::coordinator::action::{Action, Batch, Note};
use crate::coordinator::event::{Event, SaveId};
use histogram::Histogram;
use traces::{TraceId, Traces};

/// Findings, orders and outcomes that may wait for what comes next. What comes in larger crowds is
/// not all measured.
const WAITING_MAX: usize = 16_384;

/// When something happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct When {
    /// On A's clock that only runs forward, in microseconds.
    pub at: u64,
    /// For people.
    pub wall: Timestamp,
}

/// Measures.
#[derive(Debug, Default)]
pub struct Timing {
    found: PerSide<BTreeMap<RelPath, Found>>,
    /// What was found last, and may have been withheld since.
    fresh: Vec<(Side, RelPath)>,
    ordered: BTreeMap<OrderId, Ordered>,
    done: BTreeMap<RelPath, Done>,
    saving: BTreeMap<SaveId, Vec<(RelPath, Done)>>,
    /// Half of the last round to B and back.
    way: Option<Micros>,
    measured: PerSide<Measured>,
    traces: Traces,
}

/// An edit that a side told.
#[derive(Clone, Copy, Debug)]
struct Found {
    told: Micros,
    way: Micros,
    heard: When,
}

/// An edit that was ordered at the other side.
#[derive(Debug)]
struct Ordered {
    side: Side,
    path: RelPath,
    found: Found,
    /// When it was given: it may have to wait for what was decided before it.
    at: u64,
    /// Whether its content had to be fetched before the order went out.
    fetched: bool,
}

/// An edit that is done at the other side.
#[derive(Clone, Copy, Debug)]
struct Done {
    from: Side,
    trace: TraceId,
    heard: u64,
    so_far: Micros,
}

/// All that was measured of one direction.
#[derive(Debug, Default)]
struct Measured {
    stages: Stages<Histogram>,
    agreed: Histogram,
    seen_to_visible: Histogram,
    seen_to_agreed: Histogram,
}

impl Timing {
    /// Hears what the coordinator is about to hear. `round` is how long it lately took to B and
    /// back.
    pub fn hear(&mut self, event: &Event, when: When, round: impl FnOnce() -> Option<Duration>) {
        match event {
            Event::Reported(side, Report::Observed(observation)) => {
                self.way = round().map(|round| Micros::from(round / 2));
                self.observed(*side, &observation.rows, when);
            }
            Event::Reported(side, Report::Outcome { id, outcome, spent }) => {
                let done = spent.filter(|_| matches!(outcome, Outcome::Done { .. }));
                self.outcome(*side, *id, done, when.at);
            }
            Event::Reported(_, Report::Inventory { .. }) => self.forget(),
            Event::PeerUp(..) | Event::PeerDown(_) => {
                self.forget();
                self.ordered.clear();
            }
            Event::Asked(_, request) if is_deed(request) => self.forget(),
            Event::NotDurable(paths) => {
                let late = |path: &RelPath| paths.contains(path);
                self.saving.values_mut().for_each(|rows| rows.retain(|(path, _)| !late(path)));
            }
            Event::Saved(id, result) => self.saved(*id, result.is_ok(), when.at),
            _ => {}
        }
    }

    /// Sees what the coordinator asked for.
    pub fn see(&mut self, action: &Action) {
        match action {
            Action::Order(side, Order::Commit { id, operation, .. }) => {
                self.order(*side, *id, operation);
            }
            Action::Save(id, batch) => self.save(*id, batch),
            Action::Hold(edit) => self.leave(Side::B, &edit.path),
            Action::Note(Note::Waits(path, _)) => {
                Side::BOTH.iter().for_each(|side| self.leave(*side, path));
            }
            Action::Note(Note::Resumed | Note::Expired(..)) => self.forget(),
            _ => {}
        }
    }

    /// An order is given now.
    pub fn gives(&mut self, id: OrderId, at: u64) {
        if let Some(ordered) = self.ordered.get_mut(&id) {
            ordered.at = at;
        }
    }

    /// The content of an order is fetched before it goes out.
    pub fn fetches(&mut self, id: OrderId) {
        if let Some(ordered) = self.ordered.get_mut(&id) {
            ordered.fetched = true;
        }
    }

    /// What was just found and is withheld now is not counted.
    pub fn leave_out(&mut self, is_withheld: impl Fn(&RelPath) -> bool) {
        for (side, path) in self.fresh.drain(..) {
            if is_withheld(&path) {
                self.found[side].remove(&path);
            }
        }
    }

    /// Nothing is under way and nothing waits to be decided: no order will come of what was found.
    pub fn rest(&mut self) {
        self.forget();
        self.done.clear();
    }

    /// Adds what was measured to an answer.
    pub fn complete(&self, answer: &mut Answer) {
        match answer {
            Answer::Status(status) => status.speed = self.speeds(),
            Answer::PathStatus(status) => {
                status.last_edit = self.traces.get(&status.path).map(|trace| Box::new(*trace));
            }
            _ => {}
        }
    }

    /// What was measured, each way.
    #[must_use]
    pub fn speeds(&self) -> Vec<Speed> {
        Side::BOTH.iter().map(|from| self.measured[*from].speed(*from)).collect()
    }

    /// The last edit of a path.
    #[must_use]
    pub fn trace(&self, path: &RelPath) -> Option<&Trace> {
        self.traces.get(path)
    }

    fn leave(&mut self, side: Side, path: &RelPath) {
        self.found[side].remove(path);
    }

    fn forget(&mut self) {
        self.found.a.clear();
        self.found.b.clear();
        self.fresh.clear();
    }

    fn observed(&mut self, side: Side, rows: &[Row], heard: When) {
        let way = match side {
            Side::A => Some(Micros::default()),
            Side::B => self.way,
        };
        let found = &mut self.found[side];
        for row in rows {
            match (row.seen, way) {
                (Some(told), Some(way)) if found.len() < WAITING_MAX => {
                    found.insert(row.path.clone(), Found { told, way, heard });
                    self.fresh.push((side, row.path.clone()));
                }
                _ if found.is_empty() => {}
                _ => {
                    found.remove(&row.path);
                }
            }
        }
    }

    fn order(&mut self, side: Side, id: OrderId, operation: &Operation) {
        let Some((path, found)) = self.found[side.other()].remove_entry(operation.path()) else {
            return;
        };
        if self.ordered.len() < WAITING_MAX {
            let (at, fetched) = (found.heard.at, false);
            self.ordered.insert(id, Ordered { side, path, found, at, fetched });
        }
    }

    fn outcome(&mut self, side: Side, id: OrderId, spent: Option<Spent>, at: u64) {
        let Some(ordered) = self.ordered.remove(&id).filter(|ordered| ordered.side == side) else {
            return;
        };
        let Some(spent) = spent else { return };
        let (from, found) = (side.other(), ordered.found);
        let stages = ordered.stages(spent, at, self.way);
        self.measured[from].record(&stages);
        let trace = Trace { from, time: found.heard.wall, stages, agreed: None };
        let trace = self.traces.put(ordered.path.clone(), trace);
        if self.done.len() < WAITING_MAX {
            let so_far = stages.until_reported();
            self.done.insert(ordered.path, Done { from, trace, heard: at, so_far });
        }
    }

    fn save(&mut self, id: SaveId, batch: &Batch) {
        if self.done.is_empty() {
            return;
        }
        let rows = batch.archive.iter().filter_map(|row| self.done.remove_entry(&row.path));
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            self.saving.insert(id, rows);
        }
    }

    fn saved(&mut self, id: SaveId, is_saved: bool, at: u64) {
        let rows = self.saving.remove(&id).filter(|_| is_saved).unwrap_or_default();
        for (path, Done { from, trace, heard, so_far }) in rows {
            let took = Micros::from(at.saturating_sub(heard));
            let measured = &mut self.measured[from];
            measured.agreed.record(took);
            measured.seen_to_agreed.record([so_far, took].into_iter().sum());
            self.traces.agreed(&path, trace, took);
        }
    }
}

impl Ordered {
    /// The parts of an edit that is done. Of the time from the order to the outcome, what the side
    /// does not account for was spent on the way.
    fn stages(&self, spent: Spent, outcome: u64, way: Option<Micros>) -> Stages<Micros> {
        let Spent { durable, visible, reported } = spent;
        let theirs: Micros = [durable, visible, reported].into_iter().sum();
        let rest = outcome.saturating_sub(self.at).saturating_sub(theirs.get());
        let ordered = self.at.saturating_sub(self.found.heard.at);
        let (link, before, after) = match (self.side, self.fetched) {
            (Side::A, true) => (self.found.way.get(), rest, 0),
            (Side::A, false) => (self.found.way.get(), 0, rest),
            (Side::B, false) => (rest / 2, 0, rest - rest / 2),
            (Side::B, true) => {
                let way = way.map_or(0, Micros::get).min(rest / 2);
                (way, rest - 2 * way, way)
            }
        };
        Stages {
            told: self.found.told,
            link: link.into(),
            ordered: ordered.saturating_add(before).into(),
            durable,
            visible,
            reported: reported.get().saturating_add(after).into(),
        }
    }
}

impl Measured {
    fn record(&mut self, stages: &Stages<Micros>) {
        let Stages { told, link, ordered, durable, visible, reported } = &mut self.stages;
        let all = [told, link, ordered, durable, visible, reported];
        for (histogram, (_, took)) in all.into_iter().zip(stages.named()) {
            histogram.record(*took);
        }
        self.seen_to_visible.record(stages.until_visible());
    }

    fn speed(&self, from: Side) -> Speed {
        let Stages { told, link, ordered, durable, visible, reported } = &self.stages;
        let stages = Stages {
            told: told.spread(),
            link: link.spread(),
            ordered: ordered.spread(),
            durable: durable.spread(),
            visible: visible.spread(),
            reported: reported.spread(),
        };
        Speed {
            from,
            stages,
            agreed: self.agreed.spread(),
            seen_to_visible: self.seen_to_visible.spread(),
            seen_to_agreed: self.seen_to_agreed.spread(),
        }
    }
}

/// Whether a client has something done for which edits may have waited.
fn is_deed(request: &Request) -> bool {
    use Request::{Approve, Reject, Resolve, Restore, Unlock};
    matches!(request, Unlock { .. } | Approve | Reject | Restore(_) | Resolve(_))
}
