//! How long edits take is put together from what is heard and ordered; nobody's time but ours.

use common::change::{Change, Operation, Outcome};
use common::limits::TOLD_MICROS_MAX;
use common::path::RelPath;
use common::side::Side::{self, A, B};
use common::time::{Micros, Timestamp};
use common::wire::cbor;
use common::wire::client::timed::{Speed, Stages, Trace};
use common::wire::client::{DrainMode, Request, Target};
use common::wire::message::{Content, Observation, Order, OrderId, Report, Row, Spent};
use server_a::coordinator::action::{Action, ArchiveRow, Batch, Note};
use server_a::coordinator::event::{ClientId, Event, SaveId};
use server_a::pending::queue::HeldEdit;
use server_a::timing::{Timing, When};

/// Half of it is the way over the link.
const ROUND: std::time::Duration = std::time::Duration::from_micros(100);

fn path(name: &str) -> RelPath {
    RelPath::new(name).expect("a path")
}

fn hears(timing: &mut Timing, at: u64, event: &Event) {
    let wall = Timestamp { seconds: i64::try_from(at).expect("small"), nanos: 0 };
    timing.hear(event, When { at, wall }, || Some(ROUND));
}

/// A side tells a path, whose first hint came so long ago.
fn finds(timing: &mut Timing, at: u64, side: Side, name: &str, seen: Option<u64>) {
    let row = Row { path: path(name), entry: None, content: None, seen: seen.map(Micros::from) };
    let observed = Observation { rows: vec![row], ..Observation::default() };
    hears(timing, at, &Event::Reported(side, Report::Observed(observed)));
}

fn orders(timing: &mut Timing, at: u64, side: Side, id: u64, name: &str) {
    let change = Change { path: path(name), before: None, after: None, copy: None };
    let operation = Operation::Change(change);
    let order = Order::Commit { id: OrderId(id), operation, content: Content::None };
    timing.see(&Action::Order(side, order));
    timing.gives(OrderId(id), at);
}

fn ends(timing: &mut Timing, at: u64, side: Side, id: u64, outcome: Outcome, spent: Spent) {
    let report = Report::Outcome { id: OrderId(id), outcome, spent: Some(spent) };
    hears(timing, at, &Event::Reported(side, report));
}

fn done() -> Outcome {
    Outcome::Done { now: None, aside: None }
}

fn spent(parts: [u64; 3]) -> Spent {
    let [durable, visible, reported] = parts.map(Micros::from);
    Spent { durable, visible, reported }
}

/// It is sent to be saved, and saved.
fn saves(timing: &mut Timing, at: u64, id: u64, name: &str) {
    let row = ArchiveRow { path: path(name), entry: None, source: None };
    let batch = Batch { archive: vec![row], ..Batch::default() };
    timing.see(&Action::Save(SaveId(id), batch));
    hears(timing, at, &Event::Saved(SaveId(id), Ok(())));
}

fn speed(timing: &Timing, from: Side) -> Speed {
    timing.speeds().into_iter().find(|speed| speed.from == from).expect("both ways")
}

/// How many edits became visible and were agreed on.
fn counts(timing: &Timing, from: Side) -> (u64, u64) {
    let speed = speed(timing, from);
    (speed.seen_to_visible.count, speed.seen_to_agreed.count)
}

fn parts(trace: &Trace) -> [u64; 6] {
    let Stages { told, link, ordered, durable, visible, reported } = trace.stages;
    [told, link, ordered, durable, visible, reported].map(Micros::get)
}

#[test]
fn each_part_of_an_edit_is_known_and_all_of_its_time_is_in_one() {
    let mut timing = Timing::default();
    finds(&mut timing, 1000, A, "f", Some(400));
    orders(&mut timing, 1030, B, 1, "f");
    // 500 from the order to its outcome, of which B was busy for 300.
    ends(&mut timing, 1530, B, 1, done(), spent([200, 90, 10]));
    let trace = *timing.trace(&path("f")).expect("a trace");
    assert_eq!(parts(&trace), [400, 100, 30, 200, 90, 10 + 100]);
    assert_eq!((trace.from, trace.time.seconds, trace.until_agreed()), (A, 1000, None));
    saves(&mut timing, 4000, 2, "f");
    let trace = timing.trace(&path("f")).expect("a trace");
    // The hint came 400 before 1000.
    assert_eq!(trace.until_agreed().expect("agreed").get(), 4000 - 600);
    assert_eq!(trace.stages.until_visible().get(), 400 + 100 + 30 + 200 + 90);
    let speed = speed(&timing, A);
    assert!(speed.stages.named().iter().all(|(_, spread)| spread.count == 1));
    assert_eq!(speed.seen_to_visible.max, trace.stages.until_visible());
    assert_eq!(Some(speed.seen_to_agreed.max), trace.until_agreed());
    assert_eq!(counts(&timing, B), (0, 0));
}

