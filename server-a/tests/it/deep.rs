//! Two replicas on disks in memory, with the real committer, scan and recovery, and the real
//! coordinator between them. Its shell, the link and the users are the test's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use common::dirty::Dirty;
use common::entry::File;
use common::path::RelPath;
use common::reconcile::safety::Limits;
use common::replica::known::{Known, Row};
use common::replica::root::Root;
use common::replica::source::{Parts, Source, SourceError, Supplier};
use common::replica::supply::supply;
use common::side::{PerSide, Side};
use common::time::{Moment, Timestamp};
use common::tree::Tree;
use common::wire::client::{Answer, Request};
use common::wire::message::{Ask, AskId, Content, Given, Order, ReplicaId, Report, Want};
use server_a::coordinator::Coordinator;
use server_a::coordinator::action::{Action, Batch};
use server_a::coordinator::event::{ClientId, Event, Now, SaveId};
use server_a::pending::queue::HeldEdit;
use server_a::underway::Underway;

use crate::deep_shell::Drained;
use crate::disk::files::{Features, Whim};
use crate::disk::side::{Look, disk};
use crate::disk::{Disk, Killed, Place};
use crate::durable::Durable;

/// What content comes from: the other side, while there is a link, and held edits.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) other: Option<(Arc<Root>, Arc<Known>)>,
    pub(crate) held: BTreeMap<u64, Vec<u8>>,
    pub(crate) link: bool,
}

pub(crate) struct Shared(pub(crate) Arc<Mutex<Counter>>);

struct Fetched {
    from: From,
    asked: VecDeque<(u64, u32)>,
}

enum From {
    Bytes(Vec<u8>),
    Remote(Arc<Root>, Arc<Known>, RelPath, File),
}

impl Supplier for Shared {
    fn source(&self, content: &Content, file: &File) -> Result<Box<dyn Source>, SourceError> {
        let counter = self.0.lock().expect("no panic");
        let from = match content {
            Content::Held(seq) => {
                From::Bytes(counter.held.get(seq).cloned().ok_or(SourceError::Gone)?)
            }
            Content::Pull(path) if counter.link => {
                let (root, known) = counter.other.clone().ok_or(SourceError::Lost)?;
                From::Remote(root, known, path.clone(), file.clone())
            }
            _ => return Err(SourceError::Lost),
        };
        Ok(Box::new(Fetched { from, asked: VecDeque::new() }))
    }
}

impl Source for Fetched {
    fn recipe(&mut self, _size: u64) -> Result<Option<Parts>, SourceError> {
        Ok(None)
    }

    fn ask(&mut self, offset: u64, length: u32) {
        self.asked.push_back((offset, length));
    }

    fn take(&mut self, _patient: bool) -> Result<Option<Vec<u8>>, SourceError> {
        let Some((offset, length)) = self.asked.pop_front() else { return Ok(None) };
        match &self.from {
            From::Bytes(bytes) => {
                let end = bytes.len().min(offset as usize + length as usize);
                Ok(Some(bytes[(offset as usize).min(end)..end].to_vec()))
            }
            From::Remote(root, known, path, file) => {
                let want = Want::Piece { offset, length };
                let ask = Ask { id: AskId(1), path: path.clone(), digest: file.digest, want };
                let mut given = None;
                supply(root, known, &ask, &mut |piece| {
                    given = Some(piece);
                    true
                });
                match given {
                    Some(Given::Piece(piece)) => Ok(Some(piece.into_vec())),
                    _ => Err(SourceError::Gone),
                }
            }
        }
    }
}

/// One side: its disk, the process in front of it, what that has saved.
pub(crate) struct Sided {
    pub(crate) disk: Disk,
    pub(crate) place: Place,
    pub(crate) dirty: Dirty,
    /// A look that others may overtake.
    pub(crate) looking: Option<Look>,
    pub(crate) saved: BTreeMap<RelPath, Row>,
}

pub(crate) struct Deep {
    pub(crate) sides: PerSide<Sided>,
    pub(crate) counters: PerSide<Arc<Mutex<Counter>>>,
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Now,
    pub(crate) link: bool,
    pub(crate) met: Option<u64>,
    pub(crate) durable: Durable,
    /// What B may have lost unflushed.
    cuts_of_b: u64,
    pub(crate) orders: PerSide<VecDeque<Order>>,
    pub(crate) reports: PerSide<VecDeque<Report>>,
    pub(crate) saves: VecDeque<(SaveId, Batch)>,
    pub(crate) holds: VecDeque<HeldEdit>,
    pub(crate) discards: VecDeque<(u64, bool, HeldEdit)>,
    pub(crate) alarm: Option<Moment>,
    pub(crate) answers: Vec<(ClientId, Answer)>,
    pub(crate) clients: u64,
    pub(crate) commits: u64,
    pub(crate) steps: u64,
    /// Contents that an unlock discarded or a power cut took before they were flushed.
    pub(crate) waived: BTreeSet<Vec<u8>>,
    /// B ended while A's shell waited for it.
    pub(crate) fallen: bool,
    /// What a check of the trees found: nothing should have been left for it.
    pub(crate) unequal: BTreeSet<RelPath>,
    pub(crate) drained: Drained,
    pub(crate) trace: Option<Vec<String>>,
}

