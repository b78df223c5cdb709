//! A directory that one side has no longer goes at the other as one, or singly where anything in
//! it has to be kept.

use common::change::Operation;
use common::path::RelPath;
use common::problem::{Problem, ProblemKind};
use common::reconcile::safety::Limits;
use common::side::Side::{self, A, B};
use common::wire::client::{Answer, Request, Target};
use common::wire::log::Happened;
use common::wire::message::{Observation, Report};
use server_a::coordinator::action::Note;
use server_a::coordinator::event::Event;

use crate::coordinator::{agreed, assert_equal, has, names, remove, status, write};
use crate::model::path;
use crate::world::World;

const FILES: [&str; 10] =
    ["d/0", "d/1", "d/2", "d/3", "d/4", "d/5", "d/e/6", "d/e/7", "d/e/8", "beside"];

/// How many directories were ordered to go as one, and how many paths singly.
fn removals(world: &World, side: Side) -> (usize, usize) {
    let at_side = || world.ordered.iter().filter(|(at, _)| *at == side);
    let cleared = at_side().filter(|(_, what)| matches!(what, Operation::Clear { .. })).count();
    let is_single = |what: &Operation| matches!(what, Operation::Change(c) if c.after.is_none());
    (cleared, at_side().filter(|(_, what)| is_single(what)).count())
}

fn told(world: &World) -> Vec<String> {
    let deleted = |note: &Note| match note {
        Note::Done(B, Operation::Change(change)) if change.after.is_none() => {
            Some(change.path.to_string())
        }
        _ => None,
    };
    world.notes.iter().filter_map(deleted).collect()
}

#[test]
fn a_directory_that_is_gone_goes_at_the_other_side_in_one_operation() {
    for side in Side::BOTH {
        let mut world = agreed(&FILES);
        remove(&mut world, side, "d");
        world.settle();
        assert_eq!(removals(&world, side.other()), (1, 0));
        assert_equal(&world);
        assert_eq!(names(&world, B), ["beside"]);
    }
}

#[test]
fn each_file_of_it_is_told_and_written_down_as_if_it_had_gone_alone() {
    let mut world = agreed(&FILES);
    (world.notes, world.recorded) = (Vec::new(), Vec::new());
    remove(&mut world, A, "d");
    world.settle();
    let mut told = told(&world);
    assert_eq!(told.last().map(String::as_str), Some("d"), "what is in it comes first");
    told.sort();
    let wanted: Vec<&str> = "d d/0 d/1 d/2 d/3 d/4 d/5 d/e d/e/6 d/e/7 d/e/8".split(' ').collect();
    assert_eq!(told, wanted);
    let rows = world.recorded.iter().filter(|row| row.what == Happened::Deleted);
    let mut rows: Vec<_> = rows.map(|row| (row.path.clone(), row.by, row.carried)).collect();
    rows.sort();
    let deleted = |name: &&str| (Some(path(name)), Some(A), Some(B));
    assert_eq!(rows, wanted.iter().map(deleted).collect::<Vec<_>>());
    let trashed: Vec<&RelPath> = world.sides.b.trashed.iter().map(|(path, _)| path).collect();
    assert_eq!(trashed.len(), 9, "{trashed:?}");
}

#[test]
fn what_holds_little_goes_singly() {
    let mut world = agreed(&["d/0", "d/1", "beside"]);
    remove(&mut world, A, "d");
    world.settle();
    assert_eq!(removals(&world, B), (0, 3));
    assert_equal(&world);
}

#[test]
fn of_a_directory_with_something_new_the_rest_goes_and_that_stays() {
    let mut world = agreed(&FILES);
    world.disconnect();
    write(&mut world, B, "d/e/7", "an edit");
    world.look_all(B);
    remove(&mut world, A, "d");
    world.connect();
    world.settle();
    assert_eq!(removals(&world, B).0, 0);
    assert_equal(&world);
    assert_eq!(names(&world, A), ["beside", "d", "d/e", "d/e/7"]);
    assert!(has(&world, A, "d/e/7", "an edit"));
}

#[test]
fn an_edit_that_nobody_had_seen_keeps_itself_and_nothing_else() {
    let mut world = agreed(&FILES);
    remove(&mut world, A, "d");
    world.look_all(A);
    while world.run_report(A) {}
    assert_eq!(removals(&world, B), (1, 0));
    // B's user is faster than the order.
    write(&mut world, B, "d/3", "an edit");
    assert!(world.run_order(B));
    world.settle();
    assert_eq!(removals(&world, B).0, 1, "it is tried once");
    assert_equal(&world);
    assert_eq!(names(&world, B), ["beside", "d", "d/3"]);
    assert!(has(&world, A, "d/3", "an edit"));
}

#[test]
fn a_lock_in_it_is_not_passed_by() {
    let mut world = agreed(&FILES);
    let target = Target::Path(path("d/e/8"));
    let holder = "me".to_owned();
    let locked = world.ask(Request::Lock { target, holder, comment: None, ttl_s: None });
    assert!(matches!(locked, Answer::Locked(_)), "{locked:?}");
    remove(&mut world, B, "d");
    world.settle();
    assert_eq!(removals(&world, A).0, 0);
    assert_eq!(names(&world, A), ["beside", "d", "d/e", "d/e/8"]);
}

#[test]
fn what_cannot_be_read_in_it_stays() {
    let mut world = agreed(&FILES);
    let unreadable = Problem { kind: ProblemKind::Unreadable, detail: "no".to_owned() };
    let problems = vec![(path("d/e/8"), Some(unreadable))];
    let observation = Observation { problems, ..Observation::default() };
    world.tell(Event::Reported(B, Report::Observed(observation)));
    remove(&mut world, A, "d");
    world.run();
    assert_eq!(removals(&world, B).0, 0);
    assert_eq!(names(&world, B), ["beside", "d", "d/e", "d/e/8"]);
}

#[test]
fn a_directory_that_got_another_name_is_not_removed() {
    let mut world = agreed(&FILES);
    world.sides.a.rename(&path("d"), &path("other"));
    world.settle();
    assert_eq!(removals(&world, B), (0, 0));
    assert_equal(&world);
}

#[test]
fn a_mass_of_deletions_halts_before_any_directory_goes() {
    let mut world = World::with(Limits { files_min: 5, ..Limits::default() });
    for name in FILES {
        write(&mut world, A, name, name);
    }
    world.connect();
    world.settle();
    remove(&mut world, A, "d");
    world.run();
    assert!(status(&mut world).halted.is_some());
    assert_eq!(removals(&world, B), (0, 0));
    world.ask(Request::Approve);
    world.settle();
    assert_eq!(removals(&world, B), (1, 0));
    assert_equal(&world);
}

#[test]
fn what_went_unheard_is_learned_and_comes_back_only_by_its_user() {
    let mut world = agreed(&FILES);
    remove(&mut world, A, "d");
    world.look_all(A);
    while world.run_report(A) {}
    assert!(world.run_order(B));
    // B did it; the link breaks before A hears of that, and A's user goes on.
    world.disconnect();
    write(&mut world, A, "d/0", "made anew");
    world.restart_a(true);
    world.connect();
    world.settle();
    assert_equal(&world);
    assert_eq!(names(&world, B), ["beside", "d", "d/0"]);
    assert!(has(&world, B, "d/0", "made anew"));
}
