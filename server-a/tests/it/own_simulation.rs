//! Two users who never touch the same name, and servers that are killed: whatever happens, nothing
//! in the whole run is a conflict. No copy is ever made, and nobody but its user changes a name.
//!
//! `LAB3_SIM_SEED=N` replays one seed, with `LAB3_SIM_TRACE=FILE` in words; `LAB3_SIM_SEEDS=N`
//! tries N of them, from the first or from `LAB3_SIM_FROM=N` on.

use std::collections::BTreeMap;

use common::entry::Entry;
use common::path::{RelPath, rows_below};
use common::side::Side;
use common::wire::client::Request;

use crate::model::{Replica, file, path};
use crate::simulation::{number, replayable};
use crate::users::Rng;
use crate::world::World;

const SEEDS: u64 = 10_000;
const FULL_SEEDS: u64 = 300_000;
/// Below its own directory each user has these names.
const NAMES: [&str; 8] = ["d", "d/f", "d/g", "d/e", "d/e/f", "m", "m/f", "f"];

#[test]
fn what_only_one_user_touches_gets_no_copy_and_no_other_author() {
    if let Some(seed) = number("LAB3_SIM_SEED") {
        return try_seed(seed);
    }
    let from = number("LAB3_SIM_FROM").unwrap_or(0);
    let seeds = if number("LAB3_FULL") == Some(1) { FULL_SEEDS } else { SEEDS };
    let seeds = number("LAB3_SIM_SEEDS").unwrap_or(seeds);
    (from..from + seeds).for_each(try_seed);
    eprintln!("two users who share no name, from seed {from}: {seeds} seeds");
}

#[test]
fn own_seeds_that_once_failed_do_not_fail_again() {
    let seeds = include_str!("../../../fixtures/seeds/own.txt");
    for line in seeds.lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().and_then(|word| word.parse().ok());
        try_seed(seed.expect("a line begins with its seed"));
    }
}

fn try_seed(seed: u64) {
    replayable(seed, "own_simulation::", simulate);
}

/// What each user has made of its own directory.
type Mine = BTreeMap<RelPath, Entry>;

fn own(side: Side) -> RelPath {
    path(if side == Side::A { "of-a" } else { "of-b" })
}

fn mine(replica: &Replica, side: Side) -> Mine {
    let rows = rows_below(&replica.tree, &own(side));
    rows.map(|(at, node)| (at.clone(), node.entry.clone())).collect()
}

fn simulate(world: &mut World, seed: u64) {
    let mut rng = Rng(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut faults = Rng(rng.next());
    if rng.below(2) == 0 {
        world.chance = Box::new(move || faults.next() % 100);
    }
    for side in Side::BOTH {
        world.sides[side].put(&own(side), Some(Entry::Dir { mode: 0o755 }));
    }
    world.connect();
    world.settle();
    for number in 0..20 + rng.below(200) {
        step(world, &mut rng, number);
    }
    world.chance = Box::new(|| 99);
    world.say(|| "---- no more edits".into());
    world.ask(Request::Approve);
    world.connect();
    world.settle();
    let differing = world.differences();
    assert!(differing.is_empty(), "at rest:\n{}", differing.join("\n"));
}

fn step(world: &mut World, rng: &mut Rng, number: usize) {
    let side = if rng.below(2) == 0 { Side::A } else { Side::B };
    if rng.below(100) < 30 {
        deed(world, side, rng, number);
        return;
    }
    let before = Side::BOTH.map(|side| mine(&world.sides[side], side));
    match rng.below(70) {
        0..=9 => world.look_all(side),
        10..=19 => drop(world.run_order(side)),
        20..=29 => drop(world.run_report(side)),
        30..=33 => drop(world.run_shell()),
        34..=35 => {
            world.pass(rng.below(3000) as u64);
            if world.alarm.is_some_and(|alarm| alarm <= world.now.moment) {
                world.wake();
            }
        }
        36 => drop(world.run()),
        37..=39 if world.durable.clears => drop(world.run()),
        37..=46 => go_on(world, rng.below(4) > 0, rng.below(4) == 0),
        47..=48 => world.disconnect(),
        49..=53 => world.restart_a(rng.below(2) == 0),
        54..=57 => world.kill_b(rng.below(2) == 0),
        58 => drop(world.request(Request::Approve)),
        _ => world.connect(),
    }
    for (side, before) in Side::BOTH.into_iter().zip(before) {
        let now = mine(&world.sides[side], side);
        assert_eq!(now, before, "somebody else changed what only {side}'s user touches");
    }
}

/// Everything goes on, but perhaps for what B says, or for what is to be saved.
fn go_on(world: &mut World, hears: bool, saves: bool) {
    let mut moved = true;
    while moved {
        moved = false;
        for side in Side::BOTH {
            world.look_all(side);
            moved |= world.run_order(side);
            moved |= (hears || side == Side::A) && world.run_report(side);
        }
        moved |= saves && world.run_shell();
    }
}

/// The user of a side does something in its own directory; what cannot be done is not done.
fn deed(world: &mut World, side: Side, rng: &mut Rng, number: usize) {
    let some = |rng: &mut Rng| path(&format!("{}/{}", own(side), NAMES[rng.below(NAMES.len())]));
    let (at, to) = (some(rng), some(rng));
    let clears = world.durable.clears;
    let replica = &mut world.sides[side];
    let there = replica.entry(&at).cloned();
    let is_dir = there.as_ref().is_some_and(Entry::is_dir);
    let new = || file(&format!("{side} {number}"), 0o644, 1_800_000_000 + number as i64);
    let did = match rng.below(12) {
        0..=3 if !is_dir && replica.has_parent(&at) => {
            match there {
                Some(_) if rng.below(2) == 0 => replica.modify(&at, new()),
                _ => replica.put(&at, Some(new())),
            }
            format!("wrote `{at}`")
        }
        4 if there.is_none() && replica.has_parent(&at) => {
            replica.put(&at, Some(Entry::Dir { mode: 0o755 }));
            format!("made the directory `{at}`")
        }
        5 if there.is_some() => {
            let below: Vec<RelPath> =
                rows_below(&replica.tree, &at).map(|(below, _)| below.clone()).collect();
            below.iter().rev().chain([&at]).for_each(|gone| replica.put(gone, None));
            format!("removed `{at}`")
        }
        6..=10 if there.is_some() && replica.has_parent(&to) && !at.touches(&to) => {
            let fits = match replica.entry(&to) {
                None => true,
                Some(target) => target.is_dir() == is_dir && replica.is_empty_below(&to),
            };
            if !fits {
                return;
            }
            replica.put(&to, None);
            replica.rename(&at, &to);
            format!("renamed `{at}` to `{to}`")
        }
        // A directory with something in it, so that it can go as one.
        11 if clears && there.is_none() && replica.has_parent(&at) => {
            replica.put(&at, Some(Entry::Dir { mode: 0o755 }));
            for name in ["f", "g"] {
                replica.put(&at.join(name).expect("a short name"), Some(new()));
            }
            format!("made `{at}` with files in it")
        }
        11 if clears && is_dir => {
            let below: Vec<RelPath> =
                rows_below(&replica.tree, &at).map(|(below, _)| below.clone()).collect();
            below.iter().rev().chain([&at]).for_each(|gone| replica.put(gone, None));
            format!("removed `{at}` with all that was in it")
        }
        _ => return,
    };
    world.say(|| format!("{side}'s user {did}"));
}