impl Deep {
    pub(crate) fn new(features: Features) -> Deep {
        let counters: PerSide<Arc<Mutex<Counter>>> = PerSide::default();
        let side = |side: Side| {
            let disk = disk(features);
            disk.lock().events = Some(Vec::new());
            let supplier = Arc::new(Shared(counters[side].clone()));
            let place = Place::open(&disk, side, supplier);
            let (dirty, looking, saved) = (Dirty::default(), None, BTreeMap::new());
            Sided { disk, place, dirty, looking, saved }
        };
        let mut durable = Durable::default();
        let sides = PerSide { a: side(Side::A), b: side(Side::B) };
        let wall = Timestamp { seconds: 1_800_000_000, nanos: 0 };
        let mut deep = Deep {
            sides,
            counters,
            coordinator: durable.coordinator(Limits::default()),
            now: Now { moment: Moment(0), wall },
            link: false,
            met: None,
            durable,
            cuts_of_b: 0,
            orders: PerSide::default(),
            reports: PerSide::default(),
            saves: VecDeque::new(),
            holds: VecDeque::new(),
            discards: VecDeque::new(),
            alarm: None,
            answers: Vec::new(),
            clients: 0,
            commits: 0,
            steps: 0,
            waived: BTreeSet::new(),
            fallen: false,
            unequal: BTreeSet::new(),
            drained: Drained::default(),
            trace: None,
        };
        for side in Side::BOTH {
            deep.start_side(side, BTreeMap::new());
        }
        deep.start();
        deep
    }

    /// From now on also small directories go as one.
    pub(crate) fn clear_small(&mut self) {
        self.durable.clears = true;
        self.coordinator.clear_from(1);
    }

    fn start(&mut self) {
        let mut out = Vec::new();
        self.coordinator.start(&mut out);
        self.take(out);
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.say(|| format!("  event {event:?}"));
        let mut out = Vec::new();
        self.coordinator.handle(self.now, event, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Action>) {
        for action in out {
            self.say(|| format!("    -> {action:?}"));
            match action {
                Action::HangUp(why) => panic!("B is left alone: {why}"),
                Action::Order(side, order) if side == Side::A || self.link => {
                    self.orders[side].push_back(order);
                }
                Action::Order(..) => {}
                Action::Trail(trail) => self.durable.underway.note(trail),
                Action::Hold(edit) => self.holds.push_back(edit),
                Action::Discard { seq, keep, edit } => self.discards.push_back((seq, keep, edit)),
                Action::Save(id, batch) => self.saves.push_back((id, batch)),
                Action::Answer(to, answer) => self.answers.push((to, answer)),
                Action::WakeAt(moment) => self.alarm = Some(moment),
                Action::Explain(paths) => self.unequal.extend(paths),
                Action::Note(_) | Action::Record(_) | Action::Recall(..) => {}
            }
        }
    }

    pub(crate) fn connect(&mut self) {
        if !self.link {
            self.link = true;
            self.wire();
            self.tell(Event::PeerUp(ReplicaId(7), self.met, Some(self.cuts_of_b)));
        }
    }

    pub(crate) fn disconnect(&mut self) {
        if self.link {
            self.link = false;
            self.wire();
            self.orders.b.clear();
            self.reports.b.clear();
            self.sides.b.place.known.hush();
            self.tell(Event::PeerDown("the link was cut".into()));
        }
    }

    /// What each side can fetch from the other.
    fn wire(&mut self) {
        for side in Side::BOTH {
            let other = &self.sides[side.other()].place;
            let mut counter = self.counters[side].lock().expect("no panic");
            counter.other = Some((other.root.clone(), other.known.clone()));
            counter.link = self.link;
        }
    }

    /// A process starts in front of a disk: recovers, looks around.
    fn start_side(&mut self, side: Side, rows: BTreeMap<RelPath, Row>) {
        let supplier = Arc::new(Shared(self.counters[side].clone()));
        let sided = &mut self.sides[side];
        sided.disk.lock().whim = None;
        sided.place = Place::remembering(&sided.disk, side, supplier, rows);
        if side == Side::A {
            let publisher = &sided.place.committer.publisher;
            self.durable.underway.decide(|what, witness| publisher.took_effect(what, witness));
        }
        let (done, failed) = sided.place.recover();
        assert_eq!(failed, 0, "recovery fails");
        let left = sided.disk.lock().walk(".lab3/stage");
        assert!(left.is_empty(), "in stage after recovery: {:?}", left.keys());
        (sided.dirty, sided.looking) = (Dirty::default(), None);
        sided.dirty.all(self.now.moment);
        self.say(|| format!("{side} recovered {done:?}"));
        self.look(side);
        self.wire();
    }

    /// A server ends and starts again; with `cut` it was the power.
    pub(crate) fn restart(&mut self, side: Side, cut: Option<u64>) {
        self.say(|| format!("{side} ends, cut {cut:?}"));
        self.note_progress();
        self.disconnect();
        match cut {
            None => self.sides[side].disk.lock().stop(),
            Some(seed) => {
                let mut state = seed;
                self.sides[side].disk.lock().cut(|n| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    (state >> 33) as usize % n
                });
            }
        }
        if side == Side::A {
            self.orders = PerSide::default();
            self.reports = PerSide::default();
            self.saves.clear();
            self.holds.clear();
            self.discards.clear();
            self.alarm = None;
            if cut.is_some() {
                self.durable.underway = Underway::default();
                self.drained = Drained::default();
            }
        }
        if cut.is_some() {
            // What was saved counts in its boot only.
            self.sides[side].saved.clear();
        }
        let rows = self.sides[side].saved.clone();
        self.start_side(side, rows);
        if cut.is_some() && side == Side::B {
            self.cuts_of_b += 1;
        }
        if cut.is_some() {
            self.waive_what_was_cut();
        }
        if side == Side::A {
            self.coordinator = self.durable.coordinator(Limits::default());
            self.start();
        }
    }