#[test]
fn the_way_from_b_is_half_of_a_round_and_what_had_to_be_fetched_counts_before_the_order() {
    let mut timing = Timing::default();
    finds(&mut timing, 1000, B, "f", Some(400));
    orders(&mut timing, 1030, A, 1, "f");
    ends(&mut timing, 1335, A, 1, done(), spent([200, 90, 10]));
    assert_eq!(parts(timing.trace(&path("f")).expect("a trace")), [400, 50, 30, 200, 90, 15]);
    finds(&mut timing, 2000, B, "f", Some(400));
    orders(&mut timing, 2030, A, 2, "f");
    timing.fetches(OrderId(2));
    ends(&mut timing, 3330, A, 2, done(), spent([200, 90, 10]));
    assert_eq!(parts(timing.trace(&path("f")).expect("a trace")), [400, 50, 1030, 200, 90, 10]);
    finds(&mut timing, 4000, A, "f", Some(400));
    orders(&mut timing, 4030, B, 3, "f");
    timing.fetches(OrderId(3));
    ends(&mut timing, 5330, B, 3, done(), spent([200, 90, 10]));
    assert_eq!(parts(timing.trace(&path("f")).expect("a trace")), [400, 50, 930, 200, 90, 60]);
    // Before any round was measured nothing can be said of the way from B.
    let row = Row { path: path("g"), entry: None, content: None, seen: Some(Micros::from(1)) };
    let observed = Observation { rows: vec![row], ..Observation::default() };
    let event = Event::Reported(B, Report::Observed(observed));
    timing.hear(&event, When::default(), || None);
    orders(&mut timing, 10, A, 4, "g");
    ends(&mut timing, 20, A, 4, done(), Spent::default());
    assert_eq!(timing.trace(&path("g")), None);
}

#[test]
fn a_path_that_is_edited_again_meanwhile_is_followed_by_its_last_edit() {
    let mut timing = Timing::default();
    finds(&mut timing, 100, A, "f", Some(11));
    finds(&mut timing, 200, A, "f", Some(22));
    orders(&mut timing, 250, B, 1, "f");
    finds(&mut timing, 300, A, "f", Some(33));
    ends(&mut timing, 400, B, 1, done(), Spent::default());
    assert_eq!(parts(timing.trace(&path("f")).expect("a trace"))[..3], [22, 75, 50]);
    orders(&mut timing, 450, B, 2, "f");
    saves(&mut timing, 500, 3, "f");
    ends(&mut timing, 600, B, 2, done(), Spent::default());
    let trace = timing.trace(&path("f")).expect("a trace");
    assert_eq!((parts(trace)[0], trace.agreed), (33, None));
    assert_eq!(counts(&timing, A), (2, 1));
    // Nobody saw when it happened: of that nothing is known, and the older hint is not its own.
    finds(&mut timing, 700, A, "f", Some(44));
    finds(&mut timing, 800, A, "f", None);
    orders(&mut timing, 900, B, 4, "f");
    ends(&mut timing, 950, B, 4, done(), Spent::default());
    assert_eq!(counts(&timing, A), (2, 1));
}

