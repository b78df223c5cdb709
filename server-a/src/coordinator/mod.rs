//! The coordinator: one owner of all state, one way in, one way out.
//!
//! [`Coordinator::handle`] takes an event and the time, and answers with actions. There is no
//! disk, socket, clock or thread here, so the same code runs under the simulator. The life of one
//! edit: a side reports it (`intake`), its path is decided (`cycle`), an operation is under way
//! (`flights`), its outcome is folded (`outcome`), the archive learns. Locks filter what is
//! decided (`holding`), and unlocking drains what they held (`draining`). Clients are served at
//! the `desk`; what they want done in the trees is done as `errands`.

pub mod action;
mod answers;
mod births;
mod checks;
mod chronicle;
mod clearing;
mod comparison;
mod conflicts;
mod cycle;
mod desk;
mod draining;
mod errands;
pub mod event;
mod flights;
mod following;
mod guarding;
mod holding;
mod intake;
mod locking;
mod outcome;
mod quiet;
mod renames;
mod resolving;
mod salvage;
mod saves;
mod unheard;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Entry, same};
use common::limits::{CLEARED_ROWS_MIN, PEER_ROWS_MAX};
use common::path::RelPath;
use common::problem::Problem;
use common::reconcile::View;
use common::reconcile::safety::{Guard, Limits};
use common::side::{PerSide, Side};
use common::time::Moment;
use common::tree::Tree;
use common::wire::client::Link;
use common::wire::message::{Condition, Order, OrderId, Peer};

use crate::broken::Broken;
use crate::locks::LockTable;
use crate::pending::queue::{HeldEdit, PendingQueue};
use crate::underway::Underway;
use action::{Action, ArchiveRow, Batch, Note};
use births::Births;
use checks::Checks;
use desk::Desk;
use draining::Drain;
use errands::Errands;
use event::{Event, Now, SaveId};
use flights::{Flights, Parked};
use guarding::{Halt, Lately, count_files, is_a_file};
use holding::Holds;
use intake::Arriving;
use renames::Hints;
use resolving::Resolvings;
use salvage::Salvages;
use saves::Saving;
use waits::{Reason, Waits};

/// What the coordinator starts with: all that was remembered.
pub struct Remembered {
    /// What both sides last agreed on.
    pub archive: Tree,
    /// The replica of B that the archive is about.
    pub peer: Option<Peer>,
    /// The locks.
    pub locks: LockTable,
    /// The broken locks whose holders have not heard of it.
    pub broken: Broken,
    /// The held edits, from the pending directory.
    pub queue: PendingQueue,
    /// The orders of which the store does not know.
    pub underway: Underway,
    /// A number that no earlier run had.
    pub epoch: u64,
    /// When to halt.
    pub limits: Limits,
}

/// The one that decides.
pub struct Coordinator {
    epoch: u64,
    number: u64,
    now: Now,
    archive: Tree,
    peer: Option<Peer>,
    /// What the store says of it.
    stored_peer: Option<Peer>,
    seen: PerSide<Tree>,
    problems: PerSide<BTreeMap<RelPath, Problem>>,
    /// How many rows of B are borne.
    rows_max: usize,
    conditions: PerSide<Condition>,
    /// Whether a side has told all that it knows.
    ready: PerSide<bool>,
    /// Whether a side is in the middle of telling what one look found.
    telling: PerSide<bool>,
    arriving: PerSide<Arriving>,
    link: Link,
    /// Paths to be decided: those that somebody just touched come first.
    urgent: BTreeSet<RelPath>,
    dirty: BTreeSet<RelPath>,
    flights: Flights,
    /// What was ordered when the link broke, or when we were killed.
    unheard: Underway,
    parked: Parked,
    waits: Waits,
    hints: Hints,
    births: Births,
    guard: Guard,
    halts: Vec<Halt>,
    /// What a side removed of late, to be restored if its halt is rejected.
    lately: PerSide<Lately>,
    window_ms: u64,
    /// Files in the archive.
    files: u64,
    /// What comes back from a side's trash.
    restores: BTreeMap<RelPath, (Side, Entry)>,
    locks: LockTable,
    broken: Broken,
    queue: PendingQueue,
    holds: Holds,
    drains: BTreeMap<u64, Drain>,
    desk: Desk,
    /// What clients had done in the trees, asked about trash, and wish of conflict copies.
    errands: Errands,
    salvages: Salvages,
    resolvings: Resolvings,
    saves: BTreeMap<SaveId, Saving>,
    /// Rows of the archive that could not be made durable, to be saved again.
    unproven: BTreeSet<RelPath>,
    /// What the store says of paths of which the archive has learned something newer.
    stored: BTreeMap<RelPath, Option<Entry>>,
    /// Which run of B told us last; another one may have lost what it had not flushed.
    run: Option<u64>,
    restarted: bool,
    prove_at: Option<Moment>,
    /// When it is tried again to save, after that failed.
    save_at: Option<Moment>,
    unsaved: Batch,
    /// Held edits that A declined, the last of their paths: the archive says so before they go.
    declined: Vec<HeldEdit>,
    next_id: u64,
    alarm: Option<Moment>,
    checks: Checks,
    /// Conflict copies that are being made.
    copies: BTreeSet<RelPath>,
    /// What is wrong with the journal.
    journal: Option<String>,
    /// From so many rows in it on a directory goes as one …
    cleared_min: usize,
    /// … but for these, which did not.
    singly: BTreeSet<RelPath>,
    /// How many paths were decided.
    decisions: u64,
    /// Whether anything moved since people were last told that all is settled.
    moved: bool,
}

