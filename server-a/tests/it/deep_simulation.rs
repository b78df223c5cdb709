//! Everything at once on disks in memory, at random, from a seed: users who work between any two
//! calls, stops and power cuts inside of operations, errors of the disk, lost links, locks, time.
//!
//! `LAB3_DEEP_SEED=N` replays one seed, with `LAB3_SIM_TRACE=FILE` in words; `LAB3_DEEP_SEEDS=N`
//! tries N of them, from the first or from `LAB3_DEEP_FROM=N` on.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use common::path::RelPath;
use common::side::Side;
use common::wire::client::{Answer, DrainMode, Request, Target};
use rustix::io::Errno;
use server_a::coordinator::event::Event;

use crate::deep::Deep;
use crate::deep_gap::stop_at;
use crate::disk::Features;
use crate::disk::{Deed, Verdict};
use crate::users::Rng;

const SEEDS: u64 = 2_000;
const FULL_SEEDS: u64 = 100_000;
/// From this seed on looks take their time, and commits come between.
const OVERLAPPING: u64 = 1 << 32;
/// From this seed on users also go on between the end of a server and its next start.
const GOING_ON: u64 = 1 << 33;
const PATHS: [&str; 9] = ["a", "b", "d", "d/a", "d/b", "e", "e/a", "d/e", "d/e/a"];
/// Few names, so that both users often make the same.
const CROWDED: [&str; 4] = ["d", "d/e", "d/e/a", "d/e/b"];
/// Directories that are filled and removed.
const DIRECTORIES: [&str; 3] = ["d", "e", "d/e"];
const ERRORS: [Errno; 5] = [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::ACCESS, Errno::ROFS];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_on_disks_that_stop_fail_and_forget() {
    match number("LAB3_DEEP_SEED") {
        Some(seed) => replay(seed),
        None => try_from(0),
    }
}

#[test]
fn nothing_is_lost_when_commits_come_between_a_look_and_what_it_tells() {
    if number("LAB3_DEEP_SEED").is_none() {
        try_from(OVERLAPPING);
    }
}

#[test]
fn nothing_is_done_twice_when_users_go_on_before_the_next_start() {
    if number("LAB3_DEEP_SEED").is_none() {
        try_from(GOING_ON);
    }
}

fn replay(seed: u64) {
    let (result, users) = attempt(seed, kept());
    if let Err(what) = result {
        panic!("seed {seed}: {what}\n{}", users.made.join("\n"));
    }
}

fn try_from(first: u64) {
    let full = number("LAB3_FULL") == Some(1);
    let seeds = number("LAB3_DEEP_SEEDS").unwrap_or(if full { FULL_SEEDS } else { SEEDS });
    let from = first + number("LAB3_DEEP_FROM").unwrap_or(0);
    let (began, mut steps) = (Instant::now(), 0);
    let mut failing = Vec::new();
    for seed in from..from + seeds {
        match attempt(seed, None) {
            (Ok(count), _) => steps += count,
            (Err(what), users) => failing.push((seed, what, users)),
        }
    }
    let rate = steps as f64 / began.elapsed().as_secs_f64();
    eprintln!(
        "deep simulation from seed {from}: {seeds} seeds, {steps} steps, {rate:.0} steps per second"
    );
    let numbers: Vec<u64> = failing.iter().map(|(seed, ..)| *seed).collect();
    if let Some((seed, what, users)) = failing.first() {
        panic!("seeds {numbers:?} fail\n{}", shrunk(*seed, what, users));
    }
}

#[test]
fn deep_seeds_that_once_failed_do_not_fail_again() {
    let seeds = include_str!("../../../fixtures/seeds/deep.txt");
    for line in seeds.lines().filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().and_then(|word| word.parse().ok());
        let seed = seed.expect("a line begins with its seed");
        if let (Err(what), users) = attempt(seed, None) {
            panic!("{}", shrunk(seed, &what, &users));
        }
    }
}

fn kept() -> Option<BTreeSet<u64>> {
    let text = std::env::var("LAB3_DEEP_ONLY").ok()?;
    Some(text.split(',').filter_map(|word| word.parse().ok()).collect())
}

/// Leaves out deeds of users as long as it still fails, and says how to replay what is left.
fn shrunk(seed: u64, what: &str, users: &Users) -> String {
    let mut kept: Vec<u64> = (1..=users.count).collect();
    let (mut last, mut made) = (what.to_owned(), users.made.clone());
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(from..kept.len().min(from + size));
            match attempt(seed, Some(fewer.iter().copied().collect())) {
                (Err(still), users) => (kept, last, made) = (fewer, still, users.made),
                (Ok(_), _) => from += size,
            }
        }
        size /= 2;
    }
    let list: Vec<String> = kept.iter().map(u64::to_string).collect();
    format!(
        "seed {seed}: {what}\nwith fewer deeds: {last}\n{}\nreplay: LAB3_DEEP_SEED={seed} \
         LAB3_DEEP_ONLY={} LAB3_SIM_TRACE=/tmp/trace cargo test -p server-a --test it \
         deep_simulation::nothing_is_lost_on",
        made.join("\n"),
        list.join(",")
    )
}