#[test]
fn the_time_of_a_person_is_not_counted() {
    let mut timing = Timing::default();
    let unlock = Request::Unlock {
        target: Target::Path(path("f")),
        holder: "ann".into(),
        force: false,
        mode: DrainMode::Apply,
        dry_run: false,
    };
    let edit = HeldEdit {
        seq: 1,
        lock: 1,
        path: path("f"),
        before: None,
        after: None,
        received: Timestamp::default(),
    };
    let ways: [&dyn Fn(&mut Timing); 8] = [
        &|timing| timing.see(&Action::Hold(edit.clone())),
        &|timing| timing.see(&Action::Note(Note::Waits(path("f"), "busy".into()))),
        &|timing| timing.see(&Action::Note(Note::Resumed)),
        &|timing| timing.leave_out(|at| *at == path("f")),
        &|timing| timing.rest(),
        &|timing| hears(timing, 150, &Event::Asked(ClientId(1), unlock.clone())),
        &|timing| hears(timing, 150, &Event::PeerDown("lost".into())),
        &|timing| {
            let (rows, problems, last) = (Vec::new(), Vec::new(), true);
            let all = Report::Inventory { rows, problems, last };
            hears(timing, 150, &Event::Reported(A, all));
        },
    ];
    for (number, way) in (1..).zip(ways) {
        finds(&mut timing, 100, B, "f", Some(1));
        way(&mut timing);
        orders(&mut timing, 1_000_000, A, number, "f");
        ends(&mut timing, 1_000_100, A, number, done(), Spent::default());
        assert_eq!(timing.trace(&path("f")), None, "way {number}");
    }
    // What was tried in vain is tried again later, and that is no part of its way.
    finds(&mut timing, 100, B, "f", Some(1));
    orders(&mut timing, 110, A, 20, "f");
    ends(&mut timing, 120, A, 20, Outcome::Busy, Spent::default());
    orders(&mut timing, 1_000_000, A, 21, "f");
    ends(&mut timing, 1_000_100, A, 21, done(), Spent::default());
    assert_eq!((timing.trace(&path("f")), counts(&timing, B)), (None, (0, 0)));
    // And what was found a moment ago and is not withheld is counted.
    finds(&mut timing, 100, B, "f", Some(1));
    timing.leave_out(|_| false);
    orders(&mut timing, 110, A, 22, "f");
    ends(&mut timing, 120, A, 22, done(), Spent::default());
    assert_eq!(counts(&timing, B), (1, 0));
    // What the store did not take was not agreed on.
    let row = ArchiveRow { path: path("f"), entry: None, source: None };
    let batch = Batch { archive: vec![row], ..Batch::default() };
    timing.see(&Action::Save(SaveId(1), batch));
    hears(&mut timing, 140, &Event::NotDurable(vec![path("f")]));
    hears(&mut timing, 150, &Event::Saved(SaveId(1), Ok(())));
    assert_eq!(counts(&timing, B), (1, 0));
}

/// What B says of its time, as it is read from the wire.
fn told_by_b(micros: u64) -> Spent {
    let bytes = cbor::to_vec(&Spent::default()).expect("writable");
    let text: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| match byte {
            0 => [&[0x1b][..], &micros.to_be_bytes()].concat(),
            byte => vec![*byte],
        })
        .collect();
    cbor::from_slice(&text).expect("three numbers")
}

#[test]
fn a_lie_of_b_is_an_hour_at_most_and_spoils_nothing_else() {
    let mut timing = Timing::default();
    let (most, lie) = (Micros::from(TOLD_MICROS_MAX), told_by_b(u64::MAX));
    assert_eq!([lie.durable, lie.visible, lie.reported], [most; 3]);
    finds(&mut timing, 1000, B, "f", Some(u64::MAX));
    orders(&mut timing, 1030, A, 1, "f");
    ends(&mut timing, 1335, A, 1, done(), spent([200, 90, 10]));
    finds(&mut timing, 1000, A, "g", Some(4));
    orders(&mut timing, 1030, B, 2, "g");
    ends(&mut timing, 1335, B, 2, done(), lie);
    // An outcome from the wrong side, twice, of nothing that was ordered, and before its order.
    ends(&mut timing, 1335, B, 2, done(), lie);
    ends(&mut timing, 1335, B, 77, done(), lie);
    finds(&mut timing, 1000, A, "h", Some(4));
    orders(&mut timing, 1030, B, 3, "h");
    ends(&mut timing, 1335, A, 3, done(), lie);
    finds(&mut timing, 1000, A, "i", Some(4));
    orders(&mut timing, 1030, B, 4, "i");
    ends(&mut timing, 5, B, 4, done(), spent([1, 1, 1]));
    saves(&mut timing, 3, 9, "g");
    for (from, count) in [(A, 2), (B, 1)] {
        let speed = speed(&timing, from);
        assert_eq!(speed.seen_to_visible.count, count, "{from}");
        let spreads = speed.stages.named().map(|(_, spread)| *spread);
        for spread in spreads.into_iter().chain([speed.seen_to_visible, speed.seen_to_agreed]) {
            let ordered = [spread.p50, spread.p95, spread.p99, spread.max, most];
            assert!(ordered.is_sorted(), "{ordered:?}");
        }
    }
    assert_eq!(timing.trace(&path("g")).expect("a trace").until_agreed(), Some(most));
}

#[test]
fn a_crowd_takes_bounded_memory_and_renames_leave_nothing_behind() {
    let mut timing = Timing::default();
    for number in 0..40_000 {
        finds(&mut timing, number, A, &number.to_string(), Some(1));
    }
    for number in 0..40_000 {
        orders(&mut timing, number, B, number, &number.to_string());
    }
    for number in 0..40_000 {
        ends(&mut timing, number, B, number, done(), Spent::default());
    }
    let (visible, _) = counts(&timing, A);
    assert!((1000..40_000).contains(&visible), "{visible}");
    timing.rest();
    saves(&mut timing, 40_000, 1, "0");
    assert_eq!(counts(&timing, A), (visible, 0), "what was not saved at rest never was");
}
