//! Two replicas, the link between them, and a shell that carries out what the coordinator asks
//! for, one thing at a time, in an order that the test picks.

use std::collections::{BTreeSet, VecDeque};

use common::change::{Operation, Outcome};
use common::digest::Digest;
use common::entry::Entry;
use common::path::RelPath;
use common::problem::{Problem, ProblemKind};
use common::reconcile::safety::Limits;
use common::side::{PerSide, Side};
use common::time::{Moment, Timestamp};
use common::wire::client::{Answer, DrainMode, Request};
use common::wire::log::LogRow;
use common::wire::message::{Content, Order, OrderId, ReplicaId, Report};
use server_a::coordinator::Coordinator;
use server_a::coordinator::action::{Action, ArchiveRow, Batch, Note};
use server_a::coordinator::event::{ClientId, Event, HoldFailure, Now, SaveId};
use server_a::locks::{LockState, LockTable};
use server_a::pending::queue::HeldEdit;
use server_a::underway::Trail;

use crate::durable::Durable;
use crate::model::{Replica, content};

/// A removal from the pending directory that is asked for.
struct Leaving {
    seq: u64,
    keep: bool,
    edit: HeldEdit,
}

/// Everything.
pub(crate) struct World {
    pub(crate) sides: PerSide<Replica>,
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Now,
    pub(crate) link: bool,
    pub(crate) replica: ReplicaId,
    /// How many meetings B remembers.
    pub(crate) met: Option<u64>,
    /// How often B was started.
    run: u64,
    pub(crate) limits: Limits,
    pub(crate) durable: Durable,
    pub(crate) orders: PerSide<VecDeque<Order>>,
    pub(crate) reports: PerSide<VecDeque<Report>>,
    asked: PerSide<bool>,
    pub(crate) saves: VecDeque<(SaveId, Batch)>,
    holds: VecDeque<HeldEdit>,
    discards: VecDeque<Leaving>,
    pub(crate) alarm: Option<Moment>,
    pub(crate) answers: Vec<(ClientId, Answer)>,
    pub(crate) notes: Vec<Note>,
    pub(crate) recorded: Vec<LogRow>,
    /// All operations that were ordered, and how many orders of any sort.
    pub(crate) ordered: Vec<(Side, Operation)>,
    pub(crate) actions: u64,
    /// Operations that were under way when a lock was granted.
    pub(crate) exempt: BTreeSet<OrderId>,
    /// Held edits whose content was put into A's tree.
    applied: BTreeSet<(u64, RelPath)>,
    /// Contents that an unlock was told to discard.
    pub(crate) waived: BTreeSet<Digest>,
    /// Whether what is in a trash counts as kept: clients put things there.
    pub(crate) trash_counts: bool,
    /// Says what a fault does next: a number below 100, which decides by its size.
    pub(crate) chance: Box<dyn FnMut() -> u64>,
    pub(crate) check_every: Option<u64>,
    clients: u64,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> World {
        let mut durable = Durable::default();
        let wall = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        let mut world = World {
            sides: PerSide::default(),
            coordinator: durable.coordinator(limits),
            now: Now { moment: Moment(0), wall },
            link: false,
            replica: ReplicaId(7),
            met: None,
            run: 1,
            limits,
            durable,
            orders: PerSide::default(),
            reports: PerSide::default(),
            asked: PerSide::default(),
            saves: VecDeque::new(),
            holds: VecDeque::new(),
            discards: VecDeque::new(),
            alarm: None,
            answers: Vec::new(),
            notes: Vec::new(),
            recorded: Vec::new(),
            ordered: Vec::new(),
            actions: 0,
            exempt: BTreeSet::new(),
            applied: BTreeSet::new(),
            waived: BTreeSet::new(),
            trash_counts: false,
            chance: Box::new(|| 99),
            check_every: None,
            clients: 0,
            trace: None,
        };
        world.start();
        world
    }

    /// From now on also small directories go as one.
    pub(crate) fn clear_small(&mut self) {
        self.durable.clears = true;
        self.coordinator.clear_from(1);
    }