/// The steps of a seed, or what is wrong.
fn attempt(seed: u64, only: Option<BTreeSet<u64>>) -> (Result<u64, String>, Users) {
    let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) + 1);
    let all = rng.below(4) > 0;
    let mut has = || all || rng.below(2) == 0;
    let (exchange, noreplace, lease, recycles) = (has(), has(), has(), has());
    let mut world = Deep::new(Features { exchange, noreplace, lease, recycles });
    let clearing = seed % 4 > 1;
    if clearing {
        world.clear_small();
    }
    let trace = std::env::var("LAB3_SIM_TRACE").ok();
    world.trace = trace.as_ref().map(|_| Vec::new());
    let (overlapping, going_on) = (seed >= OVERLAPPING, seed >= GOING_ON);
    let manner = Manner { overlapping, going_on, clearing };
    let crowded = manner.overlapping && seed.is_multiple_of(2);
    let paths: &[&str] = if crowded { &CROWDED } else { &PATHS };
    let mut users =
        Users { rng: Rng(rng.next()), paths, clearing, count: 0, only, made: Vec::new() };
    let simulate = || simulate(&mut world, &mut rng, &mut users, manner);
    let result = catch_unwind(AssertUnwindSafe(simulate));
    if let (Some(trace), Some(lines)) = (trace, &world.trace) {
        std::fs::write(trace, lines.join("\n")).expect("the trace can be written");
    }
    let result = match result {
        Ok(result) => result.map(|()| world.steps),
        Err(cause) => {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or(cause.downcast_ref::<&str>().map(|s| (*s).to_string()));
            Err(text.unwrap_or_else(|| "a panic".into()))
        }
    };
    (result, users)
}

/// What is special about some seeds.
#[derive(Clone, Copy)]
struct Manner {
    /// Commits come between a look and what it tells.
    overlapping: bool,
    /// Users do something between an end and the next start.
    going_on: bool,
    /// Directories are often filled, agreed on and removed.
    clearing: bool,
}

/// What both users do next; each deed has a number by which it can be left out.
struct Users {
    rng: Rng,
    paths: &'static [&'static str],
    clearing: bool,
    count: u64,
    only: Option<BTreeSet<u64>>,
    made: Vec<String>,
}

impl Users {
    fn deed(&mut self) -> Option<Deed> {
        self.count += 1;
        let content = format!("c{}", self.count).into_bytes();
        let at = self.paths[self.rng.below(self.paths.len())];
        let to = self.paths[self.rng.below(self.paths.len())];
        let deed = match self.rng.below(if self.clearing { 32 } else { 20 }) {
            20..=25 => Deed::Filled(DIRECTORIES[self.rng.below(DIRECTORIES.len())], content),
            26..=31 => Deed::Remove(DIRECTORIES[self.rng.below(DIRECTORIES.len())]),
            0..=4 => Deed::Write(at, content),
            5..=7 => Deed::Save(at, content),
            8..=9 => Deed::Remove(at),
            10 => Deed::Again(at, content),
            11..=12 => Deed::Directory(at),
            13 => Deed::Filled(at, content),
            14 => Deed::Link(at, content),
            15..=16 => Deed::Move(at, to),
            17 => Deed::Mode(at, [0o755, 0o700, 0o750][self.rng.below(3)]),
            18 => Deed::Open(at),
            _ => Deed::Finish(content),
        };
        if self.only.as_ref().is_some_and(|only| !only.contains(&self.count)) {
            return None;
        }
        self.made.push(format!("{}: {deed:?}", self.count));
        Some(deed)
    }
}

