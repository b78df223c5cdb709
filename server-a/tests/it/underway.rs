//! What was ordered is known after a kill: no name comes back, and no copy is made of what both
//! sides had agreed on.

use std::fs;
use std::time::Instant;

use common::change::{Change, Operation, Witness};
use common::reconcile::conflict::is_copy_name;
use common::side::Side::{self, A, B};
use common::wire::message::OrderId;
use server_a::coordinator::event::{Event, SaveId};
use server_a::underway::file::Recorder;
use server_a::underway::{Ordered, Trail, Underway};

use crate::coordinator::{agreed, has, names, remove, write};
use crate::model::{file, path};
use crate::world::World;

/// Lets everything go on but the saves, until it is at rest.
fn run_unsaved(world: &mut World) {
    for side in Side::BOTH {
        world.look_all(side);
    }
    while Side::BOTH.into_iter().any(|side| world.run_order(side) | world.run_report(side)) {}
}

/// Both sides have it, and the store does not know: then A is killed.
fn killed_before_the_save(act: impl Fn(&mut World), meanwhile: impl Fn(&mut World)) -> World {
    let mut world = agreed(&["f", "g", "d/e"]);
    act(&mut world);
    run_unsaved(&mut world);
    meanwhile(&mut world);
    world.restart_a(true);
    world.connect();
    world.settle();
    let copies = names(&world, A).into_iter().chain(names(&world, B));
    assert_eq!(copies.filter(|name| is_copy_name(name.as_bytes())).count(), 0, "copies");
    assert_eq!(names(&world, A), names(&world, B));
    world
}

#[test]
fn a_name_that_its_user_took_away_does_not_come_back_after_a_kill() {
    for side in Side::BOTH {
        let world = killed_before_the_save(
            |world| write(world, side, "new", "text"),
            |world| {
                assert!(has(world, side.other(), "new", "text"), "it was carried out");
                remove(world, side, "new");
            },
        );
        assert_eq!(names(&world, A), ["d", "d/e", "f", "g"], "{side}");
    }
}

#[test]
fn an_edit_after_a_kill_is_an_edit_of_what_both_had() {
    for side in Side::BOTH {
        for editor in Side::BOTH {
            let world = killed_before_the_save(
                |world| write(world, side, "f", "first"),
                |world| write(world, editor, "f", "second"),
            );
            assert!(has(&world, A, "f", "second") && has(&world, B, "f", "second"));
        }
    }
}

#[test]
fn what_moved_on_after_a_kill_is_not_left_behind_where_it_was() {
    for side in Side::BOTH {
        let world = killed_before_the_save(
            |world| world.sides[side].rename(&path("d"), &path("moved")),
            |world| world.sides[side].rename(&path("moved"), &path("on")),
        );
        assert_eq!(names(&world, A), ["f", "g", "on", "on/e"], "{side}");
    }
}

#[test]
fn what_could_not_be_made_durable_is_known_all_the_same() {
    let mut world = agreed(&["f"]);
    write(&mut world, B, "f", "first");
    run_unsaved(&mut world);
    world.tell(Event::NotDurable(vec![path("f")]));
    let saves: Vec<SaveId> = world.saves.drain(..).map(|(id, _)| id).collect();
    assert!(!saves.is_empty(), "the outcome was to be saved");
    saves.into_iter().for_each(|id| world.tell(Event::Saved(id, Ok(()))));
    write(&mut world, B, "f", "second");
    world.restart_a(true);
    world.connect();
    world.settle();
    assert_eq!(names(&world, A), ["f"], "no copy");
    assert!(has(&world, A, "f", "second"));
}

/// B is killed when it has carried a rename out and not said so, before the version that it moved
/// with it is in the store.
#[test]
fn what_moved_unheard_is_what_both_had() {
    let mut world = agreed(&["d/e", "f"]);
    write(&mut world, A, "d/e", "first");
    run_unsaved(&mut world);
    world.sides.a.rename(&path("d"), &path("moved"));
    world.look_all(A);
    while world.run_report(A) {}
    while world.run_order(B) {}
    world.restart_b(true);
    world.sides.a.rename(&path("moved"), &path("d"));
    write(&mut world, A, "d/e", "second");
    world.look_all(A);
    while world.run_report(A) {}
    world.connect();
    run_unsaved(&mut world);
    world.settle();
    assert_eq!(names(&world, A), ["d", "d/e", "f"]);
    assert_eq!(names(&world, B), ["d", "d/e", "f"]);
    assert!(has(&world, B, "d/e", "second"));
}

#[test]
fn what_another_run_of_b_has_lost_is_not_taken_from_a() {
    let world = killed_before_the_save(
        |world| write(world, B, "new", "text"),
        |world| {
            // The power went, and B's user had flushed nothing.
            remove(world, B, "new");
            world.restart_b(true);
        },
    );
    assert!(has(&world, A, "new", "text") && has(&world, B, "new", "text"));
}

fn ordered(number: u64) -> Trail {
    let after = Some(file("text", 0o644, 1));
    let change = Change { path: path("f"), before: None, after, copy: None };
    let operation = Operation::Change(change);
    let ordered = Ordered { id: OrderId(number), side: A, run: Some(1), operation, held: None };
    Trail::Ordered(Box::new(ordered))
}

fn noted(trails: impl IntoIterator<Item = Trail>) -> Underway {
    let mut underway = Underway::default();
    trails.into_iter().for_each(|trail| underway.note(trail));
    underway
}

