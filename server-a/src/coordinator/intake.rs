//! What the sides say: inventories, observations, conditions, and the coming and going of B.

use std::collections::{BTreeMap, BTreeSet};

use common::change::Operation;
use common::entry::{Entry, same};
use common::path::{RelPath, rows_below};
use common::problem::Problem;
use common::side::{PerSide, Side};
use common::tree::Tree;
use common::wire::client::Link;
use common::wire::log::Happened;
use common::wire::message::{Observation, Order, Peer, ReplicaId, Report, Row};

use super::Coordinator;
use super::action::{Action, Note};
use super::flights::Purpose;
use super::guarding::Halt;
use super::renames::Hint;
use crate::underway::Trail;

/// Observations of at most this many rows are taken to be somebody at work, who is served first.
const URGENT_ROWS_MAX: usize = 256;

/// An inventory that is still arriving.
#[derive(Default)]
pub(super) struct Arriving {
    tree: Vec<(RelPath, Entry)>,
    problems: BTreeMap<RelPath, Problem>,
}

impl Coordinator {
    /// From now on the tree of B may have so many rows.
    pub fn take_of_b(&mut self, rows_max: usize) {
        self.rows_max = rows_max;
    }

    /// Goes on with B only as long as what it tells can be kept in memory.
    fn bear_with_b(&mut self, out: &mut Vec<Action>) {
        let arriving = &self.arriving.b;
        let told = arriving.tree.len() + arriving.problems.len();
        let known = self.seen.b.len() + self.problems.b.len() + self.hints.len();
        let marked = self.dirty.len() + self.urgent.len();
        if told.max(known).max(marked) <= self.rows_max {
            return;
        }
        let why = format!("it tells of more than {} paths", self.rows_max);
        self.arriving.b = Arriving::default();
        self.seen.b = Tree::default();
        self.problems.b.clear();
        let (archive, seen) = (&self.archive, &self.seen.a);
        let is_known = |path: &RelPath| archive.get(path).is_some() || seen.get(path).is_some();
        self.dirty.retain(is_known);
        self.urgent.retain(is_known);
        self.ready.b = false;
        out.push(Action::HangUp(why));
    }

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
            Report::Outcome { id, outcome, .. } => self.outcome(side, id, outcome, out),
            Report::Settled { id } => self.desk.settled(side, id),
            Report::Synced { .. } => {}
            Report::Compared { id, level } => self.compared(side, id, level, out),
            Report::Reread { id, read, rotten } => self.checks.reread(side, id, read, rotten),
            Report::Met { number } if side == Side::B => self.met(number),
            Report::Met { .. } => {}
            Report::Trash { .. } | Report::TrashFound { .. } => self.salvages.heard(side, report),
            Report::Condition(condition) => {
                let (old, new) = (&self.conditions[side].halted, &condition.halted);
                match (old, new) {
                    (None, Some(why)) => {
                        let why = format!("side {side}: {why}");
                        self.record_word(Happened::Halted, None, None, Some(why.clone()), out);
                        out.push(Action::Note(Note::Halted(why)));
                    }
                    (Some(_), None) => {
                        let side = Some(format!("side {side}"));
                        self.record_word(Happened::Resumed, None, None, side, out);
                        out.push(Action::Note(Note::Resumed));
                    }
                    _ => {}
                }
                self.conditions[side] = condition;
            }
        }
        if side == Side::B {
            self.bear_with_b(out);
        }
    }

    /// A side has told everything. What it lost or changed since the archive was last true is
    /// decided now; a loss that looks like an accident halts instead.
    fn inventoried(&mut self, side: Side, out: &mut Vec<Action>) {
        let arrived = std::mem::take(&mut self.arriving[side]);
        self.checks.moved();
        let mut tree: Tree = arrived.tree.into_iter().collect();
        // What A's replica knows is in this memory already; the others have what is equal from it.
        match side {
            Side::A => self.archive = std::mem::take(&mut self.archive).sharing(&tree),
            Side::B => tree = tree.sharing(&self.seen.a),
        }
        let lost = self.lost_at(&tree, &arrived.problems);
        let old = std::mem::replace(&mut self.seen[side], tree);
        for (path, ..) in old.beside(&self.seen[side]).filter(|(.., now)| now.is_none()) {
            self.births.note(path, self.number);
        }
        self.problems[side] = arrived.problems;
        self.ready[side] = true;
        self.telling[side] = false;
        self.guard_against(side, lost, out);
        match side {
            Side::A => self.learn_drained(out),
            Side::B => self.forget_what_b_lost(),
        }
        if self.ready.a && self.ready.b {
            if !self.is_of_another_peer() {
                self.learn_unheard(out);
            }
            self.hint_moved_locks();
            self.mark_differences();
        }
    }

    fn observed(&mut self, side: Side, observation: Observation, out: &mut Vec<Action>) {
        let Observation { carried, rows: told, mut moved, strayed, problems, more } = observation;
        let mut rows = Vec::new();
        let mut left = BTreeMap::new();
        for (from, to) in carried {
            // What was renamed is not at its old name to be renamed once more: whoever says so
            // would have us go through the same rows again and again.
            let again = left.contains_key(&from)
                || from.ancestors().any(|above| left.contains_key(&above))
                || rows_below(&left, &from).next().is_some();
            if !again {
                rows.extend(self.carried(side, &from, &to));
                left.insert(from.clone(), ());
                moved.push((from, to));
            }
        }
        rows.extend(told);
        self.checks.moved();
        self.telling[side] = more;
        let live = rows.len() <= URGENT_ROWS_MAX && !more;
        let number = self.number;
        let mut renamed = Vec::new();
        self.births.moved(&[moved.as_slice(), strayed.as_slice()].concat(), number);
        for (from, to) in moved {
            if side == Side::A {
                renamed.extend(self.locks_move_along(&from, &to, out));
            }
            self.take_hint(Hint { side, from, to });
        }
        for (path, problem) in problems {
            self.touch(&path, live);
            match problem {
                Some(problem) => {
                    self.problems[side].insert(path, problem);
                }
                None => {
                    self.problems[side].remove(&path);
                    self.wake_around(&path);
                }
            }
        }
        let mut lost = Vec::new();
        for Row { path, entry, .. } in rows {
            if let Some(old) = self.archive.get(&path)
                && !entry.as_ref().is_some_and(|now| now.same_content(old))
                && !self.hints.left_from(&path)
            {
                lost.push((path.clone(), old.clone()));
            }
            let known = self.seen.a.get(&path).is_some() || self.seen.b.get(&path).is_some();
            match entry {
                None => self.births.note(&path, number),
                Some(_) if !known => self.births.made(&path, number),
                Some(_) => {}
            }
            self.waits.hasten(&path);
            if side == Side::A {
                self.lock_stays(&path, entry.is_some(), out);
            }
            self.put_row(side, &path, entry);
            self.touch(&path, live);
        }
        self.give_renamed_locks_time(renamed, out);
        self.guard_against(side, lost, out);
    }

    /// A directory has another name at a side, with all that is known of it. Where nobody waits for
    /// anything, its rows move along; or else answers what every one of them says.
    fn carried(&mut self, side: Side, from: &RelPath, to: &RelPath) -> Vec<Row> {
        let nobody_waits = !from.touches(to)
            && self.locks.is_empty()
            && self.queue.is_empty()
            && self.parked.is_empty()
            && self.flights.touching(from).is_none()
            && self.flights.touching(to).is_none()
            && self.waits.below(from).is_empty();
        let seen = &mut self.seen[side];
        if nobody_waits && seen.get(to).is_none() && seen.below(to).next().is_none() {
            self.checks.moved();
            seen.rename(from, to);
            return Vec::new();
        }
        let row = |path, entry| Row { path, entry, content: None, seen: None };
        let top = seen.get(from).map(|entry| (from, entry));
        let all: Vec<(&RelPath, &Entry)> = top.into_iter().chain(seen.below(from)).collect();
        let gone = all.iter().map(|(path, _)| row((*path).clone(), None));
        let there = all.iter().filter_map(|(path, entry)| {
            Some(row(path.rebase(from, to).ok()?, Some((*entry).clone())))
        });
        gone.chain(there).collect()
    }

    /// A row of a side is otherwise now; whoever waited for that may go on.
    pub(super) fn put_row(&mut self, side: Side, path: &RelPath, entry: Option<Entry>) {
        match side {
            Side::A => self.seen.a.set(path, entry),
            Side::B => self.seen.b.set_as(&self.seen.a, path, entry),
        };
        self.checks.moved();
        self.wake_parked(path);
    }

    fn touch(&mut self, path: &RelPath, live: bool) {
        if live {
            self.urgent.insert(path.clone());
        } else {
            self.dirty.insert(path.clone());
        }
    }

    /// Marks what is known below a path, at either side or from before.
    pub(super) fn touch_below(&mut self, path: &RelPath) {
        let trees = [&self.archive, &self.seen.a, &self.seen.b];
        let below: BTreeSet<RelPath> =
            trees.iter().flat_map(|tree| tree.below(path)).map(|(p, _)| p.clone()).collect();
        self.dirty.extend(below);
    }

    /// What was unknown at a path is known again: all that waited for it is decided.
    fn wake_around(&mut self, path: &RelPath) {
        self.touch_below(path);
        self.wake_parked(path);
        for above in path.ancestors() {
            self.wake_parked(&above);
            self.mark(&above);
        }
        self.mark_waiting_below(path);
    }

    /// B is there. What it says it is must be what the archive is about.
    pub(super) fn peer_up(&mut self, id: ReplicaId, met: Option<u64>, out: &mut Vec<Action>) {
        self.link = Link::Connected;
        out.push(Action::Note(Note::Connected));
        self.checks.give_up();
        self.ready.b = false;
        self.telling.b = false;
        self.arriving.b = Arriving::default();
        self.give_up_flights();
        // B remembers a meeting before we do: one more than ours is in order.
        let is_in_order =
            |known: &Peer, met| met == known.met || met == known.met.saturating_add(1);
        let is_other =
            |known: &Peer| known.id != id || met.is_some_and(|met| !is_in_order(known, met));
        match self.peer {
            Some(known) if !self.archive.is_empty() && is_other(&known) => {
                let found = Peer { id, met: met.unwrap_or(0) };
                self.halt_for(Halt::OtherPeer { known, found }, out);
            }
            known => {
                if known.as_ref().is_none_or(is_other) {
                    // It was ordered of another one.
                    self.forget_unheard(out);
                }
                let ours = known.filter(|known| known.id == id).map_or(0, |known| known.met);
                self.meet(Peer { id, met: ours.max(met.unwrap_or(0)) }, out);
            }
        }
        out.push(Action::Order(Side::B, Order::Inventory));
    }

    /// From now on the archive is about this replica, and both remember that they met. B is never
    /// more than one meeting ahead of the store.
    pub(super) fn meet(&mut self, peer: Peer, out: &mut Vec<Action>) {
        if self.peer != Some(peer) {
            self.peer = Some(peer);
            self.unsaved.peer = Some(peer);
        }
        let stored = self.stored_peer.filter(|stored| stored.id == peer.id);
        let unsaved = stored.is_none_or(|stored| stored.met < peer.met);
        let number = if unsaved { peer.met.max(1) } else { peer.met.saturating_add(1) };
        out.push(Action::Order(Side::B, Order::Meet { number }));
    }

    fn met(&mut self, number: u64) {
        if let Some(peer) = &mut self.peer {
            // An answer that comes late, or twice, takes nothing back, and nobody has met us more
            // often than he was asked to remember.
            peer.met = peer.met.max(number.min(peer.met.saturating_add(1)));
            self.unsaved.peer = Some(*peer);
        }
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
        self.checks.give_up();
        self.ready.b = false;
        self.telling.b = false;
        self.forget_other_peer();
        self.give_up_flights();
        self.desk.peer_away();
        self.salvages.peer_away();
    }

    /// Nobody will say what became of the operations at B.
    fn give_up_flights(&mut self) {
        for id in self.flights.at_side(Side::B) {
            let Some(flight) = self.flights.finish(id) else { continue };
            if let (Purpose::Restore, Operation::Change(change)) =
                (&flight.purpose, &flight.operation)
                && let Some(entry) = &change.after
            {
                self.restores.insert(change.path.clone(), (Side::B, entry.clone()));
            }
            if let Purpose::Errand { client, number } = flight.purpose {
                self.errand_unheard((client, number));
            }
            if flight.repeats {
                self.unheard.note(Trail::Ordered(Box::new(self.ordered(id, &flight))));
            }
            for path in flight.paths() {
                self.mark(path);
                self.wake_parked(path);
            }
        }
        for path in self.hints.forget(Side::B) {
            self.mark(&path);
            self.touch_below(&path);
            self.wake_parked(&path);
        }
    }

    /// What both sides and the archive have at a path.
    pub(super) fn all_same(&self, path: &RelPath) -> bool {
        let seen = PerSide::of(|side| self.seen[side].get(path));
        same(seen.a, seen.b) && same(seen.a, self.archive.get(path))
    }
}