fn simulate(
    world: &mut Deep,
    rng: &mut Rng,
    users: &mut Users,
    Manner { overlapping, going_on, clearing }: Manner,
) -> Result<(), String> {
    let (mortal, cuts, faulty) = (rng.below(2) == 0, rng.below(2) == 0, rng.below(2) == 0);
    let (locking, flapping) = (rng.below(3) == 0, rng.below(2) == 0);
    let (mortal, locking) = (mortal || going_on, locking || going_on);
    for side in Side::BOTH {
        for _ in 0..rng.below(8) {
            act(world, side, users);
        }
    }
    world.connect();
    for _ in 0..20 + rng.below(120) {
        world.steps += 1;
        let side = if rng.below(2) == 0 { Side::A } else { Side::B };
        let whim = rng.below(6);
        if whim == 0 {
            trouble(world, side, rng, users, mortal, faulty);
        }
        let (what, ms) = (rng.below(100), rng.below(3000) as u64);
        let seed = rng.next();
        let lives = world.mortal(|world| match what {
            0..=9 if clearing && whim > 0 && seed.is_multiple_of(2) => {
                world.go_on_until(Deep::is_at_rest);
            }
            0..=24 => act(world, side, users),
            25..=44 => {
                world.notice(side, seed.is_multiple_of(50));
                match overlapping {
                    true => {
                        world.pass(ms / 1000);
                        world.go_on_looking(side);
                    }
                    false => world.look(side),
                }
            }
            45..=62 => drop(world.run_order(side)),
            63..=78 => drop(world.run_report(side)),
            79..=86 => drop(world.run_shell()),
            87..=89 => pass(world, ms),
            90 => world.save_scan(side),
            91..=92 if locking => lock(world, seed),
            93 if locking => unlock(world, seed),
            97..=98 if going_on => unlock(world, seed),
            94 if flapping => world.disconnect(),
            95 if flapping => world.connect(),
            96 if mortal => world.restart(side, (cuts && seed.is_multiple_of(2)).then_some(seed)),
            _ => world.connect(),
        });
        if !lives {
            world.note_progress();
            for _ in 0..if going_on { rng.below(4) } else { 0 } {
                let user = if rng.below(3) == 0 { side.other() } else { side };
                act(world, user, users);
            }
            world.restart(side, (cuts && seed.is_multiple_of(2)).then_some(seed));
        }
        check(world)?;
    }
    if going_on {
        drain_fatally(world, rng, users)?;
    }
    world.nothing_waits(faulty)?;
    rest(world)
}

fn pass(world: &mut Deep, ms: u64) {
    world.pass(ms);
    if world.is_due() {
        world.wake();
    }
}

/// All files are closed, and everything is looked at and carried out.
fn calm(world: &mut Deep, last: &str) {
    for side in Side::BOTH {
        world.sides[side].disk.lock().deed(&Deed::Finish(format!("{last} {side}").into_bytes()));
        world.notice(side, true);
    }
    world.ask(Request::Approve);
    world.connect();
    world.settle();
    // What an error has left in `stage/` is not at rest: the saving thread tries again.
    for side in Side::BOTH {
        world.settle_left(side);
        world.notice(side, true);
    }
    world.settle();
}

/// A is stopped where it matters most: while it applies a held edit.
fn drain_fatally(world: &mut Deep, rng: &mut Rng, users: &mut Users) -> Result<(), String> {
    let locks: Vec<RelPath> = world.coordinator.locks().iter().map(|l| l.path.clone()).collect();
    for path in locks {
        calm(world, &format!("until {path}"));
        world.request(release(path));
        while world.go_on_until(Deep::is_to_drain) {
            world.set_whim(Side::A, stop_at(1 + rng.below(40) as u64));
            if world.mortal(|world| assert!(world.run_order(Side::A))) {
                continue;
            }
            world.note_progress();
            for _ in 0..rng.below(4) {
                act(world, if rng.below(3) == 0 { Side::B } else { Side::A }, users);
            }
            world.restart(Side::A, None);
            world.connect();
            check(world)?;
        }
    }
    Ok(())
}

fn act(world: &mut Deep, side: Side, users: &mut Users) {
    if let Some(deed) = users.deed() {
        world.say(|| format!("{side}'s user: {deed:?}"));
        world.sides[side].disk.lock().deed(&deed);
    }
}

/// Something happens at one of the next calls of a side.
fn trouble(
    world: &mut Deep,
    side: Side,
    rng: &mut Rng,
    users: &mut Users,
    mortal: bool,
    faulty: bool,
) {
    let n = 1 + rng.below(40) as u64;
    let verdict = match rng.below(4) {
        0 if mortal => Verdict::Stop,
        1 if faulty => Verdict::Fail(ERRORS[rng.below(ERRORS.len())]),
        _ => Verdict::Go,
    };
    let deed = if verdict == Verdict::Go { users.deed() } else { None };
    world.say(|| format!("{side}, at its call {n}: {verdict:?} {deed:?}"));
    world.set_whim(
        side,
        Box::new(move |files, _| {
            if files.calls != n {
                return Verdict::Go;
            }
            if let Some(deed) = &deed {
                files.deed(deed);
            }
            verdict
        }),
    );
}

fn lock(world: &mut Deep, seed: u64) {
    let Ok(path) = RelPath::new(PATHS[seed as usize % PATHS.len()]) else { return };
    let target = Target::Path(path);
    let holder = "me".to_owned();
    world.request(Request::Lock { target, holder, comment: None, ttl_s: None });
}