    /// Does something that may end the process; answers whether it did not.
    pub(crate) fn mortal(&mut self, act: impl FnOnce(&mut Deep)) -> bool {
        let result = catch_unwind(AssertUnwindSafe(|| act(self)));
        for side in Side::BOTH {
            self.sides[side].disk.lock().whim = None;
        }
        match result {
            Ok(()) => !std::mem::take(&mut self.fallen),
            Err(cause) if cause.is::<Killed>() => false,
            Err(cause) => resume_unwind(cause),
        }
    }

    /// A's shell waits for what B does; nothing comes when B ends meanwhile.
    pub(crate) fn at_b<T>(&mut self, act: impl FnOnce(&Deep) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| act(self))) {
            Ok(answer) => Some(answer),
            Err(cause) if cause.is::<Killed>() => {
                self.fallen = true;
                None
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    pub(crate) fn set_whim(&mut self, side: Side, whim: Whim) {
        let mut files = self.sides[side].disk.lock();
        files.calls = 0;
        files.whim = Some(whim);
    }

    pub(crate) fn wake(&mut self) -> bool {
        let Some(alarm) = self.alarm.take() else { return false };
        self.pass(alarm.ms_since(self.now.moment));
        self.tell(Event::Woke);
        true
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.moment = self.now.moment.after_ms(ms);
        self.now.wall.seconds = 1_800_000_000 + (self.now.moment.0 / 1000) as i64;
        for side in Side::BOTH {
            self.sides[side].disk.lock().clock += ms as i64 * 1_000_000;
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.alarm.is_some_and(|alarm| alarm <= self.now.moment)
    }

    fn run(&mut self) -> bool {
        let mut any = false;
        for _ in 0..20_000 {
            let mut moved = false;
            for side in Side::BOTH {
                self.notice(side, false);
                if !self.sides[side].dirty.is_empty() || self.sides[side].looking.is_some() {
                    self.look(side);
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

    /// Lets everything happen, a step at a time, until something is so; answers whether it is.
    pub(crate) fn go_on_until(&mut self, is_so: impl Fn(&Deep) -> bool) -> bool {
        for _ in 0..5_000 {
            if is_so(self) {
                return true;
            }
            let mut moved = false;
            for side in Side::BOTH {
                self.notice(side, false);
                if !self.sides[side].dirty.is_empty() {
                    self.look(side);
                    moved = true;
                }
            }
            moved |= self.run_order(Side::A) || self.run_order(Side::B);
            moved |= self.run_report(Side::A) || self.run_report(Side::B);
            // What is saved is saved before the next order is carried out.
            moved |= self.run_shell();
            if !moved && !self.wake() {
                return false;
            }
        }
        false
    }

    pub(crate) fn settle(&mut self) {
        for _ in 0..300 {
            if !self.run() && !self.wake() {
                return;
            }
        }
        panic!("the clock is asked for again and again");
    }

    pub(crate) fn request(&mut self, request: Request) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        self.tell(Event::Asked(client, request));
        client
    }

    pub(crate) fn ask(&mut self, request: Request) -> Answer {
        let client = self.request(request);
        for _ in 0..1000 {
            self.run();
            if let Some(at) = self.answers.iter().position(|(to, _)| *to == client) {
                return self.answers.remove(at).1;
            }
            assert!(self.wake(), "the client is never answered");
        }
        panic!("the client is never answered");
    }

    pub(crate) fn archive(&self) -> &Tree {
        &self.durable.archive
    }

    pub(crate) fn held(&self) -> BTreeSet<Vec<u8>> {
        self.counters.a.lock().expect("no panic").held.values().cloned().collect()
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.coordinator.is_idle()
            && Side::BOTH.iter().all(|&s| self.orders[s].is_empty() && self.reports[s].is_empty())
            && self.saves.is_empty()
            && self.holds.is_empty()
            && self.discards.is_empty()
            && self.durable.pending.is_empty()
    }
}
