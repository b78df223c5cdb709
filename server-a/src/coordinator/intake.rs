//! What the sides say: inventories, observations, conditions, and the coming and going of B.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Entry, same};
use common::path::RelPath;
use common::problem::Problem;
use common::side::{PerSide, Side};
use common::tree::Tree;
use common::wire::client::Link;
use common::wire::message::{Observation, Order, ReplicaId, Report, Row};

use super::Coordinator;
use super::action::{Action, Note};
use super::guarding::Halt;
use super::renames::Hint;

/// Observations of at most this many rows are taken to be somebody at work, who is served first.
const URGENT_ROWS_MAX: usize = 256;

/// An inventory that is still arriving.
#[derive(Default)]
pub(super) struct Arriving {
    tree: Vec<(RelPath, Entry)>,
    problems: BTreeMap<RelPath, Problem>,
}

impl Coordinator {
    pub(super) fn take_report(&mut self, side: Side, report: Report, out: &mut Vec<Action>) {
        match report {
            Report::Inventory { rows, problems, last } => {
                self.arriving[side].tree.extend(rows);
                self.arriving[side].problems.extend(problems);
                if last {
                    self.inventoried(side, out);
                }
            }
            Report::Observed(observation) => {
                if self.ready[side] {
                    self.observed(side, observation, out);
                }
            }
            Report::Outcome { id, outcome } => self.outcome(id, outcome, out),
            Report::Settled { id } => self.desk.settled(id),
            Report::Synced { .. } => {}
            Report::Condition(condition) => {
                let (old, new) = (&self.conditions[side].halted, &condition.halted);
                match (old, new) {
                    (None, Some(why)) => {
                        out.push(Action::Note(Note::Halted(format!("side {side}: {why}"))));
                    }
                    (Some(_), None) => out.push(Action::Note(Note::Resumed)),
                    _ => {}
                }
                self.conditions[side] = condition;
            }
        }
    }

    /// A side has told everything. What it lost or changed since the archive was last true is
    /// decided now; a loss that looks like an accident halts instead.
    fn inventoried(&mut self, side: Side, out: &mut Vec<Action>) {
        let arrived = std::mem::take(&mut self.arriving[side]);
        let tree: Tree = arrived.tree.into_iter().collect();
        let lost = self.archive.iter().filter(|(path, entry)| {
            entry.as_file().is_some()
                && !tree.get(path).is_some_and(|now| now.same_content(entry))
                && !arrived.problems.contains_key(*path)
        });
        let lost: Vec<(RelPath, Entry)> = lost.map(|(p, e)| (p.clone(), e.clone())).collect();
        self.seen[side] = tree;
        self.problems[side] = arrived.problems;
        self.ready[side] = true;
        self.telling[side] = false;
        self.guard_against(side, lost, out);
        if self.ready.a && self.ready.b {
            self.mark_differences();
        }
    }

    fn observed(&mut self, side: Side, observation: Observation, out: &mut Vec<Action>) {
        let Observation { rows, moved, problems, more } = observation;
        self.telling[side] = more;
        let live = rows.len() <= URGENT_ROWS_MAX && !more;
        let number = self.number;
        for (from, to) in moved {
            self.births.note(&from, number);
            self.births.note(&to, number);
            self.hints.push(Hint { side, from, to });
        }
        for (path, problem) in problems {
            self.touch(&path, live);
            match problem {
                Some(problem) => self.problems[side].insert(path, problem),
                None => {
                    self.touch_below(&path);
                    self.problems[side].remove(&path)
                }
            };
        }
        let mut lost = Vec::new();
        for Row { path, entry, .. } in rows {
            let old = self.archive.get(&path).filter(|old| old.as_file().is_some());
            if let Some(old) = old
                && !entry.as_ref().is_some_and(|now| now.same_content(old))
                && !self
                    .hints
                    .iter()
                    .rev()
                    .take(64)
                    .any(|h| path == h.from || path.is_below(&h.from))
            {
                lost.push((path.clone(), old.clone()));
            }
            if entry.is_none() {
                self.births.note(&path, number);
            }
            self.waits.hasten(&path);
            self.put_row(side, &path, entry);
            self.touch(&path, live);
        }
        self.guard_against(side, lost, out);
    }

    /// A row of a side is otherwise now; whoever waited for that may go on.
    pub(super) fn put_row(&mut self, side: Side, path: &RelPath, entry: Option<Entry>) {
        self.seen[side].set(path, entry);
        self.wake_parked(path);
    }

    fn touch(&mut self, path: &RelPath, live: bool) {
        if live {
            self.mark(path);
        } else {
            self.dirty.insert(path.clone());
        }
    }

    /// Marks what is known below a path at either side.
    pub(super) fn touch_below(&mut self, path: &RelPath) {
        let below: BTreeSet<RelPath> = Side::BOTH
            .iter()
            .flat_map(|&s| self.seen[s].below(path))
            .map(|(p, _)| p.clone())
            .collect();
        self.dirty.extend(below);
    }

    /// B is there. What it says it is must be what the archive is about.
    pub(super) fn peer_up(&mut self, id: ReplicaId, out: &mut Vec<Action>) {
        self.link = Link::Connected;
        out.push(Action::Note(Note::Connected));
        self.ready.b = false;
        self.arriving.b = Arriving::default();
        match self.peer {
            Some(known) if known != id && !self.archive.is_empty() => {
                self.halt_for(Halt::OtherPeer { known, found: id }, out);
            }
            Some(known) if known == id => {}
            _ => {
                self.peer = Some(id);
                self.unsaved.peer = Some(id);
            }
        }
        out.push(Action::Order(Side::B, Order::Inventory));
    }

    /// B is away. What was under way there is decided anew when it is back.
    pub(super) fn peer_down(&mut self, reason: String, out: &mut Vec<Action>) {
        if self.link == Link::Connected {
            out.push(Action::Note(Note::Away(reason.clone())));
            self.link = Link::Away { since: Some(self.now.wall), reason };
        } else if let Link::Away { reason: old, .. } = &mut self.link
            && *old != reason
        {
            out.push(Action::Note(Note::Away(reason.clone())));
            *old = reason;
        }
        self.ready.b = false;
        self.telling.b = false;
        if matches!(self.halt, Some(Halt::OtherPeer { .. })) {
            self.halt = None;
        }
        for id in self.flights.at_side(Side::B) {
            if let Some(flight) = self.flights.finish(id) {
                self.wake_parked(&flight.operation.path().clone());
                let path = flight.operation.path().clone();
                self.mark(&path);
            }
        }
        self.hints.retain(|hint| hint.side == Side::A);
        self.desk.peer_away();
    }

    /// What both sides and the archive have at a path.
    pub(super) fn all_same(&self, path: &RelPath) -> bool {
        let seen = PerSide::of(|side| self.seen[side].get(path));
        same(seen.a, seen.b) && same(seen.a, self.archive.get(path))
    }
}