impl Coordinator {
    /// Starts with what was remembered. Nothing moves before both sides have told what they have.
    #[must_use]
    pub fn new(remembered: Remembered) -> Coordinator {
        let Remembered { archive, peer, locks, broken, queue, underway, epoch, limits } =
            remembered;
        Coordinator {
            epoch,
            number: 0,
            now: Now::default(),
            peer,
            stored_peer: peer,
            seen: PerSide::default(),
            problems: PerSide::default(),
            rows_max: PEER_ROWS_MAX,
            conditions: PerSide::default(),
            ready: PerSide::default(),
            telling: PerSide::default(),
            arriving: PerSide::default(),
            link: Link::Away { since: None, reason: "not connected yet".into() },
            urgent: BTreeSet::new(),
            dirty: BTreeSet::new(),
            flights: Flights::default(),
            next_id: underway.last().map_or(1, |last| last.0),
            unheard: underway,
            parked: Parked::default(),
            waits: Waits::default(),
            hints: Hints::default(),
            births: Births::default(),
            guard: Guard::new(limits),
            halts: Vec::new(),
            lately: PerSide::default(),
            window_ms: limits.window_ms,
            files: count_files(&archive),
            restores: BTreeMap::new(),
            locks,
            broken,
            queue,
            holds: Holds::default(),
            drains: BTreeMap::new(),
            desk: Desk::default(),
            errands: Errands::default(),
            salvages: Salvages::default(),
            resolvings: Resolvings::new(),
            saves: BTreeMap::new(),
            unproven: BTreeSet::new(),
            stored: BTreeMap::new(),
            run: None,
            restarted: false,
            prove_at: None,
            save_at: None,
            unsaved: Batch::default(),
            declined: Vec::new(),
            alarm: None,
            checks: Checks::default(),
            copies: BTreeSet::new(),
            journal: None,
            cleared_min: CLEARED_ROWS_MIN,
            singly: BTreeSet::new(),
            decisions: 0,
            moved: false,
            archive,
        }
    }

    /// Asks A's own replica for its inventory, and takes up drains that a stop interrupted.
    pub fn start(&mut self, out: &mut Vec<Action>) {
        out.push(Action::Order(Side::A, Order::Inventory));
        self.resume_drains(out);
    }

    /// Takes one event, and answers what is to be done.
    pub fn handle(&mut self, now: Now, event: Event, out: &mut Vec<Action>) {
        self.now = now;
        self.number += 1;
        match event {
            Event::Reported(side, report) => self.take_report(side, report, out),
            Event::PeerUp(id, met, run) => {
                self.restarted |= run.is_none() || self.run != run;
                self.run = run;
                self.peer_up(id, met, out);
            }
            Event::PeerDown(reason) => self.peer_down(reason, out),
            Event::Saved(id, result) => self.saved(id, result, out),
            Event::NotDurable(paths) => self.not_durable(paths),
            Event::Held(seq, result) => self.held(seq, result, out),
            Event::Discarded(seq, result) => self.discarded(seq, result, out),
            Event::Greeted(client, holder) => self.greeted(client, &holder, out),
            Event::Asked(client, request) => self.asked(client, request, out),
            Event::More(client) => self.more(client, out),
            Event::ClientGone(client) => self.forget(client),
            Event::Woke => self.alarm = None,
            Event::JournalIs(problem) => self.journal = problem,
        }
        self.wake_due(out);
        self.cycle(out);
        self.check_now_and_then(out);
        self.serve(out);
        self.checks.said(self.desk.wants_reading());
        self.prove();
        self.flush(out);
        self.set_alarm(out);
    }

