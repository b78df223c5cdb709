//! A lock's whole life, broken off at each of its steps: locked, three edits of B, unlocked.
//!
//! Wherever A or B ends, or the link breaks, once or twice, the end is the same: B's last version
//! on both sides, no copy, nothing held, and no held edit applied twice or out of order.

use common::side::Side::{A, B};
use common::wire::client::{Answer, DrainMode, Request, Target};
use server_a::coordinator::action::Note;

use crate::coordinator::{agreed, assert_equal, has, names, write};
use crate::model::path;
use crate::world::World;

/// Steps of a life: every one of them does something.
const STEPS: usize = 72;

#[derive(Clone, Copy, Debug)]
enum Break {
    RestartA { rescanned: bool },
    RestartB,
    Link,
}

const BREAKS: [Break; 4] = [
    Break::RestartA { rescanned: false },
    Break::RestartA { rescanned: true },
    Break::RestartB,
    Break::Link,
];

fn happen(world: &mut World, what: Break) {
    match what {
        Break::RestartA { rescanned } => world.restart_a(rescanned),
        Break::RestartB => world.restart_b(true),
        Break::Link => world.disconnect(),
    }
}

/// What users do, at which step.
fn users(world: &mut World, at: &str, step: usize) {
    let (target, holder) = (Target::Path(path(at)), "me".to_string());
    match step {
        0 => {
            let request = Request::Lock { target, holder, comment: None, ttl_s: None };
            world.request(request);
        }
        10 => write(world, B, "d/f", "1"),
        18 => write(world, B, "d/f", "2"),
        26 => write(world, B, "d/f", "3"),
        36 => {
            world.request(unlock(at));
        }
        _ => {}
    }
}

fn unlock(at: &str) -> Request {
    let (target, holder) = (Target::Path(path(at)), "me".to_string());
    Request::Unlock { target, holder, force: false, mode: DrainMode::Apply, dry_run: false }
}

fn step(world: &mut World, number: usize) {
    match number % 4 {
        0 => world.look_all(B),
        1 => drop(world.run_report(A) | world.run_report(B)),
        2 => drop(world.run_order(A) | world.run_order(B)),
        _ => drop(world.run_shell()),
    }
}

fn live(at: &str, breaks: &[(usize, Break)]) {
    let told = format!("`{at}` locked, {breaks:?}");
    let mut world = agreed(&["d/f"]);
    for number in 0..STEPS {
        users(&mut world, at, number);
        step(&mut world, number);
        for (_, what) in breaks.iter().filter(|(when, _)| *when == number) {
            happen(&mut world, *what);
        }
        if number % 5 == 4 {
            world.connect();
        }
    }
    world.connect();
    world.settle();
    if !world.coordinator.locks().is_empty() {
        let answer = world.ask(unlock(at));
        assert!(matches!(answer, Answer::Unlocked(_)), "{told}: {answer:?}");
    }
    world.settle();
    assert_equal(&world);
    assert!(has(&world, A, "d/f", "3"), "{told}");
    assert_eq!(names(&world, A), ["d", "d/f"], "{told}: a copy");
    assert!(world.durable.pending.is_empty() && world.durable.locks.is_empty(), "{told}");
    let drained = world.notes.iter().filter_map(|note| match note {
        Note::Drained(_, seq) => Some(*seq),
        _ => None,
    });
    // One whose removal was not heard of may be told twice; none comes after a later one.
    assert!(drained.is_sorted(), "{told}: out of order");
}

#[test]
fn a_lock_broken_off_at_any_step_comes_to_the_same_end() {
    let mut lives = 0;
    for at in ["d/f", "d"] {
        for first in 0..STEPS {
            for what in BREAKS {
                live(at, &[(first, what)]);
                for (second, then) in [(1, BREAKS[0]), (3, BREAKS[3]), (7, BREAKS[1])] {
                    live(at, &[(first, what), (first + second, then)]);
                }
                lives += 4;
            }
        }
    }
    eprintln!("fire: {lives} lives of a lock");
}
