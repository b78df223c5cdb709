//! What a side may not say: what became of another's orders, that it met A more often than ever,
//! that one directory was renamed to very many places, that it has more than anybody can keep.

use common::change::Outcome;
use common::entry::Entry;
use common::problem::{Problem, ProblemKind};
use common::side::Side::{A, B};
use common::wire::client::{DrainMode, Request, Target};
use common::wire::message::{Observation, Order, OrderId, Report};
use server_a::coordinator::action::Action;
use server_a::coordinator::event::Event;

use crate::coordinator::{agreed, assert_equal, has, write};
use crate::locked::{edits, lock};
use crate::model::{file, path};
use crate::world::World;

/// Everything that happens but for the next commit at A.
fn until_a_commit_at_a(world: &mut World) {
    for _ in 0..1000 {
        let next_is_commit = matches!(world.orders.a.front(), Some(Order::Commit { .. }));
        if next_is_commit {
            return;
        }
        let moved = [
            world.run_order(A),
            world.run_report(A),
            world.run_order(B),
            world.run_report(B),
            world.run_shell(),
        ];
        if moved == [false; 5] && !world.wake() {
            break;
        }
    }
    panic!("there is no commit at A");
}

#[test]
fn an_outcome_counts_only_from_the_side_that_was_ordered() {
    let mut world = agreed(&["f"]);
    lock(&mut world, "f");
    edits(&mut world, "f", &["1", "2", "3"]);
    let target = Target::Path(path("f"));
    let mode = DrainMode::Apply;
    let (holder, force, dry_run) = ("me".into(), false, false);
    world.request(Request::Unlock { target, holder, force, mode, dry_run });
    until_a_commit_at_a(&mut world);
    for id in 0..500 {
        let now = Some(file("1", 0o644, 0));
        for outcome in [Outcome::Done { now, aside: None }, Outcome::Stale { now: None }] {
            world.reports.b.push_back(Report::Outcome { id: OrderId(id), outcome, spent: None });
        }
        world.reports.b.push_back(Report::Settled { id: OrderId(id) });
    }
    while world.run_report(B) | world.run_shell() {}
    assert_eq!(world.durable.pending.len(), 3, "what is not applied is held");
    assert!(has(&world, A, "f", "f"));
    world.settle();
    assert!(has(&world, A, "f", "3") && world.durable.pending.is_empty());
    assert_equal(&world);
}

#[test]
fn nobody_met_us_more_often_than_he_was_asked_to_remember() {
    let mut world = agreed(&["f"]);
    let met = world.durable.peer.map_or(0, |peer| peer.met);
    world.reports.b.push_back(Report::Met { number: u64::MAX });
    world.reports.a.push_back(Report::Met { number: u64::MAX });
    world.settle();
    write(&mut world, A, "f", "saved with it");
    world.settle();
    assert!(world.durable.peer.is_some_and(|peer| peer.met <= met + 1));
    // Who says so in the hello is another one, and no number runs over.
    world.disconnect();
    world.met = Some(u64::MAX);
    world.connect();
    world.settle();
    assert!(has(&world, A, "f", "saved with it"));
}

#[test]
fn a_directory_that_was_renamed_to_very_many_places_was_renamed_once() {
    let mut world = World::new();
    world.connect();
    world.settle();
    for n in 0..500 {
        write(&mut world, B, &format!("d/{n}"), "x");
    }
    world.settle();
    let known = world.coordinator.view().seen.b.len();
    let to = |n: usize| (path("d"), path(&format!("other{n}")));
    let below = (path("d/1"), path("else"));
    let carried = (0..20_000).map(to).chain([below]).collect();
    let look = Observation { carried, ..Observation::default() };
    world.reports.b.push_back(Report::Observed(look));
    assert!(world.run_report(B));
    assert!(world.coordinator.view().seen.b.len() <= known);
    // What it said is not so: the next inventory makes it good.
    world.disconnect();
    world.connect();
    world.settle();
    assert_eq!(world.sides.b.tree.len(), known);
}

#[test]
fn whoever_tells_of_more_than_can_be_kept_is_left_alone() {
    let row = |n: usize| (path(&format!("{n}")), Entry::Dir { mode: 0o755 });
    let problem = || Problem { kind: ProblemKind::Unreadable, detail: "no".into() };
    let inventory = |from: usize, last| Report::Inventory {
        rows: (from..from + 100).map(row).collect(),
        problems: Vec::new(),
        last,
    };
    let looks = |more| {
        (0..30).map(move |part: usize| {
            let problems =
                (0..10).map(|n| (path(&format!("{part}/{n}")), Some(problem()))).collect();
            Report::Observed(Observation { problems, more, ..Observation::default() })
        })
    };
    let endless: Vec<Report> = (0..30).map(|part| inventory(part * 100, false)).collect();
    let late: Vec<Report> = [inventory(0, true)].into_iter().chain(looks(false)).collect();
    let within: Vec<Report> = [inventory(0, true)].into_iter().chain(looks(true)).collect();
    for reports in [endless, late, within] {
        let mut world = World::new();
        world.coordinator.take_of_b(250);
        world.connect();
        world.run_order(A);
        while world.run_report(A) {}
        let mut out = Vec::new();
        for report in reports {
            world.coordinator.handle(world.now, Event::Reported(B, report), &mut out);
            if out.iter().any(|action| matches!(action, Action::HangUp(_))) {
                break;
            }
        }
        let ends: Vec<&Action> =
            out.iter().filter(|action| matches!(action, Action::HangUp(_))).collect();
        assert_eq!(ends.len(), 1, "{ends:?}");
        assert_eq!(world.coordinator.view().seen.b.len(), 0);
        assert!(world.coordinator.view().archive.is_empty());
    }
}
