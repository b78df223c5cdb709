//! Everything at once, at random, from a seed: edits on both sides, delays, lost links, restarts,
//! locks, faults and time. After every step nothing is lost or invented; at rest both sides and
//! the archive are equal, and then nothing moves any more.
//!
//! `LAB3_SIM_SEED=N` replays one seed, with `LAB3_SIM_TRACE=FILE` in words; `LAB3_SIM_SEEDS=N`
//! tries N of them, from the first or from `LAB3_SIM_FROM=N` on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::path::RelPath;
use common::side::Side;
use common::wire::client::{Answer, DrainMode, Request, Target, Waited};
use common::wire::verify::{CheckEnd, Verified};
use server_a::coordinator::action::Note;
use server_a::coordinator::event::Event;

use crate::users::{Account, Rng, edit};
use crate::world::World;

const SEEDS: u64 = 300;

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_or_invented_and_both_sides_become_equal() {
    if let Some(seed) = number("LAB3_SIM_SEED") {
        return try_seed(seed);
    }
    let from = number("LAB3_SIM_FROM").unwrap_or(0);
    for seed in from..from + number("LAB3_SIM_SEEDS").unwrap_or(SEEDS) {
        try_seed(seed);
    }
}

#[test]
fn seeds_that_once_failed_do_not_fail_again() {
    let seeds = include_str!("../../../fixtures/seeds/coordinator.txt");
    for line in seeds.lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().and_then(|word| word.parse().ok());
        try_seed(seed.expect("a line begins with its seed"));
    }
}

fn try_seed(seed: u64) {
    replayable(seed, "simulation::nothing", simulate);
}

/// Runs a seed in a fresh world. When it fails, says how to replay it.
pub(crate) fn replayable(seed: u64, test: &str, simulate: impl FnOnce(&mut World, u64)) {
    let mut world = World::new();
    if !seed.is_multiple_of(2) {
        world.clear_small();
    }
    let trace = std::env::var("LAB3_SIM_TRACE").ok();
    world.trace = trace.as_ref().map(|_| Vec::new());
    let result = catch_unwind(AssertUnwindSafe(|| simulate(&mut world, seed)));
    if let (Some(trace), Some(lines)) = (trace, &world.trace) {
        std::fs::write(trace, lines.join("\n")).expect("the trace can be written");
    }
    if let Err(cause) = result {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or(cause.downcast_ref::<&str>().map(|s| s.to_string()));
        panic!(
            "seed {seed}: {}\nreplay: LAB3_SIM_SEED={seed} LAB3_SIM_TRACE=/tmp/trace \
             cargo test -p server-a --test it {test}",
            text.unwrap_or_default()
        );
    }
}