#[test]
fn what_is_not_over_is_there_again_in_the_same_life_and_in_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("underway");
    let open = |life| Recorder::open(&at, life, |_, _| false).expect("opened");
    let (mut recorder, found) = open(7);
    assert!(found.is_empty());
    let trails = [ordered(1), ordered(2), Trail::Done(OrderId(2)), ordered(3)];
    for trail in trails.iter().cloned().chain([Trail::Over(vec![OrderId(1)])]) {
        recorder.record([&trail]);
    }
    drop(recorder);
    let (_, found) = open(7);
    assert_eq!(found, noted(trails[1..].iter().cloned()));
    let (_, again) = open(7);
    assert_eq!(again, found, "it is written anew with each start");
    let (_, other) = open(8);
    assert!(other.is_empty(), "after a power cut it counts for nothing");
    let (_, gone) = open(7);
    assert!(gone.is_empty());
}

fn begun(numbers: &[u64]) -> Trail {
    let staged = |number| Witness::Staged { name: format!("n-{number}").into(), inode: number };
    Trail::Begun(numbers.iter().map(|number| (OrderId(*number), staged(*number))).collect())
}

/// What is done of what is open.
fn done(underway: &Underway) -> Vec<(u64, bool)> {
    underway.iter().map(|open| (open.ordered.id.0, open.done)).collect()
}

#[test]
fn what_had_begun_is_decided_once_by_what_it_left_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("underway");
    let (mut recorder, _) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    (1..6).for_each(|number| recorder.record([&ordered(number)]));
    recorder.record([&begun(&[1, 2, 3, 4, 9])]);
    recorder.record([&Trail::Missed(OrderId(2))]);
    recorder.record([&Trail::Done(OrderId(4))]);
    drop(recorder);
    let asked = std::cell::RefCell::new(Vec::new());
    let took_effect = |operation: &Operation, witness: &Witness| {
        assert_eq!(*operation.path(), path("f"));
        let Witness::Staged { inode, .. } = witness else { panic!("{witness:?}") };
        asked.borrow_mut().push(*inode);
        *inode == 3
    };
    let (_, found) = Recorder::open(&at, 7, took_effect).expect("opened");
    assert_eq!(*asked.borrow(), [1, 3], "what was missed, done or never begun is not asked about");
    let decided = [(1, false), (2, false), (3, true), (4, true), (5, false)];
    assert_eq!(done(&found), decided);
    // Recovery took the traces away, and the next start finds it decided.
    let (_, again) = Recorder::open(&at, 7, |_, _| panic!("asked again")).expect("opened");
    assert_eq!(done(&again), decided);
}

#[test]
fn what_has_begun_is_still_known_when_the_file_is_written_anew() {
    let trails = [ordered(1), begun(&[1]), ordered(2), begun(&[2]), Trail::Missed(OrderId(2))];
    let underway = noted(trails);
    assert_eq!(noted(underway.trails()), underway);
}

#[test]
fn nothing_is_written_about_what_was_never_noted() {
    let underway = noted([ordered(1), ordered(2), Trail::Done(OrderId(2))]);
    let both = [1, 2, 3];
    assert_eq!(underway.news(begun(&both)), Some(begun(&[1])));
    assert_eq!(underway.news(begun(&[2, 3])), None);
    assert_eq!(underway.news(Trail::Missed(OrderId(3))), None);
    assert_eq!(underway.news(Trail::Done(OrderId(2))), None);
}

#[test]
fn what_begins_together_is_noted_by_one_row() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("underway");
    let (mut recorder, _) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    let numbers: Vec<u64> = (1..513).collect();
    numbers.iter().for_each(|number| recorder.record([&ordered(*number)]));
    let rows = || {
        let bytes = fs::read(&at).expect("read");
        let header = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        server_a::frame::parse::<Trail>(&bytes[..header], &bytes).rows.len()
    };
    let before = rows();
    let mut took = |numbers: &[u64]| {
        let began = Instant::now();
        recorder.record([&begun(numbers)]);
        began.elapsed().as_nanos() as f64 / 1000.0
    };
    let (single, all) = (took(&[1]), took(&numbers));
    assert_eq!(rows(), before + 2);
    let mut singles: Vec<f64> = numbers.iter().map(|number| took(&[*number])).collect();
    singles.sort_by(f64::total_cmp);
    let median = singles[singles.len() / 2];
    eprintln!(
        "a note: {single:.1} us at first, {median:.1} us in the middle, 512 at once {all:.1} us"
    );
}

#[test]
fn a_torn_end_costs_its_step_and_damage_costs_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("underway");
    let (mut recorder, _) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    (1..4).for_each(|number| recorder.record([&ordered(number)]));
    let whole = fs::read(&at).expect("read");
    fs::write(&at, &whole[..whole.len() - 3]).expect("torn");
    let (_, torn) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    assert_eq!(torn, noted((1..3).map(ordered)));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&at, flipped).expect("damaged");
    let (_, damaged) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    assert!(damaged.is_empty(), "half a memory is none: {damaged:?}");
}

#[test]
fn the_file_stays_small_however_much_passes() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("underway");
    let (mut recorder, _) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    for number in 0..100_000 {
        recorder.record([&ordered(number)]);
        recorder.record([&Trail::Done(OrderId(number))]);
        recorder.record([&Trail::Over(vec![OrderId(number)])]);
    }
    let length = fs::metadata(&at).expect("a file").len();
    assert!(length < 128 * 1024, "{length} bytes");
    recorder.record([&ordered(100_001)]);
    drop(recorder);
    let (_, found) = Recorder::open(&at, 7, |_, _| false).expect("opened");
    assert_eq!(found, noted([ordered(100_001)]));
}