fn unlock(world: &mut Deep, seed: u64) {
    let locks: Vec<RelPath> = world.coordinator.locks().iter().map(|l| l.path.clone()).collect();
    if !locks.is_empty() {
        world.request(release(locks[seed as usize % locks.len()].clone()));
    }
}

fn release(path: RelPath) -> Request {
    let (target, holder, mode) = (Target::Path(path), "me".to_owned(), DrainMode::Apply);
    Request::Unlock { target, holder, force: false, mode, dry_run: false }
}

/// All contents anywhere in our care.
fn everywhere(world: &Deep) -> BTreeSet<Vec<u8>> {
    let mut there = world.held();
    for side in Side::BOTH {
        let files = world.sides[side].disk.lock();
        for top in ["", ".lab3/trash", ".lab3/stage"] {
            there.extend(files.contents(top));
        }
    }
    there
}

fn live(world: &Deep) -> BTreeSet<Vec<u8>> {
    let (mut live, mut superseded) = (BTreeSet::new(), world.waived.clone());
    for side in Side::BOTH {
        let files = world.sides[side].disk.lock();
        live.extend(files.account.live.iter().cloned());
        superseded.extend(files.account.superseded.iter().cloned());
    }
    live.retain(|content| !superseded.contains(content));
    live
}

impl Deep {
    /// What was not flushed may be gone after a cut, and what is torn was not flushed either.
    pub(crate) fn waive_what_was_cut(&mut self) {
        let there = everywhere(self);
        let gone: Vec<Vec<u8>> = live(self).difference(&there).cloned().collect();
        self.waived.extend(gone);
    }
}

/// Nothing is lost and nothing is invented.
pub(crate) fn check(world: &Deep) -> Result<(), String> {
    let there = everywhere(world);
    if let Some(lost) = live(world).difference(&there).next() {
        return Err(format!("the content `{}` is lost", lost.escape_ascii()));
    }
    if let Some(path) = world.unequal.first() {
        return Err(format!("a check found `{path}` otherwise than it should be"));
    }
    if let Some(seq) = world.drained.twice.first() {
        return Err(format!("held edit {seq} is applied twice"));
    }
    let mut written = BTreeSet::from([Vec::new()]);
    for side in Side::BOTH {
        written.extend(world.sides[side].disk.lock().account.written.iter().cloned());
    }
    for side in Side::BOTH {
        let tree = world.sides[side].disk.lock().contents("");
        if let Some(content) = tree.difference(&written).next() {
            return Err(format!("nobody wrote `{}` at {side}", content.escape_ascii()));
        }
    }
    Ok(())
}

/// No more deeds: everything comes to rest, equal on both sides and in the archive.
fn rest(world: &mut Deep) -> Result<(), String> {
    world.say(|| "---- no more deeds".into());
    calm(world, "last");
    let before = world.commits;
    world.tell(Event::Woke);
    world.settle();
    if world.commits != before {
        return Err("something waited for the next event".into());
    }
    let locks: Vec<RelPath> = world.coordinator.locks().iter().map(|l| l.path.clone()).collect();
    for path in locks.into_iter().rev() {
        if world.coordinator.locks().iter().any(|lock| lock.path == path) {
            let answer = world.ask(release(path));
            assert!(matches!(answer, Answer::Unlocked(_)), "{answer:?}");
        }
    }
    world.settle();
    check(world)?;
    let trees = [Side::A, Side::B].map(|side| tree(world, side));
    if trees[0] != trees[1] {
        return Err(format!("at rest A has {:?}, B has {:?}", trees[0], trees[1]));
    }
    let archived: BTreeSet<String> = world.archive().iter().map(|(p, _)| p.to_string()).collect();
    let there: BTreeSet<String> = trees[0].keys().cloned().collect();
    if archived != there {
        return Err(format!("at rest there is {there:?}, the archive has {archived:?}"));
    }
    if !world.is_at_rest() || !world.coordinator.locks().is_empty() {
        return Err("something is still under way at rest".into());
    }
    for restart in [false, true] {
        let before = world.commits;
        if restart {
            world.restart(Side::A, None);
            world.restart(Side::B, None);
        }
        world.disconnect();
        world.connect();
        world.settle();
        if world.commits != before {
            return Err(format!("what is at rest moves again, restart: {restart}"));
        }
    }
    check(world)
}

pub(crate) fn tree(world: &Deep, side: Side) -> BTreeMap<String, String> {
    let files = world.sides[side].disk.lock();
    files.walk("").into_iter().map(|(path, uid)| (path, files.likeness(uid))).collect()
}