fn simulate(world: &mut World, seed: u64) {
    let mut rng = Rng(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut account = Account::default();
    let mut faults = Rng(rng.next());
    // Some runs have no faults, some no locks, some a link that holds.
    let (faulty, locking, flapping) = (rng.below(2) == 0, rng.below(3) > 0, rng.below(3) > 0);
    if faulty {
        world.chance = Box::new(move || faults.next() % 100);
    }
    for side in Side::BOTH {
        for _ in 0..rng.below(12) {
            edit(world, side, &mut rng, &mut account);
        }
    }
    world.check_every = (rng.below(2) == 0).then_some(60_000);
    world.coordinator.check_every(world.check_every);
    world.connect();
    for _ in 0..20 + rng.below(200) {
        step(world, &mut rng, &mut account, locking, flapping);
        account.check(world);
        check_queue(world);
    }
    world.chance = Box::new(|| 99);
    rest(world, &mut rng, &account);
}

pub(crate) fn step(
    world: &mut World,
    rng: &mut Rng,
    account: &mut Account,
    locking: bool,
    flapping: bool,
) {
    let side = if rng.below(2) == 0 { Side::A } else { Side::B };
    match rng.below(100) {
        0..=24 => edit(world, side, rng, account),
        25..=39 => {
            let mut tops = world.sides[side].unseen.clone();
            if rng.below(3) == 0
                && let Some(top) = tops.iter().nth(rng.below(tops.len())).cloned()
            {
                tops = [top].into();
            }
            let rows = if rng.below(2) == 0 { 1000 } else { 1 + rng.below(3) };
            if !tops.is_empty() {
                world.look(side, &tops, rows);
            }
        }
        40..=57 => drop(world.run_order(side)),
        58..=75 => drop(world.run_report(side)),
        76..=84 => drop(world.run_shell()),
        85..=88 => {
            world.pass(rng.below(3000) as u64);
            if world.alarm.is_some_and(|alarm| alarm <= world.now.moment) {
                world.wake();
            }
        }
        89..=92 if locking => lock(world, rng),
        93..=95 if locking => unlock(world, rng),
        96 if flapping => world.disconnect(),
        97 if flapping => world.connect(),
        98 if flapping && rng.below(3) == 0 => match side {
            Side::A => {
                world.restart_a(rng.below(2) == 0);
                if rng.below(2) == 0 {
                    world.connect();
                }
            }
            Side::B => world.restart_b(rng.below(2) == 0),
        },
        99 => {
            world.run();
        }
        _ if rng.below(2) == 0 => {
            world.request(Request::Verify { timeout_ms: 1000, deep: false });
        }
        _ => drop(world.request(Request::Approve)),
    }
}

fn lock(world: &mut World, rng: &mut Rng) {
    let replica = if rng.below(2) == 0 { &world.sides.a } else { &world.sides.b };
    let paths: Vec<RelPath> = replica.tree.keys().cloned().collect();
    let Some(path) = rng.pick(&paths).cloned() else { return };
    let ttl_s = (rng.below(10) == 0).then_some(2);
    let target = Target::Path(path);
    world.request(Request::Lock { target, holder: "me".into(), comment: None, ttl_s });
}

fn unlock(world: &mut World, rng: &mut Rng) {
    let paths: Vec<RelPath> = world.coordinator.locks().iter().map(|l| l.path.clone()).collect();
    let Some(path) = rng.pick(&paths).cloned() else { return };
    let mode = match rng.below(6) {
        0 => DrainMode::Discard,
        1 => DrainMode::KeepA,
        _ => DrainMode::Apply,
    };
    world.request(release(path, mode));
}

fn release(path: RelPath, mode: DrainMode) -> Request {
    let target = Target::Path(path);
    Request::Unlock { target, holder: "me".into(), force: false, mode, dry_run: false }
}

/// Held edits are in order and no two of one place.
pub(crate) fn check_queue(world: &World) {
    let seqs: Vec<u64> = world.coordinator.queue().iter().map(|edit| edit.seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

/// Every tree is the same, but for what is excepted; no check has ever found otherwise.
fn check_trees(world: &mut World) -> Verified {
    let answer = world.ask(Request::Verify { timeout_ms: 60_000, deep: false });
    let Answer::Verified(found) = answer else { panic!("{answer:?}") };
    assert!(matches!(found.end, CheckEnd::Identical { .. }), "{found:?}");
    let differs = |note: &&Note| matches!(note, Note::Differs { .. });
    assert_eq!(world.notes.iter().find(differs), None);
    *found
}

/// No more edits: everything comes to rest.
pub(crate) fn rest(world: &mut World, rng: &mut Rng, account: &Account) {
    world.say(|| "---- no more edits".into());
    world.ask(Request::Approve);
    world.connect();
    world.settle();
    let before = world.ordered.len();
    world.tell(Event::Woke);
    assert_eq!(world.ordered.len(), before, "something waited for the next event");
    let archive = world.coordinator.view().archive;
    let all_saved = *archive == world.durable.archive;
    if rng.below(2) == 0 && all_saved {
        let before = world.ordered.len();
        world.restart_a(true);
        world.connect();
        world.settle();
        let again = &world.ordered[before..];
        assert!(again.is_empty(), "a restart at rest moves something: {again:?}");
    }
    check_trees(world);
    // The innermost first. A lock may take a new name when another one goes.
    while let Some(path) = world.coordinator.locks().iter().last().map(|lock| lock.path.clone()) {
        let before = world.coordinator.locks().len();
        let answer = world.ask(release(path.clone(), DrainMode::Apply));
        assert!(matches!(answer, Answer::Unlocked(_)), "{answer:?}");
        assert!(world.coordinator.locks().len() < before, "`{path}` is never unlocked");
        account.check(world);
    }
    world.settle();
    account.check(world);
    let differing = world.differences();
    assert!(differing.is_empty(), "at rest:\n{}", differing.join("\n"));
    assert!(world.coordinator.is_idle() && world.is_quiet());
    assert!(world.coordinator.queue().is_empty() && world.durable.pending.is_empty());
    assert!(world.coordinator.locks().is_empty());
    assert_eq!(world.ask(Request::Wait { timeout_ms: 1000 }), Answer::Waited(Waited::Done));
    let checked = check_trees(world);
    assert_eq!(checked.exception_count, 0, "{checked:?}");
    let before = world.ordered.len();
    world.disconnect();
    world.connect();
    world.settle();
    let again = &world.ordered[before..];
    assert!(again.is_empty(), "what is at rest moves again: {again:?}");
}