    /// The trees and the archive, for checks from outside.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { archive: &self.archive, seen: self.seen.as_ref() }
    }

    /// The locks.
    #[must_use]
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// The held edits.
    #[must_use]
    pub fn queue(&self) -> &PendingQueue {
        &self.queue
    }

    /// How many paths were decided since the start: the work that was done.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Whether a path waits for a reason.
    #[must_use]
    pub fn is_withheld(&self, path: &RelPath) -> bool {
        self.waits.reason(path).is_some()
    }

    /// Whether nothing is under way and nothing waits to be decided.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.dirty.is_empty()
            && self.urgent.is_empty()
            && self.flights.is_empty()
            && self.holds.is_empty()
            && self.hints.is_empty()
            && self.restores.is_empty()
            && !self.telling.a
            && !self.telling.b
    }

    fn order_id(&mut self) -> OrderId {
        self.next_id += 1;
        OrderId(self.next_id)
    }

    /// Marks a path to be decided, before the long work of a first contact or a full scan.
    fn mark(&mut self, path: &RelPath) {
        if !self.dirty.contains(path) {
            self.urgent.insert(path.clone());
        }
    }

    fn wake_parked(&mut self, on: &RelPath) {
        self.hints.wake(on);
        for path in self.parked.wake(on) {
            self.mark(&path);
        }
    }

    /// Marks every path at which the archive and the sides are not all the same.
    fn mark_differences(&mut self) {
        let differing = |side: Side| {
            let rows = self.archive.beside(&self.seen[side]);
            rows.filter(|(_, agreed, now)| !same(*agreed, *now)).map(|(path, ..)| path.clone())
        };
        let differing: Vec<RelPath> = Side::BOTH.into_iter().flat_map(differing).collect();
        let trees = [&self.archive, &self.seen.a, &self.seen.b];
        let is_somewhere = |path: &&RelPath| trees.iter().any(|tree| tree.get(path).is_some());
        let held = self.queue.iter().map(|edit| &edit.path).filter(is_somewhere);
        self.dirty.extend(held.cloned());
        self.dirty.extend(differing);
    }

    /// The archive learns what both sides have.
    fn learn(&mut self, path: &RelPath, entry: Option<Entry>, source: Option<Side>) {
        let is_file = |entry: &Option<Entry>| u64::from(entry.as_ref().is_some_and(is_a_file));
        self.checks.moved();
        self.copies.remove(path);
        self.singly.remove(path);
        let old = self.archive.set_as(&self.seen.a, path, entry.clone());
        self.stored.entry(path.clone()).or_insert_with(|| old.clone());
        self.files = self.files + is_file(&entry) - is_file(&old);
        self.unsaved.archive.push(ArchiveRow { path: path.clone(), entry, source });
    }

    fn withhold(&mut self, path: &RelPath, reason: Reason, out: &mut Vec<Action>) {
        let words = reason.words();
        let silent = matches!(
            reason,
            Reason::Ignored(_) | Reason::Restless | Reason::Renamed | Reason::Locked { .. }
        );
        if self.waits.set(path, reason, self.now) {
            // Whoever waits for this path now has a reason, too.
            self.wake_parked(path);
            if !silent {
                out.push(Action::Note(Note::Waits(path.clone(), words)));
            }
        }
    }

    fn wake_due(&mut self, out: &mut Vec<Action>) {
        for path in self.waits.take_due(self.now.moment) {
            self.mark(&path);
            self.wake_parked(&path);
        }
        self.expire_locks(out);
    }

    fn set_alarm(&mut self, out: &mut Vec<Action>) {
        let prove = self.prove_at.filter(|_| self.ready.b);
        let checks = self.checks.next(self.now.moment);
        let next = [self.waits.next(), self.desk.next_deadline(), self.next_expiry()];
        let next = next.into_iter().chain([prove, self.save_at, checks]);
        let next = next.flatten().min();
        if next != self.alarm {
            self.alarm = next;
            out.extend(next.map(Action::WakeAt));
        }
    }
}