    fn start(&mut self) {
        self.coordinator.check_every(self.check_every);
        let mut out = Vec::new();
        self.coordinator.start(&mut out);
        self.take(out);
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// Gives an event to the coordinator and takes its actions.
    pub(crate) fn tell(&mut self, event: Event) {
        self.say(|| format!("  event {event:?}"));
        let mut out = Vec::new();
        self.coordinator.handle(self.now, event, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Action>) {
        for action in out {
            self.actions += 1;
            self.say(|| format!("    -> {action:?}"));
            match action {
                Action::HangUp(why) => panic!("B is left alone: {why}"),
                Action::Order(side, order) => {
                    if let Order::Commit { operation, .. } = &order {
                        self.ordered.push((side, operation.clone()));
                    }
                    if side == Side::A || self.link {
                        self.orders[side].push_back(order);
                    }
                }
                Action::Trail(trail) => self.durable.underway.note(trail),
                Action::Hold(edit) => self.holds.push_back(edit),
                Action::Discard { seq, keep, edit } => {
                    self.discards.push_back(Leaving { seq, keep, edit });
                }
                Action::Save(id, batch) => {
                    // What was on its way when A's user gave a locked file that name.
                    let moved = |locks: &LockTable| locks.iter().any(|lock| lock.moved.is_some());
                    if batch.locks.as_ref().is_some_and(moved) {
                        self.exempt.extend(self.orders.a.iter().filter_map(commit_id));
                    }
                    self.saves.push_back((id, batch));
                }
                Action::Answer(to, answer) => {
                    if matches!(answer, Answer::Locked(_)) {
                        self.exempt.extend(self.orders.a.iter().filter_map(commit_id));
                    }
                    self.answers.push((to, answer));
                }
                Action::WakeAt(moment) => self.alarm = Some(moment),
                Action::Note(note) => self.notes.push(note),
                Action::Record(row) => self.recorded.push(row),
                Action::Recall(..) | Action::Explain(_) => {}
            }
        }
    }

    pub(crate) fn connect(&mut self) {
        if !self.link {
            self.link = true;
            self.tell(Event::PeerUp(self.replica, self.met, Some(self.run)));
        }
    }

    pub(crate) fn disconnect(&mut self) {
        if self.link {
            self.link = false;
            self.orders.b.clear();
            self.reports.b.clear();
            self.asked.b = false;
            self.tell(Event::PeerDown("the link was cut".into()));
        }
    }

    /// Server A dies and starts again.
    pub(crate) fn restart_a(&mut self, rescanned: bool) {
        self.say(|| "restart of A".into());
        self.link = false;
        self.orders = PerSide::default();
        self.reports = PerSide::default();
        self.asked = PerSide::default();
        self.saves.clear();
        self.holds.clear();
        self.discards.clear();
        self.alarm = None;
        self.coordinator = self.durable.coordinator(self.limits);
        self.sides.a.come_back(rescanned);
        self.start();
    }

    /// Server B dies and starts again, and its machine with it.
    pub(crate) fn restart_b(&mut self, rescanned: bool) {
        self.run += 1;
        self.kill_b(rescanned);
    }

    /// Server B is killed and starts again.
    pub(crate) fn kill_b(&mut self, rescanned: bool) {
        self.say(|| "restart of B".into());
        self.disconnect();
        self.sides.b.come_back(rescanned);
    }

    /// A side looks at what changed; the parts of what it tells have so many rows.
    pub(crate) fn look(&mut self, side: Side, tops: &BTreeSet<Vec<u8>>, rows: usize) {
        let reports = self.sides[side].look(tops, rows);
        if self.asked[side] {
            self.reports[side].extend(reports);
        }
    }

    pub(crate) fn look_all(&mut self, side: Side) {
        let tops = self.sides[side].unseen.clone();
        if !tops.is_empty() {
            self.look(side, &tops, 1000);
        }
    }

    /// A side carries out the next order. Answers whether there was one.
    pub(crate) fn run_order(&mut self, side: Side) -> bool {
        let Some(order) = self.orders[side].pop_front() else { return false };
        match order {
            Order::Commit { id, operation, content } => self.commit(side, id, operation, content),
            Order::Inventory => {
                self.asked[side] = true;
                let rows = 1 + (self.chance)() as usize;
                self.reports[side].extend(self.sides[side].inventory(rows));
            }
            Order::Settle { id } => {
                self.look_all(side);
                self.reports[side].push_back(Report::Settled { id });
            }
            Order::Rescan { .. } => self.look_all(side),
            Order::Sync { .. } | Order::Approve => {}
            order @ (Order::Compare { .. } | Order::Reread { .. }) => {
                self.reports[side].extend(self.sides[side].check(order));
            }
            Order::ListTrash { .. } | Order::FindTrash { .. } => self.look_into_trash(side, order),
            Order::Meet { number } => {
                self.met = Some(number);
                self.tell(Event::Reported(side, Report::Met { number }));
            }
        }
        true
    }

    fn commit(&mut self, side: Side, id: OrderId, operation: Operation, content: Content) {
        let outcome = match (self.chance)() {
            0..=3 if matches!(&operation, Operation::Change(c) if c.before.is_some()) => {
                Outcome::Busy
            }
            0..=1 if matches!(&operation, Operation::Clear { .. }) => Outcome::Busy,
            4 => Outcome::Failed(Problem { kind: ProblemKind::Refused, detail: "no".into() }),
            number => {
                let has = self.at_hand(side, &operation, &content);
                let at_hand = |digest| has == Some(digest);
                self.sides[side].carry_out(side, &operation, at_hand, number < 50)
            }
        };
        if let Outcome::Done { .. } = outcome {
            if side == Side::A {
                self.durable.underway.note(Trail::Done(id));
            }
            self.check_lock(side, id, &operation);
            let own = |seq: &u64| {
                let edit = self.durable.pending.get(seq);
                edit.is_some_and(|edit| edit.path == *operation.path())
            };
            if let Content::Held(seq) = content
                && own(&seq)
            {
                let first = self.applied.insert((seq, operation.path().clone()));
                assert!(first, "held edit {seq} was applied twice");
            }
        }
        self.say(|| format!("{side} did {operation:?}: {outcome:?}"));
        self.reports[side].push_back(Report::Outcome { id, outcome, spent: None });
    }

    /// The content that is to be had where the order says.
    fn at_hand(&self, side: Side, operation: &Operation, from: &Content) -> Option<Digest> {
        let at = |side: Side, p: &RelPath| self.sides[side].entry(p).and_then(content);
        match from {
            Content::Pull(path) => at(side.other(), path).filter(|_| self.link),
            Content::Local(path) => at(side, path),
            Content::Held(seq) => self.durable.pending.get(seq)?.after.as_ref().and_then(content),
            Content::Trash => {
                let Operation::Change(change) = operation else { return None };
                let digest = change.after.as_ref().and_then(content)?;
                self.sides[side].trash.contains(&digest).then_some(digest)
            }
            Content::Trashed(name) => content(&self.trashed(side, name)?.1),
            Content::Inline(bytes) => Some(Digest::of(bytes)),
            Content::None => {
                let Operation::Change(change) = operation else { return None };
                let (before, after) = (change.before.as_ref(), change.after.as_ref());
                let content_of = |e: Option<&Entry>| e.and_then(Entry::as_file).map(|f| f.digest);
                let needs = content_of(after).is_some() && content_of(after) != content_of(before);
                assert!(!needs, "an operation without the content that it needs: {change:?}");
                None
            }
        }
    }

    /// The next report of a side reaches the coordinator. Answers whether there was one.
    pub(crate) fn run_report(&mut self, side: Side) -> bool {
        let Some(report) = self.reports[side].pop_front() else { return false };
        self.tell(Event::Reported(side, report));
        true
    }

    /// The shell does the next save, hold or discard. Answers whether there was one.
    pub(crate) fn run_shell(&mut self) -> bool {
        if let Some((id, batch)) = self.saves.pop_front() {
            self.save(id, batch);
            return true;
        }
        if let Some(edit) = self.holds.pop_front() {
            let seq = edit.seq;
            self.durable.next_seq = self.durable.next_seq.max(seq + 1);
            let there = self.sides.b.entry(&edit.path).and_then(content);
            let result = match edit.after.as_ref().filter(|e| e.as_file().is_some()) {
                Some(_) if !self.link => Err(HoldFailure::Lost),
                Some(after) if there != content(after) => Err(HoldFailure::Gone),
                _ if (self.chance)() < 3 => Err(HoldFailure::Refused("no room".into())),
                _ => Ok(()),
            };
            if result.is_ok() {
                self.durable.pending.insert(seq, edit);
            }
            self.tell(Event::Held(seq, result));
            return true;
        }
        if let Some(Leaving { seq, keep, edit }) = self.discards.pop_front() {
            let result = match (self.chance)() {
                0..=2 => Err("no".to_string()),
                _ => Ok(()),
            };
            if result.is_ok() {
                self.durable.pending.remove(&seq);
                if keep {
                    let digest = edit.after.as_ref().and_then(content);
                    self.sides.a.trash.extend(digest);
                    let discard = LockState::Draining(DrainMode::Discard);
                    let lock = self.coordinator.locks().covering(&edit.path);
                    if lock.is_some_and(|lock| lock.state == discard) {
                        self.waived.extend(digest);
                    }
                }
            }
            self.tell(Event::Discarded(seq, result));
            return true;
        }
        false
    }

    fn save(&mut self, id: SaveId, batch: Batch) {
        if (self.chance)() == 0 {
            self.tell(Event::Saved(id, Err("the disk is full".into())));
            return;
        }
        // A side that could not flush what is asked of it said so of all.
        let late = [Side::A, Side::B].map(|side| ((self.chance)() < 3).then_some(side));
        let is_late = |row: &&ArchiveRow| {
            late.iter().flatten().any(|side| row.source.is_none_or(|source| source == *side))
        };
        let unproven: Vec<RelPath> =
            batch.archive.iter().filter(is_late).map(|row| row.path.clone()).collect();
        self.durable.save(batch, &unproven);
        if !unproven.is_empty() {
            self.tell(Event::NotDurable(unproven));
        }
        self.tell(Event::Saved(id, Ok(())));
    }

    /// The clock runs to the alarm. Answers whether there was one.
    pub(crate) fn wake(&mut self) -> bool {
        let Some(alarm) = self.alarm.take() else { return false };
        self.pass(alarm.ms_since(self.now.moment));
        self.tell(Event::Woke);
        true
    }

    /// So many milliseconds pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.moment = self.now.moment.after_ms(ms);
        self.now.wall.seconds = 1_800_000_000 + (self.now.moment.0 / 1000) as i64;
    }

    /// Everything that can happen by itself happens, without the clock; answers whether any did.
    pub(crate) fn run(&mut self) -> bool {
        let mut any = false;
        for _ in 0..100_000 {
            let mut moved = false;
            for side in Side::BOTH {
                if self.asked[side] && !self.sides[side].unseen.is_empty() {
                    self.look_all(side);
                    moved = true;
                }
                moved |= self.run_order(side) | self.run_report(side);
            }
            moved |= self.run_shell();
            any |= moved;
            if !moved {
                return any;
            }
        }
        panic!("it never comes to rest");
    }

    /// Everything happens, and the clock runs, until nothing is left to wait for.
    pub(crate) fn settle(&mut self) {
        for _ in 0..300 {
            if !self.run() && !self.wake() {
                return;
            }
        }
        panic!("the clock is asked for again and again");
    }

    /// A client asks; its answer is waited for, the clock running if it must.
    pub(crate) fn ask(&mut self, request: Request) -> Answer {
        let client = self.request(request);
        for _ in 0..10_000 {
            self.run();
            let found = self.answers.iter().position(|(to, _)| *to == client);
            if let Some(at) = found {
                return self.answers.remove(at).1;
            }
            assert!(self.wake(), "the client is never answered");
        }
        panic!("the client is never answered");
    }

    /// A client asks, and its answer comes when it comes.
    pub(crate) fn request(&mut self, request: Request) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        self.tell(Event::Asked(client, request));
        client
    }

    /// Whether anything is under way outside of the coordinator.
    pub(crate) fn is_quiet(&self) -> bool {
        Side::BOTH.iter().all(|&s| self.orders[s].is_empty() && self.reports[s].is_empty())
            && self.saves.is_empty()
            && self.holds.is_empty()
            && self.discards.is_empty()
    }
}

fn commit_id(order: &Order) -> Option<OrderId> {
    match order {
        Order::Commit { id, .. } => Some(*id),
        _ => None,
    }
}
